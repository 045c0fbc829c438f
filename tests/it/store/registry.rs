//! What every engine that keeps registry entries promises.

use std::sync::Arc;

use futures_util::future::join_all;
use sidegate::store::{Entries, Entry, EntryKind, Memory};

use super::{objects, use_counts};

const KIND: EntryKind = EntryKind::ServiceToken;

fn entry(id: &str, revision: u64, document: &str) -> Entry {
    Entry { kind: KIND, id: id.to_owned(), revision, document: document.to_owned() }
}

/// Every promise, each on a store of its own.
pub async fn all(open: impl AsyncFn() -> Arc<dyn Entries>) {
    an_id_is_taken_once(&*open().await).await;
    a_change_needs_the_current_revision(&*open().await).await;
    entries_come_in_order(&*open().await).await;
    of_many_changes_one_wins(&*open().await).await;
    kinds_have_ids_of_their_own(&*open().await).await;
    use_counts::all(&open).await;
    objects::all(&open).await;
}

async fn an_id_is_taken_once(store: &dyn Entries) {
    let before = store.generation().await.expect("an answer");
    assert_eq!(store.add(&entry("a", 9, "{\"n\":1}")).await, Ok(true));
    let after = store.generation().await.expect("an answer");
    assert!(after > before);
    assert_eq!(store.add(&entry("a", 1, "{\"n\":2}")).await, Ok(false));
    assert_eq!(store.entry(KIND, "a").await, Ok(Some(entry("a", 1, "{\"n\":1}"))));
    assert_eq!(store.entry(KIND, "b").await, Ok(None));
    assert_eq!(store.generation().await, Ok(after), "nothing was changed");
}

async fn a_change_needs_the_current_revision(store: &dyn Entries) {
    assert_eq!(store.change(&entry("a", 1, "{}")).await, Ok(false), "there is none");
    assert_eq!(store.add(&entry("a", 1, "{\"n\":1}")).await, Ok(true));
    let before = store.generation().await.expect("an answer");
    assert_eq!(store.change(&entry("a", 2, "{}")).await, Ok(false));
    assert_eq!(store.generation().await, Ok(before));
    assert_eq!(store.change(&entry("a", 1, "{\"n\":2}")).await, Ok(true));
    assert_eq!(store.change(&entry("a", 1, "{\"n\":3}")).await, Ok(false), "it has changed since");
    assert_eq!(store.entry(KIND, "a").await, Ok(Some(entry("a", 2, "{\"n\":2}"))));
    assert!(store.generation().await.expect("an answer") > before);
}

async fn entries_come_in_order(store: &dyn Entries) {
    for id in ["b", "c", "a", "B"] {
        assert_eq!(store.add(&entry(id, 1, "{}")).await, Ok(true));
    }
    let ids: Vec<_> = store.entries(KIND).await.expect("an answer").into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, ["B", "a", "b", "c"]);
}

async fn of_many_changes_one_wins(store: &dyn Entries) {
    let documents: Vec<_> = (0..50).map(|index| entry("a", 1, &format!("{{\"n\":{index}}}"))).collect();
    let added = join_all(documents.iter().map(|entry| store.add(entry))).await;
    assert_eq!(added.iter().filter(|outcome| **outcome == Ok(true)).count(), 1);
    let changed = join_all(documents.iter().map(|entry| store.change(entry))).await;
    assert_eq!(changed.iter().filter(|outcome| **outcome == Ok(true)).count(), 1);
    assert_eq!(store.entry(KIND, "a").await.expect("an answer").map(|entry| entry.revision), Some(2));
}

async fn kinds_have_ids_of_their_own(store: &dyn Entries) {
    for kind in EntryKind::ALL {
        assert_eq!(store.add(&Entry { kind, ..entry("a", 1, kind.name()) }).await, Ok(true));
    }
    let app = Entry { kind: EntryKind::App, ..entry("a", 1, "changed") };
    assert_eq!(store.change(&app).await, Ok(true));
    let kept =
        async |kind| store.entries(kind).await.expect("an answer").pop().map(|entry| (entry.revision, entry.document));
    assert_eq!(kept(EntryKind::App).await, Some((2, "changed".to_owned())));
    assert_eq!(kept(EntryKind::ServiceToken).await, Some((1, "service_token".to_owned())));
}

#[tokio::test]
async fn the_store_in_memory_keeps_them() {
    all(async || Arc::new(Memory::new(64 << 20)) as _).await;
}
