//! What is refused, and what is said of it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{exchange, make, path, settings, with};
use crate::support::admin::{APPS, BOOTSTRAP, assert_problem, builder, call, done, service_token};
use crate::support::gate::{APP, Gate, SEAL_KEY, SECRET, SIGNING_KEY, json_of};
use crate::support::upstream::Upstream;

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    (upstream, gate)
}

/// What is wrong with settings, each with its path.
fn mistakes() -> Vec<(Value, &'static str)> {
    let token = |more: Value| with(&json!({ "token": more }));
    let deep = (0..20).fold(json!("x"), |inner, _| json!([inner]));
    vec![
        (json!({}), "dialect: is required"),
        (json!({ "dialect": "sigmic" }), "upstream: is required"),
        (with(&json!({ "id": "no spaces" })), "id: must be 1 to 64"),
        (with(&json!({ "id": 7 })), "id: must be a string"),
        (with(&json!({ "id": null })), "id: must not be null"),
        (with(&json!({ "dialect": "canary" })), "dialect: must be one of \"sigmic\""),
        (with(&json!({ "upstream": "canary" })), "upstream: is not the name of one of the [[upstreams]]"),
        (with(&json!({ "orgins": [] })), "orgins: unknown key; did you mean \"origins\"?"),
        (with(&json!({ "origins": ["canary"] })), "origins: entry 1: must be http:// or https://"),
        (with(&json!({ "origins": [null] })), "origins[0]: must not be null"),
        (with(&json!({ "secret_digests": [] })), "secret_digests: must be one digest, or two"),
        (with(&json!({ "secret_digests": ["canary"] })), "secret_digests[0]: must be `sha256:`"),
        (with(&json!({ "limits": { "chat": "canary" } })), "limits.chat: must be COUNT/s"),
        (with(&json!({ "inject": { "body": { "/a": deep } } })), "nested too deeply"),
        (with(&json!({ "inject": { "headers": { "Host": "canary" } } })), "inject.headers.Host: frames the message"),
        (with(&json!({ "scoping": "upstream" })), "scoping: \"upstream\" needs an injected header"),
        (token(json!("canary")), "token: must be a table"),
        (token(json!({ "ttl": "8d" })), "token.ttl: must not be longer than max_ttl"),
        (token(json!({ "algorithm": "none" })), "token.algorithm: must be one of"),
        (token(json!({ "key": "canary" })), "token.key: must be one of { value"),
        (token(json!({ "key": { "env": "HOME" } })), "token.key: must be given as { value = … } here"),
        (token(json!({ "key": { "file": "/etc/hostname" } })), "token.key: must be given as { value = … } here"),
        (token(json!({ "key": { "value": "canary" } })), "token.key: must be at least 32 bytes long"),
        (token(json!({ "key": { "value": SIGNING_KEY } })), "token.key: the same key also serves app wapp_test"),
        (token(json!({ "key": { "value": SEAL_KEY } })), "token.key: the same key also serves as a seal key"),
        (token(json!({ "key": { "value": BOOTSTRAP } })), "token.key: the same key also serves as the bootstrap token"),
        (
            token(json!({ "retired_keys": [{ "value": SIGNING_KEY }] })),
            "token.key: the same key also serves app wapp_test",
        ),
    ]
}

#[tokio::test]
async fn each_mistake_is_named_and_no_value_is_repeated() {
    let (_upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    for (body, words) in mistakes() {
        let answer = call(&gate, BOOTSTRAP, Method::POST, APPS, body.clone()).await;
        let detail = assert_problem(answer, 400, "INVALID_REQUEST").await;
        assert!(detail.contains(words) && !detail.contains("canary"), "{body}: {detail}");
        if body.get("id").is_none() && body.get("dialect").is_some() {
            let answer = call(&gate, BOOTSTRAP, Method::PUT, &path(&app.id, ""), body.clone()).await;
            assert!(assert_problem(answer, 400, "INVALID_REQUEST").await.contains(words), "{body}");
        }
    }
    let shown = done(&gate, Method::GET, &path(&app.id, ""), Value::Null).await;
    assert_eq!(shown["revision"], 1, "nothing was changed");
    assert_eq!(done(&gate, Method::GET, APPS, Value::Null).await["apps"].as_array().map(Vec::len), Some(2));
    assert!(!gate.output().contains("canary"));
}

#[tokio::test]
async fn all_mistakes_are_named_at_once() {
    let (_upstream, gate) = started().await;
    let body = json!({ "id": "a b", "dialect": "x", "upstream": "y", "more": 1, "token": { "ttl": "soon" } });
    let detail = assert_problem(call(&gate, BOOTSTRAP, Method::POST, APPS, body).await, 400, "INVALID_REQUEST").await;
    for words in ["id: ", "dialect: ", "upstream: ", "more: unknown key", "token.ttl: "] {
        assert!(detail.contains(words), "{words}: {detail}");
    }
    let many: serde_json::Map<_, _> = (0..2_000).map(|index| (format!("key{index}"), json!(1))).collect();
    let answer = call(&gate, BOOTSTRAP, Method::POST, APPS, with(&many.into())).await;
    let detail = assert_problem(answer, 400, "INVALID_REQUEST").await;
    assert!(detail.len() < 8_000 && detail.ends_with("more"), "{} bytes", detail.len());
}

#[tokio::test]
async fn bodies_are_strict() {
    let (_upstream, gate) = started().await;
    let app = make(&gate, settings()).await;
    let raw = async |path: &str, body: &'static str| {
        let request =
            gate.private(Method::POST, path).bearer_auth(BOOTSTRAP).header("content-type", "application/json");
        request.body(body).send().await.expect("an answer")
    };
    for (action, body) in [
        ("rotate-secret", r#"{"overlap":"soon"}"#),
        ("rotate-secret", r#"{"overlap":"1m","overlap":"2m"}"#),
        ("rotate-secret", r#"{"over":"1m"}"#),
        ("rotate-key", r#"{"key":{"env":"HOME"}}"#),
        ("rotate-key", r#"{"key":"canary-0123456789abcdef0123456789abcdef"}"#),
        ("rotate-key", r#"{"key":{"value":"canary"}}"#),
        ("disable", r#"{"reason":"x"}"#),
        ("enable", "[]"),
    ] {
        let detail = assert_problem(raw(&path(&app.id, action), body).await, 400, "INVALID_REQUEST").await;
        assert!(!detail.contains("canary"), "{detail}");
    }
    let twice = r#"{"dialect":"sigmic","upstream":"chat","upstream":"chat"}"#;
    assert_problem(raw(APPS, twice).await, 400, "INVALID_REQUEST").await;
    let renamed = call(&gate, BOOTSTRAP, Method::PUT, &path(&app.id, ""), with(&json!({ "id": "other" }))).await;
    assert_eq!(assert_problem(renamed, 400, "INVALID_REQUEST").await, "id: cannot be changed");
    let large = with(&json!({ "origins": ["x".repeat(70_000)] }));
    assert_problem(call(&gate, BOOTSTRAP, Method::POST, APPS, large).await, 413, "PAYLOAD_TOO_LARGE").await;
    for (method, action, allow) in
        [(Method::DELETE, "", "GET, PUT"), (Method::GET, "disable", "POST"), (Method::PUT, "rotate-key", "POST")]
    {
        let answer = call(&gate, BOOTSTRAP, method, &path(&app.id, action), Value::Null).await;
        assert_eq!(answer.headers()["allow"], allow);
        assert_problem(answer, 405, "METHOD_NOT_ALLOWED").await;
    }
}

#[tokio::test]
async fn an_app_of_the_file_is_changed_there() {
    let (_upstream, gate) = started().await;
    let calls = [
        (Method::PUT, "", settings()),
        (Method::POST, "disable", Value::Null),
        (Method::POST, "enable", Value::Null),
        (Method::POST, "rotate-secret", json!({})),
        (Method::POST, "rotate-key", json!({})),
    ];
    for (method, action, body) in calls {
        let answer = call(&gate, BOOTSTRAP, method, &path(APP, action), body).await;
        let detail = assert_problem(answer, 409, "CONFLICT").await;
        assert_eq!(detail, "This app comes from the configuration file; change it there", "{action}");
    }
    let made = call(&gate, BOOTSTRAP, Method::POST, APPS, with(&json!({ "id": APP }))).await;
    assert_problem(made, 409, "CONFLICT").await;
    let app = make(&gate, settings()).await;
    let twice = call(&gate, BOOTSTRAP, Method::POST, APPS, with(&json!({ "id": app.id }))).await;
    assert_eq!(assert_problem(twice, 409, "CONFLICT").await, "An app of this id exists already");
    assert_eq!(exchange(&gate, APP, SECRET).await.status(), 200);
}

#[tokio::test]
async fn a_service_token_does_what_its_scopes_say_for_its_apps_alone() {
    let (_upstream, gate) = started().await;
    let (mine, other) = (make(&gate, settings()).await, make(&gate, settings()).await);
    let reader = service_token(&gate, &["admin:apps:read"], &[]).await;
    let bound = service_token(&gate, &["admin:apps:read", "admin:apps:write"], &[&mine.id, "wapp_new"]).await;
    let neither = service_token(&gate, &["admin:tokens:read"], &[]).await;
    let listed = json_of(call(&gate, &bound, Method::GET, APPS, Value::Null).await).await;
    let ids: Vec<_> = listed["apps"].as_array().expect("a list").iter().map(|app| app["id"].clone()).collect();
    assert_eq!(ids, [json!(mine.id)]);
    let all = json_of(call(&gate, &reader, Method::GET, APPS, Value::Null).await).await;
    assert_eq!(all["apps"].as_array().map(Vec::len), Some(3));
    let nowhere = "canary".to_owned();
    let refused = [
        (&neither, Method::GET, APPS.to_owned(), Value::Null),
        (&neither, Method::GET, path(&mine.id, ""), Value::Null),
        (&reader, Method::POST, APPS.to_owned(), settings()),
        (&reader, Method::POST, path(&mine.id, "disable"), Value::Null),
        (&reader, Method::PUT, path(&mine.id, ""), settings()),
        (&bound, Method::GET, path(&other.id, ""), Value::Null),
        (&bound, Method::GET, path(&nowhere, ""), Value::Null),
        (&bound, Method::PUT, path(&other.id, ""), settings()),
        (&bound, Method::POST, path(&other.id, "rotate-secret"), json!({})),
        (&bound, Method::POST, path(&other.id, "rotate-key"), json!({})),
        (&bound, Method::POST, path(APP, "disable"), json!({})),
        (&bound, Method::POST, APPS.to_owned(), settings()),
        (&bound, Method::POST, APPS.to_owned(), with(&json!({ "id": "wapp_foreign" }))),
    ];
    for (secret, method, path, body) in refused {
        assert_problem(call(&gate, secret, method, &path, body).await, 403, "MISSING_SCOPE").await;
    }
    let made = call(&gate, &bound, Method::POST, APPS, with(&json!({ "id": "wapp_new" }))).await;
    assert_eq!(made.status(), 201);
    assert_eq!(call(&gate, &bound, Method::PUT, &path(&mine.id, ""), settings()).await.status(), 200);
    let page = gate.private(Method::GET, APPS).bearer_auth(BOOTSTRAP).header("origin", "http://localhost");
    assert_problem(page.send().await.expect("an answer"), 403, "FORBIDDEN").await;
    assert_problem(gate.private(Method::GET, APPS).send().await.expect("an answer"), 401, "AUTH_REQUIRED").await;
}
