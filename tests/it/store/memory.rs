//! The store in memory: what every engine promises, and that it is bounded.

use std::sync::Arc;

use bytes::Bytes;
use sidegate::store::{Memory, Owners as _, Replay as _, Store as _, Unavailable, Vault as _};
use sidegate_core::id::ConversationId;

use super::conformance::{self, Ids, after};

#[tokio::test]
async fn it_keeps_the_promises_of_a_store() {
    conformance::all(async || Arc::new(Memory::new(64 << 20)) as _).await;
}

#[tokio::test]
async fn a_full_store_refuses_and_keeps_what_it_has() {
    let ids = Ids::new();
    let store = Memory::new(1_000);
    store.put(ids.key("a"), Bytes::from(vec![1; 100]), after(10)).await.expect("kept");
    assert_eq!(store.put(ids.key("b"), Bytes::from(vec![2; 600]), after(10)).await, Err(Unavailable));
    assert!(store.get(ids.key("a"), after(0)).await.expect("an answer").is_some());
    store.sweep(after(10)).await.expect("swept");
    store.put(ids.key("b"), Bytes::from(vec![2; 600]), after(20)).await.expect("room again");
    assert_eq!(store.first_use(ids.key("c"), after(20)).await, Err(Unavailable));
}

#[tokio::test]
async fn room_is_told_before_it_runs_out() {
    let ids = Ids::of(&"a".repeat(64), &"u".repeat(256));
    let store = Memory::new(20_000);
    for index in 0.. {
        let task: ConversationId = format!("{index:0>128}").parse().expect("id");
        if store.has_room().await != Ok(true) {
            break;
        }
        store.record(ids.owner(), &task).await.expect("there was room");
    }
}

#[tokio::test]
async fn owners_leave_room_for_contexts() {
    let ids = Ids::new();
    let store = Memory::new(100_000);
    for index in 0.. {
        let task: ConversationId = format!("task_{index}").parse().expect("id");
        if store.record(ids.owner(), &task).await.is_err() {
            break;
        }
    }
    assert_eq!(store.has_room().await, Ok(false));
    store.put(ids.key("a"), Bytes::from(vec![1; 40_000]), after(10)).await.expect("room for a context");
}
