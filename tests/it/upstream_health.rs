//! Checks of an upstream's addresses: who fails them gets requests only if all do; `/readyz` and a metric say so.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{Builder, Gate, json_of};
use crate::support::tls::certificates;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric, within};

const TASKS: &str = "/api/v1/tasks";
const HEALTH: &str = "/base/healthz";
const QUICK: &str =
    "health = { path = \"/healthz\", interval = \"10ms\", timeout = \"5s\", unhealthy = 2, healthy = 2 }";

fn before(upstreams: &[&Upstream]) -> Builder {
    let urls: Vec<_> = upstreams.iter().map(|upstream| format!("{}/base", upstream.url())).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    Gate::builder_for_all(&urls)
        .app("scoping = \"upstream\"\ninject.headers = { X-User = \"{{claims.sub}}\" }")
        .upstream(QUICK)
}

fn answers(upstream: &Upstream, health: u16) {
    upstream.on(HEALTH, Behaviour::answer(Reply::new(health, "")));
    upstream.on(&format!("/base{TASKS}"), Behaviour::answer(Reply::json(200, &json!([]))));
}

fn series(count: usize, in_all: usize) -> [(String, usize); 2] {
    [("healthy", count), ("unhealthy", in_all - count)]
        .map(|(state, count)| (format!("sidegate_upstream_addresses{{state=\"{state}\"}}"), count))
}

/// Waits until so many addresses of two are healthy.
async fn until_healthy(gate: &Gate, count: usize) {
    let series = series(count, 2);
    within(async {
        for (series, count) in &series {
            while (metric(gate, series).await - f64::from(u32::try_from(*count).expect("few"))).abs() > 0.5 {}
        }
    })
    .await;
}

/// To which of the upstreams requests of twenty users go.
async fn asked(gate: &Gate, upstreams: &[&Upstream]) -> BTreeSet<usize> {
    upstreams.iter().for_each(|upstream| drop(upstream.take()));
    for user in 0..20 {
        let token = gate.token(&format!("user-{user}")).mint().await;
        let answer = within(gate.chat(Method::GET, TASKS, &token).send()).await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    let is_asked = |upstream: &Upstream| upstream.take().iter().any(|request| !request.header("x-user").is_empty());
    (0..upstreams.len()).filter(|place| is_asked(upstreams[*place])).collect()
}

async fn readyz(gate: &Gate) -> (u16, Value) {
    let answer = gate.ops("/readyz").send().await.expect("an answer");
    (answer.status().as_u16(), json_of(answer).await["checks"]["upstreams"].clone())
}

#[tokio::test]
async fn who_fails_its_checks_gets_no_requests_until_it_is_well_again() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    answers(&one, 200);
    answers(&other, 204);
    let gate = before(&[&one, &other]).start().await;
    assert_eq!(asked(&gate, &[&one, &other]).await, BTreeSet::from([0, 1]));
    assert_eq!(readyz(&gate).await, (200, Value::Null));
    answers(&other, 500);
    until_healthy(&gate, 1).await;
    assert_eq!(asked(&gate, &[&one, &other]).await, BTreeSet::from([0]));
    assert_eq!(readyz(&gate).await, (200, json!({ "chat": { other.address().to_string(): "unhealthy" } })));
    let line = gate.wait_for_line("checks find the upstream unhealthy").await;
    assert!(line.contains("\"status\":500") && line.contains(&other.address().to_string()), "{line}");
    answers(&other, 302);
    until_healthy(&gate, 2).await;
    assert_eq!(asked(&gate, &[&one, &other]).await, BTreeSet::from([0, 1]));
    gate.wait_for_line("checks find the upstream healthy again").await;
}

#[tokio::test]
async fn where_none_is_well_all_are_asked() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    answers(&one, 404);
    answers(&other, 404);
    let gate = before(&[&one, &other]).start().await;
    until_healthy(&gate, 0).await;
    assert_eq!(asked(&gate, &[&one, &other]).await, BTreeSet::from([0, 1]), "a wrong path takes no chat away");
    assert_eq!(readyz(&gate).await.0, 200);
}

#[tokio::test]
async fn an_address_on_which_nobody_listens_is_found_without_a_request() {
    let (gone, stays) = (Upstream::start().await, Upstream::start().await);
    answers(&stays, 200);
    let gate = before(&[&gone, &stays]).start().await;
    let address = gone.address();
    gone.stop().await;
    until_healthy(&gate, 1).await;
    let line = gate.wait_for_line("checks find the upstream unhealthy").await;
    assert!(line.contains("\"error\":\"connection_refused\"") && line.contains(&address.to_string()), "{line}");
    assert_eq!(asked(&gate, &[&stays]).await, BTreeSet::from([0]));
}

#[tokio::test]
async fn a_check_that_takes_too_long_has_failed() {
    let (slow, well) = (Upstream::start().await, Upstream::start().await);
    answers(&slow, 200);
    answers(&well, 200);
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    slow.on(HEALTH, behaviour);
    let urls = [format!("{}/base", slow.url()), format!("{}/base", well.url())];
    let health = "health = { path = \"/healthz\", interval = \"10ms\", timeout = \"500ms\", unhealthy = 1 }";
    let gate = Gate::builder_for_all(&[&*urls[0], &*urls[1]]).upstream(health).start().await;
    until_healthy(&gate, 1).await;
    assert_eq!(readyz(&gate).await.1, json!({ "chat": { slow.address().to_string(): "unhealthy" } }));
}

#[tokio::test]
async fn checks_carry_the_upstreams_own_fields_and_go_on() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    answers(&one, 200);
    answers(&other, 200);
    let _gate = before(&[&one, &other]).upstream("headers = { Authorization = \"Bearer key\" }").start().await;
    for upstream in [&one, &other] {
        for request in within(upstream.wait_for(3)).await {
            assert_eq!(
                (request.header("authorization"), request.header("user-agent")),
                ("Bearer key", "sidegate-health")
            );
            assert_eq!(request.header("host"), upstream.address().to_string());
        }
    }
}

#[tokio::test]
async fn checks_speak_tls_and_http2() {
    let made = certificates();
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &made.authority).expect("written");
    for http2 in [false, true] {
        let builder = Upstream::builder().tls(&made.server.0, &made.server.1);
        let builder = if http2 { builder.http2() } else { builder };
        let upstream = builder.start().await;
        upstream.on("/healthz", Behaviour::answer(Reply::new(500, "")));
        let ca = format!("ca = {ca:?}");
        let gate = Gate::builder(&upstream).upstream(&ca).upstream(QUICK).start().await;
        let line = gate.wait_for_line("checks find the upstream unhealthy").await;
        assert!(line.contains("\"status\":500"), "HTTP/2: {http2}: {line}");
    }
}
