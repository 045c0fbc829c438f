//! Making apps, and seeing them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{chat, exchange, make, mint, path, settings, with};
use crate::support::admin::{APPS, BOOTSTRAP, assert_problem, builder, call, done};
use crate::support::gate::{APP, SHOP, json_of};
use crate::support::jwt;
use crate::support::openssl::{KeyPair, options};
use crate::support::upstream::Upstream;

#[tokio::test]
async fn an_app_is_made_with_what_was_left_open_and_serves_at_once() {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    let answer = call(&gate, BOOTSTRAP, Method::POST, APPS, settings()).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (201, &"\"1\"".parse().expect("a value")));
    let app = json_of(answer).await;
    let (id, secret) = (app["id"].as_str().expect("an id"), app["secret"].as_str().expect("a secret"));
    assert!(id.starts_with("wapp_") && id.len() == 17, "{id}");
    assert!(secret.starts_with("wsec_") && secret.len() == 69, "{secret}");
    assert_eq!((&app["source"], &app["state"]), (&json!("registry"), &json!("active")));
    let token = json_of(exchange(&gate, id, secret).await).await["data"]["token"].take();
    assert_eq!(chat(&gate, token.as_str().expect("a token")).await, 200);
    assert_eq!(upstream.count(), 1);
    assert_eq!(exchange(&gate, id, "wsec_wrong").await.status(), 401);
}

#[tokio::test]
async fn an_app_has_all_that_one_of_the_file_can_have() {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    let key = "a-key-of-this-test-0123456789abcdef";
    let app = make(
        &gate,
        with(&json!({
            "id": "wapp_full", "limits": { "chat": "2/h per end_user" },
            "token": { "key": { "value": key }, "ttl": "2m", "max_ttl": "3m" },
            "inject": { "headers": { "X-Tenant": "{{env.TENANT}}", "X-App": "{{app.id}}" } },
        })),
    )
    .await;
    assert_eq!(app.id, "wapp_full");
    let body = json!({ "appId": app.id, "appSecret": app.secret, "endUserId": "ada", "env": { "TENANT": "acme" } });
    let token = json_of(gate.exchange(&body).await).await["data"]["token"].take();
    let token = token.as_str().expect("a token");
    let claims = jwt::claims(token, key);
    assert_eq!(claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(120));
    assert_eq!(claims["allowedOrigins"], json!([SHOP]));
    assert_eq!([chat(&gate, token).await, chat(&gate, token).await, chat(&gate, token).await], [200, 200, 429]);
    let forwarded = upstream.take();
    assert_eq!((forwarded[0].header("x-tenant"), forwarded[0].header("x-app")), ("acme", "wapp_full"));
}

#[tokio::test]
async fn keys_of_each_algorithm_are_made() {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let app = make(&gate, with(&json!({ "token": { "algorithm": algorithm } }))).await;
        assert_eq!(chat(&gate, &mint(&gate, &app).await).await, 200, "{algorithm}");
        let rotated = super::post(&gate, &app.id, "rotate-key", json!({})).await;
        assert_eq!(rotated["keys"], 2);
        assert_eq!(chat(&gate, &mint(&gate, &app).await).await, 200, "{algorithm}");
    }
    let pair = KeyPair::new(options("ES256"));
    let token = json!({ "algorithm": "ES256", "key": { "value": pair.private } });
    let app = make(&gate, with(&json!({ "token": token }))).await;
    pair.verify("ES256", &mint(&gate, &app).await);
}

#[tokio::test]
async fn apps_of_both_kinds_are_shown_without_what_is_secret() {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).app("inject.headers = { X-Key = \"canary-1\" }").start().await;
    let key = "canary-2-0123456789abcdef0123456789abcdef";
    let more = json!({
        "id": "wapp_a", "token": { "key": { "value": key }, "retired_keys": [{ "value": format!("{key}-3") }] },
        "inject": {
            "headers": { "X-Key": "canary-4" }, "query": { "k": "canary-5" }, "body": { "/a": { "b": "canary-6" } },
        },
    });
    let app = make(&gate, with(&more)).await;
    let list = done(&gate, Method::GET, APPS, Value::Null).await;
    let text = list.to_string();
    for secret in ["canary", "sha256:", "wsec_", &app.secret] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let ids: Vec<_> = list["apps"].as_array().expect("a list").iter().map(|app| (&app["id"], &app["source"])).collect();
    assert_eq!(ids, [(&json!("wapp_a"), &json!("registry")), (&json!(APP), &json!("file"))]);
    let (one, file) = (&list["apps"][0], &list["apps"][1]);
    let inject = json!({ "headers": { "X-Key": null }, "query": { "k": null }, "body": { "/a": null } });
    assert_eq!((&one["settings"]["inject"], &one["secrets"], &one["keys"]), (&inject, &json!(1), &json!(2)));
    assert_eq!(one["settings"]["token"], json!({ "algorithm": "HS256" }));
    assert_eq!(file["settings"]["inject"], json!({ "headers": { "X-Key": null } }));
    assert_eq!((&file["secrets"], &file["keys"], &file["revision"]), (&json!(1), &json!(1), &Value::Null));
    assert_eq!(&done(&gate, Method::GET, &path("wapp_a", ""), Value::Null).await, one);
    assert_eq!(&done(&gate, Method::GET, &path(APP, ""), Value::Null).await, file);
    assert_problem(call(&gate, BOOTSTRAP, Method::GET, &path("nobody", ""), Value::Null).await, 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn a_restart_keeps_them() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let start = || builder(&upstream).set(&format!("store.path={}", folder.path().join("a.db").display())).start();
    let gate = start().await;
    let (app, gone) = (make(&gate, settings()).await, make(&gate, settings()).await);
    let token = mint(&gate, &app).await;
    super::post(&gate, &gone.id, "disable", Value::Null).await;
    drop(gate);
    let gate = start().await;
    assert_eq!(chat(&gate, &token).await, 200);
    assert_eq!(exchange(&gate, &app.id, &app.secret).await.status(), 200);
    assert_eq!(exchange(&gate, &gone.id, &gone.secret).await.status(), 401);
}
