//! A gate that gets no processor for longer than its deadlines, as when a machine is frozen and thawed: what came meanwhile is
//! served, what was late in truth fails, and nothing else does.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::support::gate::{Gate, assert_refused};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, stream_path, within};

/// Longer than every deadline below.
const STOPPED: Duration = Duration::from_secs(4);

const DEADLINES: [&str; 3] = ["listen.head_timeout=2s", "listen.body_timeout=2s", "listen.write_timeout=2s"];

async fn start(upstream: &Upstream) -> Gate {
    let gate = Gate::builder(upstream);
    let gate = gate.upstream("connect_timeout = \"2s\"\nfirst_byte_timeout = \"2s\"\nidle_timeout = \"2s\"");
    DEADLINES.into_iter().fold(gate, |gate, setting| gate.set(setting)).start().await
}

#[tokio::test]
async fn a_stream_whose_events_came_meanwhile_goes_on() {
    let upstream = Upstream::start().await;
    let gate = start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    stream.chunk("data: 1\n\n");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), "data: 1\n\n");
    gate.signal("STOP");
    stream.chunk("data: 2\n\n");
    tokio::time::sleep(STOPPED).await;
    gate.signal("CONT");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), "data: 2\n\n");
    stream.chunk("data: 3\n\n");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), "data: 3\n\n");
    stream.end();
    assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
}

#[tokio::test]
async fn an_answer_that_came_meanwhile_is_in_time() {
    let upstream = Upstream::start().await;
    let gate = start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let (behaviour, release) = Behaviour::held(Reply::json(200, &json!({ "success": true, "data": { "id": "t" } })));
    upstream.once("/api/v1/tasks", behaviour);
    let request = gate.chat(Method::POST, "/api/v1/tasks", &token).json(&json!({ "message": "Hello" }));
    let asking = tokio::spawn(request.send());
    within(upstream.wait_heads(1)).await;
    gate.signal("STOP");
    release.release();
    tokio::time::sleep(STOPPED).await;
    gate.signal("CONT");
    assert_eq!(within(asking).await.expect("joined").expect("an answer").status(), 200);
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn requests_that_came_meanwhile_are_served() {
    let upstream = Upstream::start().await;
    let gate = start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let ask = format!("{}\r\n", head("GET", "/api/v1/tasks", &token));
    // One that was open, with nothing on it; one that has sent half of its head; and some that connect while it is stopped.
    let (mut open, mut half) = (Wire::connect(gate.public).await, Wire::connect(gate.public).await);
    half.send(&ask[..40]).await;
    metric_becomes(&gate, "sidegate_connections{listener=\"public\"}", 2.0).await;
    gate.signal("STOP");
    open.send(&ask).await;
    half.send(&ask[40..]).await;
    let mut late = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::connect(gate.public).await;
        wire.send(&ask).await;
        late.push(wire);
    }
    tokio::time::sleep(STOPPED).await;
    gate.signal("CONT");
    for (n, wire) in [&mut open, &mut half].into_iter().chain(&mut late).enumerate() {
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
    gate.signal("STOP");
    tokio::time::sleep(STOPPED).await;
    gate.signal("CONT");
    assert_refused(within(asking).await.expect("joined").expect("an answer"), 504, "UPSTREAM_TIMEOUT").await;
    within(upstream.wait_cancelled()).await;
    gate.create_task(&token).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}
