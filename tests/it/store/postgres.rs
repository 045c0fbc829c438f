//! The registry in PostgreSQL: what every engine promises, and what becomes of a server in trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use sidegate::config::PostgresSettings;
use sidegate::store::{Entries, Entry, EntryKind, Postgres, Unavailable};
use sqlx::Row as _;

use super::{registry, use_counts};
use crate::support::postgres::{PostgresServer, run_sql};
use crate::support::redis::until;

const KIND: EntryKind = EntryKind::App;

async fn open(server: &PostgresServer) -> Postgres {
    Postgres::open(&server.settings()).await.expect("a registry")
}

/// A registry in a schema of its own, so that nothing is in it.
pub async fn fresh(settings: PostgresSettings) -> Arc<dyn Entries> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let schema = format!("fresh_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Arc::new(Postgres::open(&PostgresSettings { schema, ..settings }).await.expect("a registry"))
}

fn entry(id: &str, document: &str) -> Entry {
    Entry { kind: KIND, id: id.to_owned(), revision: 1, document: document.to_owned() }
}

#[tokio::test]
async fn it_keeps_the_promises_of_a_registry() {
    let server = PostgresServer::start();
    registry::all(async || fresh(server.settings()).await).await;
}

/// The database may have any collation: here one that would sort `B` behind `b`, and `_` nowhere.
#[tokio::test]
async fn ids_are_compared_byte_by_byte_and_documents_are_kept_as_they_are() {
    let server = PostgresServer::start();
    server.sql("create database elsewhere template template0 locale_provider icu icu_locale 'en'").await;
    let mut settings = server.settings();
    settings.address.database = "elsewhere".to_owned();
    let store = Postgres::open(&settings).await.expect("a registry");
    let large = format!("{{\"text\":\"{}\"}}", "ünï ✓ \\u0000 '\"".replace('"', "\\\"").repeat(20_000));
    for id in ["b", "a_b", "B", "ab", "é", "a-b", "'; drop table entries; --"] {
        assert_eq!(store.add(&entry(id, &large)).await, Ok(true), "{id}");
        assert_eq!(store.entry(KIND, id).await, Ok(Some(entry(id, &large))), "{id}");
    }
    let ids: Vec<_> = store.entries(KIND).await.expect("an answer").into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, ["'; drop table entries; --", "B", "a-b", "a_b", "ab", "b", "é"]);
    assert_eq!(store.entries(EntryKind::ServiceToken).await, Ok(Vec::new()));
    let many = Entry { revision: u64::MAX, ..entry("b", "{}") };
    assert_eq!(store.change(&many).await, Ok(false), "never written so often");
}

/// Several gates write at once: each change counts, and none that has a number is seen later.
#[tokio::test]
async fn the_generation_grows_in_the_order_of_commits() {
    const WRITERS: usize = 4;
    const ENTRIES: usize = 40;
    let server = PostgresServer::start();
    let stores = join_all((0..WRITERS).map(|_| open(&server))).await;
    let reader = open(&server).await;
    let writing = join_all(stores.iter().enumerate().map(|(writer, store)| async move {
        let ids: Vec<_> = (0..ENTRIES).map(|index| format!("{writer}-{index}")).collect();
        let added = join_all(ids.iter().map(|id| async move { store.add(&entry(id, "{}")).await })).await;
        assert!(added.into_iter().all(|added| added == Ok(true)));
    }));
    let reading = async {
        loop {
            let generation = reader.generation().await.expect("an answer");
            let seen = reader.entries(KIND).await.expect("an answer").len() as u64;
            assert!(seen >= generation, "{generation} changes, but {seen} entries");
            if generation == (WRITERS * ENTRIES) as u64 {
                break;
            }
        }
    };
    tokio::time::timeout(crate::support::gate::PATIENCE, futures_util::future::join(writing, reading))
        .await
        .expect("every change is counted");
}

/// Each of several gates has connections of its own, and none waits for another in a circle.
#[tokio::test]
async fn uses_that_several_gates_count_add_up() {
    let server = PostgresServer::start();
    let stores: Vec<Arc<dyn Entries>> =
        join_all((0..4).map(|_| open(&server))).await.into_iter().map(|store| Arc::new(store) as _).collect();
    use_counts::of_many_at_once_none_is_lost(&stores).await;
}

/// Whoever counts waits for those who counted before, until they have committed.
#[tokio::test]
async fn a_change_that_is_not_committed_yet_has_no_number() {
    let server = PostgresServer::start();
    let store = open(&server).await;
    let mut slow = server.connect().await;
    let change = "begin; insert into sidegate.entries values ('app', 'slow', 1, '{}'); \
                  update sidegate.generation set changes = changes + 1";
    run_sql(&mut slow, change).await;
    let quick = entry("quick", "{}");
    let committing = async {
        until("the other one waits", async || {
            let waiting = "select count(*) from pg_stat_activity \
                           where application_name = 'sidegate' and wait_event_type = 'Lock'";
            server.sql(waiting).await[0].get::<i64, _>(0) == 1
        })
        .await;
        assert_eq!(store.generation().await, Ok(0), "readers do not wait");
        run_sql(&mut slow, "commit").await;
    };
    let (added, ()) = futures_util::future::join(store.add(&quick), committing).await;
    assert_eq!((added, store.generation().await), (Ok(true), Ok(2)));
    assert_eq!(store.entries(KIND).await.expect("an answer").len(), 2);
}

/// Workers have runtimes of their own, which end before the store does.
#[tokio::test]
async fn calls_come_from_any_runtime() {
    let server = PostgresServer::start();
    let store = Arc::new(open(&server).await);
    for round in 0..3 {
        let store = Arc::clone(&store);
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let id = round.to_string();
                assert_eq!(store.add(&entry(&id, "{}")).await, Ok(true));
                // One that is given up at once leaves the store as it was.
                drop(tokio::time::timeout(Duration::ZERO, store.entries(KIND)).await);
            });
        });
        tokio::task::spawn_blocking(move || worker.join().expect("it ends")).await.expect("joined");
    }
    assert_eq!(store.entries(KIND).await.expect("an answer").len(), 3);
}

#[tokio::test]
async fn a_frozen_server_is_waited_for_no_longer_than_allowed() {
    let server = PostgresServer::start();
    let short = Duration::from_secs(1);
    let settings = PostgresSettings { timeout: short, connect_timeout: short, ..server.settings() };
    open(&server).await;
    let store = Postgres::open(&settings).await.expect("a registry");
    until("it has a connection", async || store.add(&entry("a", "{}")).await.is_ok()).await;
    server.freeze();
    let began = tokio::time::Instant::now();
    let calls = join_all((0..50).map(|_| store.generation())).await;
    assert!(calls.into_iter().all(|call| call == Err(Unavailable)));
    assert_eq!(store.add(&entry("b", "{}")).await, Err(Unavailable));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    server.thaw();
    until("it works again", async || store.add(&entry("c", "{}")).await.is_ok()).await;
    assert_eq!(store.entry(KIND, "a").await, Ok(Some(entry("a", "{}"))));
}

#[tokio::test]
async fn dead_connections_are_replaced() {
    let mut server = PostgresServer::start();
    let settings = PostgresSettings { connect_timeout: Duration::from_secs(1), ..server.settings() };
    let store = Postgres::open(&settings).await.expect("a registry");
    until("it has connected", async || store.add(&entry("a", "{}")).await.is_ok()).await;
    server.kill();
    let began = tokio::time::Instant::now();
    assert_eq!(store.generation().await, Err(Unavailable));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    server.revive();
    until("it works again", async || store.generation().await == Ok(1)).await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sidegate'";
    server.sql(terminate).await;
    until("it has connected anew", async || store.add(&entry("b", "{}")).await.is_ok()).await;
}
