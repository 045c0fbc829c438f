//! HTTP/2 towards an upstream that the test is itself, frame by frame: what it says late, refuses, or leaves unread.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use reqwest::{Body, RequestBuilder};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::gate::Gate;
use crate::support::wire::within;

const TASKS: &str = "/api/v1/tasks";
const LIST: &str = r#"{"success":true,"data":[]}"#;

/// A request, and the means to answer it.
type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// A gate with one worker over a listener that takes HTTP/2 without TLS.
async fn gate() -> (TcpListener, Gate) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let scoping = "scoping = \"upstream\"\ninject.headers = { X-End-User = \"{{claims.sub}}\" }";
    let gate = Gate::builder_for(&url).upstream("protocol = \"http2\"").app(scoping).set("listen.workers=1");
    (listener, gate.start().await)
}

/// The next connection, of which nothing is read.
async fn connection(listener: &TcpListener) -> TcpStream {
    within(listener.accept()).await.expect("a connection").0
}

/// Takes so many streams at once. Those that are handed on were not refused.
fn serve(socket: TcpStream, streams: u32) -> UnboundedReceiver<Asked> {
    let (taken, asked) = unbounded_channel();
    tokio::spawn(async move {
        let handshake = server::Builder::new().max_concurrent_streams(streams).handshake(socket);
        let mut connection = handshake.await.expect("HTTP/2");
        while let Some(Ok(stream)) = connection.accept().await {
            taken.send(stream).expect("the test waits for it");
        }
    });
    asked
}

async fn next(asked: &mut UnboundedReceiver<Asked>) -> Asked {
    within(asked.recv()).await.expect("a request")
}

/// The head of an answer.
fn begin(respond: &mut SendResponse<Bytes>, status: u16) -> SendStream<Bytes> {
    let head = Response::builder().status(status).header("content-type", "application/json").body(()).expect("a head");
    respond.send_response(head, false).expect("sent")
}

fn answer<T>((_, mut respond): (Request<T>, SendResponse<Bytes>), status: u16) {
    begin(&mut respond, status).send_data(LIST.into(), true).expect("sent");
}

/// As [`answer`], of one who does not want the request's body, and does not say so.
fn answer_early((request, respond): Asked, status: u16) -> RecvStream {
    let (head, body) = request.into_parts();
    answer((Request::from_parts(head, ()), respond), status);
    body
}

fn asks(request: RequestBuilder) -> JoinHandle<u16> {
    tokio::spawn(async move { within(request.send()).await.expect("an answer").status().as_u16() })
}

/// How many requests a connection has brought of which nothing was read.
async fn requests(socket: &TcpStream) -> usize {
    const HEADERS: u8 = 1;
    let mut bytes = vec![0; 64 * 1024];
    let came = socket.peek(&mut bytes).await.expect("bytes");
    let (mut frames, mut count) = (bytes[..came].get(24..).unwrap_or_default(), 0);
    while let [high, middle, low, kind, rest @ ..] = frames {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        count += usize::from(*kind == HEADERS);
        frames = rest.get(5 + length..).unwrap_or_default();
    }
    count
}

#[tokio::test]
async fn an_upload_that_waits_for_room_ends_with_its_answer() {
    let (listener, gate) = gate().await;
    let token = gate.token("ada").mint().await;
    let first = asks(gate.chat(Method::GET, TASKS, &token));
    let mut asked = serve(connection(&listener).await, 1);
    answer(next(&mut asked).await, 200);
    assert_eq!(within(first).await.expect("asked"), 200);
    // The window has room for less than either, of the first for nearly all.
    let bodies = [66_000, 200_000].into_iter().flat_map(|length| {
        let upload = Bytes::from(json!({ "message": "x".repeat(length) }).to_string());
        let of_unknown_length = Body::wrap_stream(stream::iter([Ok::<_, Infallible>(upload.clone())]));
        [Body::from(upload), of_unknown_length]
    });
    for body in bodies {
        let request = gate.chat(Method::POST, TASKS, &token).header("content-type", "application/json").body(body);
        let asking = asks(request);
        // Nothing of the body is acknowledged, so most of it stays with the gate.
        let mut body = answer_early(next(&mut asked).await, 413);
        assert_eq!(within(asking).await.expect("asked"), 413);
        let broken = loop {
            match within(body.data()).await.expect("no end of the body") {
                Ok(_) => {}
                Err(broken) => break broken,
            }
        };
        assert_eq!(broken.reason(), Some(Reason::CANCEL));
        // Its place on the connection is free again.
        let asking = asks(gate.chat(Method::GET, TASKS, &token));
        answer(next(&mut asked).await, 200);
        assert_eq!(within(asking).await.expect("asked"), 200);
    }
}

#[tokio::test]
async fn how_many_streams_the_upstream_takes_is_known_as_soon_as_it_says_so() {
    let (listener, gate) = gate().await;
    let token = gate.token("ada").mint().await;
    let first = within(gate.chat(Method::GET, TASKS, &token).send());
    let begun = async {
        let mut asked = serve(connection(&listener).await, 1);
        let (_, mut respond) = next(&mut asked).await;
        // The gate has heard how many before this head.
        (begin(&mut respond, 200), asked)
    };
    let (first, (mut rest, _asked)) = tokio::join!(first, begun);
    let second = asks(gate.chat(Method::GET, TASKS, &token));
    let mut others = serve(connection(&listener).await, 1);
    answer(next(&mut others).await, 200);
    assert_eq!(within(second).await.expect("asked"), 200);
    rest.send_data(LIST.into(), true).expect("sent");
    assert_eq!(within(first.expect("an answer").text()).await.expect("all of it"), LIST);
}

/// That more than one is too many they learn too late, and one of them is a POST; nothing was done for either.
#[tokio::test]
async fn requests_that_the_upstream_refuses_are_sent_on_another_connection() {
    let (listener, gate) = gate().await;
    let token = gate.token("ada").mint().await;
    let first = asks(gate.chat(Method::GET, TASKS, &token));
    let socket = connection(&listener).await;
    let get = asks(gate.chat(Method::GET, TASKS, &token));
    let post = asks(gate.chat(Method::POST, TASKS, &token).json(&json!({ "message": "Hello" })));
    while requests(&socket).await < 3 {
        sleep(Duration::from_millis(5)).await;
    }
    let mut asked = serve(socket, 1);
    let waits = next(&mut asked).await;
    for _ in 0..2 {
        let mut others = serve(connection(&listener).await, 1);
        answer(next(&mut others).await, 200);
    }
    assert_eq!(within(get).await.expect("asked"), 200);
    assert_eq!(within(post).await.expect("asked"), 200);
    answer(waits, 200);
    assert_eq!(within(first).await.expect("asked"), 200);
}
