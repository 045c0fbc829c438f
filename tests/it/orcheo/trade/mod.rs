//! `authority = "upstream"`: the gate fetches the vendor's tokens, as the customer's server in the vendor's guide.

mod authorize;
mod failures;
mod shared;
mod urls;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{APP, BOOTSTRAP, OTHER, SESSION, UNLISTED, WORKFLOW, refused, service_token};
use crate::support::forge;
use crate::support::gate::{Builder, Gate, PATIENCE, SHOP, json_of};
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};
use crate::support::{jwcrypto, jwt};

pub const TOKEN: &str = "/chatkit-token";
/// What the gate shows to the upstream.
const CREDENTIAL: &str = "orcheo-service-token-canary-0123456789";
/// Signs the logins of the customer's site.
const LOGIN_KEY: &str = "the-key-of-the-customers-logins-0123456789";
const BY_JWT: &str = r#"authorize = { kind = "jwt", header = "X-Login", algorithm = "HS256", keys = [{ value = "the-key-of-the-customers-logins-0123456789" }] }"#;

/// A gate with an app whose upstream makes the tokens, with these lines in its table; without limits unless they
/// set any.
fn builder(upstream: &Upstream, lines: &str) -> Builder {
    let limits = if lines.contains("limits") { "" } else { "limits = { exchange = [], authorize = [] }" };
    Gate::builder(upstream).toml(&format!(
        r#"
[[apps]]
id = "{APP}"
dialect = "orcheo"
authority = "upstream"
upstream = "chat"
origins = ["{SHOP}"]
workflows = [{{ id = "{WORKFLOW}", name = "Support" }}, {{ id = "{OTHER}" }}]
trade.credential = {{ value = "{CREDENTIAL}" }}
{lines}
{limits}

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#
    ))
}

async fn started(lines: &str) -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    upstream.on(SESSION, Behaviour::answer(made("eyJ.first.token", 300)));
    let gate = builder(&upstream, lines).start().await;
    (upstream, gate)
}

/// The answer of a backend that has made a token which lives this many seconds.
fn made(token: &str, seconds: u64) -> Reply {
    let expires_at = sidegate_core::clock::Timestamp::from_seconds(forge::now() + seconds);
    let expires_at = expires_at.rfc3339_millis().expect("a date");
    Reply::json(200, &json!({ "client_secret": token, "expires_at": expires_at }))
}

/// A page's request for a token.
fn ask(gate: &Gate, query: &str) -> RequestBuilder {
    gate.public(Method::POST, &format!("{TOKEN}{query}")).header("origin", SHOP)
}

/// The same of somebody who has logged in at the customer's site.
fn ask_as(gate: &Gate, end_user: &str, query: &str) -> RequestBuilder {
    let login = jwt::sign(&json!({ "sub": end_user, "exp": forge::now() + 60 }), LOGIN_KEY);
    ask(gate, query).header("x-login", login)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn token_of(request: RequestBuilder) -> String {
    let answer = sent(request).await;
    assert_eq!(answer.status(), 200);
    json_of(answer).await["client_secret"].as_str().expect("a token").to_owned()
}

/// Waits until `ready` says so of the metrics; they are in the text that it gets.
async fn metrics_until(gate: &Gate, ready: impl Fn(&str) -> bool) {
    let reached = async {
        loop {
            let text = sent(gate.ops("/metrics")).await.text().await.expect("text");
            if ready(&text) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the metrics come to say so");
}

fn users(requests: &[Recorded]) -> Vec<String> {
    requests.iter().map(|request| request.json()["user"]["id"].as_str().expect("an end user").to_owned()).collect()
}

#[tokio::test]
async fn a_page_gets_the_vendors_token_under_both_names() {
    let (upstream, gate) = started(BY_JWT).await;
    let request = ask_as(&gate, "ada", "").header("cookie", "a=b").header("authorization", "Bearer page");
    let answer = sent(request.body("{\"currentClientSecret\":\"old\"}")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body = json_of(answer).await;
    assert_eq!((&body["client_secret"], &body["token"]), (&json!("eyJ.first.token"), &json!("eyJ.first.token")));
    let expires_at = body["expires_at"].as_str().expect("text");
    assert!(sidegate_core::clock::Timestamp::from_rfc3339(expires_at).is_some(), "{expires_at}");

    let seen = upstream.take().pop().expect("a request");
    assert_eq!((&seen.method, seen.uri.path()), (&Method::POST, SESSION));
    assert_eq!(seen.header("authorization"), format!("Bearer {CREDENTIAL}"));
    assert_eq!(seen.header("content-type"), "application/json");
    for absent in ["cookie", "origin", "x-login"] {
        assert_eq!(seen.header(absent), "", "{absent}");
    }
    assert_eq!(seen.json(), json!({ "workflow_id": WORKFLOW, "user": { "id": "ada" } }));
}

#[tokio::test]
async fn a_token_is_bound_to_a_listed_workflow_or_the_default() {
    let (upstream, gate) = started(BY_JWT).await;
    for (query, workflow) in [
        (String::new(), WORKFLOW),
        (format!("?workflow_id={OTHER}"), OTHER),
        (format!("?a=b&workflowId={}", OTHER.to_uppercase()), OTHER),
    ] {
        token_of(ask_as(&gate, &format!("user of {query}"), &query)).await;
        assert_eq!(upstream.take().pop().expect("a request").json()["workflow_id"], workflow, "{query}");
    }
    for (query, status, code) in [
        (format!("?workflow_id={UNLISTED}"), 404, json!("Workflow not found")),
        (format!("?workflow_id={OTHER}&workflow_id={WORKFLOW}"), 422, Value::Null),
        (format!("?workflow_id={OTHER}&workflowId={OTHER}"), 422, Value::Null),
        ("?workflow_id=".to_owned(), 422, Value::Null),
        ("?workflow_id=wf_123".to_owned(), 404, json!("Workflow not found")),
        ("?workflow_id=null".to_owned(), 422, Value::Null),
    ] {
        let answer = sent(ask_as(&gate, "ada", &query)).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP, "{query}");
        let named = refused(answer, status).await;
        assert!(named == code || (code.is_null() && named.is_array()), "{query}: {named}");
    }
    assert_eq!(upstream.take().len(), 0);
}

#[tokio::test]
async fn the_customers_servers_get_it_on_the_private_listener() {
    let (upstream, gate) = started("").await;
    let secret = service_token(&gate, "chatkit:session", &[APP]).await;
    let server = |path: &str| gate.private(Method::POST, path).bearer_auth(&secret);
    let body = json!({ "workflow_id": OTHER, "user": { "id": "ada" }, "current_client_secret": "old" });
    assert_eq!(token_of(server(SESSION).json(&body)).await, "eyJ.first.token");
    assert_eq!(upstream.take().pop().expect("one").json(), json!({ "workflow_id": OTHER, "user": { "id": "ada" } }));
    // The same token again, by the other route.
    token_of(server(&format!("{TOKEN}?workflow_id={OTHER}")).json(&json!({ "user": { "id": "ada" } }))).await;
    assert_eq!(upstream.take().len(), 0);
    // What is said beside is for this one token.
    let more = json!({ "user": { "id": "ada", "name": "Ada" }, "metadata": { "plan": "pro" } });
    token_of(server(TOKEN).json(&more)).await;
    let expected = json!({ "workflow_id": WORKFLOW, "user": more["user"], "metadata": more["metadata"] });
    assert_eq!(upstream.take().pop().expect("one").json(), expected);

    // A bound that the upstream would not hold is not asked for in vain.
    let bounded = json!({ "user": { "id": "ada" }, "leash": { "messages": 1 } });
    let said = refused(sent(server(TOKEN).json(&bounded)).await, 422).await;
    assert_eq!(said[0]["msg"], "leash: the upstream makes the tokens of this app, and they carry none");
    let reader = service_token(&gate, "admin:apps:read", &[]).await;
    let answer = sent(gate.private(Method::POST, TOKEN).bearer_auth(reader)).await;
    assert_eq!(refused(answer, 403).await, "auth.missing_scope");
    assert_eq!(refused(sent(gate.private(Method::POST, TOKEN)).await, 401).await, "auth.missing_token");
    // No rule, no tokens for pages.
    assert_eq!(refused(sent(ask(&gate, &format!("?workflow_id={OTHER}"))).await, 404).await, "sidegate.not_found");
    assert_eq!(upstream.take().len(), 0);
}

#[tokio::test]
async fn where_the_gate_signs_a_page_gets_the_gates_own_token() {
    let upstream = Upstream::start().await;
    upstream.on(super::GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "data": [], "has_more": false }))));
    let lines = format!("token.key = {{ value = \"{}\" }}\n{BY_JWT}", super::KEY);
    let gate = super::with_app(&upstream, &lines).start().await;
    let token = token_of(ask_as(&gate, "ada", &format!("?workflow_id={OTHER}"))).await;
    let claims = &jwcrypto::verify(&token, "HS256", super::KEY)["claims"];
    assert_eq!((&claims["sub"], &claims["chatkit"]["workflow_id"]), (&json!("ada"), &json!(OTHER)));
    let list = json!({ "type": "threads.list", "params": {} });
    assert_eq!(sent(super::page(&gate, &token, &list)).await.status(), 200);
    assert_eq!(upstream.take().pop().expect("a request").json()["workflow_id"], OTHER);
}
