//! Exchanges as the configuration allows them: rotation, missing keys, the public listener, and
//! what becomes of env and secrets.

use reqwest::Method;
use serde_json::json;
use sidegate_core::secret::SecretDigest;

use crate::support::gate::{APP, Builder, Gate, SECRET, SHOP, assert_refused, json_of};
use crate::support::upstream::Upstream;

const PATH: &str = "/api/v1/auth/token";

fn digest(secret: &str) -> SecretDigest {
    SecretDigest::of(&secret.into())
}

/// A second app, `wapp_other`, with these lines.
fn with_other_app(upstream: &Upstream, lines: &str) -> Builder {
    let app = format!("[[apps]]\nid = \"wapp_other\"\ndialect = \"sigmic\"\nupstream = \"chat\"\n{lines}");
    Gate::builder(upstream).toml(&app)
}

#[tokio::test]
async fn both_secrets_of_a_rotation_are_taken_and_no_third() {
    let upstream = Upstream::start().await;
    let digests = format!("secret_digests = [\"{}\", \"{}\"]", digest("wsec_new"), digest("wsec_old"));
    let key = "token.key = { value = \"another-signing-key-0123456789abcdef01\" }";
    let gate = with_other_app(&upstream, &format!("{digests}\n{key}")).start().await;
    let body = |secret: &str| json!({ "appId": "wapp_other", "appSecret": secret, "endUserId": "u" });
    assert_eq!(gate.exchange(&body("wsec_new")).await.status(), 200);
    assert_eq!(gate.exchange(&body("wsec_old")).await.status(), 200);
    assert_refused(gate.exchange(&body(SECRET)).await, 401, "INVALID_CREDENTIALS").await;
}

#[tokio::test]
async fn one_apps_secret_is_no_good_for_another_app() {
    let upstream = Upstream::start().await;
    let lines = format!(
        "secret_digests = [\"{}\"]\ntoken.key = {{ value = \"another-signing-key-0123456789abcdef01\" }}",
        digest("wsec_other")
    );
    let gate = with_other_app(&upstream, &lines).start().await;
    for (app, secret) in [("wapp_other", SECRET), (APP, "wsec_other")] {
        let body = json!({ "appId": app, "appSecret": secret, "endUserId": "u" });
        assert_refused(gate.exchange(&body).await, 401, "INVALID_CREDENTIALS").await;
    }
}

#[tokio::test]
async fn an_app_without_secret_digests_takes_no_secret() {
    let upstream = Upstream::start().await;
    let lines = "token.key = { value = \"another-signing-key-0123456789abcdef01\" }";
    let gate = with_other_app(&upstream, lines).start().await;
    let body = json!({ "appId": "wapp_other", "appSecret": SECRET, "endUserId": "u" });
    assert_refused(gate.exchange(&body).await, 401, "INVALID_CREDENTIALS").await;
}

#[tokio::test]
async fn an_app_without_a_key_says_that_signing_is_not_configured() {
    let upstream = Upstream::start().await;
    let lines = format!("secret_digests = [\"{}\"]", digest("wsec_other"));
    let gate = with_other_app(&upstream, &lines).start().await;
    let mut body = json!({ "appId": "wapp_other", "appSecret": "wsec_other", "endUserId": "u" });
    assert_refused(gate.exchange(&body).await, 501, "JWT_NOT_CONFIGURED").await;
    body["appSecret"] = "wsec_wrong".into();
    assert_refused(gate.exchange(&body).await, 401, "INVALID_CREDENTIALS").await;
}

#[tokio::test]
async fn without_a_seal_key_context_is_refused_and_the_rest_works() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).without_seal_key().start().await;
    for field in ["env", "secrets"] {
        let mut body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" });
        body[field]["A"] = "1".into();
        assert_refused(gate.exchange(&body).await, 501, "CONTEXT_NOT_CONFIGURED").await;
    }
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" });
    assert_eq!(gate.exchange(&body).await.status(), 200);
}

/// What `{{mcp.A}}` is for a token, as the upstream sees it.
async fn mcp_at_upstream(env: &[(&str, &str)], secrets: &[(&str, &str)]) -> String {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("[apps.inject.headers]\nX-Mcp = \"{{mcp.A}}\"").start().await;
    let mut token = gate.token("user-1");
    for (name, value) in env {
        token = token.env(name, value);
    }
    for (name, value) in secrets {
        token = token.secret(name, value);
    }
    let token = token.mint().await;
    assert_eq!(gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer").status(), 200);
    upstream.take()[0].header("x-mcp").to_owned()
}

#[tokio::test]
async fn a_secret_wins_over_env_of_the_same_name() {
    assert_eq!(mcp_at_upstream(&[("A", "from-env")], &[("A", "from-secrets")]).await, "from-secrets");
}

#[tokio::test]
async fn env_is_there_for_mcp_where_no_secret_has_the_name() {
    assert_eq!(mcp_at_upstream(&[("A", "from-env")], &[("B", "from-secrets")]).await, "from-env");
}

#[tokio::test]
async fn a_later_token_does_not_inherit_an_earlier_ones_context() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("[apps.inject.headers]\nX-Tenant = \"{{env.TENANT?}}\"").start().await;
    let first = gate.token("user-1").env("TENANT", "acme").mint().await;
    let second = gate.token("user-1").env("OTHER", "x").mint().await;
    for token in [&first, &second] {
        let answer = gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    let seen = upstream.take();
    assert_eq!(seen[0].header("x-tenant"), "acme");
    assert!(!seen[1].headers.contains_key("x-tenant"));
}

fn exchange_body() -> serde_json::Value {
    json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" })
}

#[tokio::test]
async fn the_public_listener_does_not_know_the_exchange() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let answer = gate.public(Method::POST, PATH).json(&exchange_body()).send().await.expect("an answer");
    assert_eq!(answer.status(), 404);
    assert_eq!(json_of(answer).await["code"], "NOT_FOUND");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_public_listener_takes_exchanges_where_the_config_says_so() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.public_exchange=true").start().await;
    let answer = gate.public(Method::POST, PATH).json(&exchange_body()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let token = json_of(answer).await["data"]["token"].as_str().expect("a token").to_owned();
    let chat = gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer");
    assert_eq!(chat.status(), 200);
}

#[tokio::test]
async fn a_page_gets_no_token_from_the_public_exchange() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.public_exchange=true").start().await;
    for origin in [SHOP, "https://evil.example", "null"] {
        let request = gate.public(Method::POST, PATH).header("origin", origin).json(&exchange_body());
        let answer = request.send().await.expect("an answer");
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        assert_refused(answer, 403, "FORBIDDEN").await;
    }
}

#[tokio::test]
async fn a_preflight_for_the_public_exchange_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.public_exchange=true").start().await;
    let request = gate.public(Method::OPTIONS, PATH).header("origin", SHOP);
    let answer = request.header("access-control-request-method", "POST").send().await.expect("an answer");
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn the_public_exchange_refuses_as_the_private_one_does() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.public_exchange=true").start().await;
    let wrong = json!({ "appId": APP, "appSecret": "wsec_wrong", "endUserId": "u" });
    let answer = gate.public(Method::POST, PATH).json(&wrong).send().await.expect("an answer");
    assert_refused(answer, 401, "INVALID_CREDENTIALS").await;
    let answer = gate.public(Method::GET, PATH).send().await.expect("an answer");
    assert_eq!(answer.headers()["allow"], "POST");
    assert_refused(answer, 405, "METHOD_NOT_ALLOWED").await;
}
