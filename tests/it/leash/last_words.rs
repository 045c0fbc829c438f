//! What a stream says when its token ends, and where.

use http::Method;
use tokio::time::Instant;

use super::{EXPIRED, opened, rest};
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric_becomes, stream_path, within};

const ENDED: &str = "sidegate_streams_ended_total{reason=\"expired\"}";

#[tokio::test]
async fn a_silent_stream_says_that_its_token_has_expired() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").expires_in("2s").mint().await;
    let (answer, stream) = opened(&upstream, &gate, &token).await;
    assert_eq!(rest(answer).await, EXPIRED);
    within(stream.closed()).await;
    metric_becomes(&gate, ENDED, 1.0).await;
    metric_becomes(&gate, "sidegate_client_aborts_total", 0.0).await;
    let line = gate.wait_for_line("\"ended\":\"expired\"").await;
    assert!(line.contains("\"status\":200") && !line.contains("upstream_error"), "{line}");
}

#[tokio::test]
async fn a_busy_stream_ends_between_two_events() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").expires_in("2s").mint().await;
    let (mut answer, stream) = opened(&upstream, &gate, &token).await;
    let (begun, mut passed) = (Instant::now(), Vec::new());
    // More than the sockets hold, cut where no event ends.
    while stream.offer("data: x\n\n".repeat(1_000) + "data: hal") && stream.offer("f\n\n") {
        assert!(begun.elapsed().as_secs() < 10, "still going");
        match within(answer.chunk()).await.expect("a clean end") {
            Some(chunk) => passed.extend(chunk),
            None => break,
        }
    }
    while let Some(chunk) = within(answer.chunk()).await.expect("a clean end") {
        passed.extend(chunk);
    }
    let passed = String::from_utf8(passed).expect("text");
    let events = passed.strip_suffix(EXPIRED).expect("last words");
    assert!(events.split_terminator("\n\n").all(|event| ["data: x", "data: half"].contains(&event)));
    within(stream.closed()).await;
}

#[tokio::test]
async fn within_an_event_nothing_is_said() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for half in ["data: half", "data: a line\n", "data: a line\r\n"] {
        let token = gate.token("ada").expires_in("2s").mint().await;
        let (answer, stream) = opened(&upstream, &gate, &token).await;
        stream.chunk(half);
        assert_eq!(rest(answer).await, half);
        within(stream.closed()).await;
    }
    metric_becomes(&gate, ENDED, 3.0).await;
}

#[tokio::test]
async fn before_the_first_event_and_behind_a_comment_it_can_be_said() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for first in ["", ": a comment\n\n", "data: 1\r\n\r\n", "data: 1\r\r"] {
        let token = gate.token("ada").expires_in("2s").mint().await;
        let path = stream_path(&gate, &token).await;
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(&path, behaviour);
        let answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
        if !first.is_empty() {
            stream.chunk(first);
        }
        assert_eq!(rest(answer).await, format!("{first}{EXPIRED}"));
    }
}

#[tokio::test]
async fn a_stream_in_a_content_coding_ends_without_a_word() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").expires_in("2s").mint().await;
    let path = stream_path(&gate, &token).await;
    let head = Reply::new(200, "").header("content-type", "text/event-stream").header("content-encoding", "gzip");
    let (behaviour, stream) = Behaviour::stream(head);
    upstream.once(&path, behaviour);
    let answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    stream.chunk("not looked into\n\n");
    assert_eq!(rest(answer).await, "not looked into\n\n");
    within(stream.closed()).await;
}

#[tokio::test]
async fn it_is_said_over_http2_as_well() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.trusted_proxies=[\"127.0.0.1/32\"]").start().await;
    let token = gate.token("ada").expires_in("2s").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, _stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let request = client.get(format!("http://{}{path}", gate.public)).bearer_auth(&token);
    let answer = within(request.header("origin", crate::support::gate::SHOP).send()).await.expect("an answer");
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(rest(answer).await, EXPIRED);
}
