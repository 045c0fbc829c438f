//! One run of wrk against one proxy, and its verdict.

use crate::Result;
use crate::flags::Effort;
use crate::lab::{LOAD_CORE, Lab};
use crate::probe::CHAT_PATH;
use crate::programs::find;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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

/// wrk on its core; it dies with this program even if that is killed.
fn command(plan: &Plan) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "taskset", "-c", LOAD_CORE])
        .arg(find("wrk").ok_or("wrk not found")?)
        .args(["--threads", "1", "--connections", &plan.connections.to_string()])
        .args(["--duration", &format!("{}s", plan.seconds), "--timeout", "5s", "--script"])
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
