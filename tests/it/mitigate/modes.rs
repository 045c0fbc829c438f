//! Who may come in, and as what.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    CHATS, CONFIG, SESSION, WORKSPACE, chat, enter, entered, guest, identity, issued, keys, last, open, page, refused,
    sent, started, started_with, text,
};
use crate::support::gate::{SHOP, json_of};

const INJECTED: &str = "\n[apps.inject.headers]\nX-Sub = \"{{claims.sub}}\"\nX-User = \"{{user.user_id?}}\"\n\
    X-Name = \"{{unverified.name?}}\"\nX-Email = \"{{unverified.email?}}\"\nX-Locale = \"{{unverified.locale?}}\"\n";

#[tokio::test]
async fn each_kind_of_visitor_comes_in() {
    let (upstream, gate) = started_with(&format!("{}{INJECTED}", open())).await;
    for (body, mode) in [
        (json!({ "token": identity("ada"), "locale": "lv" }), "identified"),
        (guest(), "guest"),
        (json!({}), "anonymous"),
        (json!({ "token": null, "guest": null }), "anonymous"),
    ] {
        let issued = issued(enter(&gate, &body).await).await;
        assert_eq!(issued["mode"], mode);
        let expires_at = text(&issued["expires_at"]);
        assert!(expires_at.ends_with(".000Z"), "{expires_at}");
        let answer = chat(&gate, &text(&issued["token"]), &json!({ "prompt": "hi" })).await;
        assert_eq!(answer.status(), 200);
        let seen = last(&upstream);
        let sub = seen.header("x-sub").to_owned();
        assert_eq!(seen.json(), json!({ "prompt": "hi", "user_id": sub, "workspace_id": WORKSPACE }));
        match mode {
            "identified" => {
                assert_eq!((&*sub, seen.header("x-user"), seen.header("x-locale")), ("ada", "ada", "lv"));
                assert_eq!(seen.header("x-name"), "");
            }
            "guest" => {
                assert!(sub.starts_with("anon-"), "{sub}");
                let said = (seen.header("x-name"), seen.header("x-email"), seen.header("x-user"));
                assert_eq!(said, ("Ada Lovelace", "ada@example.com", ""));
            }
            _ => assert!(sub.starts_with("anon-") && seen.header("x-name").is_empty(), "{sub}"),
        }
        assert_eq!(seen.header("authorization"), "", "the gate's own token stays here");
    }
}

#[tokio::test]
async fn without_a_body_a_visitor_is_nobody() {
    let (_upstream, gate) = started().await;
    let answer = sent(page(&gate, Method::POST, SESSION)).await;
    assert_eq!(issued(answer).await["mode"], "anonymous");
    let answer = sent(page(&gate, Method::POST, SESSION).header("content-type", "text/plain").body("{}")).await;
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE").await;
}

#[tokio::test]
async fn a_mode_that_is_off_is_refused() {
    let (_upstream, gate) = started_with(&keys()).await;
    assert_eq!(issued(enter(&gate, &json!({ "token": identity("ada") })).await).await["mode"], "identified");
    refused(enter(&gate, &guest()).await, 403, "MODE_DISABLED").await;
    refused(enter(&gate, &json!({})).await, 403, "MODE_DISABLED").await;
    let (_upstream, gate) = started_with("widget.modes = [\"guest\"]").await;
    assert_eq!(issued(enter(&gate, &guest()).await).await["mode"], "guest");
    refused(enter(&gate, &json!({ "token": identity("ada") })).await, 403, "MODE_DISABLED").await;
}

#[tokio::test]
async fn a_guest_says_who_it_is_and_consents() {
    let (upstream, gate) = started().await;
    for (guest, code) in [
        (json!({ "name": "Ada", "email": "ada@example.com" }), "CONSENT_REQUIRED"),
        (json!({ "name": "Ada", "email": "ada@example.com", "consent": "true" }), "CONSENT_REQUIRED"),
        (json!({ "name": "", "email": "ada@example.com", "consent": true }), "INVALID_GUEST"),
        (json!({ "name": "Ada", "email": "ada", "consent": true }), "INVALID_GUEST"),
        (json!({ "name": "A".repeat(201), "email": "ada@example.com", "consent": true }), "INVALID_GUEST"),
        (json!("Ada"), "INVALID_GUEST"),
    ] {
        refused(enter(&gate, &json!({ "guest": guest })).await, 400, code).await;
    }
    let both = json!({ "guest": guest()["guest"], "token": identity("ada") });
    refused(enter(&gate, &both).await, 400, "INVALID_REQUEST").await;
    let raw = r#"{"guest":{"name":"a","name":"b","email":"ada@example.com","consent":true}}"#;
    let twice = page(&gate, Method::POST, SESSION).header("content-type", "application/json").body(raw);
    refused(sent(twice).await, 400, "INVALID_REQUEST").await;
    let large = json!({ "guest": { "name": "x".repeat(33 * 1024) } });
    refused(enter(&gate, &large).await, 413, "PAYLOAD_TOO_LARGE").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn only_the_apps_pages_may_ask() {
    let (_upstream, gate) = started().await;
    for path in [SESSION, &format!("{SESSION}/refresh"), CONFIG] {
        let method = if path == CONFIG { Method::GET } else { Method::POST };
        for origin in ["https://evil.example.com", "null", "https://shop.example.com.evil.example"] {
            let answer = sent(gate.public(method.clone(), path).header("origin", origin)).await;
            assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}");
            refused(answer, 403, "ORIGIN_NOT_ALLOWED").await;
        }
        let preflight = gate.public(Method::OPTIONS, path).header("origin", SHOP);
        let preflight = preflight.header("access-control-request-method", method.as_str());
        let answer = sent(preflight.header("access-control-request-headers", "content-type")).await;
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        let answer = sent(page(&gate, Method::PUT, path)).await;
        assert_eq!(answer.headers()["allow"], method.as_str());
        refused(answer, 405, "METHOD_NOT_ALLOWED").await;
    }
    let answer = sent(page(&gate, Method::POST, "/api/v1/workspaces/ws_unknown/session")).await;
    assert_eq!(answer.status(), 404);
    let other = sent(page(&gate, Method::POST, "/apps/wapp_test/api/v1/workspaces/ws_k3v9x1m7q2/session")).await;
    assert_eq!(other.status(), 404);
}

#[tokio::test]
async fn a_token_is_bound_to_the_page_it_was_made_for() {
    let (upstream, gate) = started_with(&format!("frame_origins = [\"https://frame.example.com\"]\n{}", open())).await;
    let token = entered(&gate, &json!({})).await;
    for origin in [Some("https://frame.example.com"), None] {
        let request = gate.public(Method::POST, CHATS).bearer_auth(&token).json(&json!({ "prompt": "hi" }));
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        assert_eq!(sent(request).await.status(), 403, "{origin:?}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(chat(&gate, &token, &json!({ "prompt": "hi" })).await.status(), 200);
}

#[tokio::test]
async fn a_widget_is_told_what_it_needs() {
    let lines = format!(
        "{}\nwidget = {{ modes = [\"identified\", \"guest\"], privacy_policy_url = \"https://shop.example.com/privacy\", \
         locale = \"lv\", display_mode = \"fullscreen\", position_bottom_px = 50 }}",
        keys()
    );
    let (_upstream, gate) = started_with(&lines).await;
    let answer = sent(page(&gate, Method::GET, CONFIG)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (200, &SHOP.parse().unwrap())
    );
    let expected: Value = json!({
        "modes": { "identified": true, "guest": true, "anonymous": false },
        "privacy_policy_url": "https://shop.example.com/privacy", "locales": ["en", "lv"], "locale": "lv",
        "display": { "mode": "fullscreen", "position_bottom_px": 50, "position_right_px": null },
    });
    assert_eq!(json_of(answer).await, expected);
}
