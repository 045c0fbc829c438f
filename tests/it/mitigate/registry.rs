//! Workspaces of the registry: made, shown, changed; their keys are never shown.

use reqwest::Method;
use serde_json::{Value, json};

use super::{REFRESH, identity, issued, page, private, public, sent, started};
use crate::support::admin::{APPS, call, done};
use crate::support::gate::{Gate, SHOP};

fn settings(id: &str) -> Value {
    json!({
        "id": id, "dialect": "mitigate", "upstream": "chat", "origins": [SHOP],
        "identity": {
            "encryption_keys": [{ "value": private(3) }], "signing_keys": [{ "value": public(2) }],
            "management": "RSA-OAEP",
        },
        "widget": { "modes": ["identified", "anonymous"], "locale": "lv" },
        "challenge": { "upstream": "chat", "path": "/verify", "secret": { "value": "canary-challenge" } },
    })
}

async fn enter(gate: &Gate, id: &str, body: &Value) -> reqwest::Response {
    sent(page(gate, Method::POST, &format!("/api/v1/workspaces/{id}/session")).json(body)).await
}

fn token() -> String {
    let keys = super::minting(2, 3, sidegate_core::token::jwe::KeyManagement::RsaOaep);
    super::token_with(&keys, "ada", None)
}

#[tokio::test]
async fn a_workspace_is_made_and_shown_without_its_keys() {
    let (_upstream, gate) = started().await;
    let made = done(&gate, Method::POST, APPS, settings("ws_kept")).await;
    let shown = done(&gate, Method::GET, &format!("{APPS}/ws_kept"), Value::Null).await;
    for shown in [&made, &shown] {
        assert!(!shown.to_string().contains("BEGIN") && !shown.to_string().contains("canary"), "{shown}");
        assert_eq!(shown["settings"]["identity"], json!({ "management": "RSA-OAEP" }));
        assert_eq!(shown["settings"]["challenge"], json!({ "upstream": "chat", "path": "/verify" }));
    }
    assert_eq!(issued(enter(&gate, "ws_kept", &json!({ "token": token() })).await).await["mode"], "identified");
    assert_eq!(enter(&gate, "ws_kept", &json!({ "token": identity("ada") })).await.status(), 401);
    // What is shown may be given back: what was not shown stays.
    let mut changed = shown["settings"].clone();
    changed["widget"]["modes"] = json!(["identified"]);
    done(&gate, Method::PUT, &format!("{APPS}/ws_kept"), changed).await;
    assert_eq!(issued(enter(&gate, "ws_kept", &json!({ "token": token() })).await).await["mode"], "identified");
    assert_eq!(enter(&gate, "ws_kept", &json!({})).await.status(), 403);
    done(&gate, Method::POST, &format!("{APPS}/ws_kept/disable"), Value::Null).await;
    assert_eq!(enter(&gate, "ws_kept", &json!({ "token": token() })).await.status(), 404);
    assert_eq!(sent(page(&gate, Method::POST, &REFRESH.replace("ws_k3v9x1m7q2", "ws_kept"))).await.status(), 404);
}

#[tokio::test]
async fn a_key_serves_one_workspace() {
    let (_upstream, gate) = started().await;
    let mut stolen = settings("ws_thief");
    stolen["identity"]["encryption_keys"] = json!([{ "value": private(1) }]);
    let answer = call(&gate, super::BOOTSTRAP, Method::POST, APPS, stolen).await;
    assert_eq!(answer.status(), 400);
    let said = answer.text().await.expect("text");
    assert!(said.contains("identity tokens of app ws_k3v9x1m7q2"), "{said}");
}
