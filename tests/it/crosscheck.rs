//! Tokens against another library: Python's jwcrypto verifies ours, and the gate takes the ones it
//! signed with the same key.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{Gate, SIGNING_KEY, assert_refused};
use crate::support::upstream::Upstream;
use crate::support::{jwcrypto, jwt};

fn verify(token: &str, key: &str) -> Value {
    jwcrypto::verify(token, "HS256", key)
}

fn sign(header: &Value, claims: &Value, key: &str) -> String {
    jwcrypto::sign(header, claims, "HS256", key)
}

async fn ask(gate: &Gate, token: &str) -> reqwest::Response {
    gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer")
}

#[tokio::test]
async fn jwcrypto_verifies_our_tokens() {
    let gate = Gate::start(&Upstream::start().await).await;
    let token = gate.token("Zoë 7").env("TENANT", "acme").mint().await;
    let verdict = verify(&token, SIGNING_KEY);
    assert_eq!(verdict["header"], json!({ "alg": "HS256", "typ": "JWT" }));
    assert_eq!(verdict["claims"], jwt::claims(&token, SIGNING_KEY));
    assert_eq!(verdict["claims"]["sub"], "Zoë 7");
}

#[tokio::test]
async fn jwcrypto_refuses_our_tokens_with_another_key() {
    let gate = Gate::start(&Upstream::start().await).await;
    let token = gate.token("user-1").mint().await;
    assert_eq!(verify(&token, "another-key-0123456789abcdef0123456789"), Value::Null);
}

#[tokio::test]
async fn the_gate_takes_a_token_that_jwcrypto_signed() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    // Spaces in the header: not the bytes that we write.
    for header in
        [json!({ "alg": "HS256", "typ": "JWT" }), json!({ "alg": "HS256" }), json!({ "alg": "HS256", "kid": "1" })]
    {
        let token = sign(&header, &jwt::claims_ending_in(60), SIGNING_KEY);
        assert_eq!(ask(&gate, &token).await.status(), 200, "{header}");
    }
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn the_gate_refuses_a_token_that_jwcrypto_signed_with_another_key() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let token = sign(&header, &jwt::claims_ending_in(60), "another-key-0123456789abcdef0123456789");
    assert_refused(ask(&gate, &token).await, 401, "INVALID_TOKEN").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_gate_refuses_an_expired_token_that_jwcrypto_signed() {
    let gate = Gate::start(&Upstream::start().await).await;
    let token = sign(&json!({ "alg": "HS256" }), &jwt::claims_ending_in(-60), SIGNING_KEY);
    let message = assert_refused(ask(&gate, &token).await, 401, "INVALID_TOKEN").await;
    assert_eq!(message, "The token has expired");
}

#[tokio::test]
async fn a_token_with_any_part_changed_is_refused_by_both() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("user-1").mint().await;
    let other = gate.token("user-2").expires_in("2h").mint().await;
    let parts: Vec<_> = token.split('.').collect();
    let foreign: Vec<_> = other.split('.').collect();
    let last = if parts[2].starts_with('A') { 'B' } else { 'A' };
    let turned = format!("{last}{}", &parts[2][1..]);
    for tampered in [
        [parts[0], foreign[1], parts[2]].join("."),
        [parts[0], parts[1], foreign[2]].join("."),
        [parts[0], parts[1], &turned].join("."),
        // `{"alg":"HS256"}`: a good header, but not the one that was signed.
        ["eyJhbGciOiJIUzI1NiJ9", parts[1], parts[2]].join("."),
    ] {
        assert_eq!(verify(&tampered, SIGNING_KEY), Value::Null);
        assert_refused(ask(&gate, &tampered).await, 401, "INVALID_TOKEN").await;
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_without_signature_or_with_another_algorithm_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let claims = gate.token("user-1").mint().await.split('.').nth(1).expect("claims").to_owned();
    // Headers {"alg":"none"}, {"alg":"None"} and {"alg":"HS512"}.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIn0", "eyJhbGciOiJIUzUxMiJ9"] {
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{claims}.{signature}");
            assert_refused(ask(&gate, &token).await, 401, "INVALID_TOKEN").await;
        }
    }
    assert_eq!(upstream.count(), 0);
}
