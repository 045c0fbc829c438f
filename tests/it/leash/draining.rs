//! When the gate stops, its streams are told, go on, and end properly before the time to drain is over.

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use reqwest::Method;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::{opened, passes, rest};
use crate::support::gate::{Builder, Gate};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{http2, no_body, request, stream_path, within};
use crate::websocket::open_as;

const COMMENT: &str = ": sidegate draining\n\n";
const LAST: &str =
    "event: sidegate.draining\ndata: {\"code\":\"DRAINING\",\"message\":\"The gate is stopping; connect again\"}\n\n";

fn with_time(upstream: &Upstream, time: &str) -> Builder {
    Gate::builder(upstream).set(&format!("listen.drain_timeout={time}"))
}

async fn assert_stopped(gate: Gate) {
    gate.wait_for_line("\"stopped\"").await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn a_stream_is_told_goes_on_and_ends_with_last_words() {
    let upstream = Upstream::start().await;
    let gate = with_time(&upstream, "4s").start().await;
    let token = gate.token("ada").mint().await;
    let (mut answer, stream) = opened(&upstream, &gate, &token).await;
    gate.signal("TERM");
    assert_eq!(within(answer.chunk()).await.expect("connected").expect("no end"), COMMENT);
    passes(&mut answer, &stream).await;
    assert_eq!(rest(answer).await, LAST);
    within(stream.closed()).await;
    assert_stopped(gate).await;
}

#[tokio::test]
async fn within_an_event_nothing_is_said_until_it_is_whole() {
    let upstream = Upstream::start().await;
    let gate = with_time(&upstream, "1h").start().await;
    let token = gate.token("ada").mint().await;
    let (mut answer, stream) = opened(&upstream, &gate, &token).await;
    stream.chunk("data: half");
    assert_eq!(within(answer.chunk()).await.expect("connected").expect("no end"), "data: half");
    gate.signal("TERM");
    gate.wait_for_line("\"draining\"").await;
    stream.chunk(" and half\n\n");
    let mut passed = String::new();
    while !passed.ends_with(COMMENT) {
        let piece = within(answer.chunk()).await.expect("connected").expect("no end");
        passed.push_str(std::str::from_utf8(&piece).expect("text"));
    }
    assert_eq!(passed, format!(" and half\n\n{COMMENT}"));
    stream.chunk("data: 2\n\n");
    stream.end();
    assert_eq!(rest(answer).await, "data: 2\n\n");
    assert_stopped(gate).await;
}

#[tokio::test]
async fn a_stream_that_ends_in_time_gets_no_last_words() {
    let upstream = Upstream::start().await;
    let gate = with_time(&upstream, "1h").start().await;
    let token = gate.token("ada").mint().await;
    let (mut answer, stream) = opened(&upstream, &gate, &token).await;
    gate.signal("TERM");
    assert_eq!(within(answer.chunk()).await.expect("connected").expect("no end"), COMMENT);
    stream.end();
    assert_eq!(rest(answer).await, "");
    assert_stopped(gate).await;
}

#[tokio::test]
async fn an_answer_of_unknown_length_that_is_no_stream_of_events_does_not_look_whole() {
    let upstream = Upstream::start().await;
    let gate = with_time(&upstream, "400ms").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::stream(Reply::new(200, "").header("content-type", "application/json"));
    upstream.once(&path, behaviour);
    let mut answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    stream.chunk("{\"half\":");
    assert_eq!(within(answer.chunk()).await.expect("connected").expect("no end"), "{\"half\":");
    gate.signal("TERM");
    assert!(within(answer.chunk()).await.is_err(), "broken off");
    assert_stopped(gate).await;
}

#[tokio::test]
async fn a_websocket_is_told_on_both_sides() {
    let upstream = Upstream::start().await;
    let gate = with_time(&upstream, "12s").start().await;
    let token = gate.token("ada").mint().await;
    let mut socket = open_as(&gate, &stream_path(&gate, &token).await, &token).await;
    gate.signal("TERM");
    gate.wait_for_line("\"draining\"").await;
    within(socket.send(Message::text("still here"))).await.expect("sent");
    assert_eq!(within(socket.next()).await.expect("open").expect("a message"), Message::text("still here"));
    let Some(Ok(Message::Close(Some(frame)))) = within(socket.next()).await else { panic!("no goodbye") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "DRAINING"));
    assert!(within(socket.next()).await.is_none(), "then it is closed");
    within(upstream.wait_until(|seen| seen.websockets_closed == 1)).await;
    assert_stopped(gate).await;
}

#[tokio::test]
async fn over_http_2_a_stream_ends_just_so_and_the_connection_says_goaway() {
    let upstream = Upstream::start().await;
    let gate = with_time(&upstream, "4s").set("listen.trusted_proxies=[\"127.0.0.1\"]").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut client = http2(TcpStream::connect(gate.public).await.expect("connected")).await;
    let asked = request(Method::GET, "http", &path, &token).body(no_body()).expect("a request");
    let mut answer = within(client.send_request(asked)).await.expect("an answer");
    stream.chunk("data: 1\n\n");
    let first = within(answer.frame()).await.expect("no end").expect("connected");
    assert_eq!(first.into_data().expect("data"), "data: 1\n\n");
    gate.signal("TERM");
    let body = within(answer.into_body().collect()).await.expect("a proper end").to_bytes();
    assert_eq!(body, format!("{COMMENT}{LAST}"));
    within(async {
        while client.ready().await.is_ok() {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_stopped(gate).await;
}

#[tokio::test]
async fn a_second_signal_waits_for_no_last_words() {
    let upstream = Upstream::start().await;
    let gate = with_time(&upstream, "1h").start().await;
    let token = gate.token("ada").mint().await;
    let (mut answer, _stream) = opened(&upstream, &gate, &token).await;
    gate.signal("TERM");
    assert_eq!(within(answer.chunk()).await.expect("connected").expect("no end"), COMMENT);
    gate.signal("TERM");
    assert!(within(answer.chunk()).await.is_err(), "broken off, and not ended as if it were whole");
    gate.wait_for_line("\"stopped with requests under way\"").await;
}
