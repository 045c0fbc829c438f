//! Heads that two servers could read differently, written byte by byte: refused, never forwarded, and
//! the gate serves on.

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use crate::support::cases::cases;
use crate::support::gate::{Gate, SHOP};
use crate::support::raw::{Raw, ask, page};
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::{Wire, head, stream_path, within};

#[derive(Deserialize)]
struct Case {
    name: String,
    request: String,
    /// 0 for a connection that ends without an answer.
    status: u16,
}

/// `GET` of the list with these fields added.
fn list(gate: &Gate, token: &str, fields: &str) -> String {
    format!("GET /api/v1/tasks HTTP/1.1\r\n{}{fields}\r\n", page(gate, token))
}

async fn assert_serves(gate: &Gate, token: &str) {
    assert_eq!(ask(gate, list(gate, token, "")).await.status, 200);
}

#[tokio::test]
async fn a_head_that_can_be_misread_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    upstream.take();
    let fields = format!("Authorization: Bearer {token}\r\nOrigin: {SHOP}\r\n");
    let mut misread = Vec::new();
    for Case { name, request, status } in cases("sigmic/heads_refused.json") {
        let request = request.replace("{PAGE}", &page(&gate, &token));
        let request = request.replace("{FIELDS}", &fields).replace("{HOST}", &gate.public.to_string());
        let mut raw = Raw::connect(gate.public).await;
        raw.send(request).await;
        let got = raw.answer_or_end().await.map_or(0, |answer| answer.status);
        let forwarded = upstream.take().len();
        if (got, forwarded) != (status, 0) {
            misread.push(format!("{name}: {got} for {status}, forwarded {forwarded}"));
        }
    }
    assert_eq!(misread, Vec::<String>::new());
    assert_serves(&gate, &token).await;
}

#[tokio::test]
async fn such_a_head_is_refused_in_the_vendors_shape_and_readable_for_the_page() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let answer = ask(&gate, list(&gate, &token, "Host: evil.example\r\n")).await;
    let message = "The request must name one host";
    let expected = format!(r#"{{"success":false,"error":{{"message":"{message}","code":"INVALID_REQUEST"}}}}"#);
    assert_eq!((answer.status, answer.body.as_str()), (400, expected.as_str()));
    assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP));
}

async fn assert_too_large(fields: &str) {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_head=16KiB").start().await;
    let token = gate.token("ada").mint().await;
    let answer = ask(&gate, list(&gate, &token, fields)).await;
    assert_eq!((answer.status, upstream.count()), (431, 0));
    assert_serves(&gate, &token).await;
}

#[tokio::test]
async fn a_head_above_its_limit_is_refused() {
    assert_too_large(&format!("X-Long: {}\r\n", "x".repeat(17 * 1024))).await;
}

#[tokio::test]
async fn two_hundred_fields_are_refused() {
    let fields: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_too_large(&fields).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_head=16KiB").start().await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    raw.send(format!("GET /api/v1/tasks HTTP/1.1\r\nX-Long: {}", "x".repeat(64 * 1024))).await;
    assert_eq!(raw.answer().await.status, 431);
    raw.closed().await;
    assert_serves(&gate, &token).await;
}

#[tokio::test]
async fn a_target_without_end_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_head=128KiB").start().await;
    let token = gate.token("ada").mint().await;
    let target = format!("/api/v1/tasks?{}", "x".repeat(70 * 1024));
    let answer = ask(&gate, format!("GET {target} HTTP/1.1\r\n{}\r\n", page(&gate, &token))).await;
    assert_eq!((answer.status, upstream.count()), (414, 0));
    assert_serves(&gate, &token).await;
}

/// What a front that believed `Content-Length` would take for body, and one that believed
/// `Transfer-Encoding` for the next request (RFC 9112 section 6.1): refused.
async fn assert_no_second_request(framing: &str) {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let smuggled = list(&gate, &token, "X-Smuggled: 1\r\n");
    let length = format!("Content-Length: {}\r\n", 5 + smuggled.len());
    let framing = framing.replace("{LENGTH}", &length);
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\n{}Content-Type: multipart/form-data; boundary=x\r\n{framing}\r\n",
        page(&gate, &token)
    );
    let mut raw = Raw::connect(gate.public).await;
    raw.send(format!("{head}0\r\n\r\n{smuggled}")).await;
    assert_eq!(raw.answer().await.status, 400);
    assert_eq!(raw.closed().await, "", "no second answer");
    assert_eq!(upstream.count(), 0);
    assert_serves(&gate, &token).await;
}

#[tokio::test]
async fn a_length_before_chunks_smuggles_nothing() {
    assert_no_second_request("{LENGTH}Transfer-Encoding: chunked\r\n").await;
}

#[tokio::test]
async fn a_length_behind_chunks_smuggles_nothing() {
    assert_no_second_request("Transfer-Encoding: chunked\r\n{LENGTH}").await;
}

#[tokio::test]
async fn what_follows_a_body_is_the_next_request_and_checked_as_such() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let head = page(&gate, &token);
    raw.send(format!(
        "POST /api/v1/tasks HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    ))
    .await;
    raw.send(format!("GET /api/v1/tasks HTTP/1.1\r\nHost: {}\r\nX-Smuggled: 1\r\n\r\n", gate.public)).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(raw.answer().await.status, 401);
    assert_eq!(upstream.count(), 1);
}

/// RFC 9112 section 2.2 lets a recipient take a bare LF for a line's end; not all do.
#[tokio::test]
async fn bare_line_feeds_are_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let whole = list(&gate, &token, "").replace("\r\n", "\n");
    for request in [list(&gate, &token, "X-Line: a\nX-Other: b\r\n"), whole] {
        assert_eq!(ask(&gate, request).await.status, 400);
    }
    assert_eq!(upstream.count(), 0);
    assert_serves(&gate, &token).await;
}

#[tokio::test]
async fn an_absolute_target_of_the_same_host_is_read_as_its_path() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let request = list(&gate, &token, "").replace("GET /", &format!("GET http://{}/", gate.public));
    assert_eq!(ask(&gate, request).await.status, 200);
    assert_eq!(upstream.requests()[0].uri.to_string(), "/api/v1/tasks");
}

#[tokio::test]
async fn an_http_1_0_client_gets_its_answer_and_an_end() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    raw.send(list(&gate, &token, "").replace("HTTP/1.1", "HTTP/1.0")).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.starts_with("HTTP/1.0 "), "{}", answer.head);
    assert_eq!(answer.header("transfer-encoding"), None);
    raw.closed().await;
    assert_eq!(upstream.requests()[0].version, reqwest::Version::HTTP_11);
}

/// Nothing but the connection's end says that its answer is whole.
#[tokio::test]
async fn an_answer_that_breaks_off_is_no_whole_one_for_an_http_1_0_client() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    for is_broken in [false, true] {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(&path, behaviour);
        let mut wire = Wire::connect(gate.public).await;
        let head = head("GET", &path, &token).replace("HTTP/1.1", "HTTP/1.0");
        wire.send(format!("{head}\r\n")).await;
        stream.chunk("data: 1\n\n");
        wire.until("data: 1\n\n").await;
        if is_broken {
            stream.abort();
        } else {
            stream.end();
        }
        let rest = within(wire.io.read_to_end(&mut Vec::new())).await;
        assert_eq!(rest.is_err(), is_broken, "{rest:?}");
    }
}
