//! What every engine promises that counts the uses of service tokens.

use std::sync::Arc;

use futures_util::future::join_all;
use sidegate::store::{Entries, Entry, EntryKind, Used};
use sidegate_core::clock::Timestamp;

/// A use of a token, by seconds of a time.
pub fn used(token: &str, count: u64, last: u64) -> Used {
    Used { token: token.parse().expect("id"), count, last: Timestamp::from_seconds(last) }
}

/// What is kept, in the order of the names.
pub async fn kept(store: &dyn Entries) -> Vec<Used> {
    let mut kept = store.use_counts().await.expect("an answer");
    kept.sort_by(|one, other| one.token.cmp(&other.token));
    kept
}

/// Every promise, each on a store of its own.
pub async fn all(open: &impl AsyncFn() -> Arc<dyn Entries>) {
    counts_add_up_and_the_latest_time_stays(&*open().await).await;
    a_use_is_no_change(&*open().await).await;
    a_count_has_an_end(&*open().await).await;
    of_many_at_once_none_is_lost(&[open().await]).await;
}

async fn counts_add_up_and_the_latest_time_stays(store: &dyn Entries) {
    assert_eq!(kept(store).await, []);
    assert_eq!(store.add_uses(&[used("a", 2, 10), used("b", 1, 5)]).await, Ok(()));
    assert_eq!(store.add_uses(&[used("c", 1, 1), used("b", 3, 4), used("a-b", 7, 1_800_000_000)]).await, Ok(()));
    assert_eq!(store.add_uses(&[]).await, Ok(()));
    assert_eq!(kept(store).await, [used("a", 2, 10), used("a-b", 7, 1_800_000_000), used("b", 4, 5), used("c", 1, 1)]);
    assert_eq!(store.add_uses(&[used("b", 1, 6)]).await, Ok(()));
    assert_eq!(kept(store).await[2], used("b", 5, 6));
}

/// Whoever follows the registry reads nothing anew, and a change that was begun before is still good.
async fn a_use_is_no_change(store: &dyn Entries) {
    let entry = Entry { kind: EntryKind::ServiceToken, id: "a".to_owned(), revision: 1, document: "{}".to_owned() };
    assert_eq!(store.add(&entry).await, Ok(true));
    let before = store.generation().await;
    assert_eq!(store.add_uses(&[used("a", 1, 1)]).await, Ok(()));
    assert_eq!(store.generation().await, before);
    assert_eq!(store.change(&entry).await, Ok(true));
    assert_eq!(kept(store).await, [used("a", 1, 1)], "and a change is no use");
}

async fn a_count_has_an_end(store: &dyn Entries) {
    for _ in 0..2 {
        assert_eq!(store.add_uses(&[used("a", u64::MAX, 1), used("b", 1, 1)]).await, Ok(()));
    }
    assert_eq!(kept(store).await, [used("a", (1 << 53) - 1, 1), used("b", 2, 1)]);
}

/// Of one store, or of several gates over one; each in an order of its own.
pub async fn of_many_at_once_none_is_lost(stores: &[Arc<dyn Entries>]) {
    const CALLS: usize = 24;
    let calls = stores.iter().flat_map(|store| (0..CALLS).map(move |call| (store, call)));
    let added = join_all(calls.map(|(store, call)| async move {
        let mut uses: Vec<_> =
            (0..20).map(|token| used(&format!("token-{token:02}"), 1 + token % 3, call as u64)).collect();
        uses.rotate_left(call % 20);
        if call % 2 == 0 {
            uses.reverse();
        }
        store.add_uses(&uses).await
    }));
    assert!(added.await.into_iter().all(|added| added == Ok(())));
    let calls = (CALLS * stores.len()) as u64;
    let expected: Vec<_> =
        (0..20).map(|token| used(&format!("token-{token:02}"), calls * (1 + token % 3), CALLS as u64 - 1)).collect();
    assert_eq!(kept(&*stores[0]).await, expected);
}
