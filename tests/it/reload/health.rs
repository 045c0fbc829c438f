//! How upstreams fare: checks, circuits and the gate's own load, before and after a reload.

use reqwest::Method;
use serde_json::{Value, json};

use super::{APPLIED, TASKS, hang_up, list, reload, unwatched};
use crate::support::gate::{Gate, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::within;

const HEALTH: &str = "/healthz";

fn answers(upstream: &Upstream, status: u16) {
    upstream.on(HEALTH, Behaviour::answer(Reply::new(status, "")));
}

/// What `/readyz` says of upstreams that have trouble.
async fn troubled(gate: &Gate) -> Value {
    json_of(gate.ops("/readyz").send().await.expect("an answer")).await["checks"]["upstreams"].clone()
}

#[tokio::test]
async fn one_that_is_gone_is_checked_no_more_and_a_new_one_is() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    answers(&first, 200);
    answers(&second, 200);
    let builder = unwatched(Gate::builder(&first)).upstream("health = { path = \"/healthz\", interval = \"10ms\" }");
    let (config, gate) = (builder.config(), builder.start().await);
    within(first.wait_for(3)).await;
    hang_up(&gate, APPLIED).await;
    within(first.wait_for(first.count() + 3)).await;
    reload(&gate, &config.replace(&first.url(), &second.url())).await;
    within(second.wait_for(3)).await;
    within(first.wait_until(|seen| seen.open == 0)).await;
    let before = first.count();
    within(second.wait_for(second.count() + 10)).await;
    assert_eq!(first.count(), before);
    // Without the rule nobody is.
    reload(&gate, &config.replace("health = ", "#")).await;
    within(second.wait_until(|seen| seen.open == 0)).await;
    let before = second.count();
    assert_eq!(list(&gate, &gate.token("ada").mint().await).await, 200);
    assert_eq!(second.count(), before);
    assert!(first.take().last().is_some_and(|request| request.uri.path() == TASKS), "and nothing behind it");
}

#[tokio::test]
async fn what_checks_have_found_goes_on() {
    let (well, ill) = (Upstream::start().await, Upstream::start().await);
    answers(&well, 200);
    answers(&ill, 500);
    let rule = "health = { path = \"/healthz\", interval = \"1h\", timeout = \"1h\", unhealthy = 1 }";
    let builder = unwatched(Gate::builder_for_all(&[&well.url(), &ill.url()])).upstream(rule);
    let (config, gate) = (builder.config(), builder.start().await);
    gate.wait_for_line("checks find the upstream unhealthy").await;
    let found = json!({ "chat": { ill.address().to_string(): "unhealthy" } });
    assert_eq!(troubled(&gate).await, found);
    // Another check gets no answer.
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    ill.on(HEALTH, behaviour);
    hang_up(&gate, APPLIED).await;
    assert_eq!(troubled(&gate).await, found, "the upstream is the same");
    reload(&gate, &config.replace("name = \"chat\"", "name = \"chat\"\nmax_requests = 7")).await;
    assert_eq!(troubled(&gate).await, found, "its addresses are the same");
    reload(&gate, &config.replace("health = ", "#")).await;
    assert_eq!(troubled(&gate).await, Value::Null, "nobody checks them");
}

#[tokio::test]
async fn an_open_circuit_stays_open_unless_its_upstream_has_changed() {
    let upstream = Upstream::start().await;
    let circuit = "circuit = { failures = 2, wait = \"1h\", longest = \"1h\" }";
    let builder = unwatched(Gate::builder(&upstream)).upstream(circuit);
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    for _ in 0..2 {
        upstream.once(TASKS, Behaviour::garbage("no http\r\n"));
        assert_eq!(list(&gate, &token).await, 502);
    }
    assert_eq!(list(&gate, &token).await, 503);
    hang_up(&gate, APPLIED).await;
    assert_eq!(list(&gate, &token).await, 503);
    reload(&gate, &config.replace("failures = 2", "failures = 3")).await;
    assert_eq!(list(&gate, &token).await, 200);
}

#[tokio::test]
async fn how_much_the_gate_takes_at_once() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream)).set("listen.workers=1");
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let path = format!("{TASKS}/{}/stream", gate.create_task(&token).await);
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    stream.event("status", &json!({}));
    assert!(within(answer.chunk()).await.expect("a chunk").is_some());
    reload(&gate, &format!("{config}\n[listen]\nmax_requests = 1\n")).await;
    assert_eq!(list(&gate, &token).await, 503);
    reload(&gate, &config).await;
    assert_eq!(list(&gate, &token).await, 200);
    stream.end();
    assert!(within(answer.chunk()).await.expect("a proper end").is_none());
}
