//! A client that leaves is no fault of its upstream's, whenever it leaves and whichever HTTP it speaks: the access log has 499, the
//! metrics count it once, and nothing else is counted.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Body, Wire, head, http2, metric, metric_becomes, no_body, request, stream_path, within};

const TASKS: &str = "/api/v1/tasks";
const FORM: &str = "multipart/form-data; boundary=xyz";

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.trusted_proxies=[\"127.0.0.1/32\"]").start().await;
    (upstream, gate)
}

/// Asserts that one client has left, and that is all.
async fn assert_left(gate: &Gate) {
    metric_becomes(gate, "sidegate_client_aborts_total", 1.0).await;
    let line = gate.wait_for_line("\"status\":499").await;
    assert!(!line.contains("upstream_error") && !line.contains("\"code\""), "{line}");
    for error in ["http_protocol_error", "http_response_incomplete", "connection_terminated"] {
        assert_eq!(
            metric(gate, &format!("sidegate_upstream_failures_total{{error=\"{error}\"}}")).await,
            0.0,
            "{error}"
        );
    }
    assert_eq!(metric(gate, "sidegate_denials_total{code=\"INVALID_REQUEST\"}").await, 0.0);
    metric_becomes(gate, "sidegate_forwards", 0.0).await;
}

/// A body that begins and does not end as long as the sender is there.
fn begun(first: &'static str) -> (Body, mpsc::UnboundedSender<Result<Frame<Bytes>, std::convert::Infallible>>) {
    let (sender, mut pieces) = mpsc::unbounded_channel();
    sender.send(Ok(Frame::data(Bytes::from_static(first.as_bytes())))).expect("sent");
    let pieces = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    (StreamBody::new(pieces).map_err(|never| match never {}).boxed(), sender)
}

fn get(path: &str, token: &str) -> Request<Body> {
    request(Method::GET, "http", path, token).body(no_body()).expect("a request")
}

#[tokio::test]
async fn over_http2_before_the_head() {
    let (upstream, gate) = started().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once(&path, behaviour);
    let mut page = http2(TcpStream::connect(gate.public).await.expect("connected")).await;
    let asking = tokio::spawn(page.send_request(get(&path, &token)));
    within(upstream.wait_heads(2)).await;
    asking.abort();
    within(upstream.wait_cancelled()).await;
    assert_left(&gate).await;
}

#[tokio::test]
async fn over_http2_within_the_body() {
    let (upstream, gate) = started().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut page = http2(TcpStream::connect(gate.public).await.expect("connected")).await;
    let answer = within(page.send_request(get(&path, &token))).await.expect("an answer");
    stream.chunk("data: 1\n\n");
    let mut body = answer.into_body();
    within(body.frame()).await.expect("a frame").expect("whole");
    drop(body);
    within(stream.closed()).await;
    let left = "sidegate_requests_total{method=\"GET\",route=\"/api/v1/tasks/{id}/stream\",status=\"499\"}";
    metric_becomes(&gate, left, 1.0).await;
    assert_left(&gate).await;
}

#[tokio::test]
async fn over_http1_within_an_upload() {
    for (kind, fields) in [
        (FORM, "Content-Length: 100000"),
        (FORM, "Transfer-Encoding: chunked"),
        ("application/json", "Content-Length: 1000"),
    ] {
        let (upstream, gate) = started().await;
        let token = gate.token("ada").mint().await;
        let mut wire = Wire::connect(gate.public).await;
        wire.send(format!("{}Content-Type: {kind}\r\n{fields}\r\n\r\n", head("POST", TASKS, &token))).await;
        wire.send("5\r\n--xyz\r\n").await;
        if kind == FORM {
            within(upstream.wait_until(|seen| seen.body_bytes > 0)).await;
        }
        drop(wire);
        assert_left(&gate).await;
    }
}

#[tokio::test]
async fn over_http2_within_an_upload() {
    for kind in [FORM, "application/json"] {
        let (upstream, gate) = started().await;
        let token = gate.token("ada").mint().await;
        let mut page = http2(TcpStream::connect(gate.public).await.expect("connected")).await;
        let (body, sender) = begun("--xyz");
        let asked = request(Method::POST, "http", TASKS, &token).header("content-type", kind);
        let asking = tokio::spawn(page.send_request(asked.body(body).expect("a request")));
        if kind == FORM {
            within(upstream.wait_until(|seen| seen.body_bytes > 0)).await;
        } else {
            metric_becomes(&gate, "sidegate_forwards", 1.0).await;
        }
        asking.abort();
        drop((page, sender));
        assert_left(&gate).await;
    }
}
