//! What every engine promises. An engine's test opens a fresh store for each of these.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sidegate::store::{Mark, Owner, Store, Unavailable, Vault};
use sidegate::system::System;
use sidegate_core::clock::{Clock as _, Timestamp};
use sidegate_core::context::ContextKey;
use sidegate_core::id::{AppId, ConversationId, EndUserId, TokenId};
use sidegate_core::revocation::Revocation;

use super::{paging, sessions};

/// A time near the real one: engines may free memory by their own clocks.
pub fn after(seconds: u64) -> Timestamp {
    static START: LazyLock<Timestamp> = LazyLock::new(|| System.now());
    START.plus(Duration::from_secs(3_600 + seconds))
}

/// An app, an end user, and tokens by name.
pub struct Ids {
    pub app: AppId,
    pub end_user: EndUserId,
    pub tokens: BTreeMap<String, TokenId>,
}

impl Ids {
    pub fn new() -> Self {
        Self::of("app", "ada")
    }

    pub fn of(app: &str, end_user: &str) -> Self {
        let names = ('a'..='z').map(String::from).chain((0..2_000).map(|index| format!("{index:04}")));
        let tokens = names.map(|name| (name.clone(), name.parse().expect("id"))).collect();
        Self { app: app.parse().expect("id"), end_user: end_user.parse().expect("id"), tokens }
    }

    pub fn key(&self, token: &str) -> ContextKey<'_> {
        ContextKey { app: &self.app, token: &self.tokens[token] }
    }

    pub fn owner(&self) -> Owner<'_> {
        Owner { app: &self.app, end_user: &self.end_user }
    }
}

pub fn task(text: &str) -> ConversationId {
    text.parse().expect("id")
}

fn sealed(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Every promise, each on a store of its own.
pub async fn all(open: impl AsyncFn() -> Arc<dyn Store>) {
    records_live_until_their_time(&*open().await).await;
    a_token_has_one_record(&*open().await).await;
    many_records_at_once(&open().await).await;
    paging::all(&open).await;
    sessions::all(&open).await;
    records_are_replaced_if_unchanged(&*open().await).await;
    sweeping_drops_what_is_over(&*open().await).await;
    owners_are_never_replaced(&*open().await).await;
    one_of_many_owners_wins(&open().await).await;
    a_token_is_used_once(&*open().await).await;
    of_many_uses_one_is_first(&open().await).await;
    revocations_are_told_in_order(&*open().await).await;
    revocations_are_told_to_all(&open().await).await;
}

async fn records_live_until_their_time(store: &dyn Store) {
    let (ids, other) = (Ids::new(), Ids::of("other", "ada"));
    store.put(ids.key("a"), sealed("\0one\u{ff}"), after(10)).await.expect("kept");
    let record = store.get(ids.key("a"), after(9)).await.expect("an answer").expect("a record");
    assert_eq!((record.sealed, record.expires_at), (sealed("\0one\u{ff}"), after(10)));
    assert_eq!(store.get(ids.key("a"), after(10)).await, Ok(None), "its time is over");
    assert_eq!(store.get(ids.key("b"), after(9)).await, Ok(None));
    assert_eq!(store.get(other.key("a"), after(9)).await, Ok(None), "another app's");
    store.ping().await.expect("it answers");
}

async fn a_token_has_one_record(store: &dyn Store) {
    let (ids, other) = (Ids::new(), Ids::of("other", "ada"));
    store.put(ids.key("a"), sealed("1"), after(10)).await.expect("kept");
    assert_eq!(store.put(ids.key("a"), sealed("2"), after(20)).await, Err(Unavailable));
    store.put(other.key("a"), sealed("3"), after(10)).await.expect("another app's token of the same id");
    let record = store.get(ids.key("a"), after(1)).await.expect("an answer").expect("a record");
    assert_eq!((record.sealed, record.expires_at), (sealed("1"), after(10)));
}

async fn many_records_at_once(store: &Arc<dyn Store>) {
    let ids = Ids::new();
    let names: Vec<String> = (0..500).map(|index| format!("{index:04}")).collect();
    let puts = names.iter().map(|name| store.put(ids.key(name), Bytes::from(name.clone()), after(10)));
    assert!(join_all(puts).await.iter().all(Result::is_ok));
    let gets = names.iter().map(|name| store.get(ids.key(name), after(1)));
    for (name, record) in names.iter().zip(join_all(gets).await) {
        assert_eq!(record.expect("an answer").expect("a record").sealed, name.as_bytes());
    }
}

async fn records_are_replaced_if_unchanged(store: &dyn Store) {
    let ids = Ids::new();
    store.put(ids.key("a"), sealed("old"), after(10)).await.expect("kept");
    assert_eq!(Vault::replace(store, ids.key("a"), &sealed("other"), sealed("new")).await, Ok(false));
    assert_eq!(Vault::replace(store, ids.key("b"), &sealed("old"), sealed("new")).await, Ok(false));
    assert_eq!(Vault::replace(store, ids.key("a"), &sealed("old"), sealed("newer")).await, Ok(true));
    let record = store.get(ids.key("a"), after(1)).await.expect("an answer").expect("a record");
    assert_eq!((record.sealed, record.expires_at), (sealed("newer"), after(10)), "it keeps its time");
}

async fn sweeping_drops_what_is_over(store: &dyn Store) {
    let ids = Ids::new();
    store.put(ids.key("a"), sealed("1"), after(10)).await.expect("kept");
    store.put(ids.key("b"), sealed("2"), after(20)).await.expect("kept");
    assert_eq!(store.first_use(ids.key("b"), after(20)).await, Ok(true));
    store.record(ids.owner(), &task("task_1")).await.expect("recorded");
    store.sweep(after(15)).await.expect("swept");
    assert_eq!(store.get(ids.key("a"), after(15)).await, Ok(None));
    assert!(store.get(ids.key("b"), after(15)).await.expect("an answer").is_some());
    assert_eq!(store.first_use(ids.key("b"), after(20)).await, Ok(false));
    assert_eq!(store.owns(ids.owner(), &task("task_1")).await, Ok(true), "owners outlive tokens");
}

async fn owners_are_never_replaced(store: &dyn Store) {
    let (ada, grace, other) = (Ids::new(), Ids::of("app", "grace"), Ids::of("other", "ada"));
    let (one, two) = (task("task_1"), task("task_2"));
    assert_eq!(store.has_room().await, Ok(true));
    assert_eq!(store.of(ada.owner()).await, Ok(HashSet::new()));
    store.record(ada.owner(), &one).await.expect("recorded");
    assert_eq!(store.owns(ada.owner(), &one).await, Ok(true));
    assert_eq!(store.owns(grace.owner(), &one).await, Ok(false));
    for (owner, conversation) in [(other.owner(), &one), (ada.owner(), &two)] {
        assert_eq!(store.owns(owner, conversation).await, Ok(false));
    }
    assert_eq!(store.record(ada.owner(), &one).await, Ok(()), "it is theirs already");
    assert_eq!(store.record(grace.owner(), &one).await, Err(Unavailable));
    assert_eq!(store.record(other.owner(), &one).await, Ok(()), "another app's conversation of the same id");
    store.record(ada.owner(), &two).await.expect("recorded");
    let all = join_all([ada.owner(), grace.owner(), other.owner()].map(|owner| store.of(owner))).await;
    assert_eq!(all, [HashSet::from([one.clone(), two]), HashSet::new(), HashSet::from([one])].map(Ok));
}

async fn one_of_many_owners_wins(store: &Arc<dyn Store>) {
    let users: Vec<Ids> = (0..50).map(|index| Ids::of("app", &format!("user-{index}"))).collect();
    let conversation = task("task_1");
    let recorded = join_all(users.iter().map(|ids| store.record(ids.owner(), &conversation))).await;
    assert_eq!(recorded.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for (ids, outcome) in users.iter().zip(recorded) {
        assert_eq!(store.owns(ids.owner(), &conversation).await, Ok(outcome.is_ok()));
    }
}

async fn a_token_is_used_once(store: &dyn Store) {
    let (ids, other) = (Ids::new(), Ids::of("other", "ada"));
    assert_eq!(store.first_use(ids.key("a"), after(10)).await, Ok(true));
    assert_eq!(store.first_use(ids.key("a"), after(10)).await, Ok(false));
    assert_eq!(store.first_use(ids.key("b"), after(10)).await, Ok(true));
    assert_eq!(store.first_use(other.key("a"), after(10)).await, Ok(true), "another app's token of the same id");
}

async fn of_many_uses_one_is_first(store: &Arc<dyn Store>) {
    let ids = Ids::new();
    let uses = (0..200).map(|_| store.first_use(ids.key("a"), after(10)));
    let first = join_all(uses).await.into_iter().filter(|outcome| *outcome == Ok(true)).count();
    assert_eq!(first, 1);
}

async fn revocations_are_told_in_order(store: &dyn Store) {
    let ids = Ids::new();
    let nothing = store.revoked_since(Mark::default()).await.expect("an answer");
    assert!(nothing.revocations.is_empty());
    let all = [
        Revocation::Id { app: ids.app.clone(), jti: ids.tokens["a"].clone() },
        Revocation::EndUser { app: ids.app.clone(), end_user: ids.end_user.clone(), issued_before: after(1) },
        Revocation::App { app: ids.app.clone(), issued_before: after(2) },
        Revocation::All { issued_before: after(3) },
    ];
    for revocation in &all[..2] {
        store.revoke(revocation, after(100)).await.expect("kept");
    }
    let first = store.revoked_since(nothing.mark).await.expect("an answer");
    assert_eq!(first.revocations, all[..2].iter().cloned().map(|it| (it, after(100))).collect::<Vec<_>>());
    store.revoke(&all[2], after(50)).await.expect("kept");
    store.revoke(&all[3], after(100)).await.expect("kept");
    let second = store.revoked_since(first.mark).await.expect("an answer");
    assert_eq!(second.revocations, [(all[2].clone(), after(50)), (all[3].clone(), after(100))]);
    let none = store.revoked_since(second.mark).await.expect("an answer");
    assert_eq!((none.revocations.len(), none.mark), (0, second.mark));
    store.sweep(after(60)).await.expect("swept");
    let left = store.revoked_since(Mark::default()).await.expect("an answer");
    assert_eq!(left.revocations.len(), 3, "those that still matter");
    assert_eq!(left.mark, second.mark);
}

async fn revocations_are_told_to_all(store: &Arc<dyn Store>) {
    let ids = Ids::new();
    let names: Vec<String> = (0..100).map(|index| format!("{index:04}")).collect();
    let revocation = |name: &String| Revocation::Id { app: ids.app.clone(), jti: ids.tokens[name].clone() };
    let revocations: Vec<_> = names.iter().map(revocation).collect();
    let follow = async {
        let (mut told, mut mark) = (HashSet::new(), Mark::default());
        while told.len() < revocations.len() {
            let news = store.revoked_since(mark).await.expect("an answer");
            told.extend(news.revocations.into_iter().map(|(revocation, _)| revocation));
            mark = news.mark;
            tokio::task::yield_now().await;
        }
        told
    };
    let keep = join_all(revocations.iter().map(|revocation| store.revoke(revocation, after(100))));
    let (told, kept) = tokio::time::timeout(Duration::from_secs(30), futures_util::future::join(follow, keep))
        .await
        .expect("each is told");
    assert!(kept.iter().all(Result::is_ok));
    assert_eq!(told, revocations.into_iter().collect());
}
