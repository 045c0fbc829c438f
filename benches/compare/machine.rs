//! Which machine the numbers belong to.

use crate::Result;
use crate::programs::version;
use serde_json::{Value, json};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Processor, kernel, memory, load generator, and how busy the machine was before the first round.
pub(crate) fn facts() -> Result<Value> {
    Ok(json!({
        "measured_at": SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        "processor": field("/proc/cpuinfo", "model name")?,
        "cores": std::thread::available_parallelism()?.get(),
        "memory": field("/proc/meminfo", "MemTotal")?,
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        // Both ends of every connection pay for it; BBR paces with timers.
        "tcp_congestion_control": fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?.trim(),
        "load_average_before": load_average()?,
        "wrk": version("wrk", "-v"),
    }))
}

/// The one-minute load average; well above 2 while measuring means that somebody else uses the machine.
pub(crate) fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}

fn field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    Ok(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}
