//! `POST /v1/apps/{app}/identity-tokens` and `sidegate token mint`: tokens that an independent implementation of
//! the vendor's form verifies, and its tokens that the gate takes.

use std::process::Command;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sidegate::system::System;
use sidegate_core::clock::Clock as _;
use sidegate_core::secret::SecretDigest;

use super::{BOOTSTRAP, BOT, IDENTITY, OTHER, identified, sent, started, started_with};
use crate::support::admin::{assert_problem, service_token};
use crate::support::gate::{APP, Gate, SECRET, json_of};
use crate::support::program::program;

fn path(app: &str) -> String {
    format!("/v1/apps/{app}/identity-tokens")
}

fn mint(gate: &Gate, app: &str, secret: &str) -> RequestBuilder {
    gate.private(Method::POST, &path(app)).bearer_auth(secret)
}

/// Python's own hmac, hashlib, base64 and json: the payload of a token, or `null` if it is none.
fn verified(token: &str, secret: &str) -> Value {
    let script = "
import base64, hashlib, hmac, json, sys
payload, signature = sys.argv[1].split('.')
expected = hmac.new(sys.argv[2].encode(), payload.encode(), hashlib.sha256).hexdigest()
if not hmac.compare_digest(expected, signature):
    print('null')
else:
    text = base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)).decode()
    read = json.loads(text)
    assert text == json.dumps(read, sort_keys=True, separators=(',', ':'), ensure_ascii=False), text
    print(text)
";
    serde_json::from_str(&python(script, &[token, secret])).expect("JSON")
}

/// A token as the vendor's backend makes it.
fn signed(payload: &Value, secret: &str) -> String {
    let script = "
import base64, hashlib, hmac, json, sys
text = json.dumps(json.loads(sys.argv[1]), sort_keys=True, separators=(',', ':'))
payload = base64.urlsafe_b64encode(text.encode()).rstrip(b'=').decode()
print(payload + '.' + hmac.new(sys.argv[2].encode(), payload.encode(), hashlib.sha256).hexdigest())
";
    python(script, &[&payload.to_string(), secret])
}

fn python(script: &str, args: &[&str]) -> String {
    let run = Command::new("/usr/bin/python3").args(["-c", script]).args(args).output().expect("/usr/bin/python3 runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("UTF-8").trim().to_owned()
}

/// The same in JavaScript, as the vendor's document shows it to customers.
fn verified_by_node(token: &str, secret: &str) -> Value {
    let script = "
const { createHmac, timingSafeEqual } = require('node:crypto');
const [payload, signature] = process.argv[1].split('.');
const expected = createHmac('sha256', process.argv[2]).update(payload).digest();
const same = timingSafeEqual(expected, Buffer.from(signature, 'hex'));
console.log(same ? Buffer.from(payload, 'base64url').toString() : 'null');
";
    let run = Command::new("node").args(["-e", script, token, secret]).output().expect("node runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).expect("JSON")
}

#[tokio::test]
async fn others_verify_what_the_gate_makes() {
    let (_upstream, gate) = started().await;
    let asked = json!({
        "user_id": "zoë 7", "email": "zoe@example.com", "name": "Zoë \"Z\" Löwe", "plan_tier": "pro",
        "audience_tag": "beta", "company": "Acme & Co", "locale": "en-GB", "ttl": 60,
    });
    let answer = sent(mint(&gate, BOT, BOOTSTRAP).json(&asked)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let answer = json_of(answer).await;
    let token = answer["identity_token"].as_str().expect("a token");
    let payload = verified(token, IDENTITY);
    assert_eq!(verified_by_node(token, IDENTITY), payload);
    assert_eq!(verified(token, &IDENTITY.replace('a', "b")), Value::Null);
    for name in ["user_id", "email", "name", "plan_tier", "audience_tag", "company", "locale"] {
        assert_eq!(payload[name], asked[name], "{name}");
    }
    assert_eq!(payload.as_object().expect("an object").len(), 9);
    assert_eq!(payload["exp"].as_u64().expect("a number") - payload["iat"].as_u64().expect("a number"), 60);
    assert!(answer["expires_at"].as_str().is_some_and(|text| text.ends_with(".000Z")), "{answer}");
    identified(&gate, token).await;
}

#[tokio::test]
async fn the_gate_takes_what_others_sign() {
    let (_upstream, gate) = started().await;
    let now = System.now().seconds();
    for more in
        [json!({}), json!({ "iat": now, "name": "Zoë", "custom_attrs": { "a": "b" }, "timezone": "Europe/Riga" })]
    {
        let mut payload = more;
        payload["user_id"] = "ada".into();
        payload["exp"] = (now + 300).into();
        identified(&gate, &signed(&payload, IDENTITY)).await;
    }
}

#[tokio::test]
async fn who_may_have_tokens_made() {
    let digest = SecretDigest::of(&SECRET.into());
    let (_upstream, gate) = started_with(&format!("secret_digests = [\"{digest}\"]")).await;
    let asked = json!({ "user_id": "ada" });
    let minter = service_token(&gate, &["tokens:mint"], &[BOT]).await;
    let others = service_token(&gate, &["tokens:mint"], &[OTHER]).await;
    let reader = service_token(&gate, &["admin:apps:read"], &[BOT]).await;
    for good in [SECRET, BOOTSTRAP, &minter] {
        assert_eq!(sent(mint(&gate, BOT, good).json(&asked)).await.status(), 200);
    }
    for (app, secret, status, code) in [
        (BOT, "wsec_0000", 401, "INVALID_SERVICE_TOKEN"),
        (BOT, IDENTITY, 401, "INVALID_SERVICE_TOKEN"),
        (BOT, &others, 403, "MISSING_SCOPE"),
        (BOT, &reader, 403, "MISSING_SCOPE"),
        // The secret of one app is none of another's.
        (OTHER, SECRET, 401, "INVALID_SERVICE_TOKEN"),
        (OTHER, BOOTSTRAP, 501, "IDENTITY_NOT_CONFIGURED"),
        (APP, BOOTSTRAP, 501, "IDENTITY_NOT_CONFIGURED"),
        ("ch_nobody", BOOTSTRAP, 404, "NOT_FOUND"),
        ("ch_nobody", SECRET, 401, "INVALID_SERVICE_TOKEN"),
        ("ch_nobody", &minter, 403, "MISSING_SCOPE"),
    ] {
        println!("{app} {code}");
        assert_problem(sent(mint(&gate, app, secret).json(&asked)).await, status, code).await;
    }
    assert_problem(sent(gate.private(Method::POST, &path(BOT)).json(&asked)).await, 401, "AUTH_REQUIRED").await;
    let page = mint(&gate, BOT, SECRET).header("origin", "https://shop.example.com").json(&asked);
    assert_problem(sent(page).await, 403, "FORBIDDEN").await;
    assert_eq!(sent(gate.public(Method::POST, &path(BOT)).bearer_auth(SECRET).json(&asked)).await.status(), 404);
    let get = sent(gate.private(Method::GET, &path(BOT)).bearer_auth(SECRET)).await;
    assert_problem(get, 405, "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn what_cannot_be_signed_is_refused() {
    let (_upstream, gate) = started().await;
    for (body, status, code) in [
        (json!({}), 400, "MISSING_USER_ID"),
        (json!({ "user_id": " " }), 400, "MISSING_USER_ID"),
        (json!({ "user_id": "x".repeat(201) }), 400, "INVALID_FIELD"),
        (json!({ "user_id": "a", "email": "x".repeat(321) }), 400, "INVALID_FIELD"),
        (json!({ "user_id": "a", "name": "b\nc" }), 400, "INVALID_FIELD"),
        (json!({ "user_id": "a", "ttl": 59 }), 400, "INVALID_TTL"),
        (json!({ "user_id": "a", "ttl": 3_601 }), 400, "INVALID_TTL"),
        (json!({ "user_id": "a", "admin": true }), 400, "INVALID_REQUEST"),
        (json!([]), 400, "INVALID_REQUEST"),
    ] {
        println!("{body}");
        assert_problem(sent(mint(&gate, BOT, BOOTSTRAP).json(&body)).await, status, code).await;
    }
    let form = mint(&gate, BOT, BOOTSTRAP).header("content-type", "text/plain").body("{\"user_id\":\"a\"}");
    assert_problem(sent(form).await, 415, "UNSUPPORTED_MEDIA_TYPE").await;
}

#[tokio::test]
async fn the_command_makes_the_same() {
    let (upstream, gate) = started().await;
    let config = super::with_lines(&upstream, "").config();
    let run = |args: &[&str]| program(&[&["token", "mint"], args].concat()).config(&config).run();
    let made = run(&["--app", BOT, "--user", "ada", "--plan-tier", "pro", "--ttl", "10m"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let made: Value = serde_json::from_str(&made.out).expect("JSON");
    let token = made["identity_token"].as_str().expect("a token");
    assert_eq!(verified(token, IDENTITY)["plan_tier"], "pro");
    identified(&gate, token).await;
    for (args, code, said) in [
        (["--app", OTHER, "--user", "ada"], 1, "no identity secret"),
        (["--app", "ch_nobody", "--user", "ada"], 1, "no such app"),
        (["--app", BOT, "--user", " "], 2, "user_id is required"),
    ] {
        let refused = run(&args);
        assert_eq!(refused.code, code, "{}", refused.err);
        assert!(refused.err.contains(said), "{}", refused.err);
    }
}
