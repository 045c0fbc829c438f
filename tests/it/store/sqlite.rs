//! The store in a file: what every engine promises, and that it is a file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use sidegate::store::{Mark, Owners as _, Replay as _, Revocations as _, Sqlite, Store, Unavailable, Vault as _};
use sidegate_core::revocation::Revocation;
use tempfile::TempDir;

use super::conformance::{self, Ids, after};
use super::registry;

const MEMORY: usize = 1 << 20;

/// A store in a directory of its own.
pub async fn fresh(memory: usize) -> (TempDir, Sqlite) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory, memory).await;
    (directory, store)
}

async fn open(directory: &TempDir, memory: usize) -> Sqlite {
    Sqlite::open(&directory.path().join("a.db"), memory).await.expect("a store")
}

async fn keeps_its_promises(memory: usize) {
    let directories = std::sync::Mutex::new(Vec::new());
    let open = async || {
        let (directory, store) = fresh(memory).await;
        directories.lock().unwrap().push(directory);
        Arc::new(store) as Arc<dyn Store>
    };
    conformance::all(open).await;
}

#[tokio::test]
async fn it_keeps_the_promises_of_a_store() {
    keeps_its_promises(64 << 20).await;
}

#[tokio::test]
async fn it_keeps_registry_entries() {
    let directories = std::sync::Mutex::new(Vec::new());
    let open = async || {
        let (directory, store) = fresh(1 << 20).await;
        directories.lock().unwrap().push(directory);
        Arc::new(store) as _
    };
    registry::all(open).await;
}

#[tokio::test]
async fn it_keeps_them_with_nothing_at_hand() {
    keeps_its_promises(0).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let ids = Ids::new();
    let (directory, store) = fresh(MEMORY).await;
    let revocation = Revocation::All { issued_before: after(1) };
    let task = "task_1".parse().expect("id");
    store.put(ids.key("a"), Bytes::from_static(b"one"), after(10)).await.expect("kept");
    store.record(ids.owner(), &task).await.expect("recorded");
    assert_eq!(store.first_use(ids.key("a"), after(10)).await, Ok(true));
    store.revoke(&revocation, after(10)).await.expect("kept");
    drop(store);
    let store = open(&directory, MEMORY).await;
    let record = store.get(ids.key("a"), after(1)).await.expect("an answer").expect("a record");
    assert_eq!((&record.sealed[..], record.expires_at), (&b"one"[..], after(10)));
    assert_eq!(store.owns(ids.owner(), &task).await, Ok(true));
    assert_eq!(store.first_use(ids.key("a"), after(10)).await, Ok(false));
    let revoked = store.revoked_since(Mark::default()).await.expect("an answer");
    assert_eq!(revoked.revocations, [(revocation, after(10))]);
}

#[tokio::test]
async fn its_files_are_for_their_owner_alone() {
    let (directory, store) = fresh(MEMORY).await;
    store.put(Ids::new().key("a"), Bytes::from_static(b"one"), after(10)).await.expect("kept");
    for name in ["a.db", "a.db-wal", "a.db-shm"] {
        let found = std::fs::metadata(directory.path().join(name)).expect(name);
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn two_processes_may_use_one_file() {
    let ids = Ids::new();
    let directory = tempfile::tempdir().expect("a directory");
    let stores = join_all((0..4).map(|_| open(&directory, MEMORY))).await;
    let uses = stores.iter().flat_map(|store| (0..50).map(|_| store.first_use(ids.key("a"), after(10))));
    let outcomes = join_all(uses).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(outcomes.into_iter().filter(|outcome| *outcome == Ok(true)).count(), 1);
    let (one, other) = (&stores[0], &stores[1]);
    let revocation = Revocation::All { issued_before: after(1) };
    one.revoke(&revocation, after(10)).await.expect("kept");
    let told = other.revoked_since(Mark::default()).await.expect("an answer");
    assert_eq!(told.revocations, [(revocation, after(10))]);
    one.put(ids.key("b"), Bytes::from_static(b"one"), after(10)).await.expect("kept");
    assert!(other.get(ids.key("b"), after(1)).await.expect("an answer").is_some());
    assert_eq!(other.put(ids.key("b"), Bytes::from_static(b"two"), after(10)).await, Err(Unavailable));
}

#[tokio::test]
async fn nothing_is_acknowledged_once_the_file_is_gone() {
    let ids = Ids::new();
    let (directory, store) = fresh(MEMORY).await;
    store.put(ids.key("a"), Bytes::from_static(b"one"), after(10)).await.expect("kept");
    let (path, aside) = (directory.path().join("a.db"), directory.path().join("aside.db"));
    std::fs::rename(&path, &aside).expect("moved");
    assert_eq!(store.put(ids.key("b"), Bytes::from_static(b"two"), after(10)).await, Err(Unavailable));
    assert_eq!(store.first_use(ids.key("b"), after(10)).await, Err(Unavailable));
    assert_eq!((store.has_room().await, store.ping().await), (Err(Unavailable), Err(Unavailable)));
    assert!(!path.exists(), "no other is made in its place");
    std::fs::write(&path, b"").expect("written");
    assert_eq!(store.first_use(ids.key("b"), after(10)).await, Err(Unavailable), "not in another file either");
    std::fs::rename(&aside, &path).expect("moved back");
    assert_eq!((store.has_room().await, store.ping().await), (Ok(true), Ok(())));
    store.put(ids.key("b"), Bytes::from_static(b"two"), after(10)).await.expect("kept");
}

#[tokio::test]
async fn nothing_is_acknowledged_once_the_log_is_gone() {
    let ids = Ids::new();
    let (directory, store) = fresh(MEMORY).await;
    assert_eq!(store.first_use(ids.key("a"), after(10)).await, Ok(true));
    let (log, aside) = (directory.path().join("a.db-wal"), directory.path().join("aside"));
    std::fs::rename(&log, &aside).expect("moved");
    for _ in 0..2 {
        assert_eq!(store.first_use(ids.key("b"), after(10)).await, Err(Unavailable));
        assert_eq!(store.has_room().await, Err(Unavailable));
    }
    std::fs::rename(&aside, &log).expect("moved back");
    assert_eq!(store.first_use(ids.key("b"), after(10)).await, Ok(true));
    assert_eq!(store.first_use(ids.key("a"), after(10)).await, Ok(false));
}

#[tokio::test]
async fn a_caller_that_goes_away_disturbs_nobody() {
    let ids = Ids::new();
    let (_directory, store) = fresh(MEMORY).await;
    assert!(store.put(ids.key("a"), Bytes::from_static(b"one"), after(10)).now_or_never().is_none());
    assert!(store.get(ids.key("b"), after(1)).now_or_never().is_none());
    assert!(store.first_use(ids.key("c"), after(10)).now_or_never().is_none());
    store.put(ids.key("b"), Bytes::from_static(b"two"), after(10)).await.expect("kept");
    for token in ["a", "b"] {
        assert!(store.get(ids.key(token), after(1)).await.expect("an answer").is_some(), "{token}");
    }
    assert_eq!(store.first_use(ids.key("c"), after(10)).await, Ok(false), "it stood in the queue before");
}

#[tokio::test]
async fn more_than_can_wait_is_refused_at_once_and_the_rest_is_kept() {
    let names: Vec<_> = (0..10_000).map(|index| format!("{index}").parse().expect("id")).collect();
    let app = "app".parse().expect("id");
    let key = |token| sidegate_core::context::ContextKey { app: &app, token };
    let (_directory, store) = fresh(0).await;
    let puts = join_all(names.iter().map(|name| store.put(key(name), Bytes::from_static(b"one"), after(10)))).await;
    let kept = puts.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((4_096..names.len()).contains(&kept), "{kept}");
    for (name, outcome) in names.iter().zip(puts) {
        let found = store.get(key(name), after(1)).await.expect("an answer");
        assert_eq!(found.is_some(), outcome.is_ok(), "{name:?}");
    }
}

#[tokio::test]
async fn of_many_records_for_one_token_one_is_kept() {
    let ids = Ids::new();
    let (_directory, store) = fresh(0).await;
    let puts = (0..200_u32).map(|index| store.put(ids.key("a"), index.to_string().into(), after(10)));
    let kept: Vec<_> = join_all(puts).await.into_iter().map(|outcome| outcome.is_ok()).collect();
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 1);
    let record = store.get(ids.key("a"), after(1)).await.expect("an answer").expect("a record");
    let winner = kept.iter().position(|kept| *kept).expect("one");
    assert_eq!(record.sealed, winner.to_string(), "the one that was told so");
}

#[tokio::test]
async fn a_large_record_is_kept_whole() {
    let ids = Ids::new();
    let (_directory, store) = fresh(MEMORY).await;
    let large: Bytes = (0..8_u32 << 20).map(|index| u8::try_from(index % 251).unwrap_or_default()).collect();
    store.put(ids.key("a"), large.clone(), after(10)).await.expect("kept");
    assert_eq!(store.get(ids.key("a"), after(1)).await.expect("an answer").expect("a record").sealed, large);
}

#[tokio::test]
async fn sweeping_takes_many_steps_if_it_must() {
    let ids = Ids::new();
    let (directory, store) = fresh(MEMORY).await;
    let names: Vec<String> = (0..1_800).map(|index| format!("{index:04}")).collect();
    let keep = names.iter().map(|name| store.put(ids.key(name), Bytes::from_static(b"one"), after(10)));
    assert!(join_all(keep).await.iter().all(Result::is_ok));
    assert_eq!(rows(&directory.path().join("a.db")).await, 1_800);
    store.put(ids.key("a"), Bytes::from_static(b"one"), after(20)).await.expect("kept");
    store.sweep(after(10)).await.expect("swept");
    assert_eq!(rows(&directory.path().join("a.db")).await, 1);
}

async fn rows(path: &Path) -> i64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("a connection");
    sqlx::query_scalar("select count(*) from contexts").fetch_one(&mut connection).await.expect("a count")
}
