//! How often service tokens are used, and when last: counted by each gate, added up in the store.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::admin::{APPS, BOOTSTRAP, TOKENS, builder, call, done, service_token};
use crate::support::gate::{APP, Gate, json_of};
use crate::support::postgres::PostgresServer;
use crate::support::program::program;
use crate::support::redis::{RedisServer, until};
use crate::support::upstream::Upstream;

/// A token that may read tokens and revoke; its secret.
async fn created(gate: &Gate, id: &str) -> String {
    let body = json!({ "id": id, "scopes": ["admin:tokens:read", "admin:revoke"] });
    let made = done(gate, Method::POST, TOKENS, body).await;
    assert_eq!((&made["use_count"], &made["last_used_at"]), (&json!(0), &Value::Null));
    made["secret"].as_str().expect("a secret").to_owned()
}

/// Shows the secret so often, and is let in.
async fn used(gate: &Gate, secret: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(call(gate, secret, Method::GET, TOKENS, Value::Null).await.status(), 200);
    }
}

/// How often, as a gate says to whom is not counted.
async fn count(gate: &Gate, id: &str) -> u64 {
    done(gate, Method::GET, &format!("{TOKENS}/{id}"), Value::Null).await["use_count"].as_u64().expect("a count")
}

#[tokio::test]
async fn who_is_known_and_good_is_counted_whatever_they_may_do() {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    let secret = created(&gate, "ops").await;
    let path = format!("{TOKENS}/ops");
    used(&gate, &secret, 3).await;
    assert_eq!(call(&gate, &secret, Method::GET, APPS, Value::Null).await.status(), 403, "known, without the scope");
    for wrong in ["sgst_wrong", &secret[1..]] {
        assert_eq!(call(&gate, wrong, Method::GET, TOKENS, Value::Null).await.status(), 401);
    }
    let shown = done(&gate, Method::GET, &path, Value::Null).await;
    assert_eq!(shown["use_count"], 4);
    let times = ["issued_at", "last_used_at"].map(|name| shown[name].as_str().expect("a time").to_owned());
    assert!(times[0] <= times[1] && times[1].ends_with('Z'), "{times:?}");
    assert_eq!(done(&gate, Method::GET, TOKENS, Value::Null).await["service_tokens"][0], shown);
    let rotated = done(&gate, Method::POST, &format!("{path}/rotate"), json!({ "overlap": "1h" })).await;
    assert_eq!((&rotated["use_count"], &rotated["last_used_at"]), (&json!(4), &shown["last_used_at"]));
    used(&gate, &secret, 1).await;
    used(&gate, rotated["secret"].as_str().expect("a secret"), 1).await;
    let revoked = done(&gate, Method::DELETE, &path, json!({})).await;
    assert_eq!(revoked["use_count"], 6, "by either secret");
    assert_eq!(call(&gate, &secret, Method::GET, TOKENS, Value::Null).await.status(), 403);
    assert_eq!(count(&gate, "ops").await, 6, "not after its end");
    let again = json!({ "id": "ops", "scopes": ["admin:revoke"] });
    assert_eq!(call(&gate, BOOTSTRAP, Method::POST, TOKENS, again).await.status(), 409, "its name is never free again");
}

#[tokio::test]
async fn what_is_counted_at_the_end_is_kept() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let path = format!("store.path={}", folder.path().join("a.db").display());
    let gate = builder(&upstream).set(&path).start().await;
    let secret = created(&gate, "ops").await;
    used(&gate, &secret, 5).await;
    gate.signal("TERM");
    assert!(gate.wait().await.success());
    let shown = program(&["service-token", "show", "ops"]).set(&path).run();
    let shown: Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(shown["use_count"], 5);
    assert!(shown["last_used_at"].is_string(), "{shown}");
    let gate = builder(&upstream).set(&path).start().await;
    used(&gate, &secret, 2).await;
    assert_eq!(count(&gate, "ops").await, 7, "and is gone on with");
}

/// Without an end, within a few seconds.
#[tokio::test]
async fn what_is_counted_is_kept_while_the_gate_goes_on() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let path = format!("store.path={}", folder.path().join("a.db").display());
    let gate = builder(&upstream).set(&path).start().await;
    let secret = created(&gate, "ops").await;
    used(&gate, &secret, 3).await;
    let listed = || program(&["service-token", "list"]).set(&path).run();
    until("it is written", async || {
        let listed: Value = serde_json::from_str(&listed().out).expect("JSON");
        listed["service_tokens"][0]["use_count"] == 3
    })
    .await;
    gate.signal("KILL");
    gate.wait().await;
    let gate = builder(&upstream).set(&path).start().await;
    assert_eq!(count(&gate, "ops").await, 3);
}

/// Two gates over one store, both used; what each of them says in the end.
async fn add_up(gates: [Gate; 2]) -> Gate {
    let [one, other] = gates;
    let secret = created(&one, "ops").await;
    until("it is good at the other", async || {
        let body = json!({ "app": APP, "end_user": "nobody" });
        call(&other, &secret, Method::POST, "/admin/v1/revocations", body).await.status() == 201
    })
    .await;
    used(&one, &secret, 3).await;
    used(&other, &secret, 4).await;
    for gate in [&one, &other] {
        until("both know of both", async || count(gate, "ops").await == 8).await;
    }
    used(&one, &secret, 2).await;
    one.signal("TERM");
    assert!(one.wait().await.success());
    assert_eq!(count(&other, "ops").await, 10, "what the one had counted when it ended");
    other
}

#[tokio::test]
async fn gates_over_one_redis_count_together() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = async || server.share(builder(&upstream)).set("store.redis.timeout=10s").start().await;
    drop(add_up([gate().await, gate().await]).await);
}

#[tokio::test]
async fn gates_over_one_postgresql_count_together() {
    let (server, upstream) = (PostgresServer::start(), Upstream::start().await);
    let gate = async || server.share(builder(&upstream)).set("store.postgres.timeout=10s").start().await;
    let other = add_up([gate().await, gate().await]).await;
    let revision = "select revision from sidegate.entries where id = 'ops'";
    assert_eq!(server.sql(revision).await[0].get::<i64, _>(0), 1, "no use is a change");
    drop(other);
}

#[tokio::test]
async fn uses_during_an_outage_are_counted_after_it() {
    let (mut server, upstream) = (PostgresServer::start(), Upstream::start().await);
    let gate = server.share(builder(&upstream)).set("store.postgres.timeout=1s").start().await;
    let secret = service_token(&gate, &["admin:revoke"], &[]).await;
    // The state is asked, the registry is not.
    let revoke = async || {
        let body = json!({ "app": APP, "end_user": "nobody" });
        call(&gate, &secret, Method::POST, "/admin/v1/revocations", body).await.status().as_u16()
    };
    server.kill();
    for _ in 0..3 {
        assert_eq!(revoke().await, 201, "for some seconds it may go on");
    }
    gate.wait_for_line("the registry cannot be written").await;
    server.revive();
    until("they are written", async || {
        let rows = server.sql("select uses from sidegate.use_counts").await;
        rows.first().is_some_and(|row| row.get::<i64, _>(0) == 3)
    })
    .await;
    let listed = json_of(call(&gate, BOOTSTRAP, Method::GET, TOKENS, Value::Null).await).await;
    assert_eq!(listed["service_tokens"][0]["use_count"], 3);
}
