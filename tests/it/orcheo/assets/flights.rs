//! Many browsers at once: one request upstream, whoever leaves or fails.

use futures_util::future::join_all;

use super::{AT_CDN, BODY, BUNDLE, counted, get, next, over, read, script, started};
use crate::support::gate::Gate;
use crate::support::raw::Raw;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric, metric_becomes};

const CONNECTIONS: &str = "sidegate_connections{listener=\"public\"}";

/// So many browsers on connections of their own, which have sent their requests.
async fn browsers(gate: &Gate, count: u16) -> Vec<Raw> {
    let request = format!("GET {BUNDLE} HTTP/1.1\r\nHost: {}\r\n\r\n", gate.public);
    let connect = || async {
        let mut raw = Raw::connect(gate.public).await;
        raw.send(&request).await;
        raw
    };
    let browsers = join_all((0..count).map(|_| connect())).await;
    metric_becomes(gate, CONNECTIONS, count.into()).await;
    browsers
}

async fn answers(browsers: Vec<Raw>) -> Vec<(u16, String)> {
    let answer = |mut raw: Raw| async move {
        let answer = raw.answer().await;
        (answer.status, answer.body)
    };
    join_all(browsers.into_iter().map(answer)).await
}

#[tokio::test]
async fn a_thousand_browsers_make_one_request() {
    let cdn = Upstream::start().await;
    let gate = over(&cdn).set("listen.workers=4").start().await;
    let (held, release) = Behaviour::held(script("max-age=3600"));
    cdn.on(AT_CDN, held);
    let waiting = browsers(&gate, 1_000).await;
    cdn.wait_heads(1).await;
    release.release();
    let answers = answers(waiting).await;
    assert_eq!(answers.iter().filter(|answer| **answer == (200, BODY.to_owned())).count(), 1_000);
    assert_eq!(cdn.count(), 1);
    metric_becomes(&gate, &counted("miss"), 1.0).await;
}

#[tokio::test]
async fn those_who_wait_for_a_file_that_must_be_asked_for_share_the_answer() {
    let cdn = Upstream::start().await;
    let gate = over(&cdn).set("listen.workers=4").start().await;
    next(&cdn, script("no-cache"));
    assert_eq!(answers(browsers(&gate, 1).await).await[0].0, 200);
    metric_becomes(&gate, CONNECTIONS, 0.0).await;
    let (held, release) = Behaviour::held(Reply::new(304, "").header("etag", "\"v1\""));
    cdn.on(AT_CDN, held);
    let waiting = browsers(&gate, 200).await;
    cdn.wait_heads(2).await;
    release.release();
    assert!(answers(waiting).await.iter().all(|answer| *answer == (200, BODY.to_owned())));
    // One for each who came when it had just been answered, which few can; without sharing, 200.
    assert!(metric(&gate, &counted("shared")).await > 100.0);
    assert!(cdn.count() < 100);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_first_browser_leaves() {
    let (cdn, gate) = started().await;
    let (held, release) = Behaviour::held(script("max-age=3600"));
    cdn.once(AT_CDN, held);
    let leaving = browsers(&gate, 1).await;
    cdn.wait_heads(1).await;
    drop(leaving);
    metric_becomes(&gate, CONNECTIONS, 0.0).await;
    release.release();
    assert_eq!(read(get(&gate, BUNDLE, &[]).await).await, (200, BODY.to_owned()));
    assert_eq!((cdn.count(), cdn.progress().cancelled), (1, 0));
}

#[tokio::test]
async fn a_failure_is_for_those_who_waited_and_not_for_the_next() {
    let (cdn, gate) = started().await;
    let (held, release) = Behaviour::held(Reply::new(500, ""));
    cdn.once(AT_CDN, held);
    let waiting = browsers(&gate, 20).await;
    cdn.wait_heads(1).await;
    cdn.on(AT_CDN, Behaviour::answer(script("max-age=3600")));
    release.release();
    let answers = answers(waiting).await;
    let failed = answers.iter().filter(|(status, _)| *status == 502).count();
    assert!(failed > 0 && answers.iter().all(|(status, _)| [200, 502].contains(status)), "{answers:?}");
    assert_eq!(get(&gate, BUNDLE, &[]).await.status(), 200);
}

#[tokio::test]
async fn what_may_not_be_kept_is_fetched_for_each() {
    let (cdn, gate) = started().await;
    let (held, release) = Behaviour::held(script("no-store"));
    cdn.once(AT_CDN, held);
    let waiting = browsers(&gate, 10).await;
    cdn.wait_heads(1).await;
    cdn.on(AT_CDN, Behaviour::answer(script("private")));
    release.release();
    assert!(answers(waiting).await.iter().all(|answer| *answer == (200, BODY.to_owned())));
    assert_eq!(cdn.count(), 10);
    metric_becomes(&gate, &counted("passed"), 10.0).await;
}

#[tokio::test]
async fn a_cdn_that_does_not_answer_is_given_up_in_ten_seconds() {
    let (cdn, gate) = started().await;
    let (held, _release) = Behaviour::held(script("max-age=3600"));
    cdn.once(AT_CDN, held);
    let began = tokio::time::Instant::now();
    let answer = get(&gate, BUNDLE, &[]).await;
    let status = super::field(&answer, "proxy-status").to_owned();
    assert_eq!((answer.status().as_u16(), &*status), (502, "sidegate; error=http_response_timeout"));
    assert!(began.elapsed().as_secs() >= 9);
}
