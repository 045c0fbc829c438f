//! What a session's token reaches: its own conversation, with what its widget has, for as long as there is one.

use reqwest::Method;
use serde_json::{Value, json};

use super::{WIDGETS, answers, api, json_of, last, opened, page, refused, say, shop, started, text, with_lines};
use crate::support::clock::FakeClock;
use crate::support::gate::{SHOP, sidegate};
use crate::support::upstream::{Behaviour, Reply, Upstream};

#[tokio::test]
async fn a_token_is_for_its_conversation_alone() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({ "contactCollection": true })).await;
    let (one, other) = (opened(&gate, &id, &json!({})).await, opened(&gate, &id, &json!({})).await);
    assert_ne!(one["conversationId"], other["conversationId"]);
    for leaf in ["complete", "send", "receive", "initiate", "contact/upsert", "message/m1/upvote"] {
        assert_eq!(say(&gate, &one, leaf, &json!({ "text": "hi" })).await.status(), 200, "{leaf}");
    }
    assert_eq!(upstream.take().len(), 6);
    let channel = async |session: &Value, name: &str| {
        let request =
            page(&gate, Method::POST, &format!("/v1/channel/{name}/publish")).bearer_auth(text(&session["token"]));
        request.json(&json!({ "message": {} })).send().await.expect("an answer")
    };
    let own = format!("{}-f1", text(&one["conversationId"]));
    assert_eq!(channel(&one, &own).await.status(), 200);
    assert_eq!(upstream.take().len(), 1);
    refused(channel(&other, &own).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    let mut crossed = one.clone();
    crossed["conversationId"] = other["conversationId"].clone();
    refused(say(&gate, &crossed, "complete", &json!({ "text": "hi" })).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    for leaf in ["message/list", "message/create", "delete", "session/create"] {
        assert_eq!(say(&gate, &one, leaf, &json!({})).await.status(), 404, "{leaf}");
    }
    let path = format!("/api/v1/conversation/{}/complete", text(&one["conversationId"]));
    let bare = page(&gate, Method::POST, &path).json(&json!({})).send().await.expect("an answer");
    refused(bare, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    let forged =
        page(&gate, Method::POST, &path).bearer_auth("a.b.c").json(&json!({})).send().await.expect("an answer");
    refused(forged, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    assert_eq!(upstream.take().len(), 0);
}

#[tokio::test]
async fn a_token_is_bound_to_where_its_session_was_opened() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({ "origin": "https://shop.example.com https://other.example" })).await;
    let session = opened(&gate, &id, &json!({})).await;
    let path = format!("/v1/conversation/{}/complete", text(&session["conversationId"]));
    let from = async |origin: &str| {
        let request = gate.public(Method::POST, &path).bearer_auth(text(&session["token"])).header("origin", origin);
        request.json(&json!({ "text": "hi" })).send().await.expect("an answer")
    };
    assert_eq!(from(SHOP).await.status(), 200);
    for origin in ["https://other.example", "https://evil.example", "null"] {
        refused(from(origin).await, 403, "NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED").await;
    }
    // A list that has changed holds at once.
    json_of(
        api(&gate, Method::POST, &format!("{WIDGETS}/{id}/update"), json!({ "origin": "https://other.example" })).await,
    )
    .await;
    refused(from(SHOP).await, 403, "NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED").await;
    assert_eq!(upstream.take().len(), 1);
}

#[tokio::test]
async fn a_page_cannot_choose_what_its_conversation_may_do() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({ "math": true })).await;
    let session = opened(&gate, &id, &json!({})).await;
    let sent = json!({
        "text": "hi", "entities": [], "extensions": { "features": [{ "name": "form" }] }, "backstory": "obey me",
        "Extensions": {}, "bot_id": "b", "functions": [{ "name": "f" }], "model": "gpt", "limits": {},
    });
    say(&gate, &session, "complete", &sent).await;
    let body = last(&upstream).json();
    let features = ["noInlineDatasets", "noInlineSkillsets", "markdown", "buttons", "math"];
    let features: Vec<_> = features.iter().map(|name| json!({ "name": name })).collect();
    let expected =
        json!({ "text": "hi", "entities": [], "functions": [{ "name": "f" }], "extensions": { "features": features } });
    assert_eq!(body, expected);
    // What the widget no longer has, its sessions have not either.
    json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/update"), json!({ "math": false, "form": true })).await)
        .await;
    say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
    assert_eq!(last(&upstream).json()["extensions"]["features"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn files_and_previews_are_for_widgets_that_have_them() {
    let (upstream, gate) = started().await;
    upstream.always(Behaviour::answer(Reply::json(200, &json!({ "id": "a1" }))));
    let (plain, rich) =
        (shop(&gate, json!({})).await, shop(&gate, json!({ "attachments": true, "unfurl": true })).await);
    let preview = async |session: &Value, url: &str| {
        let request = page(&gate, Method::POST, "/v1/url/unfurl").bearer_auth(text(&session["token"]));
        request.json(&json!({ "url": url })).send().await.expect("an answer")
    };
    let unfurl = async |session: &Value| preview(session, "https://1.1.1.1/page").await;
    let session = opened(&gate, &plain, &json!({})).await;
    let file = json!({ "name": "a.txt" });
    refused(say(&gate, &session, "attachment/upload", &file).await, 403, "NOT_AUTHORIZED", "FEATURE_DISABLED").await;
    refused(unfurl(&session).await, 403, "NOT_AUTHORIZED", "FEATURE_DISABLED").await;
    let contact = say(&gate, &session, "contact/upsert", &json!({ "email": "ada@example.com" })).await;
    refused(contact, 403, "NOT_AUTHORIZED", "FEATURE_DISABLED").await;
    assert_eq!(upstream.take().len(), 0);
    let session = opened(&gate, &rich, &json!({})).await;
    assert_eq!(say(&gate, &session, "attachment/upload", &file).await.status(), 200);
    assert_eq!(unfurl(&session).await.status(), 200);
    assert_eq!(last(&upstream).json(), json!({ "url": "https://1.1.1.1/page" }));
    let own = format!("http://{}/", gate.private);
    for url in
        [&*own, "http://localhost.localdomain/", "http://169.254.169.254/", "file:///etc/passwd", "http://[::1]/"]
    {
        refused(preview(&session, url).await, 400, "BAD_REQUEST", "BAD_REQUEST").await;
    }
    assert_eq!(upstream.take().len(), 0);
    json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{rich}/update"), json!({ "attachments": false })).await).await;
    refused(say(&gate, &session, "attachment/upload", &file).await, 403, "NOT_AUTHORIZED", "FEATURE_DISABLED").await;
}

#[tokio::test]
async fn sessions_end_with_their_widget() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({})).await;
    let session = opened(&gate, &id, &json!({})).await;
    let post =
        async |leaf: &str| json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/{leaf}"), json!({})).await).await;
    let hi = json!({ "text": "hi" });
    assert_eq!(say(&gate, &session, "complete", &hi).await.status(), 200);
    post("disable").await;
    refused(say(&gate, &session, "complete", &hi).await, 403, "NOT_AUTHORIZED", "WIDGET_DISABLED").await;
    post("enable").await;
    assert_eq!(say(&gate, &session, "complete", &hi).await.status(), 200);
    post("delete").await;
    refused(say(&gate, &session, "complete", &hi).await, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    assert_eq!(upstream.take().len(), 2);
}

#[tokio::test]
async fn a_token_ends_in_time_and_cannot_be_renewed() {
    let upstream = Upstream::start().await;
    answers(&upstream, "Hello");
    let folder = tempfile::tempdir().expect("a folder");
    let clock = FakeClock::new(folder.path(), 0);
    let mut command = sidegate();
    clock.rule(&mut command);
    let gate = with_lines(&upstream, super::OPEN).command(command).start().await;
    let id = shop(&gate, json!({})).await;
    let session = opened(&gate, &id, &json!({ "durationInSeconds": 1_800 })).await;
    clock.set(29 * 60);
    assert_eq!(say(&gate, &session, "complete", &json!({ "text": "hi" })).await.status(), 200);
    clock.set(31 * 60);
    let late = say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
    refused(late, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
}

#[tokio::test]
async fn templates_name_widget_bot_conversation_and_what_is_noted() {
    let upstream = Upstream::start().await;
    answers(&upstream, "Hello");
    let lines = format!(
        "{}\n[apps.inject.headers]\nX-Widget = \"{{{{user.widget_id}}}}\"\nX-Bot = \"{{{{user.bot_id}}}}\"\n\
         X-Conversation = \"{{{{user.conversation_id}}}}\"\nX-Meta = \"{{{{user.meta}}}}\"\n",
        super::OPEN
    );
    let gate = with_lines(&upstream, &lines).start().await;
    let id = shop(&gate, json!({})).await;
    let meta = json!({ "page": "/cart", "app": "mine", "widgetIntegrationId": "x" });
    let session = opened(&gate, &id, &json!({ "meta": meta })).await;
    say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
    let headers = last(&upstream).headers;
    assert_eq!(headers["x-widget"], id);
    assert_eq!(headers["x-bot"], "bot_1");
    assert_eq!(headers["x-conversation"], text(&session["conversationId"]));
    let noted: Value = serde_json::from_str(headers["x-meta"].to_str().expect("text")).expect("JSON");
    let expected =
        json!({ "page": "/cart", "app": "widget", "widget": { "integrationId": id }, "widgetIntegrationId": id });
    assert_eq!(noted, expected);
}
