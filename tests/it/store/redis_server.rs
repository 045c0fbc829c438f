//! What a Redis server must be like, and that it is told at the start what is wrong with it.

use std::time::Duration;

use sidegate::config::RedisSettings;
use sidegate::store::{Redis, Store as _};

use super::redis::{counts_exactly, fresh};
use super::{conformance, registry};
use crate::support::redis::RedisServer;
use crate::support::tls::certificates;

async fn refusal(settings: &RedisSettings) -> String {
    Redis::open(settings).await.expect_err("it is refused")
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
    let settings = server.settings_of("sidegate", "correct horse");
    conformance::all(async || fresh(settings.clone()).await as _).await;
    registry::all(async || fresh(settings.clone()).await as _).await;
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

/// A server that does not know `HELLO` repeats it in its answer, password and all.
#[tokio::test]
async fn an_old_server_is_refused_without_the_password() {
    let server = RedisServer::builder().option("rename-command", &["HELLO", ""]).start();
    let refused = refusal(&server.settings_of("default", "canary-password")).await;
    assert_eq!(refused, "store.redis.url: this server is too old: Redis 6.2 or newer is needed, or Valkey");
}
