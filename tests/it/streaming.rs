//! Answers pass chunk by chunk, and end when they must (DESIGN.md section 8).

use http::Method;
use reqwest::Response;
use serde_json::json;
use tokio::time::Instant;

use crate::leash::EXPIRED;
use crate::support::gate::{Builder, Gate};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric, metric_becomes, stream_path, within};

const FORWARDS: &str = "sidegate_forwards";
const INCOMPLETE: &str = "sidegate_upstream_failures_total{error=\"http_response_incomplete\"}";

/// A stream that a page has opened: the behaviour's answer, under a token of this lifetime.
async fn opened(upstream: &Upstream, gate: &Gate, behaviour: Behaviour, lifetime: &str) -> Response {
    let token = gate.token("ada").expires_in(lifetime).mint().await;
    let path = stream_path(gate, &token).await;
    upstream.once(&path, behaviour);
    within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer")
}

async fn gate_for(upstream: &Upstream, change: impl FnOnce(Builder) -> Builder) -> Gate {
    change(Gate::builder(upstream)).start().await
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, stream) = Behaviour::sse();
    let mut answer = opened(&upstream, &gate, behaviour, "1h").await;
    for n in 0..5 {
        stream.event("content", &json!({ "n": n }));
        let chunk = within(answer.chunk()).await.expect("a chunk").expect("not the end");
        assert_eq!(chunk, format!("event: content\ndata: {{\"n\":{n}}}\n\n"));
    }
    stream.end();
    assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

#[tokio::test]
async fn the_head_arrives_before_the_first_event() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, _stream) = Behaviour::sse();
    let answer = opened(&upstream, &gate, behaviour, "1h").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-cache");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    assert!(metric(&gate, FORWARDS).await >= 1.0);
}

#[tokio::test]
async fn any_body_of_unknown_length_streams() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let head = Reply::new(200, "").header("content-type", "application/x-ndjson");
    let (behaviour, stream) = Behaviour::stream(head);
    let mut answer = opened(&upstream, &gate, behaviour, "1h").await;
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    for line in ["{\"n\":1}\n", "{\"n\":2}\n"] {
        stream.chunk(line);
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), line);
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_passes_whole() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let behaviour = Behaviour::garbage("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it");
    let answer = opened(&upstream, &gate, behaviour, "1h").await;
    assert_eq!(within(answer.text()).await.expect("a clean end"), "all of it");
}

#[tokio::test]
async fn a_body_of_known_length_is_not_called_a_stream() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let answer = opened(&upstream, &gate, Behaviour::answer(Reply::json(200, &json!({}))), "1h").await;
    assert!(!answer.headers().contains_key("x-accel-buffering"));
    assert_eq!(answer.headers()["content-length"], "2");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_upstream_at_once() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, stream) = Behaviour::sse();
    let mut answer = opened(&upstream, &gate, behaviour, "1h").await;
    stream.event("content", &json!({}));
    within(answer.chunk()).await.expect("a chunk");
    drop(answer);
    within(upstream.wait_cancelled()).await;
    within(stream.closed()).await;
    metric_becomes(&gate, FORWARDS, 0.0).await;
    metric_becomes(&gate, "sidegate_client_aborts_total", 1.0).await;
    let line = gate.wait_for_line("\"status\":499").await;
    assert!(line.contains("/api/v1/tasks/{id}/stream"), "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_noticed_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once(&path, behaviour);
    let asking = tokio::spawn(gate.chat(Method::GET, &path, &token).send());
    within(upstream.wait_heads(2)).await;
    asking.abort();
    within(upstream.wait_cancelled()).await;
    metric_becomes(&gate, FORWARDS, 0.0).await;
    metric_becomes(&gate, "sidegate_client_aborts_total", 1.0).await;
    let line = gate.wait_for_line("\"status\":499").await;
    assert!(line.contains("\"method\":\"GET\"") && !line.contains("head_ms"), "no head was written: {line}");
}

#[tokio::test]
async fn many_streams_run_side_by_side() {
    const STREAMS: usize = 100;
    let upstream = Upstream::start().await;
    let gate = gate_for(&upstream, |gate| gate.set("listen.workers=2")).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(&path, behaviour);
        let answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
        open.push((answer, stream));
    }
    metric_becomes(&gate, FORWARDS, 100.0).await;
    // The last one opened speaks first, so none waits for another.
    for (n, (answer, stream)) in open.iter_mut().enumerate().rev() {
        stream.chunk(format!("data: {n}\n\n"));
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), format!("data: {n}\n\n"));
    }
    drop(open);
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

#[tokio::test]
async fn a_silent_stream_ends_with_its_token() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, stream) = Behaviour::sse();
    let begun = Instant::now();
    let mut answer = opened(&upstream, &gate, behaviour, "2s").await;
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("last words"), EXPIRED);
    assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
    // A token's times are whole seconds, so it has between one and two of them.
    assert!((900..10_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    within(stream.closed()).await;
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

#[tokio::test]
async fn a_busy_stream_ends_with_its_token() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, stream) = Behaviour::sse();
    let mut answer = opened(&upstream, &gate, behaviour, "2s").await;
    let begun = Instant::now();
    // More than the sockets hold, so there is always something to read.
    while stream.offer("data: x\n\n".repeat(1_000)) {
        match within(answer.chunk()).await.expect("a clean end") {
            Some(_) => assert!(begun.elapsed().as_secs() < 10, "still going"),
            None => break,
        }
    }
    within(stream.closed()).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_by_its_tokens_end_does_not_look_whole() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, stream) = Behaviour::stream(Reply::new(200, "").header("content-type", "application/json"));
    let mut answer = opened(&upstream, &gate, behaviour, "1s").await;
    stream.chunk("[1,");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), "[1,");
    assert!(within(answer.chunk()).await.is_err(), "a clean end");
    within(stream.closed()).await;
}

#[tokio::test]
async fn an_answer_of_known_length_may_outlive_its_token() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let head = Reply::new(200, "").header("content-length", "4");
    let (behaviour, stream) = Behaviour::stream(head);
    let answer = opened(&upstream, &gate, behaviour, "1s").await;
    stream.chunk("ab");
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    stream.chunk("cd");
    assert_eq!(within(answer.text()).await.expect("whole"), "abcd");
}

#[tokio::test]
async fn an_upstream_that_goes_quiet_is_given_up() {
    let upstream = Upstream::start().await;
    let gate = gate_for(&upstream, |gate| gate.upstream("idle_timeout = \"300ms\"")).await;
    let (behaviour, stream) = Behaviour::sse();
    let mut answer = opened(&upstream, &gate, behaviour, "1h").await;
    stream.chunk("data: 1\n\n");
    assert!(within(answer.chunk()).await.expect("a chunk").is_some());
    within(answer.chunk()).await.expect_err("a broken body, not an end");
    within(stream.closed()).await;
    metric_becomes(&gate, INCOMPLETE, 1.0).await;
    metric_becomes(&gate, FORWARDS, 0.0).await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_breaks_the_body() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, stream) = Behaviour::sse();
    let mut answer = opened(&upstream, &gate, behaviour, "1h").await;
    stream.chunk("data: 1\n\n");
    assert!(within(answer.chunk()).await.expect("a chunk").is_some());
    stream.abort();
    within(answer.chunk()).await.expect_err("a broken body, not an end");
    let line = gate.wait_for_line("http_response_incomplete").await;
    assert!(line.contains("\"status\":200") && line.contains("/api/v1/tasks/{id}/stream"), "{line}");
    metric_becomes(&gate, INCOMPLETE, 1.0).await;
}

#[tokio::test]
async fn an_answer_shorter_than_announced_is_broken() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (behaviour, stream) = Behaviour::stream(Reply::new(200, "").header("content-length", "100"));
    let mut answer = opened(&upstream, &gate, behaviour, "1h").await;
    stream.chunk("half");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), "half");
    stream.abort();
    within(answer.chunk()).await.expect_err("a broken body, not an end");
    gate.wait_for_line("http_response_incomplete").await;
}
