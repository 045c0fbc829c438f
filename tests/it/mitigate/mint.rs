//! `POST /v1/apps/{app}/jwe-tokens` and `sidegate keys generate --workspace`: tokens that others open, keys that others
//! read.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::{BOOTSTRAP, enter, issued, keys, pairs, private, public, sent, started, started_with, text, value};
use crate::support::admin::{assert_problem, service_token};
use crate::support::gate::{APP, Gate, SECRET, json_of};
use crate::support::jwcrypto;
use crate::support::program::program;

fn minting() -> String {
    let keys = keys();
    format!(
        "{keys}\nidentity.mint_signing_key = {}\nidentity.mint_encryption_key = {}",
        value(private(0)),
        value(public(1))
    )
}

async fn ask(gate: &Gate, app: &str, secret: &str, body: &Value) -> reqwest::Response {
    let path = format!("/v1/apps/{app}/jwe-tokens");
    sent(gate.private(Method::POST, &path).bearer_auth(secret).json(body)).await
}

/// A token that the gate makes.
pub async fn made(gate: &Gate, body: &Value) -> String {
    let answer = ask(gate, super::WORKSPACE, BOOTSTRAP, body).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["cache-control"].to_str().expect("text")),
        (200, "no-store")
    );
    let made = json_of(answer).await;
    assert!(text(&made["expires_at"]).ends_with(".000Z"), "{made}");
    text(&made["token"])
}

/// npm's jose: the claims of a token, opened and verified as its documents say.
fn opened_by_jose(token: &str) -> Value {
    let root = env!("CARGO_MANIFEST_DIR");
    let script = format!("{root}/tests/clients/jose/open.mjs");
    let run = Command::new("node").arg(script).args([token, private(1), public(0)]).output().expect("node runs");
    let fault = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{fault}; `scripts/setup.sh test` installs what is missing");
    serde_json::from_slice(&run.stdout).expect("JSON")
}

fn made_by_jose(claims: &Value) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let script = format!("{root}/tests/clients/jose/make.mjs");
    let run = Command::new("node").arg(script).args([&claims.to_string(), private(0), public(1)]).output();
    let run = run.expect("node runs");
    let fault = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{fault}; `scripts/setup.sh test` installs what is missing");
    String::from_utf8(run.stdout).expect("UTF-8").trim().to_owned()
}

#[tokio::test]
async fn others_open_what_the_gate_makes_and_it_opens_theirs() {
    let (_upstream, gate) = started_with(&minting()).await;
    let asked = json!({ "user_id": "Zoë 7", "access_token": "at-1" });
    for opened in [
        jwcrypto::opened(&made(&gate, &asked).await, private(1), public(0)),
        opened_by_jose(&made(&gate, &asked).await),
    ] {
        assert_eq!(opened["outer"], json!({ "alg": "RSA-OAEP", "enc": "A256GCM" }));
        assert_eq!(opened["inner"], json!({ "typ": "JWT", "alg": "RS256" }));
        let claims = &opened["claims"];
        assert_eq!((&claims["user_id"], &claims["access_token"]), (&json!("Zoë 7"), &json!("at-1")));
        let time = |name: &str| claims[name].as_u64().expect("seconds");
        assert_eq!(time("exp") - time("iat"), 600);
        assert!(time("iat").abs_diff(crate::support::forge::now()) < 60);
        assert_eq!((text(&claims["jti"]).len(), claims.as_object().map(serde_json::Map::len)), (36, Some(5)));
    }
    let now = crate::support::forge::now();
    let claims = json!({ "user_id": "ada", "access_token": "at-1", "iat": now, "exp": now + 600, "jti": "by-jose" });
    for token in [made_by_jose(&claims), made(&gate, &asked).await] {
        assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified");
    }
}

#[tokio::test]
async fn who_may_not_ask_is_refused() {
    let (_upstream, gate) = started_with(&minting()).await;
    let asked = json!({ "user_id": "ada" });
    assert_problem(ask(&gate, super::WORKSPACE, "st_wrong", &asked).await, 401, "INVALID_SERVICE_TOKEN").await;
    assert_problem(ask(&gate, super::WORKSPACE, SECRET, &asked).await, 401, "INVALID_SERVICE_TOKEN").await;
    let other = service_token(&gate, &["tokens:mint"], &[APP]).await;
    assert_problem(ask(&gate, super::WORKSPACE, &other, &asked).await, 403, "MISSING_SCOPE").await;
    let right = service_token(&gate, &["tokens:mint"], &[super::WORKSPACE]).await;
    assert_eq!(ask(&gate, super::WORKSPACE, &right, &asked).await.status(), 200);
    for (body, code) in [
        (json!({}), "MISSING_USER_ID"),
        (json!({ "user_id": "a\nb" }), "INVALID_FIELD"),
        (json!({ "user_id": "ada", "access_token": "x".repeat(4097) }), "INVALID_REQUEST"),
        (json!({ "user_id": "ada", "exp": 1 }), "INVALID_REQUEST"),
    ] {
        assert_problem(ask(&gate, super::WORKSPACE, BOOTSTRAP, &body).await, 400, code).await;
    }
    let (_upstream, gate) = started().await;
    assert_problem(ask(&gate, super::WORKSPACE, BOOTSTRAP, &asked).await, 501, "IDENTITY_NOT_CONFIGURED").await;
}

#[tokio::test]
async fn generated_keys_fit_the_configuration_and_are_told_apart() {
    let run = program(&["keys", "generate", "--workspace"]).run();
    assert_eq!(run.code, 0, "{}", run.err);
    let parts: Vec<&str> = run.out.split("# ").skip(1).collect();
    assert_eq!(parts.len(), 4, "{}", run.out);
    let key = |index: usize| parts[index].split_once('\n').expect("a key").1.trim();
    let kinds: Vec<&str> = (0..4).map(|index| key(index).lines().next().expect("a line")).collect();
    let (private, public) = ("-----BEGIN PRIVATE KEY-----", "-----BEGIN PUBLIC KEY-----");
    assert_eq!(kinds, [private, public, public, private]);
    let lines = format!(
        "identity.signing_keys = [{}]\nidentity.mint_signing_key = {}\nidentity.encryption_keys = [{}]\n\
         identity.mint_encryption_key = {}",
        value(key(1)),
        value(key(0)),
        value(key(3)),
        value(key(2))
    );
    let (_upstream, gate) = started_with(&lines).await;
    let token = made(&gate, &json!({ "user_id": "ada" })).await;
    assert_eq!(issued(enter(&gate, &json!({ "token": token })).await).await["mode"], "identified");
    let run = program(&["keys", "generate", "--workspace", "seal"]).run();
    assert_eq!(run.code, 2, "{}", run.out);
    assert_eq!(pairs().len(), 4);
}
