//! A disk without room: what needs none goes on, and what needs some is back when there is.

use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::support::gate::{APP, Gate, SECRET, assert_refused, json_of, program_file};
use crate::support::upstream::Upstream;

const TASKS: &str = "/api/v1/tasks";

/// The program, which takes a file that may not grow for a fault and not for its end.
fn without_signal() -> Command {
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(program_file());
    command
}

/// Limits the size of every file that the gate writes.
fn limit(gate: &Gate, bytes: &str) {
    let limit = Command::new("prlimit").args(["--pid", &gate.pid().to_string(), &format!("--fsize={bytes}:")]).status();
    assert!(limit.expect("prlimit runs").success());
}

#[tokio::test]
async fn a_full_disk_stops_what_must_be_kept_and_nothing_else() {
    let upstream = Upstream::start().await;
    let app = "[apps.inject.headers]\nX-A = \"{{env.A?}}\"";
    // Nothing is kept at hand: known tokens need the file.
    let gate = Gate::builder(&upstream).app(app).set("store.memory=1").command(without_signal()).start().await;
    let known = gate.token("ada").env("A", "known").mint().await;
    let task = gate.create_task(&known).await;
    limit(&gate, "65536");
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada", "env": { "A": "x".repeat(9_000) } });
    let mut taken = 0;
    while gate.exchange(&body).await.status() == 200 {
        taken += 1;
        assert!(taken < 100, "the limit holds");
    }
    assert_refused(gate.exchange(&body).await, 503, "STORE_UNAVAILABLE").await;
    gate.wait_for_line("the store cannot be written").await;
    let answer = gate.chat(Method::GET, &format!("{TASKS}/{task}"), &known).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "a known token and task");
    assert_eq!(upstream.requests().last().expect("a request").header("x-a"), "known");
    let count = upstream.count();
    let create = gate.chat(Method::POST, TASKS, &known).json(&json!({ "message": "Hello" }));
    assert_refused(create.send().await.expect("an answer"), 503, "STORE_UNAVAILABLE").await;
    assert_eq!(upstream.count(), count, "a task that nobody could own is not created");
    let ready = gate.ops("/readyz").send().await.expect("an answer");
    assert_eq!(ready.status(), 200);
    assert_eq!(json_of(ready).await["checks"]["store"], "full");
    limit(&gate, "unlimited");
    assert_eq!(gate.exchange(&body).await.status(), 200, "there is room again");
    gate.wait_for_line("the store can be written again").await;
    gate.create_task(&known).await;
}

#[tokio::test]
async fn a_full_disk_does_not_stop_exchanges_without_context() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).command(without_signal()).start().await;
    limit(&gate, "0");
    let mut body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada" });
    assert_eq!(gate.exchange(&body).await.status(), 200);
    body["env"]["A"] = "1".into();
    assert_refused(gate.exchange(&body).await, 503, "STORE_UNAVAILABLE").await;
    body["env"] = json!({});
    assert_eq!(gate.exchange(&body).await.status(), 200);
}
