//! `/api/admin/service-tokens` (contract 5.3): the gate's service tokens, as the backend's API has them.

use std::collections::BTreeMap;

use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{APP, BOOTSTRAP, SESSION, WORKFLOW, made, refused, session, started};
use crate::support::cases::cases;
use crate::support::gate::{Gate, json_of};
use crate::support::redis::until;

const TOKENS: &str = "/api/admin/service-tokens";
/// The members of every answer.
const MEMBERS: [&str; 12] = [
    "expires_at",
    "identifier",
    "issued_at",
    "last_used_at",
    "message",
    "revocation_reason",
    "revoked_at",
    "rotated_to",
    "scopes",
    "secret",
    "use_count",
    "workspace_ids",
];

/// A refusal.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    status: u16,
    code: Value,
}

fn get() -> String {
    "GET".to_owned()
}

async fn call(gate: &Gate, secret: &str, method: Method, path: &str, body: Option<&Value>) -> Response {
    let request = gate.private(method, &format!("{TOKENS}{path}")).bearer_auth(secret);
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    request.send().await.expect("an answer")
}

/// Asks as the bootstrap token and is answered.
async fn done(gate: &Gate, method: Method, path: &str, body: Option<&Value>, status: u16) -> Value {
    let answer = call(gate, BOOTSTRAP, method, path, body).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let (got, text) = (answer.status().as_u16(), answer.text().await.expect("a text"));
    assert_eq!(got, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn is_let_in(gate: &Gate, secret: &str) -> bool {
    let answer = session(gate, secret, &json!({ "workflow_id": WORKFLOW })).await;
    let status = answer.status();
    assert!(status == 200 || refused(answer, 401).await == "auth.invalid_token");
    status == 200
}

/// The secrets that the cases show, by their names.
async fn callers(gate: &Gate) -> BTreeMap<&'static str, String> {
    let of = async |body: Value| made(gate, &body).await["secret"].as_str().expect("a secret").to_owned();
    let both = ["admin:tokens:write", "chatkit:session"];
    let callers = BTreeMap::from([
        ("admin", BOOTSTRAP.to_owned()),
        ("session", of(json!({ "id": "ops", "scopes": ["chatkit:session"] })).await),
        ("reader", of(json!({ "scopes": ["admin:tokens:read"] })).await),
        ("of_app", of(json!({ "scopes": both, "apps": [APP] })).await),
        ("of_workspace", of(json!({ "scopes": both, "workspaces": ["acme"] })).await),
        ("expired", of(json!({ "scopes": ["admin:tokens:read"], "expires_in": "1s" })).await),
        ("revoked", of(json!({ "id": "ended", "scopes": ["admin:tokens:read"] })).await),
    ]);
    let ended = call(gate, BOOTSTRAP, Method::DELETE, "/ended", Some(&json!({ "reason": "x" }))).await;
    assert_eq!(ended.status(), 204);
    let expired = &callers["expired"];
    until("it has expired", async || call(gate, expired, Method::GET, "", None).await.status() == 403).await;
    callers
}

#[tokio::test]
async fn every_refusal_has_the_vendors_status_and_code() {
    let (_upstream, gate) = started().await;
    let callers = callers(&gate).await;
    for case in cases::<Case>("orcheo/service_tokens.json") {
        println!("{}", case.name);
        let mut request = gate.private(case.method.parse().expect("a method"), &format!("{TOKENS}{}", case.path));
        for (name, value) in &case.headers {
            let put = |text: String, (name, secret): (&&str, &String)| text.replace(&format!("{{{name}}}"), secret);
            request = request.header(name, callers.iter().fold(value.clone(), put));
        }
        if let Some(body) = &case.body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/json");
        if case.status == 401 {
            assert!(answer.headers()["www-authenticate"].to_str().expect("text").starts_with("Bearer"));
        }
        let code = refused(answer, case.status).await;
        match &case.code {
            Value::Null => assert!(code.is_array() && code[0]["input"].is_null(), "a list of faults: {code}"),
            named => assert_eq!(code, *named),
        }
    }
    for (body, kind) in [("{", "application/json"), ("scopes=x", "application/x-www-form-urlencoded")] {
        let request = gate.private(Method::POST, TOKENS).bearer_auth(BOOTSTRAP).header("content-type", kind);
        assert!(refused(request.body(body).send().await.expect("an answer"), 422).await.is_array(), "{body}");
    }
}

#[tokio::test]
async fn a_token_is_made_shown_once_and_listed_without_its_secret() {
    let (_upstream, gate) = started().await;
    let asked = json!({
        "identifier": "chatkit-embed-proxy", "scopes": ["chatkit:session", "chatkit:session"],
        "workspace_ids": [], "expires_in_seconds": 3_600,
    });
    let mut created = done(&gate, Method::POST, "", Some(&asked), 201).await;
    let members: Vec<_> = created.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, MEMBERS);
    let secret = created["secret"].take().as_str().expect("a secret").to_owned();
    assert!(created["message"].take().is_string() && secret.starts_with("sgst_"));
    assert_eq!((&created["scopes"], &created["use_count"]), (&json!(["chatkit:session"]), &json!(0)));
    let life = |token: &Value| {
        let second = |name: &str| token[name].as_str().expect("a time")[..19].to_owned();
        (second("issued_at"), second("expires_at"))
    };
    let (issued, expires) = life(&created);
    assert!(issued < expires && created["issued_at"].as_str().expect("a time").ends_with("000Z"), "{created}");
    assert_eq!(done(&gate, Method::GET, "/chatkit-embed-proxy", None, 200).await, created, "and no secret");
    let second = json!({ "name": "second", "scopes": ["admin:revoke", "admin:apps:read"] });
    done(&gate, Method::POST, "", Some(&second), 201).await;
    let list = done(&gate, Method::GET, "", None, 200).await;
    assert_eq!((&list["total"], &list["tokens"][0]), (&json!(2), &created));
    assert_eq!(list["tokens"][1]["scopes"], json!(["admin:apps:read", "admin:revoke"]), "in order");
    let unnamed = done(&gate, Method::POST, "", Some(&json!({ "scopes": ["admin:revoke"] })), 201).await;
    assert!(unnamed["identifier"].as_str().is_some_and(|name| name.starts_with("st_")), "{unnamed}");
    assert!(is_let_in(&gate, &secret).await);
    let used = done(&gate, Method::GET, "/chatkit-embed-proxy", None, 200).await;
    assert_eq!(used["use_count"], 1);
    assert!(used["last_used_at"].is_string(), "{used}");
    assert!(!list.to_string().contains(&secret) && !gate.output().contains(&secret));
}

#[tokio::test]
async fn a_rotation_keeps_the_name_and_ends_the_old_secret_when_it_says_so() {
    let (_upstream, gate) = started().await;
    let asked = json!({ "identifier": "ops", "scopes": ["chatkit:session"] });
    let first = done(&gate, Method::POST, "", Some(&asked), 201).await;
    let rotate = async |body: Value| done(&gate, Method::POST, "/ops/rotate", Some(&body), 200).await;
    let secret = |token: &Value| token["secret"].as_str().expect("a secret").to_owned();
    let second = rotate(json!({})).await;
    assert_eq!((&second["identifier"], &second["rotated_to"]), (&json!("ops"), &Value::Null));
    assert!(second["message"].as_str().is_some_and(|said| said.contains("300 s")), "{second}");
    assert!(is_let_in(&gate, &secret(&first)).await && is_let_in(&gate, &secret(&second)).await);
    let third = rotate(json!({ "overlap_seconds": 0, "expires_in_seconds": 60 })).await;
    assert_eq!(third["identifier"], "ops");
    assert!(third["expires_at"].is_string(), "{third}");
    assert!(!is_let_in(&gate, &secret(&first)).await && !is_let_in(&gate, &secret(&second)).await, "at once");
    assert!(is_let_in(&gate, &secret(&third)).await);
    assert_eq!(done(&gate, Method::GET, "", None, 200).await["total"], 1);
}

#[tokio::test]
async fn both_apis_speak_of_the_same_tokens() {
    let (_upstream, gate) = started().await;
    let own = made(&gate, &json!({ "id": "own", "scopes": ["chatkit:session"], "apps": [APP] })).await;
    let shown = done(&gate, Method::GET, "/own", None, 200).await;
    assert_eq!((&shown["identifier"], &shown["apps"]), (&json!("own"), &json!([APP])), "its bounds are not left out");
    let secret = own["secret"].as_str().expect("a secret");
    let ended = call(&gate, BOOTSTRAP, Method::DELETE, "/own", Some(&json!({ "reason": "leaked" }))).await;
    assert_eq!((ended.status().as_u16(), ended.text().await.expect("a text").as_str()), (204, ""));
    assert_eq!(refused(session(&gate, secret, &json!({})).await, 403).await, "auth.token_revoked");
    let native = gate.private(Method::GET, "/admin/v1/service-tokens/own").bearer_auth(BOOTSTRAP).send().await;
    let native = json_of(native.expect("an answer")).await;
    let shown = done(&gate, Method::GET, "/own", None, 200).await;
    for shown in [&native, &shown] {
        assert_eq!(shown["revocation_reason"], "leaked");
        assert!(shown["revoked_at"].is_string());
    }
    let bare = made(&gate, &json!({ "id": "bare", "scopes": ["chatkit:session"], "workspaces": ["b", "a"] })).await;
    assert_eq!(bare["workspaces"], json!(["a", "b"]));
    assert_eq!(done(&gate, Method::GET, "/bare", None, 200).await["workspace_ids"], json!(["a", "b"]));
    assert_eq!(call(&gate, BOOTSTRAP, Method::DELETE, "/bare", None).await.status(), 204, "a reason may be left out");
}

#[tokio::test]
async fn the_log_has_the_route_and_no_name_and_pages_have_no_part_in_it() {
    let (_upstream, gate) = started().await;
    made(&gate, &json!({ "id": "canary-name", "scopes": [SCOPE] })).await;
    let answer = call(&gate, BOOTSTRAP, Method::GET, "/canary-name", None).await;
    let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    let line: Value = serde_json::from_str(&gate.wait_for_line(&id).await).expect("JSON");
    assert_eq!((&line["route"], &line["status"]), (&json!(TOKENS), &json!(200)));
    assert!(!gate.output().contains("canary"));
    let page = gate.private(Method::GET, TOKENS).bearer_auth(BOOTSTRAP).header("origin", "http://localhost");
    assert_eq!(page.send().await.expect("an answer").status(), 403);
    for path in [TOKENS, SESSION] {
        let public = gate.public(Method::GET, path).bearer_auth(BOOTSTRAP).send().await.expect("an answer");
        assert_eq!(public.status(), 404, "{path}");
    }
}

const SCOPE: &str = "chatkit:session";
