//! How much a widget is used, counted for each.

use reqwest::Method;
use serde_json::{Value, json};

use super::{WIDGETS, answers, api, create_path, json_of, opened, say, shop, started, text};
use crate::support::gate::Gate;
use crate::support::redis::until;

async fn usage(gate: &Gate, id: &str) -> Value {
    json_of(api(gate, Method::GET, &format!("{WIDGETS}/{id}/usage"), Value::Null).await).await
}

#[tokio::test]
async fn sessions_messages_refusals_and_bytes_are_counted_and_a_clone_begins_anew() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Hello");
    let id = shop(&gate, json!({})).await;
    let nothing = |id: &str| json!({ "id": id, "sessions": 0, "messages": 0, "refused": 0, "bytes": 0 });
    assert_eq!(usage(&gate, &id).await, nothing(&id));
    let copy = text(&json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/clone"), json!({})).await).await["id"]);
    let session = opened(&gate, &id, &json!({ "messages": [{ "type": "user", "text": "hi" }] })).await;
    for leaf in ["complete", "send", "receive"] {
        say(&gate, &session, leaf, &json!({ "text": "hi" })).await;
    }
    let evil = gate.public(Method::POST, &create_path(&id)).header("origin", "https://evil.example");
    assert_eq!(evil.send().await.expect("an answer").status(), 403);
    // An answer is counted when it has ended, which its reader sees a little sooner.
    until("its usage", async || {
        let seen = usage(&gate, &id).await;
        (&seen["sessions"], &seen["messages"], &seen["refused"]) == (&json!(1), &json!(3), &json!(1))
            && seen["bytes"].as_u64().is_some_and(|bytes| bytes > 3 * r#"{"text":"Hello"}"#.len() as u64)
    })
    .await;
    assert_eq!(usage(&gate, &copy).await, nothing(&copy));
}
