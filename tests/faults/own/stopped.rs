//! A gate that gets no processor for longer than its deadlines, as when it is stopped by a signal: who comes meanwhile is served,
//! and what was under way for too long fails, cleanly. (That may hold for what has come by then, too: a timer that is due may be
//! seen before the socket is.)

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::support::gate::{Gate, assert_refused};
use crate::support::redis::until;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, within};

/// Longer than every deadline below.
const STOPPED: Duration = Duration::from_secs(4);

const DEADLINES: [&str; 3] = ["listen.head_timeout=2s", "listen.body_timeout=2s", "listen.write_timeout=2s"];

async fn start(upstream: &Upstream) -> Gate {
    let gate = Gate::builder(upstream);
    let gate = gate.upstream("connect_timeout = \"2s\"\nfirst_byte_timeout = \"2s\"\nidle_timeout = \"2s\"");
    DEADLINES.into_iter().fold(gate, |gate, setting| gate.set(setting)).start().await
}

/// Stops it, and waits until none of its threads runs any more.
async fn stop(gate: &Gate) {
    gate.signal("STOP");
    until("it stands still", async || gate.threads_are('T')).await;
}

#[tokio::test]
async fn connections_that_came_meanwhile_are_served() {
    let upstream = Upstream::start().await;
    let gate = start(&upstream).await;
    let token = gate.token("ada").mint().await;
    stop(&gate).await;
    let mut late = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::connect(gate.public).await;
        wire.send(format!("{}\r\n", head("GET", "/api/v1/tasks", &token))).await;
        late.push(wire);
    }
    tokio::time::sleep(STOPPED).await;
    gate.signal("CONT");
    for (n, wire) in late.iter_mut().enumerate() {
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{n}: {head}");
    }
}

#[tokio::test]
async fn what_was_late_in_truth_fails() {
    let upstream = Upstream::start().await;
    let gate = start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once("/api/v1/tasks", behaviour);
    let request = gate.chat(Method::POST, "/api/v1/tasks", &token).json(&json!({ "message": "Hello" }));
    let asking = tokio::spawn(request.send());
    within(upstream.wait_heads(1)).await;
    stop(&gate).await;
    tokio::time::sleep(STOPPED).await;
    gate.signal("CONT");
    assert_refused(within(asking).await.expect("joined").expect("an answer"), 504, "UPSTREAM_TIMEOUT").await;
    within(upstream.wait_cancelled()).await;
    gate.create_task(&token).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}
