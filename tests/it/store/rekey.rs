//! New seal keys: every context is sealed anew, while others use the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use sidegate::store::{
    Entries as _, Entry, EntryKind, Interrupted, Memory, Rekeyed, Session, Sessions as _, Store as _, Vault as _, rekey,
};
use sidegate::system::System;
use sidegate_core::context::seal::{SealedFor, Sealer};
use sidegate_core::entropy::{Entropy, EntropyUnavailable};
use sidegate_core::session::SessionKey;

use super::conformance::{Ids, after};
use super::sessions;

const OLD: u8 = 1;
const OLDER: u8 = 2;
const NEW: u8 = 3;
const LOST: u8 = 4;

/// A ring of keys, by number; the first seals.
fn ring(keys: &[u8]) -> Sealer {
    let mut keys = keys.iter().map(|key| URL_SAFE_NO_PAD.encode([*key; 32]).into());
    let mut ring = Sealer::from_text(&keys.next().expect("a key")).expect("a key");
    keys.for_each(|key| ring.also_opens(&key).expect("a key"));
    ring
}

/// The plaintext of a token's context is the token's name.
fn sealed(ids: &Ids, token: &str, key: u8) -> Bytes {
    ring(&[key]).seal(ids.key(token), token.as_bytes(), &System).expect("sealed").into()
}

async fn put(store: &Memory, ids: &Ids, token: &str, key: u8) {
    store.put(ids.key(token), sealed(ids, token, key), after(100)).await.expect("kept");
}

/// A store with a record of each of the old keys in turn.
async fn filled(ids: &Ids, count: usize) -> Memory {
    let store = Memory::new(64 << 20);
    for index in 0..count {
        put(&store, ids, &format!("{index:04}"), if index % 2 == 0 { OLD } else { OLDER }).await;
    }
    store
}

/// Fails unless these keys open a token's context.
async fn assert_opens(store: &Memory, ids: &Ids, token: &str, keys: &[u8]) {
    let record = store.get(ids.key(token), after(1)).await.expect("an answer").expect("a record");
    let plaintext = ring(keys).open(ids.key(token), &record.sealed).expect("it opens");
    assert_eq!((plaintext.as_slice(), record.expires_at), (token.as_bytes(), after(100)));
}

#[tokio::test]
async fn every_record_is_sealed_with_the_first_key_and_a_second_run_does_nothing() {
    let ids = Ids::new();
    let store = filled(&ids, 600).await;
    put(&store, &ids, "z", NEW).await;
    let keys = ring(&[NEW, OLD, OLDER]);
    let first = rekey(&store, &store, &keys, &System, after(1)).await;
    assert_eq!(first, Ok(Rekeyed { seen: 601, resealed: 600, current: 1, ..Rekeyed::default() }));
    for index in 0..600 {
        assert_opens(&store, &ids, &format!("{index:04}"), &[NEW]).await;
    }
    let second = rekey(&store, &store, &keys, &System, after(1)).await;
    assert_eq!(second, Ok(Rekeyed { seen: 601, current: 601, ..Rekeyed::default() }));
}

#[tokio::test]
async fn every_session_is_sealed_with_the_first_key() {
    let (store, app) = (Memory::new(1 << 20), sessions::app("a"));
    let ids = [sessions::id(1), sessions::id(2), sessions::id(3)];
    let keys = ids.each_ref().map(|id| SessionKey { app: &app, session: id });
    for (key, with) in keys.into_iter().zip([OLD, NEW, LOST]) {
        let sealed = ring(&[with]).seal(key, b"about", &System).expect("sealed").into();
        let opened = Session { sealed, ..sessions::session("", Some(sessions::resume(1)), 0) };
        store.open_session(key, opened).await.expect("kept");
    }
    let done = rekey(&store, &store, &ring(&[NEW, OLD]), &System, after(1)).await;
    assert_eq!(done, Ok(Rekeyed { seen: 3, resealed: 1, current: 1, unreadable: 1, ..Rekeyed::default() }));
    let session = store.session(keys[0], after(1)).await.expect("an answer").expect("a session");
    assert_eq!(ring(&[NEW]).open(keys[0], &session.sealed).expect("it opens").as_slice(), b"about");
    // A session's seal is good for no other session.
    assert!(ring(&[NEW]).open(keys[1], &session.sealed).is_none());
    assert_eq!(rekey(&store, &store, &ring(&[NEW, OLD]), &System, after(100)).await, Ok(Rekeyed::default()));
}

#[tokio::test]
async fn what_no_key_opens_is_counted_and_left_alone() {
    let ids = Ids::new();
    let store = Memory::new(1 << 20);
    put(&store, &ids, "a", LOST).await;
    put(&store, &ids, "b", OLD).await;
    // Another token's record, and what is none at all.
    store.put(ids.key("c"), sealed(&ids, "b", OLD), after(100)).await.expect("kept");
    store.put(ids.key("d"), Bytes::from_static(b"none"), after(100)).await.expect("kept");
    let before = store.page(None).await.expect("a page");
    let done = rekey(&store, &store, &ring(&[NEW, OLD]), &System, after(1)).await;
    assert_eq!(done, Ok(Rekeyed { seen: 4, resealed: 1, unreadable: 3, ..Rekeyed::default() }));
    let after = store.page(None).await.expect("a page");
    for index in [0, 2, 3] {
        assert_eq!(before.records[index], after.records[index]);
    }
    assert_opens(&store, &ids, "b", &[NEW]).await;
}

#[tokio::test]
async fn what_is_over_is_not_looked_at() {
    let ids = Ids::new();
    let store = filled(&ids, 3).await;
    assert_eq!(rekey(&store, &store, &ring(&[NEW]), &System, after(100)).await, Ok(Rekeyed::default()));
}

/// Randomness that lets something happen to the store between a record's opening and its
/// replacement; and that runs out.
struct Meddling<'a> {
    meddle: &'a (dyn Fn() + Sync),
    left: AtomicU64,
}

impl Entropy for Meddling<'_> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        (self.meddle)();
        let some = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        some.map_err(|_| EntropyUnavailable)?;
        System.fill(bytes)
    }
}

/// The outcome for one record, to which this happens between its opening and its replacement.
async fn meddled(store: &Memory, meddle: &(dyn Fn() + Sync)) -> Result<Rekeyed, Interrupted> {
    let entropy = Meddling { meddle, left: 1.into() };
    rekey(store, store, &ring(&[NEW, OLD]), &entropy, after(1)).await
}

#[tokio::test]
async fn a_record_that_changed_or_vanished_is_no_error() {
    let ids = Ids::new();
    let outcome = Ok(Rekeyed { seen: 1, changed: 1, ..Rekeyed::default() });
    let store = filled(&ids, 1).await;
    let vanish = || store.sweep(after(200)).now_or_never().expect("at once").expect("swept");
    assert_eq!(meddled(&store, &vanish).await, outcome);
    assert_eq!(store.get(ids.key("0000"), after(1)).await, Ok(None));

    let store = filled(&ids, 1).await;
    let by_another_run = sealed(&ids, "0000", NEW);
    let old = store.get(ids.key("0000"), after(1)).await.expect("an answer").expect("a record").sealed;
    let change = || {
        let replaced = store.replace(ids.key("0000"), &old, by_another_run.clone()).now_or_never();
        assert_eq!(replaced, Some(Ok(true)));
    };
    assert_eq!(meddled(&store, &change).await, outcome);
    let kept = store.get(ids.key("0000"), after(1)).await.expect("an answer").expect("a record").sealed;
    assert_eq!(kept, by_another_run);
}

#[tokio::test]
async fn a_run_that_ends_half_way_leaves_all_readable_and_the_next_one_goes_on() {
    let ids = Ids::new();
    let store = filled(&ids, 500).await;
    let keys = ring(&[NEW, OLD, OLDER]);
    let entropy = Meddling { meddle: &|| {}, left: 300.into() };
    assert_eq!(rekey(&store, &store, &keys, &entropy, after(1)).await, Err(Interrupted::Entropy));
    for index in 0..500 {
        assert_opens(&store, &ids, &format!("{index:04}"), &[NEW, OLD, OLDER]).await;
    }
    let done = rekey(&store, &store, &keys, &System, after(1)).await.expect("done");
    assert_eq!((done.seen, done.resealed + done.current, done.current >= 256), (500, 500, true), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn gates_read_and_add_contexts_meanwhile() {
    let ids = Arc::new(Ids::new());
    let store = Arc::new(filled(&ids, 1_000).await);
    let running = Arc::new(AtomicBool::new(true));
    let gate = tokio::spawn({
        let (ids, store, running) = (Arc::clone(&ids), Arc::clone(&store), Arc::clone(&running));
        async move {
            let mut added = 0;
            while running.load(Ordering::Relaxed) || added < 500 {
                if added < 1_000 {
                    put(&store, &ids, &format!("{:04}", 1_000 + added), NEW).await;
                    added += 1;
                }
                assert_opens(&store, &ids, &format!("{:04}", added % 1_000), &[NEW, OLD, OLDER]).await;
                tokio::task::yield_now().await;
            }
            added
        }
    });
    let done = rekey(&*store, &*store, &ring(&[NEW, OLD, OLDER]), &System, after(1)).await.expect("done");
    running.store(false, Ordering::Relaxed);
    let added = gate.await.expect("all opened");
    assert_eq!((done.resealed, done.changed, done.unreadable), (1_000, 0, 0));
    for index in 0..1_000 + added {
        assert_opens(&store, &ids, &format!("{index:04}"), &[NEW]).await;
    }
}

fn app_entry(ids: &Ids, key: u8, revision: u64) -> Entry {
    let sealed = ring(&[key]).seal(SealedFor::App(&ids.app), b"settings", &System).expect("sealed");
    let document = URL_SAFE_NO_PAD.encode(sealed);
    Entry { kind: EntryKind::App, id: ids.app.as_str().to_owned(), revision, document }
}

async fn kept_app(store: &Memory, ids: &Ids) -> Entry {
    store.entry(EntryKind::App, ids.app.as_str()).await.expect("an answer").expect("an app")
}

#[tokio::test]
async fn apps_of_the_registry_are_sealed_anew_too() {
    let ids = Ids::new();
    let store = filled(&ids, 1).await;
    assert_eq!(store.add(&app_entry(&ids, OLDER, 1)).await, Ok(true));
    let other = Entry { id: "other".into(), ..app_entry(&ids, OLD, 1) };
    assert_eq!(store.add(&other).await, Ok(true), "of another app, so no key opens it");
    let garbage = Entry { id: "garbage".into(), document: "{}".into(), ..app_entry(&ids, OLD, 1) };
    assert_eq!(store.add(&garbage).await, Ok(true));
    let token = Entry { kind: EntryKind::ServiceToken, ..garbage.clone() };
    assert_eq!(store.add(&token).await, Ok(true));
    let keys = ring(&[NEW, OLD, OLDER]);
    let done = rekey(&store, &store, &keys, &System, after(1)).await;
    assert_eq!(done, Ok(Rekeyed { seen: 4, resealed: 2, unreadable: 2, ..Rekeyed::default() }));
    let kept = kept_app(&store, &ids).await;
    let sealed = URL_SAFE_NO_PAD.decode(&kept.document).expect("base64url");
    let opened = ring(&[NEW]).open(SealedFor::App(&ids.app), &sealed).expect("it opens");
    assert_eq!((opened.as_slice(), kept.revision), (&b"settings"[..], 2));
    assert_eq!(store.entry(EntryKind::App, "garbage").await, Ok(Some(garbage)));
    let again = rekey(&store, &store, &keys, &System, after(1)).await;
    assert_eq!(again, Ok(Rekeyed { seen: 4, current: 2, unreadable: 2, ..Rekeyed::default() }));
}

#[tokio::test]
async fn an_app_that_changed_meanwhile_stays_as_it_was_changed() {
    let ids = Ids::new();
    let store = Memory::new(1 << 20);
    assert_eq!(store.add(&app_entry(&ids, OLD, 1)).await, Ok(true));
    let by_a_gate = app_entry(&ids, NEW, 1);
    let change = || assert_eq!(store.change(&by_a_gate).now_or_never(), Some(Ok(true)));
    assert_eq!(meddled(&store, &change).await, Ok(Rekeyed { seen: 1, changed: 1, ..Rekeyed::default() }));
    assert_eq!(kept_app(&store, &ids).await, Entry { revision: 2, ..by_a_gate });
}
