//! Changing apps: in force at this gate when the answer is there.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{chat, exchange, make, mint, path, post, settings, with};
use crate::support::admin::{BOOTSTRAP, assert_problem, builder, call, done};
use crate::support::gate::{Gate, SHOP, assert_refused, json_of};
use crate::support::jwt;
use crate::support::redis::until;
use crate::support::upstream::Upstream;

const BLOG: &str = "https://blog.example.com";

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    (upstream, gate)
}

async fn put(gate: &Gate, id: &str, settings: Value) -> Value {
    done(gate, Method::PUT, &path(id, ""), settings).await
}

async fn put_if(gate: &Gate, id: &str, tag: &str, settings: &Value) -> Response {
    let request = gate.private(Method::PUT, &path(id, "")).bearer_auth(BOOTSTRAP).header("if-match", tag);
    request.json(settings).send().await.expect("an answer")
}

#[tokio::test]
async fn a_disabled_app_is_refused_like_an_unknown_one_until_it_is_enabled() {
    let (upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    let token = mint(&gate, &app).await;
    let disabled = post(&gate, &app.id, "disable", Value::Null).await;
    assert!(disabled["state"] == "disabled" && disabled["disabled_at"].is_string(), "{disabled}");
    let again = post(&gate, &app.id, "disable", Value::Null).await;
    assert_eq!(again["disabled_at"], disabled["disabled_at"]);
    let refusal = async |answer: Response| answer.text().await.expect("text");
    let unknown = refusal(exchange(&gate, "nobody", &app.secret).await).await;
    assert_eq!(refusal(exchange(&gate, &app.id, &app.secret).await).await, unknown);
    let answer = gate.chat(Method::GET, super::TASKS, &token).send().await.expect("an answer");
    assert_refused(answer, 401, "INVALID_TOKEN").await;
    assert_eq!(upstream.count(), 0);
    assert_eq!(post(&gate, &app.id, "enable", Value::Null).await["state"], "active");
    assert_eq!(chat(&gate, &token).await, 200);
    assert_eq!(exchange(&gate, &app.id, &app.secret).await.status(), 200);
}

#[tokio::test]
async fn both_secrets_of_a_rotation_are_good_until_it_is_over() {
    let (_upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    let rotated = post(&gate, &app.id, "rotate-secret", json!({ "overlap": "2s" })).await;
    assert!(rotated["secrets"] == 2 && rotated["previous_secret_until"].is_string(), "{rotated}");
    let second = rotated["secret"].as_str().expect("a secret");
    let status = async |secret: &str| exchange(&gate, &app.id, secret).await.status().as_u16();
    assert_eq!((status(&app.secret).await, status(second).await), (200, 200));
    until("the first secret has ended", async || status(&app.secret).await == 401).await;
    assert_eq!(status(second).await, 200);
    let shown = done(&gate, Method::GET, &path(&app.id, ""), Value::Null).await;
    assert_eq!((&shown["secrets"], &shown["previous_secret_until"]), (&json!(1), &Value::Null));
    let rotated = post(&gate, &app.id, "rotate-secret", json!({ "overlap": "0s" })).await;
    let third = rotated["secret"].as_str().expect("a secret");
    assert_eq!([status(second).await, status(third).await], [401, 200]);
    let rotated = post(&gate, &app.id, "rotate-secret", Value::Null).await;
    assert!(rotated["previous_secret_until"].is_string(), "five minutes, when nothing is said");
    assert_eq!(status(third).await, 200);
}

#[tokio::test]
async fn tokens_of_a_retired_key_are_admitted_until_it_is_dropped() {
    let (_upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    let first = mint(&gate, &app).await;
    let key = "a-key-of-this-test-0123456789abcdef";
    let rotated = post(&gate, &app.id, "rotate-key", json!({ "key": { "value": key } })).await;
    assert_eq!(rotated["keys"], 2);
    let second = mint(&gate, &app).await;
    assert_eq!(jwt::claims(&second, key)["sub"], "ada");
    assert_eq!((chat(&gate, &first).await, chat(&gate, &second).await), (200, 200));
    post(&gate, &app.id, "rotate-key", json!({ "drop_retired": true })).await;
    let third = mint(&gate, &app).await;
    let statuses = [chat(&gate, &first).await, chat(&gate, &second).await, chat(&gate, &third).await];
    assert_eq!(statuses, [401, 200, 200]);
    put(&gate, &app.id, with(&json!({ "token": { "retired_keys": [] } }))).await;
    assert_eq!((chat(&gate, &second).await, chat(&gate, &third).await), (401, 200));
}

#[tokio::test]
async fn retired_keys_are_bounded() {
    let (_upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    for _ in 0..8 {
        post(&gate, &app.id, "rotate-key", Value::Null).await;
    }
    let ninth = call(&gate, BOOTSTRAP, Method::POST, &path(&app.id, "rotate-key"), json!({})).await;
    assert!(assert_problem(ninth, 400, "INVALID_REQUEST").await.contains("token.retired_keys"));
    assert_eq!(post(&gate, &app.id, "rotate-key", json!({ "drop_retired": true })).await["keys"], 2);
}

/// The origin that a preflight from it is told, if any.
async fn preflight(gate: &Gate, origin: &str) -> Option<String> {
    let request = gate.public(Method::OPTIONS, super::TASKS).header("origin", origin);
    let answer = request.header("access-control-request-method", "GET").send().await.expect("an answer");
    answer.headers().get("access-control-allow-origin").map(|value| value.to_str().expect("text").to_owned())
}

#[tokio::test]
async fn origins_and_injected_headers_follow_without_a_restart() {
    let (upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    assert_eq!(preflight(&gate, BLOG).await, None);
    let more = json!({ "origins": [SHOP, BLOG], "inject": { "headers": { "X-Team": "{{claims.sub}}" } } });
    put(&gate, &app.id, with(&more)).await;
    assert_eq!(preflight(&gate, BLOG).await.as_deref(), Some(BLOG));
    let token = mint(&gate, &app).await;
    let request = gate.public(Method::GET, super::TASKS).bearer_auth(&token).header("origin", BLOG);
    let answer = request.header("x-team", "mine").send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (200, &BLOG.parse().expect("a value"))
    );
    assert_eq!(upstream.take()[0].header("x-team"), "ada");
    let asked = gate.public(Method::OPTIONS, super::TASKS).header("origin", BLOG);
    let asked = asked
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "x-team, x-other");
    let allowed = asked.send().await.expect("an answer").headers()["access-control-allow-headers"].clone();
    assert_eq!(allowed, "x-other", "what is injected, pages may not ask to send");
    put(&gate, &app.id, settings()).await;
    assert_eq!(preflight(&gate, BLOG).await, None);
    let answer = gate.public(Method::GET, super::TASKS).bearer_auth(&token).header("origin", BLOG).send().await;
    assert_eq!(answer.expect("an answer").status(), 403);
}

#[tokio::test]
async fn a_change_resets_no_limit_whose_rate_it_leaves() {
    let (_upstream, gate) = started().await;
    let limits = |chat: &str| with(&json!({ "limits": { "chat": chat } }));
    let (one, other) = (make(&gate, limits("2/h per end_user")).await, make(&gate, limits("2/h per end_user")).await);
    let (token, of_other) = (mint(&gate, &one).await, mint(&gate, &other).await);
    assert_eq!((chat(&gate, &token).await, chat(&gate, &of_other).await), (200, 200));
    let mut changed = limits("2/h per end_user");
    changed["origins"] = json!([SHOP, BLOG]);
    put(&gate, &one.id, changed).await;
    assert_eq!((chat(&gate, &token).await, chat(&gate, &token).await), (200, 429));
    assert_eq!((chat(&gate, &of_other).await, chat(&gate, &of_other).await), (200, 429));
    put(&gate, &one.id, limits("3/h per end_user")).await;
    assert_eq!((chat(&gate, &token).await, chat(&gate, &of_other).await), (200, 429), "another rate counts anew");
}

#[tokio::test]
async fn what_is_shown_can_be_given_back_and_keeps_what_is_not() {
    let (upstream, gate) = started().await;
    let inject = json!({ "headers": { "X-Key": "hidden", "X-Sub": "{{claims.sub}}" } });
    let app = make(&gate, with(&json!({ "token": { "algorithm": "EdDSA", "ttl": "5m" }, "inject": inject }))).await;
    let before = mint(&gate, &app).await;
    let mut shown = done(&gate, Method::GET, &path(&app.id, ""), Value::Null).await;
    shown["settings"]["origins"] = json!([SHOP, BLOG]);
    let changed = put(&gate, &app.id, shown["settings"].clone()).await;
    assert_eq!((&changed["settings"], &changed["revision"]), (&shown["settings"], &json!(2)));
    assert_eq!((chat(&gate, &before).await, chat(&gate, &mint(&gate, &app).await).await), (200, 200));
    assert!(upstream.take().iter().all(|request| request.header("x-key") == "hidden"));
    let unknown = with(&json!({ "inject": { "headers": { "X-New": null } } }));
    let answer = call(&gate, BOOTSTRAP, Method::PUT, &path(&app.id, ""), unknown).await;
    assert!(assert_problem(answer, 400, "INVALID_REQUEST").await.contains("inject.headers.X-New: must not be null"));
}

#[tokio::test]
async fn a_change_can_be_bound_to_what_was_read() {
    let (_upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    assert_eq!(put_if(&gate, &app.id, "\"1\"", &settings()).await.headers()["etag"], "\"2\"");
    for stale in ["\"1\"", "\"3\"", "W/\"2\"", "2", "\"x\""] {
        assert_problem(put_if(&gate, &app.id, stale, &settings()).await, 412, "PRECONDITION_FAILED").await;
    }
    assert_problem(put_if(&gate, &app.id, "\"1\", \"2\"", &settings()).await, 400, "INVALID_REQUEST").await;
    let any = put_if(&gate, &app.id, "*", &settings()).await;
    assert_eq!(json_of(any).await["revision"], 3);
    assert_problem(put_if(&gate, "nobody", "*", &settings()).await, 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn tokens_of_an_app_can_be_revoked_also_while_it_is_disabled() {
    let (_upstream, gate) = started().await;
    let (app, other) = (make(&gate, settings()).await, make(&gate, settings()).await);
    let (token, of_other) = (mint(&gate, &app).await, mint(&gate, &other).await);
    post(&gate, &app.id, "disable", Value::Null).await;
    for body in [json!({ "token": token }), json!({ "app": app.id })] {
        done(&gate, Method::POST, "/admin/v1/revocations", body).await;
    }
    post(&gate, &app.id, "enable", Value::Null).await;
    until("it is revoked", async || chat(&gate, &token).await == 401).await;
    assert_eq!(chat(&gate, &of_other).await, 200);
}
