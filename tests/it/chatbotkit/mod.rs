//! ChatBotKit's widgets: their API, the sessions that pages open with them, and the conversations behind.

mod api;
mod blueprints;
mod contact;
mod conversation;
mod frames;
mod languages;
mod list;
mod openapi;
mod passed;
mod replay;
mod replicas;
mod servers;
mod session;
mod usage;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::admin::{BOOTSTRAP, call};
use crate::support::gate::{Builder, Gate, SHOP};
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};

/// The account, which is the app.
pub const ACCOUNT: &str = "acc_k3v9x1m7q2";
pub const KEY: &str = "a-key-of-the-tests-for-widgets-0123456789ab";
pub const WIDGETS: &str = "/api/v1/integration/widget";
pub const BLUEPRINTS: &str = "/api/v1/blueprint";

/// A gate with [`ACCOUNT`] beside the default app, with these lines in its table.
pub fn with_lines(upstream: &Upstream, lines: &str) -> Builder {
    Gate::builder(upstream).toml(&format!(
        r#"
[[apps]]
id = "{ACCOUNT}"
dialect = "chatbotkit"
upstream = "chat"
token.key = {{ value = "{KEY}" }}
{lines}

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#
    ))
}

/// Lines that lift the limits.
pub const OPEN: &str = "limits = { exchange = [], chat = [], config = [] }";

pub async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = with_lines(&upstream, OPEN).start().await;
    (upstream, gate)
}

/// A call of the API.
pub async fn api(gate: &Gate, method: Method, path: &str, body: Value) -> Response {
    call(gate, BOOTSTRAP, method, path, body).await
}

pub async fn json_of(answer: Response) -> Value {
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// Makes a widget; its id.
pub async fn widget(gate: &Gate, fields: Value) -> String {
    made(gate, WIDGETS, fields).await
}

pub async fn made(gate: &Gate, base: &str, fields: Value) -> String {
    let made = json_of(api(gate, Method::POST, &format!("{base}/create"), fields).await).await;
    assert_eq!(made.as_object().map(serde_json::Map::len), Some(1), "{made}");
    text(&made["id"])
}

/// A widget that can open sessions from [`SHOP`].
pub async fn shop(gate: &Gate, more: Value) -> String {
    let mut fields = json!({ "botId": "bot_1", "origin": SHOP });
    fields.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    widget(gate, fields).await
}

/// A page's request.
pub fn page(gate: &Gate, method: Method, path: &str) -> RequestBuilder {
    gate.public(method, path).header("origin", SHOP)
}

pub fn create_path(widget: &str) -> String {
    format!("{WIDGETS}/{widget}/session/create")
}

/// Opens a session as a page of [`SHOP`] does.
pub async fn open(gate: &Gate, widget: &str, body: &Value) -> Response {
    page(gate, Method::POST, &create_path(widget)).json(body).send().await.expect("an answer")
}

/// A session that was opened.
pub async fn opened(gate: &Gate, widget: &str, body: &Value) -> Value {
    json_of(open(gate, widget, body).await).await
}

/// Says something in a session's conversation.
pub async fn say(gate: &Gate, session: &Value, leaf: &str, body: &Value) -> Response {
    let path = format!("/api/v1/conversation/{}/{leaf}", text(&session["conversationId"]));
    let request = page(gate, Method::POST, &path).bearer_auth(text(&session["token"]));
    request.json(body).send().await.expect("an answer")
}

/// The upstream says this to whatever is completed in a conversation.
pub fn answers(upstream: &Upstream, reply: &str) {
    upstream.always(Behaviour::answer(Reply::json(200, &json!({ "text": reply }))));
}

pub fn last(upstream: &Upstream) -> Recorded {
    upstream.take().pop().expect("a request")
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned()
}

/// Asserts a refusal in the vendor's shape; hands back its message.
pub async fn refused(answer: Response, status: u16, code: &str, failure: &str) -> String {
    let (got, header) = (answer.status().as_u16(), answer.headers().get("x-failure-code").cloned());
    let body = answer.text().await.expect("text");
    assert_eq!(got, status, "{body}");
    let refusal: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((refusal.as_object().map(serde_json::Map::len), &refusal["code"]), (Some(2), &json!(code)), "{body}");
    assert_eq!(header.expect("a code"), failure, "{body}");
    text(&refusal["message"])
}
