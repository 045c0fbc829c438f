//! `POST /api/v1/auth/token` (seeds/003, contracts section 4): the wire, and what the token says.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::gate::{APP, Gate, SECRET, SHOP, SIGNING_KEY, assert_refused, json_of};
use crate::support::jwt;
use crate::support::upstream::Upstream;

const PATH: &str = "/api/v1/auth/token";

/// A row of `tests/fixtures/sigmic/exchange.json`. Values that no refusal may repeat are `canary`.
#[derive(Deserialize)]
struct Case {
    name: String,
    request: Value,
    status: u16,
    code: Option<String>,
    /// What the message must name.
    says: Option<String>,
}

/// A row of `tests/fixtures/sigmic/exchange_bodies.json`.
#[derive(Deserialize)]
struct BodyCase {
    name: String,
    headers: std::collections::BTreeMap<String, String>,
    body: String,
    status: u16,
    code: Option<String>,
}

/// The rule of a wire case, as a text if it is broken.
async fn broken(answer: reqwest::Response, status: u16, code: Option<&str>, says: &str) -> Option<String> {
    let got = answer.status().as_u16();
    let kind = answer.headers().get("content-type").cloned();
    let cache = answer.headers().get("cache-control").cloned();
    let text = answer.text().await.expect("a body");
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let message = body["error"]["message"].as_str().unwrap_or_default();
    let envelope = match code {
        Some(code) => {
            !message.is_empty() && body == json!({ "success": false, "error": { "message": message, "code": code } })
        }
        None => {
            let (token, expires_at) = (&body["data"]["token"], &body["data"]["expiresAt"]);
            token.is_string() && body == json!({ "success": true, "data": { "token": token, "expiresAt": expires_at } })
        }
    };
    let good = got == status
        && kind.is_some_and(|kind| kind == "application/json")
        && cache.is_some_and(|cache| cache == "no-store")
        && envelope
        && message.contains(says)
        && !text.contains("canary");
    (!good).then(|| format!("{got} {text}"))
}

#[tokio::test]
async fn every_wire_case_is_answered_as_written() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/sigmic/exchange.json")).expect("cases");
    let gate = Gate::start(&Upstream::start().await).await;
    let mut failed = Vec::new();
    for case in &cases {
        let answer = gate.exchange(&case.request).await;
        let says = case.says.as_deref().unwrap_or_default();
        if let Some(answer) = broken(answer, case.status, case.code.as_deref(), says).await {
            failed.push(format!("{}: {answer}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
    let accepted = cases.iter().filter(|case| case.code.is_none()).count();
    assert!(accepted > 10 && cases.len() - accepted > 50, "the table is read");
}

#[tokio::test]
async fn every_unreadable_body_is_refused_in_the_same_envelope() {
    let cases: Vec<BodyCase> =
        serde_json::from_str(include_str!("../fixtures/sigmic/exchange_bodies.json")).expect("cases");
    let gate = Gate::start(&Upstream::start().await).await;
    let mut failed = Vec::new();
    for case in cases {
        let mut request = gate.private(Method::POST, PATH).body(case.body);
        for (name, value) in &case.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        if let Some(answer) = broken(answer, case.status, case.code.as_deref(), "").await {
            failed.push(format!("{}: {answer}", case.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_refused() {
    let gate = Gate::start(&Upstream::start().await).await;
    let request = gate.private(Method::POST, PATH).header("content-type", "application/json");
    let answer = request.body(&b"{\"appId\":\"\xff\"}"[..]).send().await.expect("an answer");
    assert_refused(answer, 400, "INVALID_REQUEST").await;
}

#[tokio::test]
async fn an_unknown_app_is_answered_as_a_wrong_secret_is() {
    let gate = Gate::start(&Upstream::start().await).await;
    let mut answers = Vec::new();
    for (app, secret) in [("wapp_unknown", SECRET), (APP, "wsec_wrong")] {
        let body = json!({ "appId": app, "appSecret": secret, "endUserId": "u" });
        let answer = gate.exchange(&body).await;
        let mut headers = answer.headers().clone();
        for of_one_answer in ["date", "x-request-id"] {
            headers.remove(of_one_answer);
        }
        answers.push((answer.status(), headers, answer.text().await.expect("a body")));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].2.contains("Invalid app credentials"));
}

#[tokio::test]
async fn other_methods_are_405_and_told_which_is_taken() {
    let gate = Gate::start(&Upstream::start().await).await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = gate.private(method, PATH).send().await.expect("an answer");
        assert_eq!(answer.headers()["allow"], "POST");
        assert_refused(answer, 405, "METHOD_NOT_ALLOWED").await;
    }
}

#[tokio::test]
async fn the_claims_are_the_documented_ones_and_no_others() {
    let upstream = Upstream::start().await;
    let origins = [SHOP, "https://*.preview.example.com"];
    let gate = Gate::builder(&upstream).origins(&origins).start().await;
    let before = jwt::now();
    let token = gate.token("user-123").expires_in("30m").mint().await;
    let claims = jwt::claims(&token, SIGNING_KEY);
    let issued_at = claims["iat"].as_u64().expect("a NumericDate");
    assert!((before..=jwt::now()).contains(&issued_at));
    let expected = json!({
        "appId": APP,
        "sub": "user-123",
        "allowedOrigins": origins,
        "iat": issued_at,
        "exp": issued_at + 1_800,
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn the_header_is_hs256_and_jwt_byte_for_byte() {
    let gate = Gate::start(&Upstream::start().await).await;
    let token = gate.token("user-1").mint().await;
    assert_eq!(token.split('.').next(), Some(jwt::HEADER));
}

#[tokio::test]
async fn a_token_without_a_lifetime_lives_for_an_hour() {
    let gate = Gate::start(&Upstream::start().await).await;
    let claims = jwt::claims(&gate.token("user-1").mint().await, SIGNING_KEY);
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|at| at + 3_600));
}

#[tokio::test]
async fn an_app_without_origins_lists_none_in_its_tokens() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).origins(&[]).start().await;
    let claims = jwt::claims(&gate.token("user-1").mint().await, SIGNING_KEY);
    assert_eq!(claims["allowedOrigins"], json!([]));
}

#[tokio::test]
async fn only_a_token_with_context_has_an_id_and_each_its_own() {
    let gate = Gate::start(&Upstream::start().await).await;
    let id = async |token: String| jwt::claims(&token, SIGNING_KEY).get("jti").cloned();
    assert_eq!(id(gate.token("u").mint().await).await, None);
    let env = id(gate.token("u").env("A", "1").mint().await).await.expect("an id");
    let secret = id(gate.token("u").secret("A", "1").mint().await).await.expect("an id");
    for id in [&env, &secret] {
        let text = id.as_str().expect("text");
        assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    }
    assert_ne!(env, secret);
}

#[tokio::test]
async fn empty_env_and_secrets_give_no_id() {
    let gate = Gate::start(&Upstream::start().await).await;
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u", "env": {}, "secrets": {} });
    let token = json_of(gate.exchange(&body).await).await["data"]["token"].as_str().expect("a token").to_owned();
    assert!(jwt::claims(&token, SIGNING_KEY).get("jti").is_none());
}

#[tokio::test]
async fn expires_at_is_the_claim_with_milliseconds_and_z() {
    let gate = Gate::start(&Upstream::start().await).await;
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u", "expiresIn": "7d" });
    let data = json_of(gate.exchange(&body).await).await["data"].take();
    let claims = jwt::claims(data["token"].as_str().expect("a token"), SIGNING_KEY);
    let seconds = claims["exp"].as_u64().expect("a NumericDate");
    let date = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S.000Z"])
        .output()
        .expect("date runs");
    assert_eq!(data["expiresAt"].as_str(), Some(String::from_utf8(date.stdout).expect("UTF-8").trim()));
}
