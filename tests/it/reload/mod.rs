//! The configuration read anew while the gate runs: by SIGHUP, by `sidegate reload`, and when a file has changed.

mod apps;
mod command;
mod files;
mod health;
mod load;
mod refused;
mod settings;
mod tls;
mod upstreams;

use reqwest::Method;

use crate::support::gate::{Builder, Gate};
use crate::support::wire::{metric, metric_becomes};

const TASKS: &str = "/api/v1/tasks";
const APPLIED: &str = "sidegate_config_reloads_total{result=\"applied\"}";
const REFUSED: &str = "sidegate_config_reloads_total{result=\"refused\"}";

/// Reads its configuration anew for SIGHUP alone.
fn unwatched(builder: Builder) -> Builder {
    builder.set("reload.watch=false")
}

/// Sends SIGHUP; returns when the gate has read its configuration, and has taken it or not.
async fn hang_up(gate: &Gate, series: &str) {
    let before = metric(gate, series).await;
    gate.signal("HUP");
    metric_becomes(gate, series, before + 1.0).await;
}

/// Another configuration, in force.
pub async fn reload(gate: &Gate, config: &str) {
    gate.configure(config);
    hang_up(gate, APPLIED).await;
}

/// The status of a list of tasks.
async fn list(gate: &Gate, token: &str) -> u16 {
    let answer = gate.chat(Method::GET, TASKS, token).send().await.expect("an answer");
    let status = answer.status().as_u16();
    answer.bytes().await.expect("a body");
    status
}
