//! What becomes of an answer whose browser has left.

use http::Method;
use reqwest::Response;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::{begun, opened};
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, StreamHandle, Upstream};
use crate::support::wire::{Wire, head, metric, metric_becomes, stream_path, within};

const FORWARDS: &str = "sidegate_forwards";
const ABORTS: &str = "sidegate_client_aborts_total";

async fn gate_that(upstream: &Upstream, lines: &str) -> Gate {
    Gate::builder(upstream).upstream(lines).set("listen.workers=1").start().await
}

/// A stream whose browser has left.
async fn left(upstream: &Upstream, gate: &Gate, lifetime: &str) -> StreamHandle {
    let token = gate.token("ada").expires_in(lifetime).mint().await;
    let (answer, stream) = opened(upstream, gate, &token).await;
    drop(answer);
    metric_becomes(gate, ABORTS, 1.0).await;
    gate.wait_for_line("\"status\":499").await;
    stream
}

/// More than the sockets on the way hold.
fn much() -> String {
    "data: x\n\n".repeat(4 * 1024 * 1024 / 9)
}

#[tokio::test]
async fn it_is_cancelled_unless_the_upstream_says_otherwise() {
    let upstream = Upstream::start().await;
    let gate = gate_that(&upstream, "").await;
    within(left(&upstream, &gate, "1h").await.closed()).await;
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

#[tokio::test]
async fn it_is_drained_to_its_end_and_the_connection_serves_on() {
    let upstream = Upstream::start().await;
    let gate = gate_that(&upstream, "on_disconnect = \"drain\"").await;
    let stream = left(&upstream, &gate, "1h").await;
    assert!(metric(&gate, FORWARDS).await >= 1.0, "it keeps its place");
    stream.chunk(much());
    stream.end();
    within(stream.closed()).await;
    metric_becomes(&gate, FORWARDS, 0.0).await;
    assert_eq!(metric(&gate, "sidegate_upstream_failures_total{error=\"http_response_incomplete\"}").await, 0.0);
    let token = gate.token("ada").mint().await;
    assert_eq!(gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer").status(), 200);
    let connections: std::collections::BTreeSet<_> = upstream.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 1, "the connection was given back");
}

#[tokio::test]
async fn an_answer_of_known_length_is_drained_as_well() {
    let upstream = Upstream::start().await;
    let gate = gate_that(&upstream, "on_disconnect = \"drain\"").await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let much = much();
    let head = Reply::new(200, "").header("content-length", &(9 + much.len()).to_string());
    let (behaviour, stream) = Behaviour::stream(head);
    upstream.once(&path, behaviour);
    let answer: Response = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    let (answer, stream) = begun(answer, stream).await;
    drop(answer);
    metric_becomes(&gate, ABORTS, 1.0).await;
    stream.chunk(much);
    stream.end();
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

/// What it has still to send would be read from its connection, which counts no more.
#[tokio::test]
async fn nothing_is_drained_for_a_browser_that_has_not_sent_all_of_its_request() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let scoping = "scoping = \"upstream\"\ninject.headers = { X-End-User = \"{{claims.sub}}\" }";
    let gate = Gate::builder_for(&url).upstream("on_disconnect = \"drain\"").app(scoping);
    let gate = gate.set("listen.write_timeout=1s").set("listen.body_timeout=10m").set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    let mut browser = Wire::connect(gate.public).await;
    let fields = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n";
    browser.send(format!("{}{fields}", head("POST", "/api/v1/tasks/task_1/messages", &token))).await;
    let mut upstream = Wire::over(within(listener.accept()).await.expect("a connection").0);
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    browser.head().await;
    within(async { while upstream.io.write_all(&[b'x'; 64 * 1024]).await.is_ok() {} }).await;
    browser.closed_bytes().await;
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

#[tokio::test]
async fn draining_ends_with_the_token_and_in_time() {
    let upstream = Upstream::start().await;
    for (lines, lifetime) in [
        ("on_disconnect = \"drain\"", "2s"),
        ("on_disconnect = \"drain\"\ndrain_at_most = \"500ms\"", "1h"),
        ("on_disconnect = \"grace\"\ngrace = \"500ms\"", "1h"),
    ] {
        let gate = gate_that(&upstream, lines).await;
        let stream = left(&upstream, &gate, lifetime).await;
        assert!(stream.offer("data: more\n\n"));
        within(stream.closed()).await;
        metric_becomes(&gate, FORWARDS, 0.0).await;
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_meanwhile_is_let_go() {
    let upstream = Upstream::start().await;
    let gate = gate_that(&upstream, "on_disconnect = \"drain\"").await;
    let stream = left(&upstream, &gate, "1h").await;
    stream.abort();
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

#[tokio::test]
async fn the_gate_does_not_wait_for_it_when_it_stops() {
    let upstream = Upstream::start().await;
    let gate = gate_that(&upstream, "on_disconnect = \"drain\"").await;
    let stream = left(&upstream, &gate, "1h").await;
    gate.signal("TERM");
    assert!(within(gate.wait()).await.success());
    within(stream.closed()).await;
}
