//! Each way an upstream can fail: status, code, `Proxy-Status`, CORS, metric, and the gate serves on.

use http::Method;
use reqwest::Response;
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

use crate::support::gate::{Gate, SHOP, assert_refused};
use crate::support::tls::certificates;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric, within};

const TASKS: &str = "/api/v1/tasks";
const UNAVAILABLE: (u16, &str) = (502, "UPSTREAM_UNAVAILABLE");
const INVALID: (u16, &str) = (502, "UPSTREAM_INVALID_RESPONSE");
const TIMEOUT: (u16, &str) = (504, "UPSTREAM_TIMEOUT");

async fn ask(gate: &Gate) -> Response {
    let token = gate.token("ada").mint().await;
    let request = gate.chat(Method::POST, TASKS, &token).json(&json!({ "message": "Hello" }));
    within(request.send()).await.expect("an answer")
}

/// The next request fails like this.
async fn assert_fails(gate: &Gate, refusal: (u16, &str), error: &str) {
    let series = format!("sidegate_upstream_failures_total{{error=\"{error}\"}}");
    let before = metric(gate, &series).await;
    let answer = ask(gate).await;
    assert_eq!(answer.headers()["proxy-status"], format!("sidegate; error={error}"));
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(answer.headers()["vary"], "Origin");
    assert_refused(answer, refusal.0, refusal.1).await;
    assert!((metric(gate, &series).await - before - 1.0).abs() < f64::EPSILON, "{series} counts it");
    gate.wait_for_line(&format!("\"upstream_error\":\"{error}\"")).await;
}

/// One failure, then the gate serves on.
async fn assert_fails_once(behaviour: Behaviour, line: &str, refusal: (u16, &str), error: &str) {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream(line).start().await;
    upstream.once(TASKS, behaviour);
    assert_fails(&gate, refusal, error).await;
    assert_eq!(ask(&gate).await.status(), 200);
}

#[tokio::test]
async fn nobody_listens() {
    let gate = Gate::builder_for(&format!("http://{}", Upstream::nowhere().await)).start().await;
    assert_fails(&gate, UNAVAILABLE, "connection_refused").await;
}

#[tokio::test]
async fn the_name_has_no_address() {
    let gate = Gate::builder_for("http://nonexistent.invalid").start().await;
    assert_fails(&gate, UNAVAILABLE, "dns_error").await;
}

#[tokio::test]
async fn connecting_takes_too_long() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().expect("an address").into()).expect("bound");
    listener.listen(0).expect("listening");
    let address = listener.local_addr().expect("an address").as_socket().expect("an address");
    // Nobody accepts: the queue is full with these, and the kernel drops what comes after.
    let mut waiting = Vec::new();
    while let Ok(socket) =
        tokio::time::timeout(std::time::Duration::from_millis(300), TcpStream::connect(address)).await
    {
        waiting.push(socket.expect("queued"));
    }
    let gate = Gate::builder_for(&format!("http://{address}")).upstream("connect_timeout = \"300ms\"").start().await;
    assert_fails(&gate, TIMEOUT, "connection_timeout").await;
}

#[tokio::test]
async fn the_tls_handshake_takes_too_long() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let gate = Gate::builder_for(&url).upstream("connect_timeout = \"300ms\"").start().await;
    assert_fails(&gate, TIMEOUT, "connection_timeout").await;
}

/// A gate whose upstream has a certificate for 127.0.0.1; `host` is what the gate calls it.
async fn gate_over_tls(host: &str, trusted: &str, upstream: &Upstream) -> Gate {
    let ca = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(ca.path(), trusted).expect("written");
    let url = format!("https://{host}:{}", upstream.address().port());
    Gate::builder_for(&url).upstream(&format!("ca = {:?}", ca.path())).start().await
}

#[tokio::test]
async fn the_certificate_is_for_another_name() {
    let made = certificates();
    let upstream = Upstream::builder().tls(&made.server.0, &made.server.1).start().await;
    let gate = gate_over_tls("localhost", &made.authority, &upstream).await;
    assert_fails(&gate, UNAVAILABLE, "tls_certificate_error").await;
    assert_eq!(upstream.progress().heads, 0);
}

#[tokio::test]
async fn the_certificate_is_of_another_authority() {
    let made = certificates();
    let upstream = Upstream::builder().tls(&made.server.0, &made.server.1).start().await;
    let gate = gate_over_tls("127.0.0.1", &certificates().authority, &upstream).await;
    assert_fails(&gate, UNAVAILABLE, "tls_certificate_error").await;
    assert_eq!(upstream.progress().heads, 0);
}

#[tokio::test]
async fn the_other_side_speaks_no_tls() {
    let upstream = Upstream::start().await;
    let gate = gate_over_tls("127.0.0.1", &certificates().authority, &upstream).await;
    assert_fails(&gate, UNAVAILABLE, "tls_protocol_error").await;
}

#[tokio::test]
async fn the_connection_is_reset_before_the_head() {
    assert_fails_once(Behaviour::reset(), "", UNAVAILABLE, "connection_terminated").await;
}

#[tokio::test]
async fn the_connection_is_closed_before_the_head() {
    assert_fails_once(Behaviour::close(), "", UNAVAILABLE, "connection_terminated").await;
}

#[tokio::test]
async fn the_connection_is_closed_within_the_head() {
    let half = Behaviour::garbage("HTTP/1.1 200 OK\r\nContent-Le");
    assert_fails_once(half, "", UNAVAILABLE, "connection_terminated").await;
}

#[tokio::test]
async fn the_answer_is_no_http() {
    assert_fails_once(Behaviour::garbage("220 mail.example.com ESMTP\r\n"), "", INVALID, "http_protocol_error").await;
}

#[tokio::test]
async fn the_answers_head_is_too_large() {
    assert_fails_once(Behaviour::huge_head(80_000), "", INVALID, "http_protocol_error").await;
}

#[tokio::test]
async fn the_answers_head_takes_too_long() {
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    assert_fails_once(behaviour, "first_byte_timeout = \"300ms\"", TIMEOUT, "http_response_timeout").await;
}

#[tokio::test]
async fn an_answer_that_must_be_read_is_too_large() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.read_answer=1KiB").start().await;
    upstream.once(TASKS, Behaviour::answer(Reply::new(200, "x".repeat(1_025))));
    assert_fails(&gate, INVALID, "http_response_body_size").await;
    assert_eq!(ask(&gate).await.status(), 200);
}

#[tokio::test]
async fn an_answer_that_must_be_read_breaks_off() {
    let half = Behaviour::garbage("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"success\"");
    assert_fails_once(half, "", UNAVAILABLE, "http_response_incomplete").await;
}

#[tokio::test]
async fn an_answer_that_must_be_read_goes_quiet() {
    let (behaviour, _stream) = Behaviour::sse();
    assert_fails_once(behaviour, "idle_timeout = \"300ms\"", UNAVAILABLE, "http_response_incomplete").await;
}

#[tokio::test]
async fn an_answer_that_must_be_read_is_of_another_shape() {
    let other = Behaviour::answer(Reply::json(200, &json!({ "id": "task_1" })));
    assert_fails_once(other, "", INVALID, "http_protocol_error").await;
}

#[tokio::test]
async fn the_upstream_refuses_the_gates_credentials() {
    let unauthorized = Behaviour::answer(Reply::json(401, &json!({ "error": "who are you?" })));
    assert_fails_once(unauthorized, "", UNAVAILABLE, "proxy_configuration_error").await;
}

#[tokio::test]
async fn the_upstream_has_as_many_requests_as_it_may_get() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("max_requests = 1").start().await;
    let (behaviour, release) = Behaviour::held(Reply::json(200, &json!({ "success": true, "data": { "id": "t" } })));
    upstream.once(TASKS, behaviour);
    let first = async { assert_eq!(ask(&gate).await.status(), 200) };
    let second = async {
        within(upstream.wait_heads(1)).await;
        assert_fails(&gate, (503, "UPSTREAM_OVERLOADED"), "connection_limit_reached").await;
        assert_eq!(ask(&gate).await.headers()["retry-after"], "1");
        release.release();
    };
    tokio::join!(first, second);
    assert_eq!(ask(&gate).await.status(), 200);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn an_answer_of_5xx_passes_as_it_is() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    upstream.once(TASKS, Behaviour::answer(Reply::json(503, &json!({ "down": true })).header("retry-after", "7")));
    let answer = ask(&gate).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert!(!answer.headers().contains_key("proxy-status"));
    assert_eq!(answer.text().await.expect("a body"), "{\"down\":true}");
}
