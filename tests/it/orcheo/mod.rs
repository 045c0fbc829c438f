//! Orcheo's ChatKit API: tokens for customers' servers, and the gateway for pages.

mod assets;
mod beginning;
mod environment;
mod gateway;
mod limits;
mod openai;
mod published;
pub mod sdk;
mod service_tokens;
mod session;
mod trade;
mod upload;
mod workspaces;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::gate::{Builder, Gate, SHOP, json_of};
use crate::support::upstream::Upstream;

pub const SESSION: &str = "/api/chatkit/session";
pub const GATEWAY: &str = "/api/chatkit";
pub const APP: &str = "support";
pub const KEY: &str = "the-key-that-the-backend-shares-0123456789";
pub const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";
pub const WORKFLOW: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";
pub const OTHER: &str = "11111111-1111-4111-8111-111111111111";
pub const UNLISTED: &str = "22222222-2222-4222-8222-222222222222";

/// A gate with an app of this dialect beside the default one.
pub fn builder(upstream: &Upstream) -> Builder {
    with_lines(upstream, "")
}

/// The same, with these lines behind the key in its table.
pub fn with_lines(upstream: &Upstream, lines: &str) -> Builder {
    with_app(upstream, &format!("token.key = {{ value = \"{KEY}\" }}\n{lines}"))
}

/// The same, with these lines in its table.
pub fn with_app(upstream: &Upstream, lines: &str) -> Builder {
    Gate::builder(upstream).toml(&format!(
        r#"
[[apps]]
id = "{APP}"
dialect = "orcheo"
upstream = "chat"
origins = ["{SHOP}"]
workflows = [{{ id = "{WORKFLOW}", name = "Support" }}, {{ id = "{OTHER}" }}]
{lines}

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#
    ))
}

pub async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    (upstream, gate)
}

/// A service token with this scope, for these apps.
pub async fn service_token(gate: &Gate, scope: &str, apps: &[&str]) -> String {
    let made = made(gate, &json!({ "scopes": [scope], "apps": apps })).await;
    made["secret"].as_str().expect("a secret").to_owned()
}

/// A service token that is asked for so, as it is shown.
pub async fn made(gate: &Gate, asked: &Value) -> Value {
    let request = gate.private(Method::POST, "/admin/v1/service-tokens").bearer_auth(BOOTSTRAP);
    let answer = request.json(asked).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    json_of(answer).await
}

/// Asks for a token.
pub async fn session(gate: &Gate, secret: &str, body: &Value) -> Response {
    gate.private(Method::POST, SESSION).bearer_auth(secret).json(body).send().await.expect("an answer")
}

/// A token of an end user, bound to a workflow.
pub async fn token(gate: &Gate, end_user: &str, workflow: &str) -> String {
    let answer = session(gate, BOOTSTRAP, &json!({ "workflow_id": workflow, "user": { "id": end_user } })).await;
    assert_eq!(answer.status(), 200);
    json_of(answer).await["client_secret"].as_str().expect("a token").to_owned()
}

/// The body of the simplest request.
pub fn list() -> Value {
    json!({ "type": "threads.list", "params": {} })
}

/// That of one for a new thread.
pub fn create() -> Value {
    json!({ "type": "threads.create", "params": { "input": { "content": [], "attachments": [] } } })
}

/// A page's request.
pub fn page(gate: &Gate, token: &str, body: &Value) -> RequestBuilder {
    gate.chat(Method::POST, GATEWAY, token).json(body)
}

/// The code of a refusal in this dialect's shape.
pub async fn refused(answer: Response, status: u16) -> Value {
    let (got, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    assert_eq!(got, status, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["detail"].get("code").unwrap_or(&body["detail"]).clone()
}
