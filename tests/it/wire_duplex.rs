//! Both directions at once: answers that begin before their request has ended, WebSockets, and what
//! draining does at each point of a request.

use http::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, within};

const TASKS: &str = "/api/v1/tasks";
const FORM: &str = "Content-Type: multipart/form-data; boundary=xyz\r\n";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const INJECT: &str = "[apps.inject]\nheaders = { X-End-User = \"{{claims.sub}}\" }";

/// A gate whose upstream is written by hand, and a token.
async fn by_hand(settings: &[&str]) -> (Gate, TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let builder = Gate::builder_for(&url).app("scoping = \"upstream\"").app(INJECT).set("listen.workers=1");
    let gate = settings.iter().fold(builder, |builder, setting| builder.set(setting)).start().await;
    let token = gate.token("ada").mint().await;
    (gate, listener, token)
}

async fn accepted(listener: &TcpListener) -> Wire {
    let mut wire = Wire::over(within(listener.accept()).await.expect("a connection").0);
    wire.head().await;
    wire
}

/// An upload of `fields` whose head has reached the upstream: the client's end and the upstream's.
async fn upload(gate: &Gate, listener: &TcpListener, token: &str, fields: &str) -> (Wire, Wire) {
    let mut client = Wire::connect(gate.public).await;
    client.send(format!("{}{FORM}{fields}\r\n", head("POST", TASKS, token))).await;
    let upstream = accepted(listener).await;
    (client, upstream)
}

async fn assert_nothing_left(gate: &Gate) {
    metric_becomes(gate, "sidegate_forwards", 0.0).await;
    metric_becomes(gate, "sidegate_connections{listener=\"public\"}", 0.0).await;
}

#[tokio::test]
async fn an_upload_goes_on_while_its_answer_streams() {
    let (gate, listener, token) = by_hand(&[]).await;
    let (mut client, mut upstream) = upload(&gate, &listener, &token, "Transfer-Encoding: chunked\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let answer = client.head().await;
    assert!(answer.contains("connection: close\r\n"), "what follows could not be told from the body: {answer}");
    for piece in ["one;", "two;", "three;"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        upstream.until(&format!("{piece}\r\n")).await;
        upstream.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        client.until(&format!("{piece}\r\n")).await;
    }
    client.send("0\r\n\r\n").await;
    upstream.until("0\r\n\r\n").await;
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.closed().await, "0\r\n\r\n");
    assert_nothing_left(&gate).await;
}

#[tokio::test]
async fn an_early_refusal_of_the_upstream_reaches_a_client_that_is_still_sending() {
    let (gate, listener, token) = by_hand(&[]).await;
    let size = 8 << 20;
    let (mut client, mut upstream) = upload(&gate, &listener, &token, &format!("Content-Length: {size}\r\n")).await;
    client.send(vec![b'x'; size / 4]).await;
    upstream.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo long").await;
    drop(upstream);
    client.send(vec![b'x'; size - size / 4]).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(client.closed().await, "too long");
    assert_nothing_left(&gate).await;
}

#[tokio::test]
async fn a_connection_whose_upload_was_not_wanted_is_not_used_again() {
    let (gate, listener, token) = by_hand(&[]).await;
    let (mut client, mut upstream) = upload(&gate, &listener, &token, "Content-Length: 50000\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.until("ok").await;
    upstream.closed().await;
    let mut next = Wire::connect(gate.public).await;
    next.send(format!("{}\r\n", head("GET", "/api/v1/tasks/task_1/history", &token))).await;
    accepted(&listener).await;
}

#[tokio::test]
async fn an_upload_that_fails_behind_the_answers_head_breaks_the_answer_off() {
    let (gate, listener, token) = by_hand(&["limits.form_body=20KiB"]).await;
    for bad in ["zz\r\n", "10000\r\n"] {
        let (mut client, mut upstream) = upload(&gate, &listener, &token, "Transfer-Encoding: chunked\r\n").await;
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        client.until("hello\r\n").await;
        client.send(bad).await;
        // The gate may have had enough before it has taken all.
        let _ = client.io.write_all(&[b'x'; 0x10000]).await;
        upstream.closed().await;
        assert!(!client.closed().await.contains("0\r\n\r\n"), "it does not look whole: {bad:?}");
        assert_nothing_left(&gate).await;
    }
}

#[tokio::test]
async fn bytes_right_behind_a_handshake_pass_on_either_side() {
    let (gate, listener, token) = by_hand(&[]).await;
    for length in ["", "Content-Length: 0\r\n"] {
        let mut browser = Wire::connect(gate.public).await;
        let path = "/api/v1/tasks/task_1/stream";
        browser.send(format!("{}{HANDSHAKE}\r\nearly;", head("GET", path, &token))).await;
        let mut upstream = accepted(&listener).await;
        browser.send("later;").await;
        let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        upstream.send(format!("{switched}{length}\r\nwelcome;")).await;
        let answer = browser.head().await;
        assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains("content-length"), "{answer}");
        assert_eq!(browser.until(";").await, "welcome;");
        assert_eq!(upstream.until("later;").await, "early;later;");
        drop(browser);
        upstream.closed().await;
        drop(upstream);
        assert_nothing_left(&gate).await;
    }
}

#[tokio::test]
async fn a_head_that_has_begun_is_served_while_draining() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let list = format!("{}\r\n", head("GET", TASKS, &token));
    let mut begun = Wire::connect(gate.public).await;
    begun.send(&list[..25]).await;
    let mut idle = Wire::connect(gate.public).await;
    idle.send(&list).await;
    idle.head().await;
    // Both have been accepted by now; the first has been read as far as it came.
    let answer = gate.chat(Method::GET, TASKS, &token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    gate.signal("TERM");
    idle.closed().await;
    begun.send(&list[25..]).await;
    let answer = begun.head().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close\r\n"), "{answer}");
    begun.closed().await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn an_upload_and_a_request_behind_it_end_before_the_gate_does() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let created = json!({ "success": true, "data": { "id": "task_1" } });
    let (behaviour, release) = Behaviour::held(Reply::json(200, &created));
    upstream.once(TASKS, behaviour);
    let mut client = Wire::connect(gate.public).await;
    client.send(format!("{}{FORM}Content-Length: 40000\r\n\r\n", head("POST", TASKS, &token))).await;
    client.send("x".repeat(20_000)).await;
    within(upstream.wait_until(|seen| seen.body_bytes >= 20_000)).await;
    gate.signal("TERM");
    gate.wait_for_line("\"draining\"").await;
    client.send("x".repeat(20_000)).await;
    client.send(format!("{}\r\n", head("GET", TASKS, &token))).await;
    release.release();
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close\r\n"), "{answer}");
    assert!(!client.closed().await.contains("HTTP/1.1"), "the second is not begun");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}
