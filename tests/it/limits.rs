//! How often an app's chat may be used: by end user, app or address; refused requests stay here.

use reqwest::{Method, RequestBuilder, Response};

use crate::support::gate::{Gate, SHOP, assert_refused};
use crate::support::upstream::Upstream;

async fn limited(upstream: &Upstream, rate: &str) -> Gate {
    Gate::builder(upstream).app(&format!("limits.chat = \"{rate}\"")).start().await
}

fn list(gate: &Gate, token: &str) -> RequestBuilder {
    gate.chat(Method::GET, "/api/v1/tasks", token)
}

async fn ask(gate: &Gate, token: &str) -> Response {
    list(gate, token).send().await.expect("an answer")
}

/// One that says when to come back.
async fn assert_limited(answer: Response, longest: u64) {
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=longest).contains(&wait), "{wait}");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_refused(answer, 429, "RATE_LIMITED").await;
}

#[tokio::test]
async fn a_burst_passes_and_the_next_is_told_when_to_come_back() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "3/h per end_user").await;
    let token = gate.token("ada").mint().await;
    for _ in 0..3 {
        assert_eq!(ask(&gate, &token).await.status(), 200);
    }
    assert_limited(ask(&gate, &token).await, 1_200).await;
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn several_rates_hold_at_once_and_a_refused_request_uses_nothing_up() {
    let upstream = Upstream::start().await;
    let chat = "limits.chat = [\"4/h\", \"3/h per address\", \"1/h per end_user\"]";
    let gate = Gate::builder(&upstream).app(chat).start().await;
    for user in ["ada", "grace", "edsger"] {
        let token = gate.token(user).mint().await;
        assert_eq!(ask(&gate, &token).await.status(), 200);
        for _ in 0..3 {
            assert_limited(ask(&gate, &token).await, 3_600).await;
        }
    }
    assert_limited(ask(&gate, &gate.token("barbara").mint().await).await, 1_200).await;
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn an_end_user_does_not_use_up_anothers_share() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "1/h per end_user").await;
    let (ada, grace) = (gate.token("ada").mint().await, gate.token("grace").mint().await);
    assert_eq!(ask(&gate, &ada).await.status(), 200);
    assert_limited(ask(&gate, &ada).await, 3_600).await;
    assert_eq!(ask(&gate, &grace).await.status(), 200);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_fresh_token_brings_no_fresh_share() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "1/h per end_user").await;
    let first = gate.token("ada").mint().await;
    assert_eq!(ask(&gate, &first).await.status(), 200);
    let second = gate.token("ada").env("TENANT", "acme").mint().await;
    assert_limited(ask(&gate, &second).await, 3_600).await;
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn an_apps_users_share_its_limit() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "1/h per app").await;
    let (ada, grace) = (gate.token("ada").mint().await, gate.token("grace").mint().await);
    assert_eq!(ask(&gate, &ada).await.status(), 200);
    assert_limited(ask(&gate, &grace).await, 3_600).await;
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn all_routes_count_together() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "1/h per end_user").await;
    let token = gate.token("ada").mint().await;
    let id = gate.create_task(&token).await;
    let stream = gate.chat(Method::GET, &format!("/api/v1/tasks/{id}/stream"), &token);
    assert_limited(stream.send().await.expect("an answer"), 3_600).await;
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_request_without_a_good_token_is_not_counted() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "1/h per app").await;
    let token = gate.token("ada").mint().await;
    for _ in 0..3 {
        assert_refused(ask(&gate, "eyJ.e30.x").await, 401, "INVALID_TOKEN").await;
        let elsewhere = gate.public(Method::GET, "/api/v1/tasks").bearer_auth(&token);
        let elsewhere = elsewhere.header("origin", "https://evil.example").send().await.expect("an answer");
        assert_refused(elsewhere, 403, "ORIGIN_NOT_ALLOWED").await;
    }
    assert_eq!(ask(&gate, &token).await.status(), 200);
}

#[tokio::test]
async fn an_address_counts_whoever_its_users_are() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "1/h per address").await;
    let (ada, grace) = (gate.token("ada").mint().await, gate.token("grace").mint().await);
    assert_eq!(ask(&gate, &ada).await.status(), 200);
    assert_limited(ask(&gate, &grace).await, 3_600).await;
    assert_eq!(upstream.count(), 1);
}

/// Asks as a proxy would for the client at these addresses.
async fn ask_for(gate: &Gate, token: &str, addresses: &str) -> u16 {
    let request = list(gate, token).header("x-forwarded-for", addresses);
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn an_address_that_a_browser_claims_is_not_believed() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "1/h per address").await;
    let token = gate.token("ada").mint().await;
    assert_eq!(ask_for(&gate, &token, "203.0.113.1").await, 200);
    assert_eq!(ask_for(&gate, &token, "203.0.113.2").await, 429);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn an_address_that_a_trusted_proxy_names_is_believed() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("limits.chat = \"1/h per address\"");
    let gate = gate.set("listen.trusted_proxies=[\"127.0.0.0/8\", \"10.0.0.0/8\"]").start().await;
    let token = gate.token("ada").mint().await;
    assert_eq!(ask_for(&gate, &token, "203.0.113.1").await, 200);
    assert_eq!(ask_for(&gate, &token, "203.0.113.2").await, 200);
    assert_eq!(ask_for(&gate, &token, "203.0.113.1, 10.0.0.9").await, 429, "behind two proxies");
    assert_eq!(ask_for(&gate, &token, "198.51.100.7, 203.0.113.2").await, 429, "what the client wrote itself");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn clients_in_one_ipv6_network_count_together() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("limits.chat = \"1/h per address\"");
    let gate = gate.set("listen.trusted_proxies=[\"127.0.0.0/8\"]").start().await;
    let token = gate.token("ada").mint().await;
    assert_eq!(ask_for(&gate, &token, "2001:db8:0:1::1").await, 200);
    assert_eq!(ask_for(&gate, &token, "2001:db8:0:1::2").await, 429);
    assert_eq!(ask_for(&gate, &token, "2001:db8:0:2::1").await, 200);
}
