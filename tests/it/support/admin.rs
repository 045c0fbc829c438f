//! The gate's own API, as its callers see it.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::gate::{Builder, Gate, json_of};
use super::upstream::Upstream;

/// The token of the configuration.
pub const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";
pub const APPS: &str = "/admin/v1/apps";
pub const TOKENS: &str = "/admin/v1/service-tokens";

/// A gate with [`BOOTSTRAP`].
pub fn builder(upstream: &Upstream) -> Builder {
    Gate::builder(upstream).toml(&format!("[admin]\nbootstrap_token = {{ value = \"{BOOTSTRAP}\" }}"))
}

/// A call; without a body if that is null.
pub async fn call(gate: &Gate, secret: &str, method: Method, path: &str, body: Value) -> Response {
    let request = gate.private(method, path).bearer_auth(secret);
    let request = if body.is_null() { request } else { request.json(&body) };
    request.send().await.expect("an answer")
}

/// Asserts a refusal; hands back its detail.
pub async fn assert_problem(answer: Response, status: u16, code: &str) -> String {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let (got, problem) = (answer.status().as_u16(), json_of(answer).await);
    assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{problem}");
    problem["detail"].as_str().expect("a detail").to_owned()
}

/// Asserts a success; hands back its body.
pub async fn done(gate: &Gate, method: Method, path: &str, body: Value) -> Value {
    let answer = call(gate, BOOTSTRAP, method, path, body).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Makes a service token; its secret.
pub async fn service_token(gate: &Gate, scopes: &[&str], apps: &[&str]) -> String {
    let made = done(gate, Method::POST, TOKENS, json!({ "scopes": scopes, "apps": apps })).await;
    made["secret"].as_str().expect("a secret").to_owned()
}
