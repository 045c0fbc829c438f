//! The store in Redis: what every engine promises, limits, and what becomes of a server in trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sidegate::config::RedisSettings;
use sidegate::store::{
    Counter, Counters as _, Mark, Owners as _, Redis, Replay as _, Revocations as _, Unavailable, Vault as _, Whose,
};
use sidegate_core::id::{AppId, EndUserId};
use sidegate_core::rate::Rate;
use sidegate_core::revocation::Revocation;

use super::conformance::{self, Ids, after};
use super::registry;
use crate::support::redis::{RedisServer, until};

async fn open(server: &RedisServer) -> Redis {
    Redis::open(&server.settings()).await.expect("a store")
}

/// A store with a prefix of its own below that of the settings, so that nothing is in it.
pub async fn fresh(settings: RedisSettings) -> Arc<Redis> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("{}{}:", settings.prefix, COUNT.fetch_add(1, Ordering::Relaxed));
    Arc::new(Redis::open(&RedisSettings { prefix, ..settings }).await.expect("a store"))
}

#[tokio::test]
async fn it_keeps_the_promises_of_a_store() {
    let server = RedisServer::start();
    conformance::all(async || fresh(server.settings()).await as _).await;
}

#[tokio::test]
async fn it_keeps_registry_entries() {
    let server = RedisServer::start();
    registry::all(async || fresh(server.settings()).await as _).await;
}

#[tokio::test]
async fn what_is_over_is_given_back_after_a_margin() {
    let server = RedisServer::start();
    let (store, ids) = (open(&server).await, Ids::new());
    store.put(ids.key("a"), Bytes::from_static(b"sealed"), after(0)).await.expect("kept");
    store.first_use(ids.key("a"), after(0)).await.expect("kept");
    for name in ["sidegate:context:app:a", "sidegate:used:app:a"] {
        let until: u64 = server.command(&["PEXPIRETIME", name]).await;
        assert_eq!(until, after(600).millis(), "{name}");
    }
}

/// Three at once, whoever asks.
pub async fn counts_exactly(store: &Redis) {
    let (app, ada, grace) = (id("app"), end_user("ada"), end_user("grace"));
    let of = |limit, end_user| [Counter { app: &app, limit, whose: Whose::EndUser(end_user), rate: rate("3/h") }];
    let chat = of("chat", &ada);
    let waits = join_all((0..20).map(|_| store.count(&chat))).await;
    let (allowed, over): (Vec<_>, Vec<_>) =
        waits.into_iter().map(|counted| counted.expect("counted")).partition(Result::is_ok);
    assert_eq!((allowed.len(), over.len()), (3, 17));
    let mut left: Vec<_> = allowed.iter().flatten().map(|left| (left.which, left.left)).collect();
    left.sort_unstable();
    assert_eq!(left, [(0, 0), (0, 1), (0, 2)]);
    let near = Duration::from_secs(1_190)..=Duration::from_secs(1_200);
    assert!(
        over.iter().filter_map(|over| over.err()).all(|full| full.which == 0 && near.contains(&full.wait)),
        "{over:?}"
    );
    for others in [of("chat", &grace), of("exchange", &ada)] {
        assert_eq!(store.count(&others).await.expect("counted").map(|left| left.left), Ok(2));
    }
}

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

fn id(text: &str) -> AppId {
    text.parse().expect("id")
}

fn end_user(text: &str) -> EndUserId {
    text.parse().expect("id")
}

#[tokio::test]
async fn a_limit_is_counted_exactly() {
    let server = RedisServer::start();
    let store = open(&server).await;
    counts_exactly(&store).await;
    let _: () = server.command(&["SCRIPT", "FLUSH"]).await;
    counts_exactly(&Redis::open(&RedisSettings { prefix: "p:".into(), ..server.settings() }).await.expect("a store"))
        .await;
}

/// Who is refused by one counter has used up nothing of the others, wherever the full one stands.
#[tokio::test]
async fn a_request_counts_by_all_rates_or_by_none() {
    let server = RedisServer::start();
    let (store, app, ada) = (open(&server).await, id("app"), end_user("ada"));
    let workflow = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1".parse().expect("a UUID");
    let of = |whose, count: &str| Counter { app: &app, limit: "chat", whose, rate: rate(count) };
    let counters = [
        of(Whose::Network("192.0.2.1".parse().expect("an address")), "30/h"),
        of(Whose::EndUser(&ada), "20/h"),
        of(Whose::Workflow(&workflow), "10/h"),
    ];
    let waits = join_all((0..60).map(|_| store.count(&counters))).await;
    let full: Vec<_> = waits.into_iter().filter_map(|counted| counted.expect("counted").err()).collect();
    assert_eq!(full.len(), 50, "the narrowest decides");
    assert!(full.iter().all(|full| full.which == 2 && full.wait <= Duration::from_secs(360)), "{full:?}");
    for (left, counter) in [(20, counters[0]), (10, counters[1])] {
        let waits = join_all((0..30).map(|_| store.count(std::slice::from_ref(&counter)))).await;
        assert_eq!(waits.iter().flatten().filter(|counted| counted.is_ok()).count(), left, "{counter:?}");
    }
    let first = store.count(&counters).await.expect("counted").expect_err("all are full");
    assert_eq!(first.which, 0);
}

#[tokio::test]
async fn a_limit_gives_back_evenly() {
    let server = RedisServer::start();
    let (store, app) = (open(&server).await, id("app"));
    let counter = Counter { app: &app, limit: "chat", whose: Whose::App, rate: rate("10/s") };
    let ask = async |counter: Counter<'_>| store.count(&[counter]).await.expect("counted");
    for _ in 0..10 {
        assert!(ask(counter).await.is_ok());
    }
    let full = ask(counter).await.expect_err("over the limit");
    assert!(full.wait <= Duration::from_millis(100), "{full:?}");
    until("another is allowed", async || ask(counter).await.is_ok()).await;
    // A limit that has become stricter does not make up for the past.
    let full = ask(Counter { rate: rate("1/s"), ..counter }).await.expect_err("over the limit");
    assert!(full.wait <= Duration::from_secs(1), "{full:?}");
    // Nor does one that was loosened.
    let exchange = Counter { limit: "exchange", ..counter };
    assert!(ask(Counter { rate: rate("1/h"), ..exchange }).await.is_ok());
    until("another is allowed", async || ask(exchange).await.is_ok()).await;
    let exists = async || server.command::<u64>(&["EXISTS", "sidegate:limit:app:chat:app:app"]).await;
    until("the key is gone at rest", async || exists().await == 0).await;
    assert!(ask(Counter { rate: rate("1/h"), ..counter }).await.is_ok());
    assert_eq!(exists().await, 1, "it is the key");
}

#[tokio::test]
async fn odd_end_users_and_large_contexts_are_kept() {
    let server = RedisServer::start();
    let store = open(&server).await;
    let task = "task_1".parse().expect("id");
    for (index, odd) in ["a:b", "*", "[x]", "ünï ✓", "'\"\\", &"é".repeat(128), "-1", " "].into_iter().enumerate()
    {
        let ids = Ids::of("app", odd);
        let own = format!("own_{index}").parse().expect("id");
        store.record(ids.owner(), &own).await.expect("recorded");
        assert_eq!(store.owns(ids.owner(), &own).await, Ok(true), "{odd}");
        assert_eq!(store.of(ids.owner()).await.map(|all| all.contains(&own)), Ok(true), "{odd}");
        assert_eq!(store.owns(ids.owner(), &task).await, Ok(false));
        let whose = Whose::EndUser(ids.owner().end_user);
        let counter = Counter { app: &id("app"), limit: "chat", whose, rate: rate("1/h") };
        assert_eq!(store.count(&[counter]).await.expect("counted").map(|left| left.left), Ok(0), "{odd}");
    }
    let large = Bytes::from(vec![0xff; 4 << 20]);
    let ids = Ids::new();
    store.put(ids.key("a"), large.clone(), after(10)).await.expect("kept");
    assert_eq!(store.get(ids.key("a"), after(0)).await.expect("an answer").expect("a record").sealed, large);
}

#[tokio::test]
async fn a_full_server_refuses_and_recovers() {
    let server = RedisServer::start();
    let (store, ids) = (open(&server).await, Ids::new());
    store.put(ids.key("a"), Bytes::from_static(b"sealed"), after(10)).await.expect("kept");
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(store.has_room().await, Ok(false));
    assert_eq!(store.put(ids.key("b"), Bytes::from_static(b"sealed"), after(10)).await, Err(Unavailable));
    assert_eq!(store.first_use(ids.key("b"), after(10)).await, Err(Unavailable));
    assert_eq!(store.record(ids.owner(), &"task_1".parse().expect("id")).await, Err(Unavailable));
    assert!(store.get(ids.key("a"), after(0)).await.expect("an answer").is_some());
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(store.first_use(ids.key("b"), after(10)).await, Ok(true), "nothing was half done");
}

#[tokio::test]
async fn a_server_that_becomes_a_replica_refuses_and_recovers() {
    let server = RedisServer::start();
    let (store, ids) = (open(&server).await, Ids::new());
    let _: () = server.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(store.first_use(ids.key("a"), after(10)).await, Err(Unavailable));
    assert_eq!(store.has_room().await, Err(Unavailable));
    assert!(!store.is_counting());
    let _: () = server.command(&["REPLICAOF", "NO", "ONE"]).await;
    until("it works again", async || store.is_counting() && store.first_use(ids.key("a"), after(10)).await.is_ok())
        .await;
}

#[tokio::test]
async fn revocations_after_a_loss_of_data_are_still_told() {
    let server = RedisServer::start();
    let store = open(&server).await;
    // Many in a moment must not take the marks of the next.
    let revoke = async |ages: std::ops::Range<u64>| {
        let revocations: Vec<_> = ages.map(|age| Revocation::All { issued_before: after(age) }).collect();
        let kept = join_all(revocations.iter().map(|one| store.revoke(one, after(100)))).await;
        assert!(kept.iter().all(Result::is_ok));
    };
    revoke(0..500).await;
    let known = store.revoked_since(Mark::default()).await.expect("an answer");
    assert_eq!(known.revocations.len(), 500);
    let _: () = server.command(&["FLUSHALL"]).await;
    revoke(500..1_500).await;
    let told = store.revoked_since(known.mark).await.expect("an answer");
    assert_eq!(told.revocations.len(), 1_000);
    // One whose clock was ahead when it lost its data, too.
    let ahead = store.revoked_since(Mark(known.mark.0 + 1_000_000_000)).await.expect("an answer");
    assert_eq!((ahead.revocations.len(), ahead.mark), (1_000, told.mark));
}

#[tokio::test]
async fn a_thousand_calls_at_once_are_answered() {
    let server = RedisServer::start();
    let (store, ids) = (open(&server).await, Ids::new());
    let names: Vec<String> = (0..1_000).map(|index| format!("{index:04}")).collect();
    let used = join_all(names.iter().map(|name| store.first_use(ids.key(name), after(10)))).await;
    assert!(used.iter().all(|first| *first == Ok(true)));
    let _: () = server.command(&["SCRIPT", "FLUSH"]).await;
    let app = id("app");
    let counters = [Counter { app: &app, limit: "chat", whose: Whose::App, rate: rate("500/h") }];
    let waits = join_all((0..1_000).map(|_| store.count(&counters))).await;
    assert_eq!(waits.iter().flatten().filter(|counted| counted.is_ok()).count(), 500);
}

#[tokio::test]
async fn a_frozen_server_is_waited_for_once_and_no_longer_than_allowed() {
    let server = RedisServer::start();
    let settings = RedisSettings {
        timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(300),
        ..server.settings()
    };
    let (store, ids) = (Redis::open(&settings).await.expect("a store"), Ids::new());
    server.freeze();
    let began = tokio::time::Instant::now();
    let calls = join_all((0..100).map(|_| store.get(ids.key("a"), after(0)))).await;
    assert!(calls.into_iter().all(|call| call == Err(Unavailable)));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    server.thaw();
    until("it works again", async || store.get(ids.key("a"), after(0)).await.is_ok()).await;
}
