//! A session's requests on their way: bound to the session, with what is known of the visitor, and with nothing
//! that the browser says of it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{BOT, anonymous, identified, last, of, page, say, sent, started, started_with, token};
use crate::support::gate::{SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply};
use crate::support::wire::within;

const INJECTED: &str = r#"limits = { exchange = [], chat = [], history = [], escalate = [], config = [] }
[apps.inject.headers]
X-User = "{{user.user_id?}}"
X-Subject = "{{claims.sub}}"
X-Email = "{{user.email?}}"
X-Locale = "{{unverified.locale?}}"
[apps.inject.body]
"/user_context" = { plan_tier = "{{user.plan_tier?}}", company = "{{user.company?}}" }"#;

#[tokio::test]
async fn what_is_known_of_a_visitor_is_injected() {
    let (upstream, gate) = started_with(INJECTED).await;
    let asked = json!({ "user_id": "ada", "email": "ada@example.com", "plan_tier": "pro", "company": "Acme \"&\" Co" });
    let session = identified(&gate, &token(&gate, &asked).await).await;
    assert_eq!(say(&gate, &session, "hi").await.status(), 200);
    let seen = last(&upstream).await;
    assert_eq!(
        (seen.header("x-user"), seen.header("x-email"), seen.header("x-subject")),
        ("ada", "ada@example.com", "ada")
    );
    let context = json!({ "plan_tier": "pro", "company": "Acme \"&\" Co" });
    assert_eq!(seen.json(), json!({ "message": "hi", "user_context": context }));
    assert_eq!(seen.uri.query(), Some(&*format!("bot_id={BOT}&session_id={session}")));
    assert_eq!(
        seen.header("x-sidegate-escalation-priorities"),
        "user_request=critical, no_answer=high, answer_rejected=medium"
    );
}

#[tokio::test]
async fn a_browser_says_nothing_of_who_it_is() {
    let (upstream, gate) = started_with(INJECTED).await;
    let session = anonymous(&gate).await;
    let forged = json!({
        "message": "hi", "locale": "en-US", "user_id": "admin", "userId": "admin", "USER_ID": "admin", "email": "a@b",
        "name": "x", "plan_tier": "enterprise", "planTier": "enterprise", "audience_tag": "x", "company": "x",
        "user_context": { "user_id": "admin" }, "userContext": 1, "user_hints": { "user_id": "admin" },
        "session_id": "x", "bot_id": "x", "identity_token": "x",
    });
    let path = format!("{}&user_id=admin&plan_tier=enterprise&locale=de", of("chat", &session));
    let request = page(&gate, Method::POST, &path).json(&forged).header("x-user", "admin").header("x-email", "a@b");
    let request = request.header("x-sidegate-escalation-priorities", "user_request=critical");
    let request = request.header("x-sidegate-escalation-priority", "critical").header("authorization", "Bearer x");
    assert_eq!(sent(request.header("cookie", "a=b")).await.status(), 200);
    let seen = last(&upstream).await;
    assert_eq!(seen.json(), json!({ "message": "hi", "locale": "en-US", "user_context": {} }));
    assert_eq!(seen.uri.query(), Some(&*format!("bot_id={BOT}&session_id={session}&locale=de")));
    for absent in ["x-user", "x-email", "x-sidegate-escalation-priority", "authorization", "cookie"] {
        assert_eq!(seen.header(absent), "", "{absent}");
    }
    assert!(seen.header("x-subject").starts_with("anon-"), "{}", seen.header("x-subject"));
    assert_eq!(
        seen.header("x-sidegate-escalation-priorities"),
        "user_request=high, no_answer=medium, answer_rejected=medium"
    );
}

#[tokio::test]
async fn the_browsers_language_is_a_tag_or_nothing() {
    let (upstream, gate) = started_with(INJECTED).await;
    for (locale, expected) in [("en-US", "en-US"), ("x\r\ny", ""), ("english language", "")] {
        let body = json!({ "bot_id": BOT, "locale": locale });
        let session = super::opened(&gate, &body).await.0;
        say(&gate, &session, "hi").await;
        assert_eq!(last(&upstream).await.header("x-locale"), expected, "{locale}");
    }
    let session = anonymous(&gate).await;
    let path = format!("{}&locale=en%20US", of("chat", &session));
    sent(page(&gate, Method::POST, &path).json(&json!({ "message": "hi", "locale": "a b" }))).await;
    let seen = last(&upstream).await;
    assert_eq!(
        (seen.json(), seen.uri.query().is_some_and(|query| query.contains("locale"))),
        (json!({ "message": "hi", "user_context": {} }), false)
    );
}

#[tokio::test]
async fn a_call_for_a_human_has_the_priority_of_the_table() {
    let (upstream, gate) = started().await;
    for (tier, trigger, expected) in [
        (None, Some("user_request"), "high"),
        (None, Some("answer_rejected"), "medium"),
        (None, None, "high"),
        (Some("pro"), Some("user_request"), "critical"),
        (Some("enterprise"), Some("user_request"), "critical"),
        (Some("enterprise"), Some("answer_rejected"), "medium"),
        (Some("free"), Some("user_request"), "high"),
    ] {
        let asked = json!({ "user_id": format!("{tier:?}"), "plan_tier": tier });
        let session = identified(&gate, &token(&gate, &asked).await).await;
        let body = json!({ "user_note": "please", "trigger": trigger, "plan_tier": "pro" });
        let answer = sent(page(&gate, Method::POST, &of("escalate", &session)).json(&body)).await;
        assert_eq!(json_of(answer).await, json!({ "message": "Soon", "ticket_number": "T-1" }));
        let seen = last(&upstream).await;
        assert_eq!(seen.header("x-sidegate-escalation-priority"), expected, "{tier:?} {trigger:?}");
        assert_eq!(seen.header("x-sidegate-escalation-priorities"), "");
        assert_eq!(seen.json()["plan_tier"], Value::Null);
    }
}

#[tokio::test]
async fn a_conversation_begins_with_a_greeting_and_goes_on_with_messages() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let turn = |body: Option<Value>| {
        let request = page(&gate, Method::POST, &of("chat", &session));
        sent(match body {
            Some(body) => request.json(&body),
            None => request,
        })
    };
    for greeting in [None, Some(json!({})), Some(json!({ "message": "" }))] {
        assert_eq!(turn(greeting).await.status(), 200);
        assert_eq!(last(&upstream).await.json().get("message").and_then(Value::as_str).unwrap_or_default(), "");
    }
    assert_eq!(turn(Some(json!({ "message": "hi" }))).await.status(), 200);
    super::refused(turn(None).await, 422, "message_required").await;
    super::refused(turn(Some(json!({ "message": " " }))).await, 422, "message_required").await;
    let longest = "é".repeat(1_000);
    assert_eq!(turn(Some(json!({ "message": longest }))).await.status(), 200);
}

#[tokio::test]
async fn events_pass_as_they_come() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once("/widget/chat", behaviour);
    let mut answer = within(say(&gate, &session, "hi")).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    for text in ["Hel", "lo"] {
        let event = format!("data: {{\"type\":\"chunk\",\"text\":\"{text}\"}}\n\n");
        stream.chunk(event.clone());
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), event);
    }
    let done = "data: {\"type\":\"done\",\"text\":\"Hello\",\"chat_ended\":false}\n\n";
    stream.chunk(done);
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), done);
    stream.end();
    assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
    assert_eq!(say(&gate, &session, "more").await.status(), 200, "the session is open");
}

#[tokio::test]
async fn history_config_and_health_are_the_upstreams() {
    let (upstream, gate) = started_with(INJECTED).await;
    let session = identified(&gate, &token(&gate, &json!({ "user_id": "ada" })).await).await;
    let answer = sent(page(&gate, Method::GET, &of("history", &session))).await;
    assert_eq!(json_of(answer).await["messages"], json!([]));
    assert_eq!(last(&upstream).await.header("x-user"), "ada");
    // These are about nobody: templates that ask for somebody are left out.
    for (path, expected) in [
        (format!("/widget/config?bot_id={BOT}&locale=en&x=1"), format!("bot_id={BOT}&locale=en")),
        (format!("/widget/health?bot_id={BOT}"), format!("bot_id={BOT}")),
    ] {
        assert_eq!(sent(page(&gate, Method::GET, &path)).await.status(), 200, "{path}");
        let seen = last(&upstream).await;
        assert_eq!(seen.uri.query(), Some(expected.as_str()));
        assert_eq!((seen.header("x-user"), seen.header("x-subject")), ("", ""));
    }
}

#[tokio::test]
async fn an_answer_with_a_coding_that_was_not_asked_for_is_not_believed() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let coded = Reply::new(200, "\u{1f}").header("content-type", "application/json").header("content-encoding", "gzip");
    upstream.once("/widget/chat", Behaviour::answer(coded));
    assert_eq!(say(&gate, &session, "hi").await.status(), 502);
    assert_eq!(last(&upstream).await.header("accept-encoding"), "identity");
}

#[tokio::test]
async fn what_the_upstream_did_not_take_was_not_said() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(500, &json!({ "detail": "x" }))));
    assert_eq!(say(&gate, &session, "hi").await.status(), 500);
    // So the greeting may still be asked for.
    let greeting = page(&gate, Method::POST, &of("chat", &session));
    assert_eq!(sent(greeting).await.status(), 200);
    let seen = last(&upstream).await;
    assert_eq!(seen.header("content-type"), "application/json", "what the gate writes has a type");
    assert_eq!(say(&gate, &session, "hi").await.status(), 200);
    super::refused(sent(page(&gate, Method::POST, &of("chat", &session))).await, 422, "message_required").await;
}

#[tokio::test]
async fn a_transcript_that_is_too_long_to_be_read_passes() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let long = json!({ "session_id": session, "messages": ["x".repeat(3 << 20)], "chat_ended": false });
    upstream.once("/widget/history", Behaviour::answer(Reply::json(200, &long)));
    let answer = sent(page(&gate, Method::GET, &of("history", &session))).await;
    assert_eq!(json_of(answer).await, long);
}
