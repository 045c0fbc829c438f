//! `POST /api/v1/chats` on its way: as the visitor, in its workspace, in its own chats, with the answer to itself.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CHATS, WORKSPACE, chat, entered, known, last, open, page, refused, sent, started, started_with};
use crate::support::cases::cases;
use crate::support::gate::{SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::within;

#[tokio::test]
async fn a_browser_says_nothing_of_who_it_is() {
    let (upstream, gate) = started().await;
    let token = known(&gate, "ada").await;
    let forged = json!({
        "prompt": "hi", "title": "T", "tags": ["a"], "user_id": "bob", "userId": "bob", "USER_ID": "bob",
        "workspace_id": "ws_other", "workspaceId": "ws_other", "response_type": "immediate", "mood": "fine",
    });
    let request = gate.chat(Method::POST, CHATS, &token).header("cookie", "a=b").json(&forged);
    assert_eq!(sent(request).await.status(), 200);
    let seen = last(&upstream);
    let expected = json!({
        "prompt": "hi", "title": "T", "tags": ["a"], "user_id": "ada", "workspace_id": WORKSPACE,
        "response_type": "immediate", "mood": "fine",
    });
    assert_eq!(seen.json(), expected);
    assert_eq!((seen.header("authorization"), seen.header("cookie")), ("", ""));
}

/// The upstream's next answer.
fn begins(upstream: &Upstream, answer: &Value) {
    upstream.once(CHATS, Behaviour::answer(Reply::json(200, answer)));
}

#[derive(Deserialize)]
struct Row {
    name: String,
    body: String,
    code: String,
}

#[tokio::test]
async fn every_row_is_refused_and_nothing_goes_upstream() {
    let (upstream, gate) = started().await;
    let token = known(&gate, "ada").await;
    for Row { name, body, code } in cases::<Row>("mitigate/chats_refused.json") {
        let request = gate.chat(Method::POST, CHATS, &token).header("content-type", "application/json").body(body);
        let answer = sent(request).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP, "{name}");
        let status = answer.status().as_u16();
        println!("{name}");
        refused(answer, status, &code).await;
        assert!([400, 403, 404].contains(&status), "{name}: {status}");
    }
    let large = json!({ "prompt": "x".repeat(2 << 20) });
    refused(chat(&gate, &token, &large).await, 413, "PAYLOAD_TOO_LARGE").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_chat_is_whose_it_is() {
    let (upstream, gate) = started().await;
    let (ada, bob) = (known(&gate, "ada").await, known(&gate, "bob").await);
    let go_on = json!({ "prompt": "hi", "chat_id": "chat_1" });
    for token in [&ada, &bob] {
        refused(chat(&gate, token, &go_on).await, 404, "NOT_FOUND").await;
    }
    assert_eq!(upstream.count(), 0);
    begins(&upstream, &json!({ "response": "Hello", "chat_id": "chat_1" }));
    let answer = chat(&gate, &ada, &json!({ "prompt": "hi" })).await;
    assert_eq!(json_of(answer).await, json!({ "response": "Hello", "chat_id": "chat_1" }));
    upstream.take();
    refused(chat(&gate, &bob, &go_on).await, 404, "NOT_FOUND").await;
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(chat(&gate, &ada, &go_on).await.status(), 200);
    assert_eq!(last(&upstream).json()["chat_id"], "chat_1");
    // Who is known comes back to it, with another token.
    let again = known(&gate, "ada").await;
    assert_eq!(chat(&gate, &again, &go_on).await.status(), 200);
    // Who is not, does not.
    let nobody = entered(&gate, &json!({})).await;
    refused(chat(&gate, &nobody, &go_on).await, 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn answers_of_other_kinds_pass() {
    let (upstream, gate) = started().await;
    let token = known(&gate, "ada").await;
    for (status, answer) in [(200, json!({ "response": "No id" })), (422, json!({ "error": "x", "chat_id": "chat_9" }))]
    {
        upstream.once(CHATS, Behaviour::answer(Reply::json(status, &answer)));
        let got = chat(&gate, &token, &json!({ "prompt": "hi" })).await;
        assert_eq!((got.status().as_u16(), json_of(got).await), (status, answer));
    }
    refused(chat(&gate, &token, &json!({ "prompt": "hi", "chat_id": "chat_9" })).await, 404, "NOT_FOUND").await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(CHATS, behaviour);
    let mut answer = chat(&gate, &token, &json!({ "prompt": "hi" })).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    for text in ["data: 1\n\n", "data: 2\n\n"] {
        stream.chunk(text);
        let chunk = within(answer.chunk()).await.expect("read").expect("a chunk");
        assert_eq!(&*chunk, text.as_bytes());
    }
}

#[tokio::test]
async fn tools_and_their_results_pass_in_both_directions() {
    let (upstream, gate) = started().await;
    let token = known(&gate, "ada").await;
    let tools = json!([{ "name": "cart", "description": "What is in it", "parameters": { "type": "object", "properties": { "id": { "type": "string" } } } }]);
    let calls = json!({ "response": "", "chat_id": "chat_1", "tool_calls": [{ "id": "1", "name": "cart", "arguments": { "id": "7" } }] });
    begins(&upstream, &calls);
    let answer = chat(&gate, &token, &json!({ "prompt": "hi", "tools": tools })).await;
    assert_eq!(json_of(answer).await, calls);
    assert_eq!(last(&upstream).json()["tools"], tools);
    let fixture: Value = json!({ "prompt": "hi", "chat_id": "chat_1", "tools": "none" });
    refused(chat(&gate, &token, &fixture).await, 400, "INVALID_TOOLS").await;
}

#[tokio::test]
async fn a_chat_needs_the_gates_own_token() {
    let (upstream, gate) = started().await;
    let body = json!({ "prompt": "hi" });
    refused(sent(page(&gate, Method::POST, CHATS).json(&body)).await, 401, "AUTH_REQUIRED").await;
    for token in ["x".to_owned(), super::identity("ada"), gate.token("ada").mint().await] {
        refused(chat(&gate, &token, &body).await, 401, "INVALID_TOKEN").await;
    }
    let token = known(&gate, "ada").await;
    let elsewhere = gate.chat(Method::POST, "/api/v1/tasks", &token).json(&json!({ "message": "hi" }));
    assert_eq!(sent(elsewhere).await.status(), 401, "it is no token of another dialect");
    let wrong = gate.chat(Method::GET, CHATS, &token);
    refused(sent(wrong).await, 405, "METHOD_NOT_ALLOWED").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn templates_stand_in_bodies() {
    let lines =
        "\n[apps.inject.body]\n\"/context\" = { user = \"{{user.user_id?}}\", says = \"{{unverified.name?}}\" }\n";
    let (upstream, gate) = started_with(&format!("{}{lines}", open())).await;
    let token = entered(&gate, &super::guest()).await;
    assert_eq!(chat(&gate, &token, &json!({ "prompt": "hi", "context": { "user": "admin" } })).await.status(), 200);
    assert_eq!(last(&upstream).json()["context"], json!({ "says": "Ada Lovelace" }));
}
