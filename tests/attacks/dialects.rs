//! A gate with an app of every dialect, a second one beside some, and what a visitor of each holds.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::siege::Siege;
use crate::support::admin::{self, BOOTSTRAP};
use crate::support::gate::{Builder, Gate, SHOP, json_of};
use crate::support::openssl::{KeyPair, options};

pub const WORKFLOW: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";
pub const BOT: &str = "ch_k3v9x1m7q2z8w4b6t0";
pub const WORKSPACE: &str = "ws_k3v9x1m7q2";
pub const ACCOUNT: &str = "acc_k3v9x1m7q2";
pub const IDENTITY: &str = "an-identity-secret-of-the-tests-0123456789";

/// An app of each dialect beside the default one, and a second of those whose dialect has two of them under one roof.
fn apps() -> String {
    let (signing, sealing) = (KeyPair::new(options("RS256")), KeyPair::new(options("RS256")));
    let mut toml = String::new();
    for number in ["", "2"] {
        let key = |name: &str| format!("{{ value = \"a-key-of-{name}-for-the-attacks{number}-0123456789\" }}");
        let app = |id: &str, dialect: &str, lines: &str| {
            format!(
                "[[apps]]\nid = \"{id}{number}\"\ndialect = \"{dialect}\"\nupstream = \"chat\"\norigins = [\"{SHOP}\"]\n\
                 {lines}\n{}\n",
                said(dialect)
            )
        };
        let keys = |pem: &str| format!("[{{ value = {} }}]", json!(pem));
        let workflow = if number.is_empty() { WORKFLOW } else { "11111111-1111-4111-8111-111111111111" };
        let orcheo = format!("token.key = {}\nworkflows = [{{ id = \"{workflow}\" }}]", key("orcheo"));
        let chat9 = format!("identity.secret = {{ value = \"{IDENTITY}{number}\" }}");
        let limits = "limits = { exchange = [], chat = [], guest = [] }";
        let mitigate = format!(
            "token.key = {}\nwidget.modes = [\"identified\", \"guest\", \"anonymous\"]\n{limits}\n\
             identity.encryption_keys = {}\nidentity.signing_keys = {}",
            key("mitigate"),
            keys(&sealing.private),
            keys(&signing.public)
        );
        let chatbotkit =
            format!("token.key = {}\nlimits = {{ exchange = [], chat = [], config = [] }}", key("chatbotkit"));
        let unlimited = "limits = { exchange = [], chat = [], history = [], escalate = [], config = [] }";
        toml += &app("support", "orcheo", &format!("{orcheo}\nlimits = {{ exchange = [], chat = [] }}"));
        toml += &app(BOT, "chat9", &format!("{chat9}\n{unlimited}"));
        // The pairs are of one workspace alone, and the API for widgets asks which account is meant where there are two.
        if number.is_empty() {
            toml += &app(WORKSPACE, "mitigate", &mitigate);
            toml += &app(ACCOUNT, "chatbotkit", &chatbotkit);
        }
    }
    toml += &app_of_sigmic();
    toml += &format!("[admin]\nbootstrap_token = {{ value = \"{BOOTSTRAP}\" }}\n");
    toml
}

/// Headers that tell the upstream what is said of a visitor: `X-USER-EMAIL` for `user.email`.
fn said(dialect: &str) -> String {
    let names: &[&str] = match dialect {
        "chat9" => &["user.email", "user.name", "user.plan_tier", "user.company", "user.locale", "unverified.locale"],
        "mitigate" => &["unverified.name", "unverified.email", "unverified.locale"],
        "chatbotkit" => &["unverified.name", "unverified.email", "unverified.phone", "user.meta"],
        _ => &["claims.sub"],
    };
    let header = |name: &&str| format!("X-{} = \"{{{{{name}?}}}}\"", name.replace(['.', '_'], "-"));
    format!("inject.headers = {{ {} }}", names.iter().map(header).collect::<Vec<_>>().join(", "))
}

fn app_of_sigmic() -> String {
    format!(
        "[[apps]]\nid = \"wapp_other\"\ndialect = \"sigmic\"\nupstream = \"chat\"\norigins = [\"{SHOP}\"]\n\
         token.key = {{ value = \"another-key-of-the-attacks-0123456789abcdef\" }}\n"
    )
}

/// All of that under siege, built with more.
pub async fn lay(build: impl FnOnce(Builder) -> Builder) -> Siege {
    let apps = apps();
    Siege::with(|gate| build(gate.toml(&apps))).await
}

/// What a visitor of one app shows, and where that is good.
#[derive(Debug)]
pub struct Held {
    pub dialect: &'static str,
    pub secret: String,
    /// A route where it admits, with `{secret}` in its query if it stands there.
    pub path: String,
    pub method: Method,
    pub body: Value,
}

impl Held {
    /// The route of this one, with what another one holds.
    pub fn shows(&self, gate: &Gate, secret: &str) -> RequestBuilder {
        let request = gate.public(self.method.clone(), &self.path.replace("{secret}", secret)).header("origin", SHOP);
        let request = if self.path.contains("{secret}") { request } else { request.bearer_auth(secret) };
        if self.body.is_null() { request } else { request.json(&self.body) }
    }
}

/// A page's request to open something.
pub async fn opened(gate: &Gate, path: &str, body: &Value) -> Value {
    let request = gate.public(Method::POST, path).header("origin", SHOP).json(body);
    let answer = request.send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned()
}

/// A widget of the account, for pages of [`SHOP`]; whether it asks its visitors who they are.
pub async fn widget(gate: &Gate, asks: bool) -> String {
    let path = "/api/v1/integration/widget/create";
    let fields = json!({ "botId": "bot_1", "origin": SHOP, "contactCollection": asks });
    let request = gate.private(Method::POST, path).bearer_auth(BOOTSTRAP).json(&fields);
    let answer = request.send().await.expect("an answer");
    let (status, made) = (answer.status(), answer.text().await.expect("text"));
    assert_eq!(status, 200, "{made}");
    text(&serde_json::from_str::<Value>(&made).expect("JSON")["id"])
}

/// What a visitor of each dialect holds.
pub async fn held(siege: &Siege) -> Vec<Held> {
    let gate = &siege.gate;
    let session = gate.private(Method::POST, "/api/chatkit/session").bearer_auth(BOOTSTRAP);
    let session = session.json(&json!({ "workflow_id": WORKFLOW, "user": { "id": "ada" } })).send().await;
    let orcheo = text(&json_of(session.expect("an answer")).await["client_secret"]);
    let chat9 = text(&opened(gate, "/widget/session/init", &json!({ "bot_id": BOT })).await["session_id"]);
    let mitigate = text(&opened(gate, &format!("/api/v1/workspaces/{WORKSPACE}/session"), &json!({})).await["token"]);
    let widget = widget(gate, false).await;
    let path = format!("/api/v1/integration/widget/{widget}/session/create");
    let chatbotkit = opened(gate, &path, &json!({})).await;
    let conversation = text(&chatbotkit["conversationId"]);
    let held =
        |dialect, secret, path: &str, method, body| Held { dialect, secret, path: path.to_owned(), method, body };
    vec![
        held("sigmic", siege.token.clone(), "/api/v1/tasks", Method::GET, Value::Null),
        held(
            "orcheo",
            orcheo,
            "/api/chatkit",
            Method::POST,
            json!({ "type": "threads.list", "params": {}, "workflow_id": WORKFLOW }),
        ),
        held(
            "chat9",
            chat9,
            &format!("/widget/chat?bot_id={BOT}&session_id={{secret}}"),
            Method::POST,
            json!({ "message": "hi" }),
        ),
        held("mitigate", mitigate, "/api/v1/chats", Method::POST, json!({ "prompt": "hi" })),
        held(
            "chatbotkit",
            text(&chatbotkit["token"]),
            &format!("/api/v1/conversation/{conversation}/complete"),
            Method::POST,
            json!({ "text": "hi" }),
        ),
    ]
}

/// A service token of the gate's own API.
pub async fn service_token(gate: &Gate) -> String {
    admin::service_token(gate, &["admin:tokens:read"], &[]).await
}
