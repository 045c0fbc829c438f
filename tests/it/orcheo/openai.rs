//! Apps whose tokens OpenAI makes (contract 6): the scripted upstream is `api.openai.com`.

mod client;
mod pages;
mod servers;
mod settings;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sidegate_core::secret::SecretDigest;

use super::BOOTSTRAP;
use crate::support::gate::{Builder, Gate, SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};

const APP: &str = "studio";
const WORKFLOW: &str = "wf_68df4b13b3588190a09d19288d4610ec0df388c3983f58d1";
const OTHER: &str = "wf_2";
const KEY: &str = "sk-canary-0123456789abcdef";
const START: &str = "/api/chatkit/start";
const REFRESH: &str = "/api/chatkit/refresh";
const REALTIME: &str = "/api/realtime/client_secrets";
const SESSIONS: &str = "/v1/chatkit/sessions";
const CLIENT_SECRETS: &str = "/v1/realtime/client_secrets";

/// What pages show to the customer's site.
const SITE: &str = "site-0123456789abcdef0123456789abcdef";

/// After this century.
const LATE: u64 = 4_102_444_800;

/// The tables of an app that hands out tokens to pages.
fn app(id: &str, workflows: &str, lines: &str) -> String {
    let digest = SecretDigest::of(&SITE.into());
    format!(
        r#"
[[apps]]
id = "{id}"
dialect = "orcheo"
upstream = "openai"
authority = "upstream"
vendor = "openai"
origins = ["{SHOP}"]
allow_missing_origin = false
workflows = {workflows}
{lines}
[apps.authorize]
kind = "secret"
header = "X-Site"
secret_digests = ["{digest}"]
end_user_header = "X-User"
[apps.trade]
credential = {{ value = "{KEY}" }}
"#
    )
}

fn workflows() -> String {
    format!(r#"[{{ id = "{WORKFLOW}", version = "2" }}, {{ id = "{OTHER}" }}]"#)
}

/// What its sessions may have.
const SETTINGS: &str = r#"
[apps.trade.session]
expires_after = "10m"
max_requests_per_minute = 10
state_variables = { plan = "pro" }
file_upload = { max_files = 3, max_file_size = 25 }
history = { enabled = false }
[apps.trade.realtime]
expires_after = "2m"
type = "realtime"
model = "gpt-realtime"
"#;

/// A gate with these apps beside the default one.
fn with_apps(upstream: &Upstream, apps: &str) -> Builder {
    Gate::builder(upstream).toml(&format!(
        r#"
[[upstreams]]
name = "openai"
url = "{}/v1"
{apps}
[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#,
        upstream.url()
    ))
}

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = with_apps(&upstream, &format!("{}{SETTINGS}", app(APP, &workflows(), ""))).start().await;
    (upstream, gate)
}

/// A session as OpenAI answers it.
fn session(id: &str, secret: &str) -> Value {
    json!({
        "id": id, "object": "chatkit.session", "client_secret": secret, "expires_at": LATE, "user": "ada",
        "workflow": { "id": WORKFLOW, "version": "2", "state_variables": null, "tracing": { "enabled": true } },
        "rate_limits": { "max_requests_per_1_minute": 10 }, "max_requests_per_1_minute": 10, "status": "active",
        "chatkit_configuration": { "automatic_thread_titling": { "enabled": true },
            "file_upload": { "enabled": false, "max_file_size": 512, "max_files": 10 },
            "history": { "enabled": true, "recent_threads": null } },
    })
}

fn answer(body: &Value) -> Behaviour {
    Behaviour::answer(Reply::json(200, body))
}

/// A page's request; of an end user whom the customer's site knows.
fn page(gate: &Gate, path: &str, end_user: &str) -> RequestBuilder {
    visitor(gate, path).header("x-user", end_user)
}

/// A page's request, of somebody whom nobody knows.
fn visitor(gate: &Gate, path: &str) -> RequestBuilder {
    gate.public(Method::POST, path).header("origin", SHOP).header("x-site", SITE)
}

/// A request of a customer's server.
fn server(gate: &Gate, path: &str, token: &str, body: &Value) -> RequestBuilder {
    gate.private(Method::POST, path).bearer_auth(token).json(body)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// The secret of an answer to a page.
async fn secret_of(request: RequestBuilder) -> String {
    let answer = sent(request).await;
    assert_eq!(answer.status(), 200);
    let answer = json_of(answer).await;
    assert_eq!(answer["token"], answer["client_secret"], "under both names");
    answer["client_secret"].as_str().expect("a secret").to_owned()
}

/// Asserts a refusal in OpenAI's shape: its status and type. Hands back its code.
async fn refused(answer: Response, status: u16, kind: &str) -> String {
    let (got, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    assert_eq!(got, status, "{text}");
    assert!(!text.contains("canary"), "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    let error = body["error"].as_object().expect("an error");
    assert!(error.len() == 4 && error["message"].is_string() && error["param"].is_null(), "{text}");
    assert_eq!(error["type"], kind, "{text}");
    error["code"].as_str().expect("a code").to_owned()
}
