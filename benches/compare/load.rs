//! One run of wrk against one proxy, and its verdict.

use crate::Result;
use crate::flags::Effort;
use crate::lab::{LOAD_CORE, Lab};
use crate::probe::CHAT_PATH;
use crate::process::{self, Cpu};
use crate::programs::find;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Seconds; a request that takes longer is an error.
const PATIENCE: u32 = 15;

/// What to ask whom for how long.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) url: String,
    /// Says what the requests look like; made by `Lab::script`.
    pub(crate) script: PathBuf,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// What was counted in a run without errors.
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// How late the load was itself where the proxy did not hold it up, p99; zero in a closed loop.
    pub(crate) late_us: f64,
}

impl Plan {
    /// The usual chat request.
    pub(crate) fn chat(address: SocketAddr, lab: &Lab, effort: Effort) -> Self {
        Self {
            url: format!("http://{address}{CHAT_PATH}"),
            script: lab.chat_script.clone(),
            connections: effort.connections,
            seconds: effort.seconds,
        }
    }
}

/// Loads until the plan's time is over; fails if any request did, because then the numbers mean nothing.
pub(crate) fn run(plan: &Plan) -> Result<Load> {
    verdict(&command(plan)?.output()?)
}

/// The middle part of a load, while connections are neither opened nor closed.
pub(crate) struct Window {
    pub(crate) load: Load,
    pub(crate) cpu_before: Cpu,
    pub(crate) cpu_after: Cpu,
}

/// Loads until every connection is likely to have been answered twice, but for `warmup` seconds at least, and then
/// counts for the plan's seconds. wrk only counts all requests, so `answered` says how many there were so far.
pub(crate) fn run_window(
    plan: &Plan,
    warmup: u32,
    answered: impl Fn() -> Result<f64>,
    cpu: impl Fn() -> Cpu,
) -> Result<Window> {
    let mut wrk = command(&Plan { seconds: warmup + plan.seconds + PATIENCE, ..plan.clone() })?;
    let wrk = wrk.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let counted = count_window(plan, warmup, answered, cpu);
    // Its summary is printed all the same. Whatever failed, the load must be over before the next one begins.
    process::signal("INT", &[wrk.id()]);
    let whole = verdict(&wrk.wait_with_output()?)?;
    let (requests, seconds, cpu_before, cpu_after) = counted?;
    Ok(Window { load: Load { requests, seconds, ..whole }, cpu_before, cpu_after })
}

/// Requests, seconds, and the CPU time before and after them.
fn count_window(
    plan: &Plan,
    warmup: u32,
    answered: impl Fn() -> Result<f64>,
    cpu: impl Fn() -> Cpu,
) -> Result<(f64, f64, Cpu, Cpu)> {
    let enough = answered()? + 2.0 * f64::from(plan.connections);
    let started = Instant::now();
    sleep(Duration::from_secs(warmup.into()));
    while answered()? < enough {
        if started.elapsed() > Duration::from_secs((warmup + PATIENCE).into()) {
            return Err("the connections were not all answered in time".into());
        }
        sleep(Duration::from_millis(100));
    }
    let (requests_before, cpu_before, begin) = (answered()?, cpu(), Instant::now());
    sleep(Duration::from_secs(plan.seconds.into()));
    let (requests_after, cpu_after, end) = (answered()?, cpu(), Instant::now());
    Ok((requests_after - requests_before, (end - begin).as_secs_f64(), cpu_before, cpu_after))
}

/// wrk on its core; it dies with this program even if that is killed.
fn command(plan: &Plan) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "taskset", "-c", LOAD_CORE])
        .arg(find("wrk").ok_or("wrk not found")?)
        .args(["--threads", "1", "--connections", &plan.connections.to_string()])
        .args(["--duration", &format!("{}s", plan.seconds), "--timeout", &format!("{PATIENCE}s"), "--script"])
        .arg(&plan.script)
        .arg(&plan.url)
        .stdin(Stdio::null());
    Ok(command)
}

fn verdict(output: &Output) -> Result<Load> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let Some(summary) = stdout.lines().rfind(|line| line.starts_with('{')) else {
        return Err(format!("wrk printed no summary: {stdout}{}", String::from_utf8_lossy(&output.stderr)).into());
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
        return Err(format!("{} requests with {}", number("requests"), errors.join(", ")).into());
    }
    Ok(Load {
        requests: number("requests"),
        seconds: number("duration_us") / 1e6,
        p50_us: number("p50_us"),
        p99_us: number("p99_us"),
        p999_us: number("p999_us"),
        late_us: 0.0,
    })
}
