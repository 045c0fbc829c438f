//! The gate's own API: service tokens, and the revocation of widget tokens.

use reqwest::Method;
use serde_json::{Value, json};
use sidegate::system::System;
use sidegate_core::clock::{Clock as _, Timestamp};

use crate::support::admin::{BOOTSTRAP, TOKENS, assert_problem as assert_refused, builder, call};
use crate::support::gate::{APP, Gate, json_of};
use crate::support::upstream::Upstream;
use crate::support::wire::within;

const REVOCATIONS: &str = "/admin/v1/revocations";

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    (upstream, gate)
}

async fn created(gate: &Gate, body: Value) -> (String, String) {
    let answer = call(gate, BOOTSTRAP, Method::POST, TOKENS, body).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let token = json_of(answer).await;
    let text = |name: &str| token[name].as_str().expect("a text").to_owned();
    (text("id"), text("secret"))
}

#[tokio::test]
async fn a_service_token_is_made_shown_once_and_does_what_its_scopes_say() {
    let (_upstream, gate) = started().await;
    let body = json!({ "id": "ops", "scopes": ["admin:tokens:read"], "expires_in": "30d" });
    let (id, secret) = created(&gate, body.clone()).await;
    assert!(id == "ops" && secret.starts_with("sgst_") && secret.len() == 69, "{id} {secret}");
    let shown = json_of(call(&gate, &secret, Method::GET, &format!("{TOKENS}/ops"), Value::Null).await).await;
    assert_eq!((&shown["id"], &shown["scopes"]), (&json!("ops"), &json!(["admin:tokens:read"])));
    assert!(shown["expires_at"].as_str().is_some_and(|end| end.ends_with('Z')), "{shown}");
    let listed = call(&gate, &secret, Method::GET, TOKENS, Value::Null).await.text().await.expect("text");
    assert!(listed.contains("\"ops\"") && !listed.contains("secret\"") && !listed.contains("sha256"), "{listed}");
    assert_refused(call(&gate, &secret, Method::POST, TOKENS, body.clone()).await, 403, "MISSING_SCOPE").await;
    assert_refused(call(&gate, BOOTSTRAP, Method::POST, TOKENS, body).await, 409, "CONFLICT").await;
    assert_refused(call(&gate, &secret, Method::GET, &format!("{TOKENS}/nobody"), Value::Null).await, 404, "NOT_FOUND")
        .await;
    assert!(!gate.output().contains(&secret));
}

#[tokio::test]
async fn what_is_shown_must_be_a_service_token() {
    let (_upstream, gate) = started().await;
    let answer = gate.private(Method::GET, TOKENS).send().await.expect("an answer");
    assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"sidegate\"");
    assert_refused(answer, 401, "AUTH_REQUIRED").await;
    for wrong in ["x", "sgst_0000", &BOOTSTRAP[1..], &format!("{BOOTSTRAP}0"), &"x".repeat(10_000)] {
        let answer = call(&gate, wrong, Method::GET, TOKENS, Value::Null).await;
        assert_refused(answer, 401, "INVALID_SERVICE_TOKEN").await;
    }
    let basic = gate.private(Method::GET, TOKENS).basic_auth("ops", Some(BOOTSTRAP)).send().await.expect("an answer");
    assert_refused(basic, 401, "INVALID_SERVICE_TOKEN").await;
    let page = gate.private(Method::GET, TOKENS).bearer_auth(BOOTSTRAP).header("origin", "http://localhost");
    assert_refused(page.send().await.expect("an answer"), 403, "FORBIDDEN").await;
    let public = gate.public(Method::GET, TOKENS).bearer_auth(BOOTSTRAP).send().await.expect("an answer");
    assert_refused(public, 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn bodies_must_be_what_is_asked_for() {
    let (_upstream, gate) = started().await;
    for body in [
        json!({}),
        json!([]),
        json!({ "scopes": [] }),
        json!({ "scopes": ["admin:everything"] }),
        json!({ "scopes": ["admin:revoke"], "id": "no spaces" }),
        json!({ "scopes": ["admin:revoke"], "expires_in": "soon" }),
        json!({ "scopes": ["admin:revoke"], "lifetime": "1h" }),
    ] {
        let answer = call(&gate, BOOTSTRAP, Method::POST, TOKENS, body).await;
        assert_refused(answer, 400, "INVALID_REQUEST").await;
    }
    let twice = gate.private(Method::POST, TOKENS).bearer_auth(BOOTSTRAP).header("content-type", "application/json");
    let twice = twice.body(r#"{"scopes":["admin:revoke"],"scopes":[]}"#).send().await.expect("an answer");
    assert_refused(twice, 400, "INVALID_REQUEST").await;
    let form = gate.private(Method::POST, TOKENS).bearer_auth(BOOTSTRAP).body("scopes=x").send().await;
    assert_refused(form.expect("an answer"), 415, "UNSUPPORTED_MEDIA_TYPE").await;
    let misplaced = call(&gate, BOOTSTRAP, Method::POST, TOKENS, json!({ "scopes": "canary" })).await;
    let detail = assert_refused(misplaced, 400, "INVALID_REQUEST").await;
    assert!(detail.contains("line 1") && !detail.contains("canary"), "{detail}");
    let large = json!({ "scopes": ["admin:revoke"], "id": "x".repeat(70_000) });
    assert_refused(call(&gate, BOOTSTRAP, Method::POST, TOKENS, large).await, 413, "PAYLOAD_TOO_LARGE").await;
    let put = call(&gate, BOOTSTRAP, Method::PUT, TOKENS, Value::Null).await;
    assert_eq!(put.headers()["allow"], "GET, POST");
    assert_refused(put, 405, "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn nobody_makes_or_takes_over_more_than_their_own_rights() {
    let (_upstream, gate) = started().await;
    let scopes = json!(["admin:tokens:write", "admin:revoke"]);
    let (_, secret) = created(&gate, json!({ "scopes": scopes, "apps": [APP] })).await;
    created(&gate, json!({ "id": "strong", "scopes": ["admin:apps:write"] })).await;
    for body in [
        json!({ "scopes": ["admin:apps:write"], "apps": [APP] }),
        json!({ "scopes": ["admin:revoke"] }),
        json!({ "scopes": ["admin:revoke"], "apps": [APP, "another"] }),
    ] {
        assert_refused(call(&gate, &secret, Method::POST, TOKENS, body).await, 403, "MISSING_SCOPE").await;
    }
    let rotate = format!("{TOKENS}/strong/rotate");
    assert_refused(call(&gate, &secret, Method::POST, &rotate, json!({})).await, 403, "MISSING_SCOPE").await;
    let strong = format!("{TOKENS}/strong");
    assert_refused(call(&gate, &secret, Method::DELETE, &strong, Value::Null).await, 403, "MISSING_SCOPE").await;
    let own = json!({ "scopes": ["admin:revoke"], "apps": [APP] });
    assert_eq!(call(&gate, &secret, Method::POST, TOKENS, own).await.status(), 201);
}

#[tokio::test]
async fn a_rotation_overlaps_and_a_revocation_ends_at_once() {
    let (_upstream, gate) = started().await;
    let (id, first) = created(&gate, json!({ "scopes": ["admin:tokens:read"] })).await;
    let (path, rotate) = (format!("{TOKENS}/{id}"), format!("{TOKENS}/{id}/rotate"));
    let rotated = json_of(call(&gate, BOOTSTRAP, Method::POST, &rotate, json!({ "overlap": "1h" })).await).await;
    let second = rotated["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(first, second);
    for secret in [&first, &second] {
        assert_eq!(call(&gate, secret, Method::GET, &path, Value::Null).await.status(), 200);
    }
    let rotated = json_of(call(&gate, BOOTSTRAP, Method::POST, &rotate, json!({ "overlap": "0s" })).await).await;
    let third = rotated["secret"].as_str().expect("a secret").to_owned();
    for secret in [&first, &second] {
        assert_refused(call(&gate, secret, Method::GET, &path, Value::Null).await, 401, "INVALID_SERVICE_TOKEN").await;
    }
    let revoked = call(&gate, BOOTSTRAP, Method::DELETE, &path, json!({ "reason": "leaked" })).await;
    assert_eq!(json_of(revoked).await["revocation_reason"], "leaked");
    assert_refused(call(&gate, &third, Method::GET, &path, Value::Null).await, 403, "SERVICE_TOKEN_REVOKED").await;
    assert_refused(call(&gate, BOOTSTRAP, Method::POST, &rotate, json!({})).await, 403, "SERVICE_TOKEN_REVOKED").await;
}

/// Waits until the page's token is refused as revoked: within a second, the gate says.
async fn refused(gate: &Gate, token: &str) {
    let told = async {
        loop {
            let answer = gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer");
            if answer.status() == 401 {
                return json_of(answer).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert_eq!(within(told).await["error"]["message"], "The token has been revoked");
}

async fn passes(gate: &Gate, token: &str) {
    let answer = gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn widget_tokens_are_revoked_one_by_one_by_user_by_app_and_all() {
    let (_upstream, gate) = started().await;
    let one = gate.token("ada").env("A", "1").mint().await;
    let another = gate.token("ada").env("A", "2").mint().await;
    let grace = gate.token("grace").mint().await;
    let revoke = async |body: Value| {
        let answer = call(&gate, BOOTSTRAP, Method::POST, REVOCATIONS, body).await;
        assert_eq!(answer.status(), 201);
        json_of(answer).await
    };
    for token in [&one, &another, &grace] {
        passes(&gate, token).await;
    }
    let kept = revoke(json!({ "token": one })).await;
    assert_eq!(kept["revoked"]["kind"], "token");
    refused(&gate, &one).await;
    passes(&gate, &another).await;
    revoke(json!({ "app": APP, "end_user": "ada" })).await;
    refused(&gate, &another).await;
    passes(&gate, &grace).await;
    revoke(json!({ "app": APP })).await;
    refused(&gate, &grace).await;
}

#[tokio::test]
async fn what_cannot_be_revoked_is_said() {
    let (_upstream, gate) = started().await;
    for (body, status, code) in [
        (json!({}), 400, "INVALID_REQUEST"),
        (json!({ "jti": "x" }), 400, "INVALID_REQUEST"),
        (json!({ "app": APP, "all": true }), 400, "INVALID_REQUEST"),
        (json!({ "app": "unknown" }), 404, "NOT_FOUND"),
        (json!({ "token": "x.y.z" }), 401, "INVALID_TOKEN"),
    ] {
        let answer = call(&gate, BOOTSTRAP, Method::POST, REVOCATIONS, body).await;
        assert_refused(answer, status, code).await;
    }
    let (_, secret) = created(&gate, json!({ "scopes": ["admin:revoke"], "apps": [APP] })).await;
    for body in [json!({ "all": true }), json!({ "app": "another" })] {
        assert_refused(call(&gate, &secret, Method::POST, REVOCATIONS, body).await, 403, "MISSING_SCOPE").await;
    }
    for (of, days) in [(json!({ "app": APP, "end_user": "ada" }), 31), (json!({ "app": APP }), 400)] {
        let own = call(&gate, &secret, Method::POST, REVOCATIONS, of).await;
        assert_eq!(own.status(), 201);
        let until = json_of(own).await["kept_until"].as_str().and_then(Timestamp::from_rfc3339).expect("a time");
        assert_eq!((until.since(System.now()).as_secs() + 3_600) / (24 * 3_600), days);
    }
}
