//! Who goes on with the session of before, and who does not (seeds/002, "Session continuity").

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{
    BOT, INIT, UNLIMITED, anonymous, identified, last, opened, refused, say, sent, started, started_with, token,
};
use crate::support::clock::FakeClock;
use crate::support::gate::{SHOP, json_of, sidegate};
use crate::support::upstream::{Behaviour, Reply};
use crate::support::wire::metric;

#[tokio::test]
async fn an_identified_visitor_goes_on_with_the_open_chat() {
    let (_upstream, gate) = started().await;
    let session = identified(&gate, &token(&gate, &json!({ "user_id": "ada" })).await).await;
    say(&gate, &session, "hi").await;
    let again = identified(&gate, &token(&gate, &json!({ "user_id": "ada" })).await).await;
    assert_eq!(again, session);
    // It has begun, so a greeting is not asked for again.
    refused(say(&gate, &again, "").await, 422, "message_required").await;
    assert_ne!(identified(&gate, &token(&gate, &json!({ "user_id": "bob" })).await).await, session);
    assert_eq!(metric(&gate, "sidegate_sessions_total{outcome=\"resumed\"}").await, 1.0);
}

#[tokio::test]
async fn what_is_known_of_a_visitor_is_what_the_last_token_says() {
    let lines = format!("{UNLIMITED}\ninject.headers.X-Tier = \"{{{{user.plan_tier?}}}}\"");
    let (upstream, gate) = started_with(&lines).await;
    let mut session = String::new();
    for tier in [Some("free"), Some("pro"), None] {
        let resumed = identified(&gate, &token(&gate, &json!({ "user_id": "ada", "plan_tier": tier })).await).await;
        assert!(session.is_empty() || resumed == session);
        session = resumed;
        say(&gate, &session, "hi").await;
        assert_eq!(last(&upstream).await.header("x-tier"), tier.unwrap_or_default());
    }
}

#[tokio::test]
async fn a_closed_chat_is_not_resumed() {
    let (upstream, gate) = started().await;
    let vouched = token(&gate, &json!({ "user_id": "ada" })).await;
    let session = identified(&gate, &vouched).await;
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(200, &json!({ "text": "", "chat_ended": true }))));
    say(&gate, &session, "bye").await;
    let fresh = identified(&gate, &vouched).await;
    assert_ne!(fresh, session);
    assert_eq!(identified(&gate, &vouched).await, fresh, "the new one is");
    refused(say(&gate, &session, "hi").await, 409, "session_closed").await;
}

#[tokio::test]
async fn strangers_are_never_resumed() {
    let (_upstream, gate) = started().await;
    assert_ne!(anonymous(&gate).await, anonymous(&gate).await);
}

#[tokio::test]
async fn an_app_may_say_that_nobody_is() {
    let (_upstream, gate) = started_with(&format!("{UNLIMITED}\nsessions.resume = false")).await;
    let vouched = token(&gate, &json!({ "user_id": "ada" })).await;
    assert_ne!(identified(&gate, &vouched).await, identified(&gate, &vouched).await);
}

#[tokio::test]
async fn a_session_is_of_its_origin() {
    let lines = format!("{UNLIMITED}\nframe_origins = [\"https://widget.example.com\"]");
    let (_upstream, gate) = started_with(&lines).await;
    let vouched = token(&gate, &json!({ "user_id": "ada" })).await;
    let session = identified(&gate, &vouched).await;
    let request = gate.public(Method::POST, INIT).header("origin", "https://widget.example.com");
    let answer = sent(request.json(&json!({ "bot_id": BOT, "identity_token": vouched }))).await;
    let framed = json_of(answer).await["session_id"].as_str().expect("an id").to_owned();
    assert_ne!(framed, session, "another origin, another session");
    let chat = |session: &str, origin: &'static str| {
        let path = super::of("chat", session);
        sent(gate.public(Method::POST, &path).header("origin", origin).json(&json!({ "message": "hi" })))
    };
    assert_eq!(chat(&session, SHOP).await.status(), 200);
    assert_eq!(chat(&framed, "https://widget.example.com").await.status(), 200);
    for (session, origin) in [(&session, "https://widget.example.com"), (&framed, SHOP)] {
        refused(chat(session, origin).await, 403, "session_forbidden").await;
    }
    for session in [&session, &framed] {
        refused(chat(session, "https://evil.example.com").await, 403, "sidegate.origin_not_allowed").await;
    }
}

#[tokio::test]
async fn a_session_ends_when_nothing_happens_in_it_and_after_its_longest_time() {
    let upstream = crate::support::upstream::Upstream::start().await;
    upstream.on("/widget/chat", Behaviour::answer(Reply::json(200, &json!({ "text": "x" }))));
    let folder = tempfile::tempdir().expect("a folder");
    let clock = FakeClock::new(folder.path(), 0);
    let mut command = sidegate();
    clock.rule(&mut command);
    let lines = format!("{UNLIMITED}\nsessions = {{ idle = \"1h\", max_age = \"3h\" }}");
    let gate = super::with_lines(&upstream, &lines).command(command).start().await;
    let vouched = async || {
        let asked = json!({ "user_id": "ada", "ttl": 3_600 });
        identified(&gate, &token(&gate, &asked).await).await
    };
    let (known, nobody) = (vouched().await, anonymous(&gate).await);
    // What happens in a session keeps it, and it alone.
    clock.set(50 * 60);
    assert_eq!(say(&gate, &known, "hi").await.status(), 200);
    clock.set(70 * 60);
    assert_eq!(say(&gate, &known, "hi").await.status(), 200);
    refused(say(&gate, &nobody, "hi").await, 409, "session_not_found").await;
    // To come back is something, too.
    clock.set(125 * 60);
    assert_eq!(vouched().await, known);
    clock.set(175 * 60);
    assert_eq!(say(&gate, &known, "hi").await.status(), 200);
    clock.set(181 * 60);
    refused(say(&gate, &known, "hi").await, 409, "session_not_found").await;
    assert_ne!(vouched().await, known);
}

#[tokio::test]
async fn many_tabs_of_one_visitor_share_a_session() {
    let (_upstream, gate) = started().await;
    let vouched = token(&gate, &json!({ "user_id": "ada" })).await;
    let first = identified(&gate, &vouched).await;
    let all = join_all((0..100).map(|_| identified(&gate, &vouched))).await;
    assert!(all.iter().all(|session| *session == first), "{all:?}");
    assert_eq!(say(&gate, &first, "hi").await.status(), 200);
}

#[tokio::test]
async fn sessions_outlive_a_restart_and_a_crash() {
    let upstream = crate::support::upstream::Upstream::start().await;
    upstream.on("/widget/chat", Behaviour::answer(Reply::json(200, &json!({ "text": "x" }))));
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("store.path={}", folder.path().join("a.db").display());
    let start = || super::with_lines(&upstream, UNLIMITED).set(&store).start();
    let gate = start().await;
    let vouched = token(&gate, &json!({ "user_id": "ada" })).await;
    let (known, nobody) = (identified(&gate, &vouched).await, anonymous(&gate).await);
    assert_eq!(say(&gate, &known, "hi").await.status(), 200);
    gate.signal("KILL");
    gate.wait().await;
    let gate = start().await;
    assert_eq!(identified(&gate, &vouched).await, known);
    for session in [&known, &nobody] {
        assert_eq!(say(&gate, session, "hi").await.status(), 200);
    }
    let (resumed, mode) = opened(&gate, &json!({ "bot_id": BOT })).await;
    assert!(resumed != nobody && mode == "anonymous");
}
