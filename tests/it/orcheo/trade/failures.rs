//! An upstream that refuses, breaks off, or says nothing.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Deserialize;

use super::*;
use crate::support::cases::cases;

/// An answer of the upstream, and what the page is told.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    answer: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    status: u16,
    code: String,
    #[serde(default)]
    retry_after: Option<String>,
    /// How often the upstream is asked.
    #[serde(default = "once")]
    asked: usize,
}

const fn once() -> usize {
    1
}

#[tokio::test]
async fn what_the_upstream_says_is_told_in_the_gates_own_words() {
    for case in cases::<Case>("orcheo/trade.json") {
        println!("{}", case.name);
        let (upstream, gate) = started(BY_JWT).await;
        let mut reply = Reply::new(case.answer, case.body.replace("{credential}", CREDENTIAL));
        for (name, value) in &case.headers {
            reply = reply.header(name.clone().leak(), value);
        }
        upstream.on(SESSION, Behaviour::answer(reply));
        let answer = sent(ask_as(&gate, "ada", "")).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
        assert_eq!(retry_after, case.retry_after);
        let (status, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
        assert_eq!(status, case.status, "{body}");
        assert!(body.contains(&format!("\"{}\"", case.code)), "{body}");
        assert!(!body.contains(CREDENTIAL) && !body.contains("canary"), "{body}");
        assert!(!gate.output().contains("canary"), "{}", gate.output());
        assert_eq!(upstream.count(), case.asked);
    }
}

#[tokio::test]
async fn an_upstream_that_stumbles_is_asked_again() {
    let (upstream, gate) = started(BY_JWT).await;
    for stumble in [
        Behaviour::reset(),
        Behaviour::close(),
        Behaviour::answer(Reply::new(503, "")),
        Behaviour::answer(Reply::new(429, "").header("retry-after", "0")),
    ] {
        let before = upstream.count();
        upstream.once(SESSION, stumble);
        let user = format!("user_{before}");
        assert_eq!(token_of(ask_as(&gate, &user, "")).await, "eyJ.first.token");
        assert_eq!(users(&upstream.take()), [user.clone(), user]);
    }
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_given_up_at_the_deadline() {
    let upstream = Upstream::start().await;
    let (held, _release) = Behaviour::held(made("eyJ.late.token", 300));
    upstream.on(SESSION, held);
    let gate = builder(&upstream, &format!("trade.timeout = \"300ms\"\n{BY_JWT}")).start().await;
    let answer = sent(ask_as(&gate, "ada", "")).await;
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=http_response_timeout");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(refused(answer, 504).await, "sidegate.upstream_timeout");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn those_who_waited_together_fail_together() {
    let upstream = Upstream::start().await;
    let (held, release) = Behaviour::held(Reply::new(403, ""));
    upstream.on(SESSION, held);
    let gate = builder(&upstream, BY_JWT).start().await;
    let pages = join_all((0..100).map(|_| sent(ask_as(&gate, "ada", ""))));
    let waiting = async {
        upstream.wait_for(1).await;
        metrics_until(&gate, |text| text.contains("sidegate_connections{listener=\"public\"} 100")).await;
        release.release();
    };
    let (answers, ()) = tokio::join!(pages, waiting);
    assert!(answers.iter().all(|answer| answer.status() == 502));
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn an_upstream_that_fails_again_and_again_is_left_alone_for_a_while() {
    let (upstream, gate) = started(BY_JWT).await;
    upstream.on(SESSION, Behaviour::answer(Reply::new(500, "canary")));
    let mut answers = Vec::new();
    for user in ["a", "b", "c"] {
        answers.push(refused(sent(ask_as(&gate, user, "")).await, if user == "a" { 502 } else { 503 }).await);
    }
    // Three attempts, then two, and none.
    let (fails, suspended) = ("sidegate.upstream_unavailable", "sidegate.upstream_suspended");
    assert_eq!(answers, [fails, suspended, suspended]);
    assert_eq!(upstream.count(), 5);
    let answer = sent(ask_as(&gate, "d", "")).await;
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    metrics_until(&gate, |text| text.contains("sidegate_trade_circuits_open 1")).await;
    gate.wait_for_line("fails again and again").await;

    upstream.on(SESSION, Behaviour::answer(made("eyJ.first.token", 300)));
    let works = async {
        let mut user = 0;
        while sent(ask_as(&gate, &format!("user_{user}"), "")).await.status() != 200 {
            user += 1;
        }
    };
    tokio::time::timeout(PATIENCE, works).await.expect("it is tried again");
    assert_eq!(upstream.count(), 6, "one tries");
    metrics_until(&gate, |text| text.contains("sidegate_trade_circuits_open 0")).await;
}
