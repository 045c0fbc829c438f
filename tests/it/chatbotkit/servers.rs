//! Sessions that a customer's server opens, with a bot or for a conversation.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{ACCOUNT, OPEN, answers, api, json_of, last, refused, say, started, with_lines};
use crate::support::admin::{call, service_token};
use crate::support::gate::{Gate, SHOP};
use crate::support::upstream::{Behaviour, Upstream};

async fn post(gate: &Gate, path: &str, body: Value) -> Response {
    api(gate, Method::POST, path, body).await
}

#[tokio::test]
async fn a_server_opens_a_session_with_a_bot() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    for prefix in ["/api/v1", "/v1"] {
        let asked = json!({ "messages": [{ "type": "bot", "text": "Welcome" }, { "type": "user", "text": "hi" }] });
        let session = json_of(post(&gate, &format!("{prefix}/bot/bot_7/session/create"), asked).await).await;
        assert_eq!(session["id"], "bot_7");
        assert_eq!(session["messages"].as_array().map(Vec::len), Some(3), "{session}");
        assert_eq!(say(&gate, &session, "complete", &json!({ "text": "hi" })).await.status(), 200);
        assert_eq!(last(&upstream).json()["extensions"]["features"].as_array().map(Vec::len), Some(4));
        let bare = json_of(post(&gate, &format!("{prefix}/bot/bot_7/session/create"), json!({})).await).await;
        assert!(bare.get("messages").is_none());
    }
}

#[tokio::test]
async fn a_server_opens_a_session_of_a_conversation() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let create = "/v1/conversation/conv_7/session/create";
    let mut session = json_of(post(&gate, create, json!({ "durationInSeconds": 1_800 })).await).await;
    assert_eq!(session["id"], "conv_7");
    session["conversationId"] = session["id"].clone();
    assert_eq!(say(&gate, &session, "send", &json!({ "text": "hi" })).await.status(), 200);
    refused(post(&gate, create, json!({ "messages": [] })).await, 400, "BAD_REQUEST", "BAD_REQUEST").await;
}

#[tokio::test]
async fn it_needs_the_scope_and_another_method_is_refused() {
    let (_upstream, gate) = started().await;
    let create = "/api/v1/bot/bot_7/session/create";
    let right = service_token(&gate, &["conversations:session"], &[ACCOUNT]).await;
    assert_eq!(call(&gate, &right, Method::POST, create, json!({})).await.status(), 200);
    let wrong = service_token(&gate, &["widgets:write"], &[ACCOUNT]).await;
    let refusal = call(&gate, &wrong, Method::POST, create, json!({})).await;
    refused(refusal, 403, "NOT_AUTHORIZED", "MISSING_SCOPE").await;
    let unsaid = gate.private(Method::POST, create).send().await.expect("an answer");
    refused(unsaid, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    refused(
        call(&gate, &right, Method::GET, create, Value::Null).await,
        405,
        "METHOD_NOT_ALLOWED",
        "METHOD_NOT_ALLOWED",
    )
    .await;
}

#[tokio::test]
async fn what_a_server_says_is_said_whatever_pages_may_and_a_failure_is_told() {
    let upstream = Upstream::start().await;
    let lines = format!("{OPEN}\norigins = [\"{SHOP}\"]");
    let gate = with_lines(&upstream, &lines).start().await;
    answers(&upstream, "Hello");
    let asked = json!({ "messages": [{ "type": "user", "text": "hi" }] });
    let session = json_of(post(&gate, "/v1/bot/bot_7/session/create", asked.clone()).await).await;
    assert_eq!(session["messages"].as_array().map(Vec::len), Some(2), "{session}");
    assert_eq!(say(&gate, &session, "complete", &json!({ "text": "hi" })).await.status(), 200);
    upstream.always(Behaviour::reset());
    let failed = json_of(post(&gate, "/v1/bot/bot_7/session/create", asked).await).await;
    assert_eq!(failed["error"]["code"], "BAD_GATEWAY", "{failed}");
}
