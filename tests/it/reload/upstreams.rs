//! Upstreams, and the connections to them.

use reqwest::Method;
use serde_json::json;

use super::{APPLIED, REFUSED, TASKS, hang_up, list, reload, unwatched};
use crate::support::gate::{Builder, Gate};
use crate::support::tls::certificates;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::within;

/// One worker, so that there is one pool; connections idle for longer than any test.
fn pooled(upstream: &Upstream) -> Builder {
    unwatched(Gate::builder(upstream)).upstream("pool_idle = \"1h\"").set("listen.workers=1")
}

#[tokio::test]
async fn connections_to_an_upstream_that_is_as_before_are_kept() {
    let upstream = Upstream::start().await;
    let gate = pooled(&upstream).start().await;
    let token = gate.token("ada").mint().await;
    for _ in 0..5 {
        assert_eq!(list(&gate, &token).await, 200);
        hang_up(&gate, APPLIED).await;
    }
    assert_eq!(upstream.progress().connections, 1);
}

#[tokio::test]
async fn those_to_one_that_has_changed_or_is_gone_are_closed() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let builder = pooled(&first);
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    assert_eq!(list(&gate, &token).await, 200);
    reload(&gate, &config.replace("pool_idle = \"1h\"", "pool_idle = \"2h\"")).await;
    assert_eq!(list(&gate, &token).await, 200);
    within(first.wait_until(|seen| (seen.connections, seen.open) == (2, 1))).await;
    reload(&gate, &config.replace(&first.url(), &second.url())).await;
    assert_eq!(list(&gate, &token).await, 200);
    within(first.wait_until(|seen| seen.open == 0)).await;
    assert_eq!((first.count(), second.count()), (2, 1));
}

/// What was sent to one upstream before must come back to none of its connections' place.
#[tokio::test]
async fn a_connection_that_comes_back_after_its_upstream_has_gone_is_nobodys() {
    let (first, second, third) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    let builder = pooled(&first);
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let path = format!("{TASKS}/{}/stream", gate.create_task(&token).await);
    let (behaviour, stream) = Behaviour::sse();
    first.on(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    stream.event("status", &json!({}));
    assert!(within(answer.chunk()).await.expect("a chunk").is_some());
    // Twice: places are given again in the second.
    for next in [&second, &third] {
        reload(&gate, &config.replace(&first.url(), &next.url())).await;
        assert_eq!(list(&gate, &token).await, 200);
    }
    stream.end();
    assert!(within(answer.chunk()).await.expect("a proper end").is_none());
    for _ in 0..3 {
        assert_eq!(list(&gate, &token).await, 200);
    }
    within(first.wait_until(|seen| seen.open == 0)).await;
    assert_eq!((second.count(), third.count()), (1, 4));
}

#[tokio::test]
async fn places_at_an_upstream_are_counted_on() {
    let upstream = Upstream::start().await;
    let builder = pooled(&upstream).upstream("max_requests = 1");
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let path = format!("{TASKS}/{}/stream", gate.create_task(&token).await);
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    stream.event("status", &json!({}));
    assert!(within(answer.chunk()).await.expect("a chunk").is_some());
    reload(&gate, &config.replace("pool_idle = \"1h\"", "pool_idle = \"2h\"")).await;
    assert_eq!(list(&gate, &token).await, 503);
    stream.end();
    assert!(within(answer.chunk()).await.expect("a proper end").is_none());
    assert_eq!(list(&gate, &token).await, 200);
}

#[tokio::test]
async fn a_new_authority_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca");
    let (old, new) = (certificates(), certificates());
    std::fs::write(&ca, &old.authority).expect("written");
    let upstream = Upstream::builder().tls(new.server.0.clone(), new.server.1.clone()).start().await;
    let gate = pooled(&upstream).upstream(&format!("ca = {ca:?}")).start().await;
    let token = gate.token("ada").mint().await;
    assert_eq!(list(&gate, &token).await, 502, "it is not the authority of its certificate");
    std::fs::write(&ca, &new.authority).expect("written");
    hang_up(&gate, APPLIED).await;
    assert_eq!(list(&gate, &token).await, 200);
    std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\n!\n").expect("written");
    hang_up(&gate, REFUSED).await;
    gate.wait_for_line(&format!("upstream chat: {}", ca.display())).await;
    assert_eq!(list(&gate, &token).await, 200);
}
