//! Mitigate's embeddable chat: visitors with an identity token, guests, and others.

mod challenge;
mod chats;
mod config;
mod identity;
mod limits;
mod mint;
mod modes;
mod refresh;
mod registry;

use std::sync::OnceLock;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sidegate::system::{RsaPair, System, new_rsa_pair};
use sidegate_core::clock::Clock as _;
use sidegate_core::dialect::mitigate::{MintingKeys, mint, new_jti};
use sidegate_core::token::jwe::{EncryptionKey, KeyManagement};
use sidegate_core::token::{Algorithm, KeyRing};

use secrecy::ExposeSecret as _;

use crate::support::gate::{Builder, Gate, SHOP};
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};

pub const WORKSPACE: &str = "ws_k3v9x1m7q2";
pub const SESSION: &str = "/api/v1/workspaces/ws_k3v9x1m7q2/session";
pub const REFRESH: &str = "/api/v1/workspaces/ws_k3v9x1m7q2/session/refresh";
pub const CONFIG: &str = "/api/v1/workspaces/ws_k3v9x1m7q2/widget-config";
pub const CHATS: &str = "/api/v1/chats";
/// Signs the gate's own tokens.
pub const KEY: &str = "a-key-of-the-tests-for-mitigate-0123456789";
pub const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";

/// The website's pair, the platform's, and those of the next rotation.
pub fn pairs() -> &'static [RsaPair; 4] {
    static PAIRS: OnceLock<[RsaPair; 4]> = OnceLock::new();
    PAIRS.get_or_init(|| std::array::from_fn(|_| new_rsa_pair().expect("a pair")))
}

pub fn private(pair: usize) -> &'static str {
    pairs()[pair].private.expose_secret()
}

pub fn public(pair: usize) -> &'static str {
    pairs()[pair].public.expose_secret()
}

/// A key in a configuration.
pub fn value(key: &str) -> String {
    format!("{{ value = \"\"\"\n{key}\"\"\" }}")
}

/// The keys of the workspace.
pub fn keys() -> String {
    format!("identity.encryption_keys = [{}]\nidentity.signing_keys = [{}]", value(private(1)), value(public(0)))
}

/// A gate with [`WORKSPACE`] beside the default app, with these lines in its table.
pub fn with_lines(upstream: &Upstream, lines: &str) -> Builder {
    Gate::builder(upstream).toml(&format!(
        r#"
[[apps]]
id = "{WORKSPACE}"
dialect = "mitigate"
upstream = "chat"
origins = ["{SHOP}"]
token.key = {{ value = "{KEY}" }}
{lines}

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#
    ))
}

/// Lines that take all visitors and lift the limits.
pub fn open() -> String {
    format!(
        "{}\nwidget.modes = [\"identified\", \"guest\", \"anonymous\"]\nlimits = {{ exchange = [], guest = [], chat = [] }}",
        keys()
    )
}

pub async fn started() -> (Upstream, Gate) {
    started_with(&open()).await
}

/// A gate whose upstream answers.
pub async fn started_with(lines: &str) -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let answer = json!({ "response": "Hello" });
    upstream.on(CHATS, Behaviour::answer(Reply::json(200, &answer)));
    let gate = with_lines(&upstream, lines).start().await;
    (upstream, gate)
}

/// What the website's own server makes.
pub fn minting(signing: usize, encryption: usize, management: KeyManagement) -> MintingKeys {
    let ring = KeyRing::new(Algorithm::Rs256, &private(signing).into()).expect("a key");
    let sealing = EncryptionKey::new(management, &public(encryption).into()).expect("a key");
    MintingKeys::new(ring, sealing).expect("keys")
}

pub fn token_with(keys: &MintingKeys, user: &str, access_token: Option<&str>) -> String {
    let (user, jti) = (user.parse().expect("an id"), new_jti(&System).expect("an id"));
    mint(keys, &user, access_token.map(Into::into).as_ref(), &jti, System.now(), &System).expect("a token").0
}

/// An identity token of the website's.
pub fn identity(user: &str) -> String {
    token_with(&minting(0, 1, KeyManagement::RsaOaep), user, None)
}

/// A page's request.
pub fn page(gate: &Gate, method: Method, path: &str) -> RequestBuilder {
    gate.public(method, path).header("origin", SHOP)
}

pub async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Comes in.
pub async fn enter(gate: &Gate, body: &Value) -> Response {
    sent(page(gate, Method::POST, SESSION).json(body)).await
}

/// What somebody gets who comes in or goes on.
pub async fn issued(answer: Response) -> Value {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.expect("text");
    assert_eq!(status, 200, "{text}");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["access-control-allow-origin"], SHOP);
    let issued: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(issued.as_object().expect("an object").len(), 4, "{issued}");
    issued
}

/// The token of somebody who comes in.
pub async fn entered(gate: &Gate, body: &Value) -> String {
    text(&issued(enter(gate, body).await).await["token"])
}

/// The token of a known user.
pub async fn known(gate: &Gate, user: &str) -> String {
    entered(gate, &json!({ "token": identity(user) })).await
}

pub fn guest() -> Value {
    json!({ "guest": { "name": "Ada Lovelace", "email": "ada@example.com", "consent": true } })
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_owned()
}

/// Chats.
pub async fn chat(gate: &Gate, token: &str, body: &Value) -> Response {
    sent(gate.chat(Method::POST, CHATS, token).json(body)).await
}

pub fn last(upstream: &Upstream) -> Recorded {
    upstream.take().pop().expect("a request")
}

/// Asserts a refusal in the vendor's shape; hands back its text.
pub async fn refused(answer: Response, status: u16, code: &str) -> String {
    let (got, body) = (answer.status().as_u16(), answer.text().await.expect("text"));
    assert_eq!(got, status, "{body}");
    let refusal: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (refusal.as_object().map(serde_json::Map::len), refusal["code"].as_str()),
        (Some(2), Some(code)),
        "{body}"
    );
    text(&refusal["error"])
}
