//! A new thread of which its upstream says nothing for a while: the page has its stream, and nothing of the thread before that
//! has its owner.

use std::time::Duration;

use reqwest::Response;
use serde_json::json;
use tokio::time::Instant;

use super::{APP, GATEWAY, WORKFLOW, builder, create, page, refused, token};
use crate::leash::{data_of, rest, revoke};
use crate::support::gate::Gate;
use crate::support::redis::RedisServer;
use crate::support::upstream::{Behaviour, Reply, StreamHandle, Upstream};
use crate::support::wire::{metric_becomes, within};

const COMMENT: &str = ": keep-alive\n\n";
const OPTIONS: &str = "data: {\"type\":\"stream_options\"}\n\n";
const CREATED: &str = "data: {\"type\":\"thread.created\",\"thread\":{\"id\":\"thr_1\"}}\n\n";

async fn gate_with(upstream: &Upstream, lines: &str) -> Gate {
    builder(upstream).upstream(lines).start().await
}

/// A stream of a new thread that has begun for its page alone.
async fn silent(upstream: &Upstream, gate: &Gate, token: &str) -> (Response, StreamHandle) {
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(GATEWAY, behaviour);
    let mut answer = within(page(gate, token, &create()).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), COMMENT);
    (answer, stream)
}

/// What comes up to and with this, without comments.
async fn up_to(answer: &mut Response, last: &str) -> String {
    let mut passed = String::new();
    while !passed.ends_with(last) {
        let chunk = within(answer.chunk()).await.expect("a chunk").expect("not the end");
        passed = (passed + std::str::from_utf8(&chunk).expect("text")).replace(COMMENT, "");
    }
    passed
}

/// Asserts that nothing but comments comes any more, and then no proper end.
async fn breaks_off(answer: &mut Response) {
    while let Some(chunk) = within(answer.chunk()).await.transpose() {
        match chunk {
            Ok(chunk) => assert_eq!(chunk, COMMENT),
            Err(_) => return,
        }
    }
    panic!("a clean end");
}

#[tokio::test]
async fn it_has_its_head_and_comments_and_later_all_that_was_said() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "keep_alive = \"50ms\"").await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let (mut answer, stream) = silent(&upstream, &gate, &ada).await;
    // Events in front of the thread's wait for it, and half of one does not keep comments away.
    stream.chunk(&OPTIONS[..9]);
    for _ in 0..3 {
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), COMMENT);
    }
    stream.chunk(&OPTIONS[9..]);
    stream.chunk(CREATED);
    assert_eq!(up_to(&mut answer, CREATED).await, format!("{OPTIONS}{CREATED}"));
    let get = json!({ "type": "threads.get_by_id", "params": { "thread_id": "thr_1" } });
    upstream.once(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "id": "thr_1" }))));
    assert_eq!(page(&gate, &ada, &get).send().await.expect("an answer").status(), 200, "it has its owner");
    let eve = token(&gate, "eve", WORKFLOW).await;
    assert_eq!(refused(page(&gate, &eve, &get).send().await.expect("an answer"), 404).await, "sidegate.not_found");
    stream.chunk("data: {\"type\":\"progress_update\"}\n\n");
    up_to(&mut answer, "progress_update\"}\n\n").await;
    stream.end();
    assert_eq!(rest(answer).await.replace(COMMENT, ""), "");
}

#[tokio::test]
async fn it_ends_with_its_token_before_anything_was_said() {
    let upstream = Upstream::start().await;
    for lines in ["keep_alive = \"50ms\"", "keep_alive = \"0s\""] {
        let gate = gate_with(&upstream, lines).await;
        let ada = token(&gate, "ada", WORKFLOW).await;
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(GATEWAY, behaviour);
        let asked = tokio::spawn(page(&gate, &ada, &create()).send());
        stream.chunk(OPTIONS);
        metric_becomes(&gate, "sidegate_forwards", 1.0).await;
        revoke(&gate, json!({ "app": APP, "end_user": "ada" })).await;
        let answer = within(asked).await.expect("joined").expect("an answer");
        let words = rest(answer).await.replace(COMMENT, "");
        assert_eq!(data_of(&words)["reason"], "TOKEN_REVOKED", "{lines}");
        within(stream.closed()).await;
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    }
}

#[tokio::test]
async fn what_goes_wrong_when_its_head_is_out_breaks_it_off() {
    let upstream = Upstream::start().await;
    let (item, quiet) = ("data: {\"type\":\"thread.item.done\"}\n\n", "http_response_incomplete");
    for (says, idle, error) in [(item, "1m", "http_protocol_error"), ("", "1s", quiet)] {
        let gate = gate_with(&upstream, &format!("keep_alive = \"50ms\"\nidle_timeout = \"{idle}\"")).await;
        let ada = token(&gate, "ada", WORKFLOW).await;
        let (mut answer, stream) = silent(&upstream, &gate, &ada).await;
        stream.chunk(says);
        breaks_off(&mut answer).await;
        within(stream.closed()).await;
        metric_becomes(&gate, &format!("sidegate_upstream_failures_total{{error=\"{error}\"}}"), 1.0).await;
    }
}

/// The upstream is silent for as long as it may, or in a coding that nobody asked for.
#[tokio::test]
async fn what_goes_wrong_before_is_a_refusal() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "keep_alive = \"0s\"\nidle_timeout = \"3s\"").await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(GATEWAY, behaviour);
    let asked = tokio::spawn(page(&gate, &ada, &create()).send());
    metric_becomes(&gate, "sidegate_forwards", 1.0).await;
    // It is alive for longer than that, and then no more.
    for _ in 0..8 {
        stream.chunk(": alive\n\n");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(!asked.is_finished(), "it was given up while it lived");
    let answer = within(asked).await.expect("joined").expect("an answer");
    assert_eq!(refused(answer, 502).await, "sidegate.upstream_unavailable");
    let coded = Reply::new(200, CREATED).header("content-type", "text/event-stream");
    upstream.once(GATEWAY, Behaviour::answer(coded.header("content-encoding", "gzip")));
    let answer = within(page(&gate, &ada, &create()).send()).await.expect("an answer");
    assert_eq!(refused(answer, 502).await, "sidegate.upstream_invalid_response");
}

#[tokio::test]
async fn a_thread_whose_owner_cannot_be_noted_is_nobodys() {
    let (mut server, upstream) = (RedisServer::start(), Upstream::start().await);
    let lines = "keep_alive = \"50ms\"";
    let gate = server.share(builder(&upstream).upstream(lines)).set("store.redis.timeout=300ms").start().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let (mut answer, stream) = silent(&upstream, &gate, &ada).await;
    server.kill();
    stream.chunk(CREATED);
    breaks_off(&mut answer).await;
    within(stream.closed()).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    gate.wait_for_line("\"code\":\"STORE_UNAVAILABLE\"").await;
}

/// The time until its name counts as silence of the upstream's no more once that is there.
#[tokio::test]
async fn silence_is_measured_from_what_was_said_last() {
    const IDLE: Duration = Duration::from_secs(3);
    let upstream = Upstream::start().await;
    let lines = format!("keep_alive = \"0s\"\nidle_timeout = \"{}s\"", IDLE.as_secs());
    let gate = builder(&upstream).upstream(&lines).set("store.state=memory").start().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(GATEWAY, behaviour);
    let asked = tokio::spawn(page(&gate, &ada, &create()).send());
    metric_becomes(&gate, "sidegate_forwards", 1.0).await;
    tokio::time::sleep(IDLE / 3).await;
    let said = Instant::now();
    stream.chunk(CREATED);
    let answer = within(asked).await.expect("joined").expect("an answer");
    assert!(within(answer.text()).await.is_err(), "a clean end");
    assert!(said.elapsed() >= IDLE, "{:?}", said.elapsed());
}
