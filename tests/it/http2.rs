//! HTTP/2 towards browsers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::gate::Gate;
use crate::support::tls::certificates;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Body, Tls, Wire, http2, http2_by, metric_becomes, no_body, request, stream_path, within};

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
    let mut page = page(&gate).await;
    let _unread = within(page.send_request(get(&path, &token))).await.expect("an answer");
    for _ in 0..512 {
        stream.offer(vec![b'x'; 64 * 1024]);
    }
    within(stream.closed()).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    let other = within(page.send_request(get(TASKS, &token))).await.expect("the connection goes on");
    assert_eq!(other.status(), 200);
}

/// A page that has room for so many bytes of each answer.
async fn narrow_page(gate: &Gate, window: u32) -> SendRequest<Body> {
    let io = TcpStream::connect(gate.public).await.expect("connected");
    http2_by(Builder::new(TokioExecutor::new()).initial_stream_window_size(window), io).await
}

#[tokio::test]
async fn an_answer_in_one_piece_is_under_way_until_its_client_has_it() {
    let upstream = Upstream::start().await;
    let builder = Gate::builder(&upstream).set(TRUSTED).set("log.access=true");
    let gate = builder.set("listen.write_timeout=2s").set("listen.head_timeout=300ms").start().await;
    let token = gate.token("ada").mint().await;
    let path = format!("{TASKS}/{}/history", gate.create_task(&token).await);
    let answer = json!("x".repeat(24_000));
    upstream.on(&path, Behaviour::answer(Reply::json(200, &answer)));
    // Who takes little at a time gets all of it, however long that takes.
    let mut slow = narrow_page(&gate, 1_024).await;
    let mut body = within(slow.send_request(get(&path, &token))).await.expect("an answer").into_body();
    let (began, mut got) = (Instant::now(), 0);
    while let Some(piece) = within(body.frame()).await {
        got += piece.expect("a piece").into_data().expect("data").len();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(got, answer.to_string().len());
    assert!(began.elapsed() > Duration::from_secs(1), "it was not slow: {:?}", began.elapsed());
    // Who takes nothing is not waited for.
    let mut page = narrow_page(&gate, 1).await;
    let unread = within(page.send_request(get(&path, &token))).await.expect("an answer");
    metric_becomes(&gate, "sidegate_connections{listener=\"public\"}", 0.0).await;
    assert!(within(unread.into_body().collect()).await.is_err());
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

#[tokio::test]
async fn both_sides_speak_http2_and_bodies_stream_through() {
    const PIECES: usize = 100;
    let upstream = Upstream::builder().http2().start().await;
    let gate = Gate::builder(&upstream).upstream("protocol = \"http2\"").set(TRUSTED).start().await;
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
    tokio::time::timeout(crate::support::gate::PATIENCE, join_all(asked)).await.expect("in time");
    assert_eq!(upstream.progress().body_bytes, 20 * PIECES * 10_000);
    assert!(upstream.requests().iter().all(|seen| seen.body_complete && seen.version == Version::HTTP_2));
}
