//! Chat9's widget API: sessions of visitors for whom a token vouches, and of others.

mod chat;
mod config;
mod ended;
mod frames;
mod identity;
mod init;
mod limits;
mod mint;
mod refused;
mod registry;
mod resume;
mod secrets;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::gate::{Builder, Gate, SHOP, json_of};
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};

pub const INIT: &str = "/widget/session/init";
pub const BOT: &str = "ch_k3v9x1m7q2z8w4b6t0";
/// An app of the same dialect that identifies nobody.
pub const OTHER: &str = "ch_other";
pub const IDENTITY: &str = "an-identity-secret-of-the-tests-0123456789";
pub const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";

/// A gate with [`BOT`] and [`OTHER`] beside the default app, with these lines in the table of the first.
pub fn with_lines(upstream: &Upstream, lines: &str) -> Builder {
    Gate::builder(upstream).toml(&format!(
        r#"
[[apps]]
id = "{BOT}"
dialect = "chat9"
upstream = "chat"
origins = ["{SHOP}"]
identity.secret = {{ value = "{IDENTITY}" }}
{lines}

[[apps]]
id = "{OTHER}"
dialect = "chat9"
upstream = "chat"
origins = ["{SHOP}", "https://other.example.com"]

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#
    ))
}

/// Lines that lift the limits, for tests that ask often.
pub const UNLIMITED: &str = "limits = { exchange = [], chat = [], history = [], escalate = [], config = [] }";

/// A gate whose upstream answers messages with a JSON reply.
pub async fn started() -> (Upstream, Gate) {
    started_with(UNLIMITED).await
}

pub async fn started_with(lines: &str) -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    for (path, answer) in [
        ("/widget/chat", json!({ "text": "Hello", "session_id": "x", "chat_ended": false })),
        ("/widget/history", json!({ "session_id": "x", "messages": [], "chat_ended": false, "ticket_number": null })),
        ("/widget/escalate", json!({ "message": "Soon", "ticket_number": "T-1" })),
        ("/widget/config", json!({ "link_safety_enabled": false })),
        ("/widget/health", json!({ "status": "ok" })),
    ] {
        upstream.on(path, Behaviour::answer(Reply::json(200, &answer)));
    }
    let gate = with_lines(&upstream, lines).start().await;
    (upstream, gate)
}

/// A page's request.
pub fn page(gate: &Gate, method: Method, path: &str) -> RequestBuilder {
    gate.public(method, path).header("origin", SHOP)
}

pub async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Asks for a session.
pub async fn init(gate: &Gate, body: &Value) -> Response {
    sent(page(gate, Method::POST, INIT).json(body)).await
}

/// The session that a page gets, and its mode.
pub async fn opened(gate: &Gate, body: &Value) -> (String, String) {
    let answer = init(gate, body).await;
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let member = |name: &str| answer[name].as_str().expect("a text").to_owned();
    assert_eq!(answer.as_object().expect("an object").len(), 2, "{answer}");
    (member("session_id"), member("mode"))
}

/// A session of somebody whom nobody knows.
pub async fn anonymous(gate: &Gate) -> String {
    let (session, mode) = opened(gate, &json!({ "bot_id": BOT })).await;
    assert_eq!(mode, "anonymous");
    session
}

/// A session of somebody for whom this token vouches.
pub async fn identified(gate: &Gate, token: &str) -> String {
    let (session, mode) = opened(gate, &json!({ "bot_id": BOT, "identity_token": token })).await;
    assert_eq!(mode, "identified");
    session
}

/// An identity token that the gate makes.
pub async fn token(gate: &Gate, asked: &Value) -> String {
    let request = gate.private(Method::POST, &format!("/v1/apps/{BOT}/identity-tokens")).bearer_auth(BOOTSTRAP);
    let answer = sent(request.json(asked)).await;
    assert_eq!(answer.status(), 200);
    json_of(answer).await["identity_token"].as_str().expect("a token").to_owned()
}

/// A path of a session.
pub fn of(path: &str, session: &str) -> String {
    format!("/widget/{path}?bot_id={BOT}&session_id={session}")
}

/// Says something.
pub async fn say(gate: &Gate, session: &str, message: &str) -> Response {
    sent(page(gate, Method::POST, &of("chat", session)).json(&json!({ "message": message }))).await
}

pub async fn last(upstream: &Upstream) -> Recorded {
    upstream.take().pop().expect("a request")
}

/// Asserts a refusal with one of the vendor's codes.
pub async fn refused(answer: Response, status: u16, code: &str) {
    let (got, text) = (answer.status().as_u16(), answer.text().await.expect("text"));
    assert_eq!(got, status, "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["detail"]["code"], code, "{text}");
}
