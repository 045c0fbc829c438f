//! How much a widget is used, counted for each.

use reqwest::Method;
use serde_json::{Value, json};
use sidegate::store::{Counts, Memory, Object, ObjectKind, Objects as _};
use sidegate::widgets::Tally;
use sidegate_core::id::ObjectId;

use super::{ACCOUNT, WIDGETS, answers, api, create_path, json_of, open, opened, say, shop, started, text, with_lines};
use crate::support::gate::Gate;
use crate::support::redis::until;
use crate::support::upstream::Upstream;

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

#[tokio::test]
async fn what_limits_refuse_is_counted_in_a_session_and_as_it_is_opened() {
    let upstream = Upstream::start().await;
    let gate =
        with_lines(&upstream, "limits = { exchange = [], chat = \"2/h per end_user\", config = [] }").start().await;
    answers(&upstream, "Hello");
    let (id, other) = (shop(&gate, json!({})).await, shop(&gate, json!({})).await);
    let session = opened(&gate, &id, &json!({})).await;
    for expected in [200, 200, 429, 429] {
        assert_eq!(say(&gate, &session, "complete", &json!({ "text": "hi" })).await.status(), expected);
    }
    let messages = vec![json!({ "type": "user", "text": "hi" }); 3];
    open(&gate, &other, &json!({ "messages": messages })).await;
    for (widget, messages, refused) in [(&id, 2, 2), (&other, 2, 1)] {
        until("its usage", async || {
            let seen = usage(&gate, widget).await;
            (&seen["messages"], &seen["refused"]) == (&json!(messages), &json!(refused))
        })
        .await;
    }
}

#[tokio::test]
async fn usage_of_more_widgets_than_are_written_at_once_is_kept() {
    let store = Memory::new(1 << 24);
    let ids: Vec<ObjectId> = (0..1_234).map(|number| format!("w{number}").parse().expect("an id")).collect();
    for id in &ids {
        let widget = Object {
            kind: ObjectKind::Widget,
            id: id.as_str().to_owned(),
            app: ACCOUNT.parse().expect("an id"),
            revision: 1,
            parent: None,
            labels: Vec::new(),
            document: "{}".to_owned(),
        };
        assert_eq!(store.insert(&widget).await, Ok(true));
    }
    let (tally, once) = (Tally::default(), Counts { sessions: 1, ..Counts::default() });
    for _ in 0..2 {
        ids.iter().for_each(|id| tally.add(id, once));
        assert_eq!(tally.write(&store).await, Ok(()));
    }
    for id in &ids {
        assert_eq!(store.usage(id.as_str()).await, Ok(once.plus(once)));
    }
}
