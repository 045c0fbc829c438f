//! Tokens that admit one request.

use reqwest::{Method, Response};

use crate::support::gate::{Builder, Gate, assert_refused};
use crate::support::upstream::Upstream;

fn single_use(upstream: &Upstream) -> Builder {
    Gate::builder(upstream).app("token.single_use = true")
}

async fn ask(gate: &Gate, token: &str) -> Response {
    gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer")
}

async fn assert_used(gate: &Gate, token: &str) {
    let message = assert_refused(ask(gate, token).await, 401, "INVALID_TOKEN").await;
    assert_eq!(message, "The token has been used");
}

#[tokio::test]
async fn a_token_admits_one_request() {
    let upstream = Upstream::start().await;
    let gate = single_use(&upstream).start().await;
    let (first, second) = (gate.token("ada").mint().await, gate.token("ada").mint().await);
    assert_ne!(first, second, "of one end user, in one second");
    assert_eq!(ask(&gate, &first).await.status(), 200);
    assert_used(&gate, &first).await;
    assert_eq!(ask(&gate, &second).await.status(), 200);
    assert_used(&gate, &second).await;
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_token_with_a_context_admits_one_request() {
    let upstream = Upstream::start().await;
    let gate = single_use(&upstream).app("inject.headers = { X-Tenant = \"{{env.TENANT}}\" }").start().await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    assert_eq!(ask(&gate, &token).await.status(), 200);
    assert_used(&gate, &token).await;
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn of_requests_at_once_one_is_admitted() {
    let upstream = Upstream::start().await;
    let gate = single_use(&upstream).start().await;
    let token = gate.token("ada").mint().await;
    let answers = futures_util::future::join_all((0..50).map(|_| ask(&gate, &token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 200).count(), 1);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_request_that_is_refused_uses_nothing_up() {
    let upstream = Upstream::start().await;
    let gate = single_use(&upstream).app("limits.chat = \"1/s per end_user\"").start().await;
    let token = gate.token("ada").mint().await;
    let elsewhere = gate.public(Method::GET, "/api/v1/tasks").bearer_auth(&token);
    let elsewhere = elsewhere.header("origin", "https://evil.example").send().await.expect("an answer");
    assert_refused(elsewhere, 403, "ORIGIN_NOT_ALLOWED").await;
    let other = gate.token("ada").mint().await;
    assert_eq!(ask(&gate, &other).await.status(), 200);
    let mut answer = ask(&gate, &token).await;
    assert_refused(answer, 429, "RATE_LIMITED").await;
    // When there is room again, the token is as good as new.
    loop {
        answer = ask(&gate, &token).await;
        if answer.status() != 429 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_token_of_another_app_is_used_as_often_as_it_likes() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    for _ in 0..3 {
        assert_eq!(ask(&gate, &token).await.status(), 200);
    }
}
