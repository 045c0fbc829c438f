//! The fake upstream does what it says.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls};
use tokio_tungstenite::tungstenite::Message;

use crate::support::gate::PATIENCE;
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// No test waits for time to pass; this only ends one that hangs.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

async fn client(upstream: &Upstream) -> http1::SendRequest<Body> {
    let socket = TcpStream::connect(upstream.address()).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "upstream").body(Empty::new().boxed()).unwrap()
}

fn post(path: &str, body: &'static str) -> Request<Body> {
    let body = Full::from(body).boxed();
    Request::post(path).header("host", "upstream").body(body).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Sends a plain request by hand and reads until the connection ends.
async fn by_hand(upstream: &Upstream, path: &str) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(upstream.address()).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Odd-Case:  b\r\n\r\n");
    socket.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn it_speaks_the_task_api_by_default() {
    let upstream = Upstream::start().await;
    let mut client = client(&upstream).await;
    let response = client.send_request(post("/api/v1/tasks", "{}")).await.unwrap();
    let body = text(response).await;
    let expected = json!({ "success": true, "data": { "id": "task_1", "status": "pending" } });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
    let response = client.send_request(get("/api/v1/tasks/task_2/stream")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_records_what_it_saw() {
    let upstream = Upstream::start().await;
    let mut client = client(&upstream).await;
    client.send_request(post("/api/v1/tasks?a=b", "{\"n\":1}")).await.unwrap();
    let seen: Vec<Recorded> = within(upstream.wait_for(1)).await;
    assert_eq!((seen[0].method.as_str(), seen[0].uri.to_string()), ("POST", "/api/v1/tasks?a=b".into()));
    assert_eq!((seen[0].version, seen[0].connection), (Version::HTTP_11, 1));
    assert_eq!((seen[0].header("host"), seen[0].json()), ("upstream", json!({ "n": 1 })));
    assert!(seen[0].body_complete);
    assert_eq!((upstream.take().len(), upstream.requests().len(), upstream.count()), (1, 0, 1));
}

#[tokio::test]
async fn it_keeps_the_very_bytes() {
    let upstream = Upstream::start().await;
    upstream.always(Behaviour::close());
    by_hand(&upstream, "/x").await.unwrap();
    let expected = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Odd-Case:  b\r\n\r\n";
    assert_eq!(upstream.raw(1), expected);
}

#[tokio::test]
async fn once_goes_before_on_and_on_before_always() {
    let upstream = Upstream::start().await;
    upstream.always(Behaviour::answer(Reply::new(203, "")));
    upstream.on("/a", Behaviour::answer(Reply::new(202, "")));
    upstream.once("/a", Behaviour::answer(Reply::new(201, "made").header("x-made", "yes")));
    let mut client = client(&upstream).await;
    let mut statuses = Vec::new();
    for path in ["/a", "/a?again", "/b"] {
        client.ready().await.unwrap();
        let response = client.send_request(get(path)).await.unwrap();
        statuses.push(response.status().as_u16());
        text(response).await;
    }
    assert_eq!(statuses, [201, 202, 203]);
}

#[tokio::test]
async fn a_chunk_leaves_when_it_is_released() {
    let upstream = Upstream::start().await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.on("/stream", behaviour);
    let mut client = client(&upstream).await;
    let response = within(client.send_request(get("/stream"))).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for n in 0..3 {
        stream.event("content", &json!({ "n": n }));
        let frame = within(body.frame()).await.unwrap().unwrap();
        let expected = format!("event: content\ndata: {{\"n\":{n}}}\n\n");
        assert_eq!(frame.into_data().unwrap(), expected);
    }
    stream.end();
    assert!(within(body.frame()).await.is_none());
    assert_eq!(upstream.progress().cancelled, 0);
}

#[tokio::test]
async fn a_held_head_comes_when_it_is_released() {
    let upstream = Upstream::start().await;
    let (behaviour, release) = Behaviour::held(Reply::new(200, "late"));
    upstream.always(behaviour);
    let mut client = client(&upstream).await;
    let asked = tokio::spawn(client.send_request(get("/")));
    within(upstream.wait_for(1)).await;
    assert!(!asked.is_finished());
    release.release();
    assert_eq!(text(within(asked).await.unwrap().unwrap()).await, "late");
}

#[tokio::test]
async fn a_peer_that_leaves_is_noticed_before_the_head() {
    let upstream = Upstream::start().await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.always(behaviour);
    let mut client = client(&upstream).await;
    let asked = tokio::spawn(async move { client.send_request(get("/")).await });
    within(upstream.wait_for(1)).await;
    asked.abort();
    within(upstream.wait_cancelled()).await;
}

#[tokio::test]
async fn a_peer_that_leaves_is_noticed_in_mid_body() {
    let upstream = Upstream::start().await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.always(behaviour);
    let mut client = client(&upstream).await;
    let response = within(client.send_request(get("/"))).await.unwrap();
    drop((response, client));
    within(upstream.wait_cancelled()).await;
    within(stream.closed()).await;
}

#[tokio::test]
async fn a_reset_comes_before_the_head() {
    let upstream = Upstream::start().await;
    upstream.always(Behaviour::reset());
    let error = within(by_hand(&upstream, "/")).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(upstream.progress().cancelled, 0);
}

#[tokio::test]
async fn a_reset_or_an_abort_comes_in_mid_body() {
    let upstream = Upstream::start().await;
    for reset in [true, false] {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once("/", behaviour);
        let mut client = client(&upstream).await;
        let mut body = within(client.send_request(get("/"))).await.unwrap().into_body();
        stream.chunk("one");
        assert_eq!(within(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "one");
        if reset {
            stream.reset();
        } else {
            stream.abort();
        }
        assert!(within(body.frame()).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn garbage_and_huge_heads_are_sent_as_they_are() {
    let upstream = Upstream::start().await;
    upstream.once("/", Behaviour::garbage("\0nonsense"));
    assert_eq!(within(by_hand(&upstream, "/")).await.unwrap(), b"\0nonsense");
    upstream.once("/", Behaviour::huge_head(100_000));
    assert!(within(by_hand(&upstream, "/")).await.unwrap().len() > 100_000);
    upstream.once("/", Behaviour::close());
    assert!(within(by_hand(&upstream, "/")).await.unwrap().is_empty());
}

#[tokio::test]
async fn idle_connections_are_closed_on_demand() {
    let upstream = Upstream::start().await;
    let read_to_the_end = by_hand(&upstream, "/api/v1/tasks");
    let close = async {
        upstream.wait_for(1).await;
        upstream.close_idle().await;
    };
    let (answer, ()) = within(async { tokio::join!(read_to_the_end, close) }).await;
    assert!(answer.unwrap().starts_with(b"HTTP/1.1 200 OK"));
    assert_eq!((upstream.progress().open, upstream.progress().connections), (0, 1));
}

#[tokio::test]
async fn a_body_is_read_only_as_allowed() {
    let upstream = Upstream::start().await;
    let (behaviour, reading) = Behaviour::answer(Reply::new(200, "read")).reading_by_hand();
    upstream.always(behaviour);
    let mut client = client(&upstream).await;
    let chunk = Bytes::from(vec![b'x'; 16 * 1024]);
    let frames = stream::iter(vec![chunk; 64]).map(|chunk| Ok(Frame::data(chunk)));
    let body = BodyExt::boxed(StreamBody::new(frames));
    let request = Request::post("/").header("host", "a").body(body);
    let asked = tokio::spawn(client.send_request(request.unwrap()));
    within(upstream.wait_heads(1)).await;
    assert_eq!((upstream.progress().body_bytes, upstream.count()), (0, 0));
    reading.frames(1);
    let seen = within(upstream.wait_until(|seen| seen.body_bytes > 0)).await;
    assert!(seen.body_bytes < 1024 * 1024);
    reading.all();
    assert_eq!(text(within(asked).await.unwrap().unwrap()).await, "read");
    assert_eq!(upstream.progress().body_bytes, 1024 * 1024);
}

#[tokio::test]
async fn a_websocket_echoes() {
    let upstream = Upstream::start().await;
    upstream.on("/chat", Behaviour::websocket());
    let socket = TcpStream::connect(upstream.address()).await.unwrap();
    let url = format!("{}/chat", upstream.url().replacen("http", "ws", 1));
    let (mut socket, _) = within(tokio_tungstenite::client_async(url, socket)).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![0, 1, 2])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(within(socket.next()).await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    within(upstream.wait_until(|seen| seen.websockets_closed == 1)).await;
}

#[tokio::test]
async fn http2_works_with_prior_knowledge() {
    let upstream = Upstream::builder().http2().start().await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.on("/stream", behaviour);
    let socket = TcpStream::connect(upstream.address()).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let ask = |path| Request::get(format!("http://a{path}")).body(Empty::new().boxed()).unwrap();
    let response: Response<Incoming> = within(client.send_request(ask("/stream"))).await.unwrap();
    stream.chunk("one");
    let _: Request<Body> = ask("/none");
    drop(response);
    within(upstream.wait_cancelled()).await;
    // Only the stream was given up, not the connection.
    let response = within(client.send_request(ask("/none"))).await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::NOT_FOUND, Version::HTTP_2));
    assert_eq!(upstream.progress().connections, 1);
}

#[tokio::test]
async fn tls_negotiates_the_protocol() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let upstream = Upstream::builder().tls(cert, key).http2().start().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(upstream.address()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let stream = within(connector.connect(name, socket)).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request: Request<Body> = Request::get("https://localhost/api/v1/tasks").body(Empty::new().boxed()).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn stopped_it_refuses_connections() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    within(upstream.stop()).await;
    assert!(TcpStream::connect(address).await.is_err());
    assert!(TcpStream::connect(Upstream::nowhere().await).await.is_err());
}
