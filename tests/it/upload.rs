//! Request bodies stream to the upstream as they come, within their limits.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::support::gate::{Gate, assert_refused};
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, within};

const TASKS: &str = "/api/v1/tasks";
const FORM: &str = "Content-Type: multipart/form-data; boundary=xyz\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

fn created() -> Reply {
    Reply::json(200, &json!({ "success": true, "data": { "id": "task_1", "status": "pending" } }))
}

/// A request's head is written; its body is the test's.
async fn begun(gate: &Gate, fields: &str) -> Wire {
    let token = gate.token("ada").mint().await;
    let mut wire = Wire::connect(gate.public).await;
    wire.send(format!("{}{fields}\r\n", head("POST", TASKS, &token))).await;
    wire
}

/// A form with a file of every byte there is.
fn form() -> Vec<u8> {
    let mut form = b"--xyz\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nHello\r\n".to_vec();
    form.extend(b"--xyz\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.bin\"\r\n\r\n");
    form.extend((0..300_000_u32).map(|n| (n % 251) as u8));
    form.extend(b"\r\n--xyz--\r\n");
    form
}

async fn assert_broken_off(upstream: &Upstream) {
    let seen: Vec<Recorded> = within(upstream.wait_for(1)).await;
    assert!(!seen[0].body_complete, "the upstream took it for whole: {:?}", seen[0].body);
}

#[tokio::test]
async fn a_form_passes_byte_for_byte() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let request = gate.chat(Method::POST, TASKS, &token);
    let request = request.header("content-type", "multipart/form-data; boundary=xyz").body(form());
    assert_eq!(within(request.send()).await.expect("an answer").status(), 200);
    let seen = upstream.requests().remove(0);
    assert_eq!(seen.header("content-type"), "multipart/form-data; boundary=xyz");
    assert_eq!(seen.header("content-length"), form().len().to_string());
    assert!(seen.body_complete && seen.body == form());
}

#[tokio::test]
async fn a_form_of_unknown_length_passes_chunked() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let mut wire = begun(&gate, &format!("{FORM}Transfer-Encoding: chunked\r\n")).await;
    wire.send("5\r\n--xyz\r\n2\r\n--\r\n0\r\n\r\n").await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    let seen = upstream.requests().remove(0);
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), ("chunked", ""));
    assert!(seen.body_complete && seen.body == "--xyz--");
}

#[tokio::test]
async fn a_piece_reaches_the_upstream_before_the_next_is_sent() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let mut wire = begun(&gate, &format!("{FORM}Transfer-Encoding: chunked\r\n")).await;
    for n in 1..=3 {
        wire.send("4\r\nabcd\r\n").await;
        within(upstream.wait_until(|seen| seen.body_bytes == 4 * n)).await;
    }
    wire.send("0\r\n\r\n").await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_upstream_that_does_not_read_holds_the_client_back() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 4_096;
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, reading) = Behaviour::answer(created()).reading_by_hand();
    upstream.on(TASKS, behaviour);
    let mut wire = begun(&gate, &format!("{FORM}Content-Length: {}\r\n", PIECE * PIECES)).await;
    within(upstream.wait_heads(1)).await;
    let piece = vec![b'x'; PIECE];
    let mut sent = 0;
    while let Ok(wrote) = tokio::time::timeout(Duration::from_secs(1), wire.io.write(&piece)).await {
        sent += wrote.expect("it is taken");
        assert!(sent < 64 * 1024 * 1024, "the gate takes all there is");
    }
    assert_eq!(upstream.progress().body_bytes, 0);
    reading.all();
    while sent < PIECE * PIECES {
        sent += within(wire.io.write(&piece[..PIECE.min(PIECE * PIECES - sent)])).await.expect("taken");
    }
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.progress().body_bytes, PIECE * PIECES);
}

#[tokio::test]
async fn a_body_announced_too_long_is_refused_before_the_upstream_is_touched() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.json_body=1KiB").set("limits.form_body=2KiB").start().await;
    let token = gate.token("ada").mint().await;
    for (media_type, size) in [("application/json", 1_025), ("multipart/form-data; boundary=xyz", 2_049)] {
        let request = gate.chat(Method::POST, TASKS, &token).header("content-type", media_type);
        let answer = within(request.body(vec![b' '; size]).send()).await.expect("an answer");
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://shop.example.com");
        assert_refused(answer, 413, "PAYLOAD_TOO_LARGE").await;
    }
    assert_eq!(upstream.progress().connections, 0);
}

#[tokio::test]
async fn a_body_as_long_as_the_limit_passes() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.form_body=2KiB").start().await;
    for fields in ["Content-Length: 2048\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut wire = begun(&gate, &format!("{FORM}{fields}")).await;
        let body = "x".repeat(2_048);
        let body = if fields.contains("chunked") { format!("800\r\n{body}\r\n0\r\n\r\n") } else { body };
        wire.send(body).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"), "{fields}");
    }
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused_and_broken_off() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.json_body=1KiB").set("limits.form_body=1KiB").start().await;
    for (media_type, reaches_upstream) in [(FORM, true), (JSON, false)] {
        let mut wire = begun(&gate, &format!("{media_type}Transfer-Encoding: chunked\r\n")).await;
        wire.send("1\r\nx\r\n").await;
        if reaches_upstream {
            within(upstream.wait_until(|seen| seen.body_bytes == 1)).await;
        }
        wire.send(format!("400\r\n{}\r\n", "x".repeat(1_024))).await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 413") && head.contains("access-control-allow-origin"), "{head}");
    }
    let seen = within(upstream.wait_for(1)).await;
    assert!(seen.len() == 1 && !seen[0].body_complete && seen[0].body == "x", "{seen:?}");
    metric_becomes(&gate, "sidegate_denials_total{code=\"PAYLOAD_TOO_LARGE\"}", 2.0).await;
    metric_becomes(&gate, "sidegate_upstream_failures_total{error=\"connection_terminated\"}", 0.0).await;
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_and_broken_off() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.body_timeout=300ms").start().await;
    let mut wire = begun(&gate, &format!("{FORM}Content-Length: 100000\r\n")).await;
    wire.send("--xyz").await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(wire.until("REQUEST_TIMEOUT").await.contains("\"success\":false"));
    assert_broken_off(&upstream).await;
}

#[tokio::test]
async fn a_short_body_is_whole_before_the_upstream_sees_it() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.body_timeout=300ms").start().await;
    let mut wire = begun(&gate, &format!("{JSON}Content-Length: 100\r\n")).await;
    wire.send("{\"message\":").await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(upstream.progress().connections, 0);
}

#[tokio::test]
async fn a_client_that_pauses_does_not_use_up_the_upstreams_deadline() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("first_byte_timeout = \"200ms\"").start().await;
    let mut wire = begun(&gate, &format!("{FORM}Transfer-Encoding: chunked\r\n")).await;
    wire.send("4\r\n--xy\r\n").await;
    within(upstream.wait_until(|seen| seen.body_bytes == 4)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    wire.send("3\r\nz--\r\n0\r\n\r\n").await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn an_upstream_that_reads_nothing_is_given_up() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("first_byte_timeout = \"300ms\"").start().await;
    let (behaviour, _reading) = Behaviour::answer(created()).reading_by_hand();
    upstream.on(TASKS, behaviour);
    let mut wire = begun(&gate, &format!("{FORM}Content-Length: 1000000000\r\n")).await;
    let piece = vec![b'x'; 1024 * 1024];
    // Until the sockets are full; then nothing moves, and that is the upstream's doing.
    while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(100), wire.io.write(&piece)).await {}
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 504") && head.contains("http_response_timeout"), "{head}");
}

#[tokio::test]
async fn an_upload_ends_with_its_token() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").expires_in("1s").mint().await;
    let mut wire = Wire::connect(gate.public).await;
    wire.send(format!("{}{FORM}Transfer-Encoding: chunked\r\n\r\n", head("POST", TASKS, &token))).await;
    let (mut from, mut to) = tokio::io::split(wire.io);
    let dripping = tokio::spawn(async move {
        while to.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut answer = [0; 12];
    within(tokio::io::AsyncReadExt::read_exact(&mut from, &mut answer)).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 401");
    dripping.abort();
    assert_broken_off(&upstream).await;
}

#[tokio::test]
async fn a_client_that_leaves_breaks_the_upload_off() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for (fields, body) in
        [("Content-Length: 100000\r\n", "--xyz"), ("Transfer-Encoding: chunked\r\n", "5\r\n--xyz\r\n")]
    {
        let mut wire = begun(&gate, &format!("{FORM}{fields}")).await;
        wire.send(body).await;
        within(upstream.wait_until(|seen| seen.body_bytes % 10 == 5)).await;
        drop(wire);
        within(upstream.wait_until(|seen| seen.recorded == seen.heads)).await;
        assert!(!upstream.take()[0].body_complete, "{fields}");
        let mut wire = begun(&gate, &format!("{FORM}Content-Length: 5\r\n")).await;
        wire.send("--xyz").await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"));
        upstream.take();
    }
}

#[tokio::test]
async fn trailers_stop_at_the_gate() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let mut wire = begun(&gate, &format!("{FORM}Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n")).await;
    wire.send("5\r\n--xyz\r\n0\r\nX-Late: 1\r\nAuthorization: Bearer late\r\n\r\n").await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    assert!(upstream.requests()[0].body_complete);
    let raw = String::from_utf8_lossy(&upstream.raw(1)).to_lowercase();
    assert!(raw.contains("--xyz") && !raw.contains("late"), "{raw}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let mut wire = begun(&gate, &format!("{FORM}Content-Length: 5\r\nExpect: 100-continue\r\n")).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 100"));
    wire.send("--xyz").await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.requests()[0].header("expect"), "");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_of_a_refusal_at_once() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.form_body=1KiB").start().await;
    let mut wire = begun(&gate, &format!("{FORM}Content-Length: 5000\r\nExpect: 100-continue\r\n")).await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
}
