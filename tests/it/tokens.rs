//! Which tokens are good: forged, foreign, outdated and malformed ones are `INVALID_TOKEN`.

use jsonwebtoken::Algorithm;
use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::cases::cases;
use crate::support::forge::{self, HEADER, claims, merge, now, sign, token_with, unsigned};
use crate::support::gate::{APP, Gate, SECRET, SHOP, SIGNING_KEY, assert_refused, json_of};
use crate::support::upstream::Upstream;

const OTHER_KEY: &str = "another-key-of-the-tests-0123456789abcdef";

/// Asks for the list of tasks with this token.
async fn ask(gate: &Gate, token: &str) -> Response {
    gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer")
}

async fn assert_all_refused(tokens: impl IntoIterator<Item = (&str, String)>) {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for (name, token) in tokens {
        println!("{name}");
        assert_refused(ask(&gate, &token).await, 401, "INVALID_TOKEN").await;
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(ask(&gate, &forge::token(&claims())).await.status(), 200, "the unspoilt token is good");
}

#[derive(Deserialize)]
struct Case {
    name: String,
    header: Option<String>,
    #[serde(default = "no_changes")]
    claims: Value,
}

fn no_changes() -> Value {
    json!({})
}

/// `NOW+60` and `NOW-6` are times; all else stands for itself.
fn resolve(changes: &mut Value) {
    for value in changes.as_object_mut().expect("an object").values_mut() {
        let offset = value.as_str().and_then(|text| text.strip_prefix("NOW")).map(str::parse::<i64>);
        if let Some(offset) = offset {
            *value = json!(now().strict_add_signed(offset.expect("seconds")));
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_as_the_gate_writes_it_is_refused() {
    let cases: Vec<Case> = cases("sigmic/tokens_refused.json");
    let tokens: Vec<_> = cases.iter().map(|case| (case.name.as_str(), spoilt(case))).collect();
    assert_all_refused(tokens).await;
}

fn spoilt(case: &Case) -> String {
    let (mut changes, mut claims) = (case.claims.clone(), claims());
    resolve(&mut changes);
    merge(&mut claims, &changes);
    sign(case.header.as_deref().unwrap_or(HEADER), &claims.to_string(), SIGNING_KEY, Algorithm::HS256)
}

#[tokio::test]
async fn a_forged_signature_is_refused() {
    let good = forge::token(&claims());
    let (input, signature) = good.rsplit_once('.').expect("a signature");
    let other_claims = unsigned(HEADER, &forge::claims().to_string().replace("ada", "eve"));
    assert_all_refused([
        ("another key", sign(HEADER, &claims().to_string(), OTHER_KEY, Algorithm::HS256)),
        ("other claims", format!("{other_claims}.{signature}")),
        ("no signature", format!("{input}.")),
        ("half a signature", format!("{input}.{}", &signature[..20])),
        ("padding", format!("{good}=")),
        ("a fourth part", format!("{good}.{signature}")),
        ("two parts", input.to_owned()),
    ])
    .await;
}

#[tokio::test]
async fn an_algorithm_other_than_the_keys_is_refused() {
    let claims = claims().to_string();
    assert_all_refused([
        ("none", format!("{}.", unsigned(r#"{"alg":"none"}"#, &claims))),
        ("HS384", sign(r#"{"alg":"HS384"}"#, &claims, SIGNING_KEY, Algorithm::HS384)),
        ("HS512", sign(r#"{"alg":"HS512"}"#, &claims, SIGNING_KEY, Algorithm::HS512)),
        ("HS256 named, HS512 used", sign(HEADER, &claims, SIGNING_KEY, Algorithm::HS512)),
    ])
    .await;
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_refused() {
    let doubled = |name: &str, value: &Value| {
        let claims = claims().to_string();
        let payload = format!("{{\"{name}\":{value},{}", &claims[1..]);
        sign(HEADER, &payload, SIGNING_KEY, Algorithm::HS256)
    };
    assert_all_refused([
        ("appId", doubled("appId", &json!(APP))),
        ("sub", doubled("sub", &json!("eve"))),
        ("exp", doubled("exp", &json!(9_999_999_999_u64))),
        ("allowedOrigins", doubled("allowedOrigins", &json!([]))),
    ])
    .await;
}

#[tokio::test]
async fn an_oversize_token_is_refused() {
    assert_all_refused([("oversize", token_with(&json!({ "padding": "x".repeat(7_000) })))]).await;
}

#[tokio::test]
async fn nothing_in_the_header_chooses_a_key() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let header = format!(
        r#"{{"alg":"HS256","kid":"../../etc/passwd","jku":"{0}/keys","x5u":"{0}/x","jwk":{{"kty":"oct","k":"AAAA"}}}}"#,
        upstream.url()
    );
    let with_key = |key| sign(&header, &claims().to_string(), key, Algorithm::HS256);
    assert_eq!(ask(&gate, &with_key(SIGNING_KEY)).await.status(), 200);
    assert_eq!(upstream.count(), 1, "the list; no keys were fetched");
    assert_refused(ask(&gate, &with_key(OTHER_KEY)).await, 401, "INVALID_TOKEN").await;
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn clocks_may_differ_by_five_seconds() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for changes in
        [json!({ "iat": now() - 600, "exp": now() - 2 }), json!({ "iat": now() + 4 }), json!({ "nbf": now() + 4 })]
    {
        assert_eq!(ask(&gate, &token_with(&changes)).await.status(), 200, "{changes}");
    }
}

#[tokio::test]
async fn a_time_at_the_end_of_time_is_only_late() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for late in [json!({ "nbf": u64::MAX }), json!({ "iat": u64::MAX, "exp": u64::MAX })] {
        let refused = ask(&gate, &token_with(&late)).await;
        assert_eq!(assert_refused(refused, 401, "INVALID_TOKEN").await, "The token is not yet valid");
    }
}

/// It may have been issued when the app allowed more, or by another who has the key.
#[tokio::test]
async fn a_token_is_good_for_no_longer_than_its_app_allows() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("token.ttl = \"1h\"\ntoken.max_ttl = \"1h\"").start().await;
    let token = |exp: u64| token_with(&json!({ "iat": now() - 600, "exp": exp }));
    assert_eq!(ask(&gate, &token(now() + 3_000)).await.status(), 200);
    for long in [now() + 3_100, now() + 30 * 24 * 3_600, u64::MAX] {
        let refused = assert_refused(ask(&gate, &token(long)).await, 401, "INVALID_TOKEN").await;
        assert_eq!(refused, "The token is good for longer than its app allows");
    }
}

#[tokio::test]
async fn a_refusal_says_whether_the_token_is_over_or_early() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let over = ask(&gate, &token_with(&json!({ "exp": now() - 60 }))).await;
    assert_eq!(assert_refused(over, 401, "INVALID_TOKEN").await, "The token has expired");
    let early = ask(&gate, &token_with(&json!({ "nbf": now() + 60 }))).await;
    assert_eq!(assert_refused(early, 401, "INVALID_TOKEN").await, "The token is not yet valid");
}

/// Another app, with its own key, before the same upstream.
const OTHER_APP: &str = r#"
[[apps]]
id = "wapp_other"
dialect = "sigmic"
upstream = "chat"
origins = ["https://shop.example.com"]
token.key = { value = "another-key-of-the-tests-0123456789abcdef" }
"#;

#[tokio::test]
async fn one_apps_key_makes_no_token_of_another() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).toml(OTHER_APP).start().await;
    let signed = |app: &str, key: &str| {
        let mut claims = claims();
        claims["appId"] = app.into();
        sign(HEADER, &claims.to_string(), key, Algorithm::HS256)
    };
    for (app, key) in [(APP, OTHER_KEY), ("wapp_other", SIGNING_KEY)] {
        assert_refused(ask(&gate, &signed(app, key)).await, 401, "INVALID_TOKEN").await;
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(ask(&gate, &signed("wapp_other", OTHER_KEY)).await.status(), 200);
}

#[tokio::test]
async fn an_app_without_a_key_takes_no_token() {
    let upstream = Upstream::start().await;
    let keyless = OTHER_APP.lines().filter(|line| !line.contains("token.key")).collect::<Vec<_>>().join("\n");
    let gate = Gate::builder(&upstream).toml(&keyless).start().await;
    let token = token_with(&json!({ "appId": "wapp_other" }));
    assert_refused(ask(&gate, &token).await, 401, "INVALID_TOKEN").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_retired_key_still_verifies_but_no_longer_signs() {
    let upstream = Upstream::start().await;
    let retired = format!("token.retired_keys = [{{ value = \"{OTHER_KEY}\" }}]");
    let gate = Gate::builder(&upstream).app(&retired).start().await;
    let old = sign(HEADER, &claims().to_string(), OTHER_KEY, Algorithm::HS256);
    assert_eq!(ask(&gate, &old).await.status(), 200);
    let fresh = gate.token("ada").mint().await;
    let (input, _) = fresh.rsplit_once('.').expect("a signature");
    let key = jsonwebtoken::EncodingKey::from_secret(SIGNING_KEY.as_bytes());
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    assert_eq!(fresh, format!("{input}.{signature}"));
}

#[tokio::test]
async fn an_app_secret_is_no_signing_key() {
    assert_all_refused([("app secret", sign(HEADER, &claims().to_string(), SECRET, Algorithm::HS256))]).await;
}

#[tokio::test]
async fn a_token_says_nothing_of_its_context() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").secret("API_TOKEN", "sk-1").mint().await;
    let answer = ask(&gate, &token).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(json_of(answer).await["success"], true);
    let payload = token.split('.').nth(1).expect("claims");
    let payload = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
    let claims: Value = serde_json::from_slice(&payload.expect("base64url")).expect("JSON");
    let names: Vec<&String> = claims.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["allowedOrigins", "appId", "exp", "iat", "jti", "sub"]);
}
