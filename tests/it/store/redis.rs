//! The store in Redis: what every engine promises, and what a server must be like.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sidegate::config::RedisSettings;
use sidegate::store::{
    Counter, Counters as _, Mark, Owners as _, Redis, Replay as _, Revocations as _, Store as _, Unavailable,
    Vault as _, Whose,
};
use sidegate_core::id::{AppId, EndUserId};
use sidegate_core::revocation::Revocation;

use super::conformance::{self, Ids, after};
use super::registry;
use crate::support::redis::{RedisServer, until};
use crate::support::tls::certificates;

async fn open(server: &RedisServer) -> Redis {
    Redis::open(&server.settings()).await.expect("a store")
}

async fn refusal(settings: &RedisSettings) -> String {
    Redis::open(settings).await.expect_err("it is refused")
}

#[tokio::test]
async fn it_keeps_the_promises_of_a_store() {
    let server = RedisServer::start();
    let count = AtomicUsize::new(0);
    let open = async || {
        let prefix = format!("test-{}:", count.fetch_add(1, Ordering::Relaxed));
        let settings = RedisSettings { prefix, ..server.settings() };
        Arc::new(Redis::open(&settings).await.expect("a store")) as _
    };
    conformance::all(open).await;
}

#[tokio::test]
async fn it_keeps_registry_entries() {
    let server = RedisServer::start();
    let count = AtomicUsize::new(0);
    let open = async || {
        let prefix = format!("test-{}:", count.fetch_add(1, Ordering::Relaxed));
        let settings = RedisSettings { prefix, ..server.settings() };
        Arc::new(Redis::open(&settings).await.expect("a store")) as _
    };
    registry::all(open).await;
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

/// As [`docs/operations.md`] has it.
fn permissions() -> Vec<String> {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).expect("read");
    let (_, rest) = document.split_once("ACL SETUSER sidegate on").expect("the command");
    let (line, _) = rest.split_once("\n```").expect("its end");
    line.replace('\\', "").split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_documented_permissions_are_enough() {
    let server = RedisServer::start();
    let permissions = permissions();
    let command: Vec<&str> =
        ["ACL", "SETUSER", "sidegate", "on"].into_iter().chain(permissions.iter().map(String::as_str)).collect();
    let _: () = server.command(&command).await;
    let _: () = server.command(&["ACL", "SETUSER", "sidegate", "resetpass", ">correct horse"]).await;
    let count = AtomicUsize::new(0);
    let open = async || {
        let prefix = format!("sidegate:{}:", count.fetch_add(1, Ordering::Relaxed));
        let settings = RedisSettings { prefix, ..server.settings_of("sidegate", "correct horse") };
        Arc::new(Redis::open(&settings).await.expect("a store")) as _
    };
    conformance::all(open).await;
    let settings = server.settings_of("sidegate", "correct horse");
    counts_exactly(&Redis::open(&settings).await.expect("a store")).await;
}

#[tokio::test]
async fn a_missing_permission_is_told_at_the_start() {
    let server = RedisServer::start();
    let all = ["ACL", "SETUSER", "gate", "on", ">secret", "~*", "+@all"];
    for (without, word) in [
        ("-set", "'set'"),
        ("-mget", "'mget'"),
        ("-sadd", "'sadd'"),
        ("-zrem", "'zrem'"),
        ("-evalsha", "'evalsha'"),
        ("-scan", "SCAN"),
        ("-time", "'time'"),
    ] {
        let _: () = server.command(&[&all[..], &[without]].concat()).await;
        let refusal = refusal(&server.settings_of("gate", "secret")).await;
        assert!(refusal.starts_with("store.redis.username: ") && refusal.contains(word), "{without}: {refusal}");
    }
    let _: () = server.command(&[&all[..], &["resetkeys", "~other:*"]].concat()).await;
    let refusal = refusal(&server.settings_of("gate", "secret")).await;
    assert!(refusal.starts_with("store.redis.username: NOPERM"), "{refusal}");
}

#[tokio::test]
async fn a_wrong_login_is_told_at_the_start_without_the_password() {
    let server = RedisServer::builder().option("requirepass", &["right"]).start();
    let wrong = RedisSettings { username: None, ..server.settings_of("", "wrong-password") };
    let refused = refusal(&wrong).await;
    assert_eq!(refused, "store.redis.password: Redis refuses this user or password");
    assert_eq!(refusal(&server.settings()).await, "store.redis.password: Redis wants one");
    assert!(!format!("{wrong:?}").contains("wrong-password"));
    let right = RedisSettings { username: None, ..server.settings_of("", "right") };
    Redis::open(&right).await.expect("a store").ping().await.expect("it answers");
}

#[tokio::test]
async fn a_server_that_drops_keys_is_refused() {
    let server = RedisServer::builder().option("maxmemory-policy", &["allkeys-lru"]).start();
    let refused = refusal(&server.settings()).await;
    assert!(refused.contains("maxmemory-policy is allkeys-lru"), "{refused}");
    // Seen by whoever may ask in one way only, and by nobody else.
    let user = ["ACL", "SETUSER", "gate", "on", ">secret", "~*", "+@all"];
    for without in [&["-config"][..], &["-info"]] {
        let _: () = server.command(&[&user[..], without].concat()).await;
        assert!(refusal(&server.settings_of("gate", "secret")).await.contains("allkeys-lru"), "{without:?}");
    }
    let _: () = server.command(&[&user[..], &["-config", "-info"]].concat()).await;
    let refused = refusal(&server.settings_of("gate", "secret")).await;
    assert!(refused.contains("neither INFO nor CONFIG GET"), "{refused}");
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_refused() {
    let mut server = RedisServer::start();
    let mut settings = server.settings();
    settings.address.database = 999;
    let refused = refusal(&settings).await;
    assert!(refused.starts_with("store.redis.url: "), "{refused}");
    let cluster = RedisServer::builder().option("cluster-enabled", &["yes"]).start();
    assert!(refusal(&cluster.settings()).await.contains("Cluster"));
    let port = server.url().rsplit_once(':').expect("a port").1.to_owned();
    let replica = RedisServer::builder().option("replicaof", &["127.0.0.1", &port]).start();
    assert!(refusal(&replica.settings()).await.contains("READONLY"));
    server.freeze();
    settings.connect_timeout = Duration::from_millis(200);
    assert!(refusal(&settings).await.contains("no answer in time"));
    server.kill();
    let refused = refusal(&server.settings()).await;
    assert!(refused.starts_with(&format!("store.redis.url: cannot use 127.0.0.1:{port}: ")), "{refused}");
}

#[tokio::test]
async fn tls_trusts_its_own_authority_and_no_other() {
    let (certificates, others, folder) = (certificates(), certificates(), tempfile::tempdir().expect("a folder"));
    let server = RedisServer::builder().tls(&certificates.server, folder.path()).start();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        Some(path)
    };
    let with = |ca| RedisSettings { ca, ..server.settings() };
    let store = Redis::open(&with(file("ca.crt", &certificates.authority))).await.expect("a store");
    store.ping().await.expect("it answers");
    let refused = refusal(&with(file("other.crt", &others.authority))).await;
    assert!(refused.starts_with("store.redis.ca: TLS with 127.0.0.1:"), "{refused}");
    let refused = refusal(&with(None)).await;
    assert!(refused.starts_with("store.redis.url: TLS with 127.0.0.1:"), "{refused}");
    assert!(refusal(&with(file("empty.crt", "nothing"))).await.contains("empty.crt: holds no certificate"));
    let mut settings = with(None);
    settings.address.tls = false;
    assert!(refusal(&settings).await.starts_with("store.redis.url: cannot use"));
}

/// Three at once, whoever asks.
async fn counts_exactly(store: &Redis) {
    let (app, ada, grace) = (id("app"), end_user("ada"), end_user("grace"));
    let of = |limit, end_user| Counter { app: &app, limit, whose: Whose::EndUser(end_user) };
    let rate = "3/h per end_user".parse().expect("a rate");
    let waits = join_all((0..20).map(|_| store.count(of("chat", &ada), rate))).await;
    let (allowed, over): (Vec<_>, Vec<_>) =
        waits.into_iter().map(|wait| wait.expect("counted")).partition(Option::is_none);
    assert_eq!((allowed.len(), over.len()), (3, 17));
    let near = Duration::from_secs(1_190)..=Duration::from_secs(1_200);
    assert!(over.iter().flatten().all(|wait| near.contains(wait)), "{over:?}");
    assert_eq!(store.count(of("chat", &grace), rate).await, Ok(None));
    assert_eq!(store.count(of("exchange", &ada), rate).await, Ok(None));
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

#[tokio::test]
async fn a_limit_gives_back_evenly() {
    let server = RedisServer::start();
    let (store, app) = (open(&server).await, id("app"));
    let counter = Counter { app: &app, limit: "chat", whose: Whose::App };
    let rate = "10/s".parse().expect("a rate");
    for _ in 0..10 {
        store.count(counter, rate).await.expect("counted");
    }
    let wait = store.count(counter, rate).await.expect("counted").expect("over the limit");
    assert!(wait <= Duration::from_millis(100), "{wait:?}");
    until("another is allowed", async || store.count(counter, rate).await == Ok(None)).await;
    // A limit that has become stricter does not make up for the past.
    let strict = "1/s".parse().expect("a rate");
    let wait = store.count(counter, strict).await.expect("counted").expect("over the limit");
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    until("the key is gone at rest", async || {
        server.command::<u64>(&["EXISTS", "sidegate:limit:app:chat:app"]).await == 0
    })
    .await;
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
        let counter = Counter { app: &id("app"), limit: "chat", whose };
        assert_eq!(store.count(counter, "1/h per end_user".parse().expect("a rate")).await, Ok(None), "{odd}");
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
    let revoke = |seconds| Revocation::All { issued_before: after(seconds) };
    for seconds in 0..3 {
        store.revoke(&revoke(seconds), after(100)).await.expect("kept");
    }
    let known = store.revoked_since(Mark::default()).await.expect("an answer");
    assert_eq!(known.revocations.len(), 3);
    let _: () = server.command(&["FLUSHALL"]).await;
    store.revoke(&revoke(9), after(100)).await.expect("kept");
    let told = store.revoked_since(known.mark).await.expect("an answer");
    assert_eq!(told.revocations, [(revoke(9), after(100))]);
    // One whose clock was ahead when it lost its data, too.
    let ahead = store.revoked_since(Mark(known.mark.0 + 1_000_000)).await.expect("an answer");
    assert_eq!((ahead.revocations.len(), ahead.mark), (1, told.mark));
}

#[tokio::test]
async fn a_thousand_calls_at_once_are_answered() {
    let server = RedisServer::start();
    let (store, ids) = (open(&server).await, Ids::new());
    let names: Vec<String> = (0..1_000).map(|index| format!("{index:04}")).collect();
    let used = join_all(names.iter().map(|name| store.first_use(ids.key(name), after(10)))).await;
    assert!(used.iter().all(|first| *first == Ok(true)));
    let _: () = server.command(&["SCRIPT", "FLUSH"]).await;
    let (app, rate) = (id("app"), "500/h".parse().expect("a rate"));
    let counter = Counter { app: &app, limit: "chat", whose: Whose::App };
    let waits = join_all((0..1_000).map(|_| store.count(counter, rate))).await;
    assert_eq!(waits.iter().filter(|wait| **wait == Ok(None)).count(), 500);
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

/// A server that does not know `HELLO` repeats it in its answer, password and all.
#[tokio::test]
async fn an_old_server_is_refused_without_the_password() {
    let server = RedisServer::builder().option("rename-command", &["HELLO", ""]).start();
    let refused = refusal(&server.settings_of("default", "canary-password")).await;
    assert_eq!(refused, "store.redis.url: this server is too old: Redis 6.2 or newer is needed, or Valkey");
}
