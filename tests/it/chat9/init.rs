//! `POST /widget/session/init`: who gets which session.

use std::collections::HashSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{
    BOT, INIT, OTHER, anonymous, identified, init, opened, page, refused, say, sent, started, started_with, token,
};
use crate::support::admin::done;
use crate::support::gate::{SHOP, json_of};
use crate::support::redis::until;
use crate::support::wire::metric;

#[tokio::test]
async fn a_session_is_answered_as_documented() {
    let (upstream, gate) = started().await;
    let answer = init(&gate, &json!({ "bot_id": BOT, "locale": "en-US" })).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert!(!answer.headers().contains_key("set-cookie"));
    let body = json_of(answer).await;
    let id = body["session_id"].as_str().expect("a text").to_owned();
    assert_eq!(body, json!({ "session_id": id, "mode": "anonymous" }));
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{id}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_that_is_none_means_anonymous_and_says_no_more() {
    let (_upstream, gate) = started().await;
    let good = token(&gate, &json!({ "user_id": "ada" })).await;
    let (payload, signature) = good.split_once('.').expect("two parts");
    for bad in ["x", "a.b", &good[1..], payload, &format!("{payload}.{}", signature.to_uppercase())] {
        let (_, mode) = opened(&gate, &json!({ "bot_id": BOT, "identity_token": bad })).await;
        assert_eq!(mode, "anonymous", "{bad}");
    }
    // A bot without a secret identifies nobody.
    let (_, mode) = opened(&gate, &json!({ "bot_id": OTHER, "identity_token": good })).await;
    assert_eq!(mode, "anonymous");
    for (outcome, count) in
        [("malformed", 2.0), ("bad_signature", 3.0), ("no_secret_configured", 1.0), ("verified", 0.0)]
    {
        let name = format!("sidegate_identity_tokens_total{{outcome=\"{outcome}\"}}");
        assert_eq!(metric(&gate, &name).await, count, "{outcome}");
    }
    let line = gate.wait_for_line("no_secret_configured").await;
    assert!(line.contains(OTHER) && !line.contains(payload), "{line}");
    assert!(!gate.output().contains(payload), "no token in the log");
}

#[tokio::test]
async fn where_the_app_asks_for_a_token_nobody_else_gets_a_session() {
    let (_upstream, gate) = started_with("identity.required = true").await;
    let good = token(&gate, &json!({ "user_id": "ada" })).await;
    let mut answers = HashSet::new();
    for body in [json!({ "bot_id": BOT }), json!({ "bot_id": BOT, "identity_token": &good[1..] })] {
        let answer = init(&gate, &body).await;
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        answers.insert(answer.text().await.expect("text"));
    }
    assert_eq!(answers.len(), 1, "why is not told: {answers:?}");
    refused(init(&gate, &json!({ "bot_id": BOT })).await, 401, "sidegate.identity_required").await;
    identified(&gate, &good).await;
}

#[tokio::test]
async fn a_page_elsewhere_gets_none() {
    let (_upstream, gate) = started().await;
    for origin in ["https://evil.example.com", "null", "https://shop.example.com.evil.com", "http://shop.example.com"] {
        let request = gate.public(Method::POST, INIT).header("origin", origin).json(&json!({ "bot_id": BOT }));
        let answer = sent(request).await;
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}");
        refused(answer, 403, "sidegate.origin_not_allowed").await;
    }
    // Of another bot's page this bot is not.
    let request = gate.public(Method::POST, INIT).header("origin", "https://other.example.com");
    refused(sent(request.json(&json!({ "bot_id": BOT }))).await, 403, "sidegate.origin_not_allowed").await;
    let answer = sent(gate.public(Method::POST, INIT).json(&json!({ "bot_id": BOT }))).await;
    refused(answer, 403, "sidegate.origin_not_allowed").await;
    assert_eq!(metric(&gate, "sidegate_sessions_total{outcome=\"anonymous\"}").await, 0.0);
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_lists_of_all_bots() {
    let (_upstream, gate) = started().await;
    let preflight = |path: &str, origin: &'static str| {
        let request = gate.public(Method::OPTIONS, path).header("origin", origin);
        request.header("access-control-request-method", "POST").header("access-control-request-headers", "content-type")
    };
    for origin in [SHOP, "https://other.example.com"] {
        let answer = sent(preflight(INIT, origin)).await;
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    }
    assert_eq!(sent(preflight(INIT, "https://evil.example.com")).await.status(), 403);
    // Where the URL names the bot, its own list decides.
    let chat = format!("/widget/chat?bot_id={BOT}&session_id=x");
    assert_eq!(sent(preflight(&chat, SHOP)).await.status(), 204);
    assert_eq!(sent(preflight(&chat, "https://other.example.com")).await.status(), 403);
}

#[tokio::test]
async fn sessions_asked_for_at_once_are_different_ones() {
    let (_upstream, gate) = started().await;
    let all = join_all((0..200).map(|_| anonymous(&gate))).await;
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 200);
    assert_eq!(metric(&gate, "sidegate_sessions_total{outcome=\"anonymous\"}").await, 200.0);
}

#[tokio::test]
async fn the_prefix_of_an_app_names_its_bot() {
    let (upstream, gate) = started().await;
    let path = format!("/apps/{BOT}{INIT}");
    let session = json_of(sent(page(&gate, Method::POST, &path).json(&json!({ "bot_id": BOT }))).await).await;
    let session = session["session_id"].as_str().expect("an id");
    let chat = format!("/apps/{BOT}/widget/chat?session_id={session}");
    assert_eq!(sent(page(&gate, Method::POST, &chat).json(&json!({ "message": "hi" }))).await.status(), 200);
    assert_eq!(super::last(&upstream).await.uri.path(), "/widget/chat");
    for (path, body) in [
        (format!("/apps/{OTHER}{INIT}"), json!({ "bot_id": BOT })),
        (format!("/apps/{OTHER}/widget/chat?bot_id={BOT}&session_id={session}"), json!({ "message": "hi" })),
    ] {
        let answer = sent(page(&gate, Method::POST, &path).json(&body)).await;
        assert_eq!(answer.status(), 404, "{path}");
    }
    assert_eq!(say(&gate, session, "hi").await.status(), 200);
}

#[tokio::test]
async fn who_is_revoked_is_nobody_until_another_token_vouches() {
    let (_upstream, gate) = started().await;
    let (ada, bob) =
        (token(&gate, &json!({ "user_id": "ada" })).await, token(&gate, &json!({ "user_id": "bob" })).await);
    let (session, other) = (identified(&gate, &ada).await, identified(&gate, &bob).await);
    let revoked = json!({ "app": BOT, "end_user": "ada" });
    done(&gate, Method::POST, "/admin/v1/revocations", revoked).await;
    until("it is revoked", async || say(&gate, &session, "hi").await.status() == 403).await;
    assert_eq!(say(&gate, &other, "hi").await.status(), 200);
    // The token of before brings no other session of the same user.
    assert_eq!(opened(&gate, &json!({ "bot_id": BOT, "identity_token": ada })).await.1, "anonymous");
    assert_eq!(identified(&gate, &bob).await, other);
    let metrics = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text");
    assert!(metrics.contains("sidegate_identity_tokens_total{outcome=\"revoked\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_page_of_any_scheme_keeps_its_session_where_origins_are_not_checked() {
    let upstream = crate::support::upstream::Upstream::start().await;
    let gate = super::with_lines(&upstream, super::UNLIMITED).start().await;
    let app = json!({ "id": "ch_any", "dialect": "chat9", "upstream": "chat" });
    done(&gate, Method::POST, crate::support::admin::APPS, app).await;
    for (origin, other) in [("capacitor://localhost", "ionic://localhost"), ("*", "https://evil.example.com")] {
        let ask = |path: &str, origin: &str| gate.public(Method::POST, path).header("origin", origin);
        let answer = sent(ask(INIT, origin).json(&json!({ "bot_id": "ch_any" }))).await;
        assert_eq!(answer.status(), 200, "{origin}");
        let session = json_of(answer).await["session_id"].as_str().expect("an id").to_owned();
        let path = format!("/widget/chat?bot_id=ch_any&session_id={session}");
        let said = json!({ "message": "hi" });
        assert_ne!(sent(ask(&path, origin).json(&said)).await.status(), 403, "{origin}");
        assert_eq!(sent(ask(&path, other).json(&said)).await.status(), 403, "{origin}");
    }
}
