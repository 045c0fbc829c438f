//! The circuit of an upstream's address: after failures in a row nobody asks it for a while, then one tries.

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::json;

use crate::support::gate::{Gate, SHOP, assert_refused};
use crate::support::raw::{Raw, page};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric_becomes, stream_path, within};

const TASKS: &str = "/api/v1/tasks";

async fn ask(gate: &Gate, token: &str) -> Response {
    within(gate.chat(Method::GET, TASKS, token).send()).await.expect("an answer")
}

/// A gate that leaves its upstream alone for `wait` after three failures.
async fn started(upstream: &Upstream, wait: &str) -> (Gate, String) {
    let circuit = format!("circuit = {{ failures = 3, wait = \"{wait}\", longest = \"1h\" }}");
    let gate = Gate::builder(upstream).upstream(&circuit).start().await;
    let token = gate.token("ada").mint().await;
    (gate, token)
}

async fn fail(upstream: &Upstream, gate: &Gate, token: &str, times: usize) {
    for _ in 0..times {
        upstream.once(TASKS, Behaviour::garbage("no http\r\n"));
        assert_eq!(ask(gate, token).await.status(), 502);
    }
}

#[tokio::test]
async fn after_failures_in_a_row_requests_are_refused_at_once_and_the_page_may_read_it() {
    let upstream = Upstream::start().await;
    let (gate, token) = started(&upstream, "90s").await;
    fail(&upstream, &gate, &token, 3).await;
    let refused = ask(&gate, &token).await;
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((60..=90).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["proxy-status"], "sidegate; error=destination_unavailable");
    assert_eq!(refused.headers()["access-control-allow-origin"], SHOP);
    assert_refused(refused, 503, "UPSTREAM_SUSPENDED").await;
    assert_eq!(upstream.count(), 3);
    gate.wait_for_line("is left alone for now").await;
}

#[tokio::test]
async fn nobody_listens_counts_and_so_do_answers_that_do_not_come() {
    for line in ["", "first_byte_timeout = \"50ms\""] {
        let upstream = Upstream::start().await;
        let circuit = "circuit = { failures = 2, wait = \"1h\", longest = \"1h\" }";
        let gate = Gate::builder(&upstream).upstream(circuit).upstream(line).start().await;
        let token = gate.token("ada").mint().await;
        let mut held = Vec::new();
        if line.is_empty() {
            upstream.stop().await;
        } else {
            for _ in 0..2 {
                let (behaviour, release) = Behaviour::held(Reply::new(200, ""));
                upstream.once(TASKS, behaviour);
                held.push(release);
            }
        }
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(ask(&gate, &token).await.status().as_u16());
        }
        assert_eq!(statuses, if line.is_empty() { [502, 502, 503] } else { [504, 504, 503] });
    }
}

#[tokio::test]
async fn one_answer_starts_the_count_anew() {
    let upstream = Upstream::start().await;
    let (gate, token) = started(&upstream, "1h").await;
    for _ in 0..4 {
        fail(&upstream, &gate, &token, 2).await;
        assert_eq!(ask(&gate, &token).await.status(), 200);
    }
}

#[tokio::test]
async fn what_is_not_the_address_fault_counts_nothing() {
    let upstream = Upstream::start().await;
    let (gate, token) = started(&upstream, "1h").await;
    for _ in 0..5 {
        upstream.once(TASKS, Behaviour::answer(Reply::json(500, &json!({}))));
        assert_eq!(ask(&gate, &token).await.status(), 500);
        upstream.once(TASKS, Behaviour::answer(Reply::json(401, &json!({}))));
        assert_eq!(ask(&gate, &token).await.status(), 502);
    }
    assert_eq!(ask(&gate, &token).await.status(), 200);
}

#[tokio::test]
async fn one_request_tries_for_all_and_when_it_is_answered_all_pass() {
    let upstream = Upstream::start().await;
    let (gate, token) = started(&upstream, "30ms").await;
    fail(&upstream, &gate, &token, 3).await;
    let (behaviour, release) = Behaviour::held(Reply::json(
        200,
        &json!({ "success": true, "data": [], "pagination": { "total": 0, "limit": 50, "offset": 0, "hasMore": false } }),
    ));
    upstream.once(TASKS, behaviour);
    // Refused until one of these is the trial, which waits for its answer.
    let trial = async {
        loop {
            let answer = ask(&gate, &token).await;
            if answer.status() == 200 {
                break;
            }
            assert_eq!(answer.status(), 503);
        }
    };
    let meanwhile = async {
        within(upstream.wait_heads(4)).await;
        for answer in join_all((0..20).map(|_| ask(&gate, &token))).await {
            assert_refused(answer, 503, "UPSTREAM_SUSPENDED").await;
        }
        assert_eq!(upstream.progress().heads, 4, "one tries, not all");
        release.release();
    };
    tokio::join!(trial, meanwhile);
    for answer in join_all((0..20).map(|_| ask(&gate, &token))).await {
        assert_eq!(answer.status(), 200);
    }
    gate.wait_for_line("the upstream works again").await;
}

#[tokio::test]
async fn a_trial_whose_client_leaves_lets_another_one_try() {
    let upstream = Upstream::start().await;
    let (gate, token) = started(&upstream, "30ms").await;
    fail(&upstream, &gate, &token, 3).await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once(TASKS, behaviour);
    tokio::select! {
        () = async { while ask(&gate, &token).await.status() == 503 {} } => panic!("it is not held"),
        () = within(upstream.wait_heads(4)) => {}
    }
    within(async { while ask(&gate, &token).await.status() != 200 {} }).await;
}

#[tokio::test]
async fn streams_under_way_go_on() {
    let upstream = Upstream::start().await;
    let (gate, token) = started(&upstream, "1h").await;
    let id = gate.create_task(&token).await;
    let path = format!("{TASKS}/{id}/stream");
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let mut answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    fail(&upstream, &gate, &token, 3).await;
    assert_eq!(ask(&gate, &token).await.status(), 503);
    stream.event("message", &json!({ "text": "still here" }));
    let mut read = String::new();
    while !read.contains("still here") {
        let piece = within(answer.chunk()).await.expect("a stream").expect("a piece");
        read.push_str(&String::from_utf8_lossy(&piece));
    }
}

#[tokio::test]
async fn without_failures_in_its_rule_it_never_opens() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("circuit.failures = 0").start().await;
    let token = gate.token("ada").mint().await;
    fail(&upstream, &gate, &token, 12).await;
    assert_eq!(ask(&gate, &token).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_takes_its_time_keeps_nobody_out() {
    let upstream = Upstream::start().await;
    let (gate, token) = started(&upstream, "30ms").await;
    fail(&upstream, &gate, &token, 3).await;
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    // It may be asked again, and this one would be who asks.
    let mut slow = Raw::connect(gate.public).await;
    let fields = format!("{}Content-Type: application/json\r\nContent-Length: 19\r\n", page(&gate, &token));
    slow.send(format!("POST {TASKS} HTTP/1.1\r\n{fields}\r\n{{\"message\"")).await;
    metric_becomes(&gate, "sidegate_forwards", 1.0).await;
    assert_eq!(ask(&gate, &token).await.status(), 200);
    slow.send(":\"Hello\"}").await;
    assert_eq!(slow.answer().await.status, 200);
}

#[tokio::test]
async fn handshakes_of_websockets_count_by_their_answers() {
    let upstream = Upstream::start().await;
    let circuit = "circuit = { failures = 3, wait = \"1h\", longest = \"1h\" }";
    let gate = Gate::builder(&upstream).upstream(circuit).upstream("first_byte_timeout = \"500ms\"").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let (behaviour, release) = Behaviour::held(Reply::new(200, ""));
        upstream.once(&path, behaviour);
        held.push(release);
        let asked = gate.chat(Method::GET, &path, &token).header("connection", "Upgrade");
        let asked = asked.header("upgrade", "websocket").header("sec-websocket-version", "13");
        let answer = within(asked.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send()).await;
        assert_eq!(answer.expect("an answer").status(), 504);
    }
    assert_refused(ask(&gate, &token).await, 503, "UPSTREAM_SUSPENDED").await;
}
