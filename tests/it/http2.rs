//! HTTP/2 on both sides.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::gate::{Builder, Gate, assert_refused};
use crate::support::tls::certificates;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Body, Tls, Wire, http2, metric, metric_becomes, no_body, request, stream_path, within};

const TASKS: &str = "/api/v1/tasks";
const TRUSTED: &str = "listen.trusted_proxies=[\"127.0.0.1/32\"]";

/// A page behind a trusted proxy that speaks HTTP/2 with the gate.
async fn page(gate: &Gate) -> SendRequest<Body> {
    http2(TcpStream::connect(gate.public).await.expect("connected")).await
}

fn get(path: &str, token: &str) -> Request<Body> {
    request(Method::GET, "http", path, token).body(no_body()).expect("a request")
}

fn post(path: &str, token: &str, body: &Value) -> Request<Body> {
    let body = Full::from(body.to_string()).map_err(|never| match never {}).boxed();
    let builder = request(Method::POST, "http", path, token).header("content-type", "application/json");
    builder.body(body).expect("a request")
}

async fn chunk(body: &mut Incoming) -> Bytes {
    within(body.frame()).await.expect("not the end").expect("whole").into_data().expect("data")
}

#[tokio::test]
async fn a_page_agrees_on_http2_by_alpn() {
    let upstream = Upstream::start().await;
    let made = certificates();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, pem: &str| {
        std::fs::write(folder.path().join(name), pem).expect("written");
        folder.path().join(name).display().to_string()
    };
    let (cert, key) = (file("cert", &made.server.0), file("key", &made.server.1));
    let builder = Gate::builder(&upstream).set(&format!("listen.tls.cert={cert}"));
    let gate = builder.set(&format!("listen.tls.key={key}")).start().await;
    let token = gate.token("ada").mint().await;
    let tls = Tls { authority: &made.authority, identity: None, alpn: &["h2", "http/1.1"], name: "127.0.0.1" };
    let stream = tls.connect(gate.public).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut page = http2(stream).await;
    let ask = request(Method::GET, "https", TASKS, &token).body(no_body()).expect("a request");
    let answer = within(page.send_request(ask)).await.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let seen = upstream.requests().remove(0);
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")), ("https", "gate"));
}

#[tokio::test]
async fn without_tls_a_trusted_proxy_may_speak_http2_or_http1() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(TRUSTED).start().await;
    let token = gate.token("ada").mint().await;
    let answer = within(page(&gate).await.send_request(get(TASKS, &token))).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let answer = gate.chat(Method::GET, TASKS, &token).send().await.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_11));
}

#[tokio::test]
async fn without_tls_others_may_not() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let mut wire = Wire::connect(gate.public).await;
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let answer = wire.closed().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn events_pass_one_by_one_over_http2() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(TRUSTED).start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let answer = within(page(&gate).await.send_request(get(&path, &token))).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert!(!answer.headers().contains_key("transfer-encoding") && !answer.headers().contains_key("connection"));
    let mut body = answer.into_body();
    for n in 0..3 {
        stream.chunk(format!("data: {n}\n\n"));
        assert_eq!(chunk(&mut body).await, format!("data: {n}\n\n"));
    }
    stream.end();
    assert_eq!(within(body.collect()).await.expect("a clean end").to_bytes(), "");
}

#[tokio::test]
async fn a_broken_off_answer_resets_the_stream() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(TRUSTED).start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut page = page(&gate).await;
    let mut body = within(page.send_request(get(&path, &token))).await.expect("an answer").into_body();
    stream.chunk("data: 1\n\n");
    chunk(&mut body).await;
    stream.abort();
    within(body.frame()).await.expect("an error").expect_err("not a clean end");
    assert_eq!(within(page.send_request(get(TASKS, &token))).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_rewritten_body_is_framed_anew() {
    let upstream = Upstream::start().await;
    let app = "[apps.inject.body]\n\"/tenant\" = \"{{env.TENANT}}\"";
    let gate = Gate::builder(&upstream).app(app).set(TRUSTED).start().await;
    let token = gate.token("ada").env("TENANT", "acme \"co\"").mint().await;
    let ask = post(TASKS, &token, &json!({ "message": "Hello", "tenant": "mine" }));
    assert_eq!(within(page(&gate).await.send_request(ask)).await.expect("an answer").status(), 200);
    let seen = upstream.requests().remove(0);
    assert_eq!(seen.json(), json!({ "message": "Hello", "tenant": "acme \"co\"" }));
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    assert_eq!((seen.header("transfer-encoding"), seen.version), ("", Version::HTTP_11));
}

#[tokio::test]
async fn a_client_that_resets_its_stream_cancels_the_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(TRUSTED).start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut page = page(&gate).await;
    let mut body = within(page.send_request(get(&path, &token))).await.expect("an answer").into_body();
    stream.chunk("data: 1\n\n");
    chunk(&mut body).await;
    drop(body);
    within(stream.closed()).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    assert_eq!(within(page.send_request(get(TASKS, &token))).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn an_http2_client_that_stops_reading_frees_the_upstream() {
    let upstream = Upstream::start().await;
    let builder = Gate::builder(&upstream).set(TRUSTED).set("listen.write_timeout=300ms");
    let gate = builder.start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    // The body is kept and never read, so its window stays shut.
    let _unread = within(page(&gate).await.send_request(get(&path, &token))).await.expect("an answer");
    for _ in 0..512 {
        stream.offer(vec![b'x'; 64 * 1024]);
    }
    within(stream.closed()).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn an_http2_connection_that_sends_nothing_is_closed() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(TRUSTED).set("listen.head_timeout=300ms").start().await;
    for opening in ["PRI ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut wire = Wire::connect(gate.public).await;
        wire.send(opening).await;
        let closed = async { while tokio::io::AsyncReadExt::read_u8(&mut wire.io).await.is_ok() {} };
        within(closed).await;
    }
}

/// A gate with one worker, whose upstream speaks HTTP/2 without TLS.
async fn gate_for(builder: Builder) -> Gate {
    builder.upstream("protocol = \"http2\"").set("listen.workers=1").start().await
}

#[tokio::test]
async fn requests_share_one_connection_to_the_upstream() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(&path, behaviour);
        let answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
        open.push((answer, stream));
    }
    for (n, (answer, stream)) in open.iter_mut().enumerate().rev() {
        stream.chunk(format!("data: {n}\n\n"));
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), format!("data: {n}\n\n"));
    }
    assert_eq!(upstream.progress().connections, 1);
    let seen = upstream.requests().remove(1);
    assert_eq!((seen.version, seen.header("host")), (Version::HTTP_2, ""));
    assert_eq!(seen.uri.authority().expect("an authority").as_str(), upstream.address().to_string());
}

#[tokio::test]
async fn http2_with_the_upstream_is_agreed_by_alpn() {
    let made = certificates();
    let ca = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(ca.path(), &made.authority).expect("written");
    let upstream = Upstream::builder().tls(&made.server.0, &made.server.1).http2().start().await;
    for (protocol, version) in [("auto", Version::HTTP_2), ("http2", Version::HTTP_2), ("http1", Version::HTTP_11)] {
        let builder = Gate::builder(&upstream).upstream(&format!("ca = {:?}", ca.path()));
        let gate = builder.upstream(&format!("protocol = {protocol:?}")).start().await;
        let token = gate.token("ada").mint().await;
        gate.create_task(&token).await;
        assert_eq!(upstream.take()[0].version, version, "{protocol}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_stream_only() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    drop(answer);
    within(stream.closed()).await;
    gate.create_task(&token).await;
    assert_eq!(upstream.progress().connections, 1);
}

#[tokio::test]
async fn an_upload_that_breaks_off_resets_its_stream() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream).set("limits.json_body=1KiB")).await;
    let token = gate.token("ada").mint().await;
    let pieces = futures_util::stream::iter([Bytes::from_static(b"{"), Bytes::from(vec![b' '; 2_000])]);
    let body = reqwest::Body::wrap_stream(futures_util::StreamExt::map(pieces, Ok::<_, std::io::Error>));
    let request = gate.chat(Method::POST, TASKS, &token).header("content-type", "application/json");
    assert_refused(within(request.body(body).send()).await.expect("an answer"), 413, "PAYLOAD_TOO_LARGE").await;
    gate.create_task(&token).await;
    assert!(upstream.requests().iter().filter(|seen| seen.body_complete).count() == 1);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_replaced() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    for round in 1..=20 {
        gate.create_task(&token).await;
        within(upstream.close_idle()).await;
        assert_eq!(upstream.count(), round, "each was sent once");
    }
    assert_eq!(upstream.progress().connections, 20);
}

#[tokio::test]
async fn a_connection_that_the_upstream_is_winding_up_gets_no_new_requests() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    let rest = async {
        for _ in 0..20 {
            gate.create_task(&token).await;
        }
        stream.chunk("data: still here\n\n");
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), "data: still here\n\n");
        stream.end();
        assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
    };
    // The first connection says GOAWAY now and ends with its stream.
    tokio::select! {
        () = upstream.close_idle() => panic!("the stream ended first"),
        () = rest => {}
    }
    assert_eq!(upstream.count(), 22, "each was sent once");
}

#[tokio::test]
async fn a_connection_that_dies_under_a_post_fails_it_and_is_replaced() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    upstream.once(TASKS, Behaviour::reset());
    let request = gate.chat(Method::POST, TASKS, &token).json(&json!({ "message": "Hello" }));
    assert_refused(within(request.send()).await.expect("an answer"), 502, "UPSTREAM_UNAVAILABLE").await;
    assert_eq!(upstream.count(), 2, "it was sent, so it is not repeated");
    gate.create_task(&token).await;
}

#[tokio::test]
async fn a_get_whose_connection_dies_is_repeated_once() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    upstream.once(TASKS, Behaviour::reset());
    let answer = within(gate.chat(Method::GET, TASKS, &token).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let seen: Vec<_> = upstream.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(seen, [1, 1, 2]);
    assert!((metric(&gate, "sidegate_upstream_repeats_total").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_slow_answer_over_http2_times_out_alone() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream).upstream("first_byte_timeout = \"300ms\"")).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once(TASKS, behaviour);
    let answer = within(gate.chat(Method::GET, TASKS, &token).send()).await.expect("an answer");
    assert_refused(answer, 504, "UPSTREAM_TIMEOUT").await;
    within(upstream.wait_cancelled()).await;
    gate.create_task(&token).await;
    assert_eq!((upstream.progress().connections, upstream.progress().heads), (1, 3));
}

#[tokio::test]
async fn both_sides_speak_http2_and_bodies_stream_through() {
    const PIECES: usize = 100;
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream).set(TRUSTED)).await;
    let token = gate.token("ada").mint().await;
    let page = page(&gate).await;
    let asked = (0..20).map(|_| {
        let (mut page, token) = (page.clone(), token.clone());
        async move {
            let frames = (0..PIECES).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 10_000]))));
            let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
            let builder = request(Method::POST, "http", TASKS, &token);
            let builder = builder.header("content-type", "multipart/form-data; boundary=x");
            let answer = page.send_request(builder.body(body).expect("a request")).await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
    });
    tokio::time::timeout(Duration::from_secs(20), join_all(asked)).await.expect("in time");
    assert_eq!(upstream.progress().body_bytes, 20 * PIECES * 10_000);
    assert!(upstream.requests().iter().all(|seen| seen.body_complete && seen.version == Version::HTTP_2));
}
