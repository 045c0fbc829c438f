//! Silent streams of events get comments, which keep them open on their way and reset nothing.

use std::time::Duration;

use http::Method;
use reqwest::Response;
use tokio::time::Instant;

use super::{opened, passes, rest};
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, StreamHandle, Upstream};
use crate::support::wire::{stream_path, within};

const COMMENT: &str = ": keep-alive\n\n";

async fn gate_with(upstream: &Upstream, keep_alive: &str, more: &str) -> Gate {
    Gate::builder(upstream).upstream(&format!("keep_alive = \"{keep_alive}\"")).upstream(more).start().await
}

/// A stream that has not said anything.
async fn silent(upstream: &Upstream, gate: &Gate, head: Reply) -> (Response, StreamHandle) {
    let token = gate.token("ada").mint().await;
    let path = stream_path(gate, &token).await;
    let (behaviour, stream) = Behaviour::stream(head);
    upstream.once(&path, behaviour);
    (within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer"), stream)
}

fn events() -> Reply {
    Reply::new(200, "").header("content-type", "text/event-stream; charset=utf-8")
}

/// What comes until `enough` of it has.
async fn until(answer: &mut Response, enough: impl Fn(&str) -> bool) -> String {
    let mut passed = String::new();
    while !enough(&passed) {
        let chunk = within(answer.chunk()).await.expect("a chunk").expect("not the end");
        passed.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    passed
}

/// Asserts that nothing comes for some time: several times the silence that there is a comment after.
async fn assert_silent(answer: &mut Response) {
    let more = tokio::time::timeout(Duration::from_millis(400), answer.chunk()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn comments_come_before_the_first_event_and_between_events() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "50ms", "").await;
    let (mut answer, stream) = silent(&upstream, &gate, events()).await;
    for event in ["data: 1\r\n\r\n", "data: 2\r\r", ": theirs\n\n"] {
        let comments = until(&mut answer, |passed| passed.len() >= 2 * COMMENT.len()).await;
        assert_eq!(comments.replace(COMMENT, ""), "");
        stream.chunk(event);
        let passed = until(&mut answer, |passed| passed.contains(event)).await;
        assert_eq!(passed.replace(COMMENT, ""), event);
    }
    stream.end();
    assert_eq!(rest(answer).await.replace(COMMENT, ""), "");
}

#[tokio::test]
async fn within_an_event_there_is_none() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "50ms", "").await;
    for half in ["data: half", "data: a line\n", "data: a line\r"] {
        let (mut answer, stream) = silent(&upstream, &gate, events()).await;
        stream.chunk(half);
        until(&mut answer, |passed| passed.ends_with(half)).await;
        assert_silent(&mut answer).await;
        stream.chunk("\n\n");
        let passed = until(&mut answer, |passed| passed.ends_with(COMMENT)).await;
        assert!(passed.starts_with("\n\n") && passed[2..].replace(COMMENT, "").is_empty(), "{passed:?}");
    }
}

#[tokio::test]
async fn they_are_no_sign_of_life_of_the_upstreams() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "100ms", "idle_timeout = \"1s\"").await;
    let begun = Instant::now();
    let (mut answer, stream) = silent(&upstream, &gate, events()).await;
    let mut comments = 0;
    while let Ok(Some(chunk)) = within(answer.chunk()).await {
        comments += chunk.len() / COMMENT.len();
    }
    assert!(comments > 1 && begun.elapsed() < Duration::from_secs(10), "{comments}");
    within(stream.closed()).await;
    gate.wait_for_line("http_response_incomplete").await;
}

#[tokio::test]
async fn nothing_is_put_into_what_has_a_length_or_a_coding_or_is_something_else() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "50ms", "").await;
    for head in [
        events().header("content-length", "9"),
        events().header("content-encoding", "gzip"),
        Reply::new(200, "").header("content-type", "application/x-ndjson"),
    ] {
        let (mut answer, stream) = silent(&upstream, &gate, head).await;
        assert_silent(&mut answer).await;
        stream.chunk("data: 1\n\n");
        assert_eq!(until(&mut answer, |passed| passed.len() >= 9).await, "data: 1\n\n");
    }
}

#[tokio::test]
async fn there_are_none_where_they_are_switched_off_and_few_where_events_come() {
    let upstream = Upstream::start().await;
    let off = gate_with(&upstream, "0s", "").await;
    let (mut answer, _stream) = silent(&upstream, &off, events()).await;
    assert_silent(&mut answer).await;
    let gate = gate_with(&upstream, "10s", "").await;
    let token = gate.token("ada").mint().await;
    let (mut answer, stream) = opened(&upstream, &gate, &token).await;
    for _ in 0..20 {
        passes(&mut answer, &stream).await;
    }
}
