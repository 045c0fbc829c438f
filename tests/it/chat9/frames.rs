//! The widget lives in a frame: its requests come from the frame's origin (DESIGN section 8).

use reqwest::{Method, Response};
use serde_json::json;

use super::{BOT, INIT, UNLIMITED, refused, sent, started, with_lines};
use crate::support::gate::{Gate, SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};

const FRAME: &str = "https://widget.example.com";
const GATE: &str = "https://gate.example.com";

async fn framed() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    upstream.on("/widget/chat", Behaviour::answer(Reply::json(200, &json!({ "text": "x" }))));
    upstream.on("/widget/history", Behaviour::answer(Reply::json(200, &json!({ "messages": [] }))));
    let lines = format!("{UNLIMITED}\nframe_origins = [\"{FRAME}\"]");
    let gate = with_lines(&upstream, &lines).set(&format!("listen.public_url={GATE}")).start().await;
    (upstream, gate)
}

async fn init_from(gate: &Gate, origin: &str) -> Response {
    sent(gate.public(Method::POST, INIT).header("origin", origin).json(&json!({ "bot_id": BOT }))).await
}

#[tokio::test]
async fn a_frame_is_let_in_and_so_is_the_gates_own() {
    let (_upstream, gate) = framed().await;
    for origin in [SHOP, FRAME, GATE] {
        let answer = init_from(&gate, origin).await;
        assert_eq!(answer.status(), 200, "{origin}");
        // A page of the gate's own origin reads its answers anyway.
        let allowed = answer.headers().get("access-control-allow-origin").and_then(|value| value.to_str().ok());
        assert_eq!(allowed, (origin != GATE).then_some(origin));
        let session = json_of(answer).await["session_id"].as_str().expect("an id").to_owned();
        let chat = gate.public(Method::POST, &super::of("chat", &session)).header("origin", origin);
        assert_eq!(sent(chat.json(&json!({ "message": "hi" }))).await.status(), 200, "{origin}");
    }
    refused(init_from(&gate, "https://evil.example.com").await, 403, "sidegate.origin_not_allowed").await;
}

#[tokio::test]
async fn a_page_of_the_gates_own_origin_sends_none_on_a_get() {
    let (_upstream, gate) = framed().await;
    let session = json_of(init_from(&gate, GATE).await).await["session_id"].as_str().expect("an id").to_owned();
    let history = || gate.public(Method::GET, &super::of("history", &session));
    assert_eq!(sent(history().header("sec-fetch-site", "same-origin")).await.status(), 200);
    for site in ["same-site", "cross-site", "none"] {
        refused(sent(history().header("sec-fetch-site", site)).await, 403, "sidegate.origin_not_allowed").await;
    }
    // A session of another page is not the frame's.
    let shops = json_of(init_from(&gate, SHOP).await).await["session_id"].as_str().expect("an id").to_owned();
    let request = gate.public(Method::GET, &super::of("history", &shops)).header("sec-fetch-site", "same-origin");
    refused(sent(request).await, 403, "session_forbidden").await;
}

/// Other dialects have no frames: the gate's own origin is not let in there by itself.
#[tokio::test]
async fn frames_are_of_this_dialect_alone() {
    let (_upstream, gate) = framed().await;
    let token = gate.token("ada").mint().await;
    let request = gate.public(Method::GET, "/api/v1/tasks").bearer_auth(&token).header("origin", GATE);
    assert_eq!(sent(request).await.status(), 403);
}

#[tokio::test]
async fn without_frames_the_list_alone_decides() {
    let (_upstream, gate) = started().await;
    refused(init_from(&gate, FRAME).await, 403, "sidegate.origin_not_allowed").await;
}
