//! `POST /api/chatkit/session` (contract 5.1): who may ask, what is asked for, and what the token says.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    APP, BOOTSTRAP, KEY, OTHER, SESSION, UNLISTED, WORKFLOW, builder, made, refused, service_token, session, started,
    with_app,
};
use crate::support::cases::cases;
use crate::support::gate::{Gate, json_of, sidegate};
use crate::support::jwcrypto;
use crate::support::redis::until;
use crate::support::upstream::Upstream;

/// A row of the contract's table of errors.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default = "post")]
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    status: u16,
    code: Value,
}

fn post() -> String {
    "POST".to_owned()
}

#[tokio::test]
async fn every_fault_has_the_vendors_status_and_code() {
    let (_upstream, gate) = started().await;
    let reader = service_token(&gate, "admin:apps:read", &[]).await;
    let secret = |made: Value| made["secret"].as_str().expect("a secret").to_owned();
    let body = json!({ "scopes": ["chatkit:session"], "workspaces": ["elsewhere"] });
    let elsewhere = secret(made(&gate, &body).await);
    let expired = secret(made(&gate, &json!({ "scopes": ["chatkit:session"], "expires_in": "1s" })).await);
    until("it has expired", async || session(&gate, &expired, &json!({})).await.status() == 403).await;
    for case in cases::<Case>("orcheo/session.json") {
        println!("{}", case.name);
        let mut request = gate.private(case.method.parse().expect("a method"), SESSION).body(case.body);
        for (name, value) in &case.headers {
            let value = value.replace("{service}", BOOTSTRAP).replace("{reader}", &reader);
            let value = value.replace("{expired}", &expired).replace("{elsewhere}", &elsewhere);
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        if case.status == 401 {
            assert!(answer.headers()["www-authenticate"].to_str().expect("text").starts_with("Bearer"));
        }
        let code = refused(answer, case.status).await;
        match &case.code {
            Value::Null => assert!(code.is_array(), "a list of faults: {code}"),
            named => assert_eq!(code, *named),
        }
    }
}

/// The token of an answer, checked by another library: its claims.
pub fn claims(answer: &Value) -> Value {
    let token = answer["client_secret"].as_str().expect("a token");
    assert_eq!(answer["token"], answer["client_secret"], "under both names");
    let verified = jwcrypto::verify(token, "HS256", KEY);
    assert_eq!(verified["header"], json!({ "alg": "HS256", "typ": "JWT" }));
    verified["claims"].clone()
}

#[tokio::test]
async fn a_token_says_what_the_backend_expects() {
    let (_upstream, gate) = started().await;
    let secret = service_token(&gate, "chatkit:session", &[APP]).await;
    let body = json!({
        "workflowId": WORKFLOW.to_uppercase(), "workflow_label": "Support", "user": { "id": "ada", "name": "Ada" },
        "metadata": { "plan": "pro" }, "assistant": null, "currentClientSecret": "canary-of-an-old-token", "more": [1],
    });
    let answer = session(&gate, &secret, &body).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let answer = json_of(answer).await;
    let claims = claims(&answer);
    let iat = claims["iat"].as_u64().expect("a time");
    let jti = claims["jti"].as_str().expect("an id");
    assert!(jti.len() == 32 && jti.bytes().all(|byte| byte.is_ascii_hexdigit()), "{jti}");
    let expected = json!({
        "iss": "orcheo.chatkit", "aud": "chatkit", "sub": "ada", "iat": iat, "exp": iat + 300, "jti": jti,
        "chatkit": {
            "workspace_id": null, "workspace_ids": [], "workflow_id": WORKFLOW, "scopes": ["chatkit:session"],
            "identity_type": "service", "token_id": "ada", "workflow_label": "Support",
            "user": { "id": "ada", "name": "Ada" }, "metadata": { "plan": "pro" },
        },
    });
    assert_eq!(claims, expected);
    let expires_at = answer["expires_at"].as_str().expect("a time");
    assert!(expires_at.len() == 27 && expires_at.ends_with("000Z"), "{expires_at}");
    assert!(!gate.output().contains("canary") && !gate.output().contains(&secret));
}

#[tokio::test]
async fn a_token_is_always_bound_and_visitors_without_a_name_are_kept_apart() {
    let (_upstream, gate) = started().await;
    let bound = service_token(&gate, "chatkit:session", &[APP]).await;
    let (one, two) = (session(&gate, &bound, &json!({})).await, session(&gate, &bound, &json!({})).await);
    let (one, two) = (claims(&json_of(one).await), claims(&json_of(two).await));
    assert_eq!(one["chatkit"]["workflow_id"], WORKFLOW, "the first of the app");
    assert_ne!(one["sub"], two["sub"]);
    assert!(one["sub"].as_str().is_some_and(|sub| sub.starts_with("anon-")));
    let other = session(&gate, &bound, &json!({ "workflow_id": OTHER })).await;
    assert_eq!(claims(&json_of(other).await)["chatkit"]["workflow_id"], OTHER);
    let unlisted = session(&gate, &bound, &json!({ "workflow_id": UNLISTED })).await;
    assert_eq!(refused(unlisted, 404).await, "Workflow not found");
    let of_all = service_token(&gate, "chatkit:session", &[]).await;
    assert_eq!(refused(session(&gate, &of_all, &json!({})).await, 400).await, "chatkit.workflow_id_missing");
    let elsewhere = service_token(&gate, "chatkit:session", &["wapp_test"]).await;
    let answer = session(&gate, &elsewhere, &json!({ "workflow_id": WORKFLOW })).await;
    assert_eq!(refused(answer, 403).await, "auth.missing_scope");
}

#[tokio::test]
async fn a_revoked_service_token_gets_nothing_more() {
    let (_upstream, gate) = started().await;
    let secret = service_token(&gate, "chatkit:session", &[APP]).await;
    let list = gate.private(Method::GET, "/admin/v1/service-tokens").bearer_auth(BOOTSTRAP).send().await;
    let list = json_of(list.expect("an answer")).await;
    let id = list["service_tokens"][0]["id"].as_str().expect("an id");
    let ended = gate.private(Method::DELETE, &format!("/admin/v1/service-tokens/{id}")).bearer_auth(BOOTSTRAP);
    assert_eq!(ended.send().await.expect("an answer").status(), 200);
    assert_eq!(refused(session(&gate, &secret, &json!({})).await, 403).await, "auth.token_revoked");
}

#[tokio::test]
async fn a_missing_key_is_said_and_the_backends_environment_is_read() {
    let upstream = Upstream::start().await;
    let gate = with_app(&upstream, "").start().await;
    let answer = session(&gate, BOOTSTRAP, &json!({ "workflow_id": WORKFLOW })).await;
    assert_eq!(refused(answer, 500).await, "chatkit.signing_key_missing");
    drop(gate);
    for prefix in ["ORCHEO_", ""] {
        let mut command = sidegate();
        command.env(format!("{prefix}CHATKIT_TOKEN_SIGNING_KEY"), KEY);
        command.env(format!("{prefix}CHATKIT_TOKEN_TTL_SECONDS"), "90");
        command.env(format!("{prefix}CHATKIT_TOKEN_ISSUER"), "issuer");
        command.env(format!("{prefix}CHATKIT_TOKEN_AUDIENCE"), "audience");
        let gate = with_app(&upstream, "").command(command).start().await;
        let claims = claims(&json_of(session(&gate, BOOTSTRAP, &json!({ "workflow_id": WORKFLOW })).await).await);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("issuer"), &json!("audience")));
        assert_eq!(claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(90));
    }
}

#[tokio::test]
async fn the_limit_of_exchanges_counts_here_too() {
    let upstream = Upstream::start().await;
    let lines = format!("token.key = {{ value = \"{KEY}\" }}\nlimits.exchange = \"1/h per end_user\"");
    let gate: Gate = with_app(&upstream, &lines).start().await;
    let ask = async |end_user: &str| {
        session(&gate, BOOTSTRAP, &json!({ "workflow_id": WORKFLOW, "user": { "id": end_user } })).await
    };
    assert_eq!(ask("ada").await.status(), 200);
    let over = ask("ada").await;
    assert!(over.headers().contains_key("retry-after"));
    assert_eq!(refused(over, 429).await, "chatkit.rate_limit.session");
    assert_eq!(ask("eve").await.status(), 200);
}

#[tokio::test]
async fn pages_and_the_public_listener_have_no_part_in_it() {
    let (_upstream, gate) = started().await;
    let page = gate.private(Method::POST, SESSION).bearer_auth(BOOTSTRAP).header("origin", "http://localhost");
    assert_eq!(page.send().await.expect("an answer").status(), 403);
    let public = gate.public(Method::POST, SESSION).bearer_auth(BOOTSTRAP).json(&json!({ "workflow_id": WORKFLOW }));
    assert_eq!(public.send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn what_would_let_a_token_mean_two_things_is_a_mistake_in_the_configuration() {
    let upstream = Upstream::start().await;
    for (lines, message) in [
        ("token.ttl = \"59s\"", "apps[1].token.ttl: must be 60s or more"),
        ("token.algorithm = \"ES256\"", "apps[1].token"),
    ] {
        let config = with_app(&upstream, &format!("token.key = {{ value = \"{KEY}\" }}\n{lines}")).config();
        assert!(mistakes(&config).contains(message), "{}", mistakes(&config));
    }
    let config = builder(&upstream).config();
    let twice = config.replace(OTHER, WORKFLOW);
    assert!(mistakes(&twice).contains("stands in app support already"), "{}", mistakes(&twice));
    let none = config.lines().filter(|line| !line.starts_with("workflows")).collect::<Vec<_>>().join("\n");
    assert!(mistakes(&none).contains("needs one or more"), "{}", mistakes(&none));
}

/// What `check` says of a configuration.
fn mistakes(config: &str) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config).expect("written");
    let run = sidegate().arg("check").arg("-c").arg(file.path()).output().expect("it runs");
    assert_eq!(run.status.code(), Some(2));
    String::from_utf8(run.stderr).expect("UTF-8")
}

#[tokio::test]
async fn an_app_of_the_registry_is_like_one_of_the_file() {
    let (_upstream, gate) = started().await;
    let settings = json!({
        "id": "kept", "dialect": "orcheo", "upstream": "chat", "origins": ["https://shop.example.com"],
        "workflows": [{ "id": UNLISTED, "name": "Kept" }],
    });
    let create = async |settings: &Value| {
        let request = gate.private(Method::POST, "/admin/v1/apps").bearer_auth(BOOTSTRAP).json(settings);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), json_of(answer).await)
    };
    let (status, problem) = create(&settings).await;
    assert_eq!(status, 400, "the upstream's key cannot be made up: {problem}");
    let mut twice = settings.clone();
    twice["token"] = json!({ "key": { "value": KEY } });
    twice["workflows"][0]["id"] = WORKFLOW.into();
    let (status, problem) = create(&twice).await;
    assert!(
        status == 400 && problem["detail"].as_str().is_some_and(|said| said.contains("workflows[0].id")),
        "{problem}"
    );
    // The key is that of another app of the same upstream: a token names its app by its workflow.
    let mut kept = settings;
    kept["token"] = twice["token"].clone();
    let (status, made) = create(&kept).await;
    assert_eq!(status, 201, "{made}");
    assert!(made.get("secret").is_none() && made["settings"]["workflows"][0]["name"] == "Kept", "{made}");
    let answer = session(&gate, BOOTSTRAP, &json!({ "workflow_id": UNLISTED, "user": { "id": "ada" } })).await;
    assert_eq!(claims(&json_of(answer).await)["chatkit"]["workflow_id"], UNLISTED);
}
