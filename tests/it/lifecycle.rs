//! Starting, draining and stopping.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};

use crate::support::gate::{Gate, PATIENCE, SHOP, json_of};
use crate::support::program::program;
use crate::support::upstream::{Behaviour, Reply, StreamHandle, Upstream};

/// No test waits for time to pass; this only ends one that hangs.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

/// A stream under way: the answer as the page has it, and the upstream's end.
async fn open_stream(upstream: &Upstream, gate: &Gate) -> (Response, StreamHandle) {
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let path = format!("/api/v1/tasks/{id}/stream");
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    stream.event("status", &json!({ "status": "processing" }));
    assert!(answer.chunk().await.expect("a chunk").is_some());
    (answer, stream)
}

#[tokio::test]
async fn the_first_line_about_listening_names_version_and_addresses() {
    let gate = Gate::start(&Upstream::start().await).await;
    let line: Value = serde_json::from_str(&gate.wait_for_line("\"listening\"").await).expect("JSON");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "listening");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    for (name, address) in [("public", gate.public), ("private", gate.private), ("ops", gate.ops)] {
        assert_eq!(line[name], address.to_string());
        assert_ne!(address.port(), 0);
    }
}

#[tokio::test]
async fn an_idle_gate_stops_at_once_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let gate = Gate::start(&Upstream::start().await).await;
        gate.signal(signal);
        gate.wait_for_line("\"stopped\"").await;
        assert_eq!(within(gate.wait()).await.code(), Some(0));
    }
}

#[tokio::test]
async fn an_idle_keep_alive_connection_does_not_hold_up_the_end() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.drain_timeout=1h").set("listen.head_timeout=1h").start().await;
    let (client, ops) = (gate.client.clone(), gate.ops);
    gate.token("user-1").mint().await;
    gate.signal("TERM");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    assert!(client.get(format!("http://{ops}/livez")).send().await.is_err());
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_end() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (mut answer, stream) = open_stream(&upstream, &gate).await;
    gate.signal("TERM");
    // Of the gate's own only that it drains: what follows is the upstream's.
    read_until(&mut answer, ": sidegate draining\n\n").await;
    stream.event("done", &json!({ "finalResponse": "late, but whole" }));
    read_until(&mut answer, "late, but whole").await;
    stream.end();
    assert!(within(answer.chunk()).await.expect("a proper end").is_none());
    gate.wait_for_line("\"stopped\"").await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

async fn read_until(answer: &mut Response, text: &str) {
    let mut passed = String::new();
    while !passed.contains(text) {
        let chunk = within(answer.chunk()).await.expect("still connected").expect("a chunk");
        passed += &String::from_utf8_lossy(&chunk);
    }
}

/// `/readyz` once it no longer says 200.
async fn no_longer_ready(gate: &Gate) -> Response {
    loop {
        let answer = gate.ops("/readyz").send().await.expect("ops still answers");
        if answer.status() != 200 {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn while_draining_the_gate_is_alive_but_not_ready() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (_answer, _stream) = open_stream(&upstream, &gate).await;
    gate.signal("TERM");
    let answer = within(no_longer_ready(&gate)).await;
    assert_eq!(answer.status(), 503);
    let body = json_of(answer).await;
    assert_eq!(body["ready"], false);
    assert_eq!(body["checks"]["accepting"], "draining");
    assert_eq!(gate.ops("/livez").send().await.expect("an answer").status(), 200);
    let health = program(&["health", "--ops", &gate.ops.to_string()]).run();
    assert_eq!((health.code, health.err.as_str()), (1, "sidegate: not ready: status 503\n"));
}

#[tokio::test]
async fn while_draining_nothing_new_is_accepted() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (_answer, _stream) = open_stream(&upstream, &gate).await;
    gate.signal("TERM");
    let refused = async {
        while tokio::net::TcpStream::connect(gate.public).await.is_ok() {
            tokio::task::yield_now().await;
        }
        while tokio::net::TcpStream::connect(gate.private).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(refused).await;
}

#[tokio::test]
async fn a_websocket_under_way_is_not_cut_by_draining() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let path = format!("/api/v1/tasks/{id}/stream");
    upstream.on(&path, Behaviour::websocket());
    let request = ClientRequestBuilder::new(format!("ws://{}{path}", gate.public).parse().expect("a URL"));
    let request = request.with_header("authorization", format!("Bearer {token}")).with_header("origin", SHOP);
    let socket = tokio::net::TcpStream::connect(gate.public).await.expect("connected");
    let (mut socket, _) = tokio_tungstenite::client_async(request, socket).await.expect("a handshake");
    gate.signal("TERM");
    gate.wait_for_line("\"draining\"").await;
    within(no_longer_ready(&gate)).await;
    socket.send(Message::text("still here")).await.expect("sent");
    assert_eq!(within(socket.next()).await.expect("an echo").expect("whole"), Message::text("still here"));
    drop(socket);
    gate.wait_for_line("\"stopped\"").await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.drain_timeout=1h").start().await;
    let (mut answer, _stream) = open_stream(&upstream, &gate).await;
    gate.signal("TERM");
    gate.wait_for_line("\"draining\"").await;
    gate.signal("TERM");
    gate.wait_for_line("\"stopped with requests under way\"").await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    while let Ok(chunk) = within(answer.chunk()).await {
        assert!(chunk.is_some(), "the stream is broken off, not ended as if it were whole");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_cut_when_the_time_to_drain_is_over() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.drain_timeout=200ms").start().await;
    let token = gate.token("user-1").mint().await;
    let path = format!("/api/v1/tasks/{}", gate.create_task(&token).await);
    let (behaviour, _release) = Behaviour::held(Reply::new(200, "late"));
    upstream.on(&path, behaviour);
    let answer = tokio::spawn(gate.chat(Method::GET, &path, &token).send());
    upstream.wait_heads(2).await;
    gate.signal("TERM");
    gate.wait_for_line("\"stopped with requests under way\"").await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    assert!(within(answer).await.expect("joined").is_err());
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_program_exits_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address");
    for listener in ["public", "private", "ops"] {
        let mut command = program(&["serve"]);
        for name in ["public", "private", "ops"] {
            let at = if name == listener { address.to_string() } else { "127.0.0.1:0".to_owned() };
            command = command.set(&format!("listen.{name}={at}"));
        }
        let run = command.run();
        assert_eq!(run.code, 1);
        let expected = format!("sidegate: cannot listen on {address} (listen.{listener}): Address already in use");
        assert!(run.err.contains(&expected), "{}", run.err);
        assert!(!run.out.contains("\"listening\""), "{}", run.out);
    }
}

#[tokio::test]
async fn what_is_left_open_in_the_configuration_is_said_at_the_start() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).origins(&[]).without_seal_key().set("store.state=memory").start().await;
    let output = gate.output();
    for warning in ["no store.seal_keys are configured", "origins is empty", "kept in memory"] {
        assert!(output.contains(warning), "no {warning} in {output}");
    }
}

#[tokio::test]
async fn an_access_line_has_the_routes_template_and_no_ids_or_query() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let path = format!("/api/v1/tasks/{id}?q=1");
    let answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    let request_id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    answer.bytes().await.expect("a body");
    let line = gate.wait_for_line(&format!("\"request_id\":\"{request_id}\"")).await;
    assert!(!line.contains(&id) && !line.contains("q=1") && !line.contains("user-1"), "{line}");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["target"], "access");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["route"], "/api/v1/tasks/{id}");
    assert_eq!(line["app"], "wapp_test");
    assert!(line["duration_ms"].as_f64().expect("a number") <= Duration::from_secs(60).as_secs_f64() * 1_000.0);
}

#[tokio::test]
async fn without_the_access_log_requests_leave_no_line() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("log.access=false").start().await;
    let token = gate.token("user-1").mint().await;
    gate.create_task(&token).await;
    gate.signal("TERM");
    gate.wait_for_line("\"stopped\"").await;
    assert!(!gate.output().contains("\"access\""), "{}", gate.output());
}

#[tokio::test]
async fn a_connection_that_has_sent_nothing_does_not_hold_up_the_end() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.drain_timeout=1h").set("listen.head_timeout=1h").start().await;
    let _silent = tokio::net::TcpStream::connect(gate.public).await.expect("connected");
    let open = "sidegate_connections{listener=\"public\"}";
    crate::support::wire::metric_becomes(&gate, open, 1.0).await;
    gate.signal("TERM");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}
