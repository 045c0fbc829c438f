//! One run of wrk against one proxy, and its verdict.

use crate::Result;
use crate::lab::{LOAD_CORE, Lab};
use crate::probe::CHAT_PATH;
use crate::programs::find;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// What wrk counted in a run without errors.
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

/// Loads `address` for `seconds`; fails if any request did, because then the numbers mean nothing.
pub(crate) fn run(address: SocketAddr, lab: &Lab, connections: u32, seconds: u32) -> Result<Load> {
    let output = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "taskset", "-c", &LOAD_CORE.to_string()])
        .arg(find("wrk").ok_or("wrk not found")?)
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--timeout", "5s", "--script"])
        .arg(lab.load_script())
        .arg(format!("http://{address}{CHAT_PATH}"))
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(summary) = text.lines().rfind(|line| line.starts_with('{')) else {
        return Err(format!("wrk printed no summary: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    };
    judge(&serde_json::from_str(summary)?)
}

fn judge(summary: &Value) -> Result<Load> {
    let number = |name: &str| summary[name].as_f64().unwrap_or_default();
    let errors: Vec<String> = ["connect", "read", "write", "timeout", "status"]
        .into_iter()
        .filter(|name| number(name) > 0.0)
        .map(|name| format!("{} {name} errors", number(name)))
        .collect();
    if !errors.is_empty() || number("requests") == 0.0 {
        return Err(format!("void, {} requests with {}", number("requests"), errors.join(", ")).into());
    }
    Ok(Load {
        requests: number("requests"),
        seconds: number("duration_us") / 1e6,
        p50_us: number("p50_us"),
        p99_us: number("p99_us"),
        p999_us: number("p999_us"),
    })
}
