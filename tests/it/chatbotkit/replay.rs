//! A request that is sent again with the same `Idempotency-Key`.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{answers, create_path, json_of, refused, shop, started};
use crate::support::gate::{Gate, SHOP};
use crate::support::upstream::{Behaviour, Reply};

const FIRST: &str = "0123456789abcdef0123456789abcdef";

async fn open(gate: &Gate, widget: &str, key: &str, origin: &str, body: &Value) -> Response {
    let request = gate.public(Method::POST, &create_path(widget)).header("origin", origin);
    request.header("idempotency-key", key).json(body).send().await.expect("an answer")
}

#[tokio::test]
async fn the_first_answer_comes_again_and_another_request_is_refused() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({ "origin": "https://shop.example.com https://other.example" })).await;
    let other = shop(&gate, json!({})).await;
    let body = json!({ "messages": [{ "type": "user", "text": "hi" }] });
    let first = json_of(open(&gate, &id, FIRST, SHOP, &body).await).await;
    let again = open(&gate, &id, FIRST, SHOP, &body).await;
    assert_eq!(again.headers()["idempotency-replayed"], "true");
    assert_eq!(json_of(again).await, first);
    assert_eq!(upstream.take().len(), 1, "what it said is said once");
    for (widget, origin, body) in
        [(&id, SHOP, &json!({})), (&id, "https://other.example", &body), (&other, SHOP, &body)]
    {
        let answer = open(&gate, widget, FIRST, origin, body).await;
        refused(answer, 409, "CONFLICT", "IDEMPOTENCY_CONFLICT").await;
    }
    let anew = json_of(open(&gate, &id, "another-key-of-22-characters", SHOP, &body).await).await;
    assert_ne!(anew["conversationId"], first["conversationId"]);
    for short in ["1", "0123456789abcdefghijk", &"x".repeat(256)] {
        refused(open(&gate, &id, short, SHOP, &body).await, 400, "BAD_REQUEST", "BAD_REQUEST").await;
    }
}

#[tokio::test]
async fn of_many_at_once_one_opens_a_session() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({})).await;
    let body = json!({ "messages": [{ "type": "user", "text": "hi" }] });
    let all = join_all((0..20).map(|_| async { json_of(open(&gate, &id, FIRST, SHOP, &body).await).await })).await;
    assert!(all.iter().all(|answer| *answer == all[0]));
    assert_eq!(upstream.take().len(), 1);
}

#[tokio::test]
async fn who_leaves_and_asks_again_gets_the_session_that_was_opened() {
    let (upstream, gate) = started().await;
    let id = shop(&gate, json!({})).await;
    let (behaviour, release) = Behaviour::held(Reply::json(200, &json!({ "text": "Hello" })));
    upstream.always(behaviour);
    let body = json!({ "messages": [{ "type": "user", "text": "hi" }] });
    let first = tokio::time::timeout(Duration::from_millis(1), open(&gate, &id, FIRST, SHOP, &body));
    // It may or may not have left before it was heard; if it was, its message is on its way.
    let left = tokio::select! {
        _ = async { upstream.wait_for(1).await } => true,
        _ = async { drop(first.await); std::future::pending::<()>().await } => false,
        () = tokio::time::sleep(Duration::from_millis(300)) => false,
    };
    release.release();
    let again = json_of(open(&gate, &id, FIRST, SHOP, &body).await).await;
    assert_eq!(again["messages"].as_array().map(Vec::len), Some(2), "{left} {again}");
    assert_eq!(upstream.take().len(), 1);
}

#[tokio::test]
async fn one_that_could_not_be_answered_can_be_asked_again() {
    let (_upstream, gate) = started().await;
    let id = shop(&gate, json!({ "contactCollection": true })).await;
    let body = json!({ "contact": { "email": "ada@example.com" }, "conversationId": "cnone" });
    for _ in 0..2 {
        refused(open(&gate, &id, FIRST, SHOP, &body).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    }
}
