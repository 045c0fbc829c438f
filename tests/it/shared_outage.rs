//! Redis goes away and comes back: nothing hangs, each policy does what it says, and the gate recovers
//! by itself. What it does when Redis is killed under load is in `shared_restarts.rs`.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;

use crate::support::gate::{Gate, assert_refused, json_of};
use crate::support::redis::{RedisServer, until};
use crate::support::upstream::Upstream;

/// Whatever happens, an answer is there by then.
const BEARABLE: Duration = Duration::from_secs(5);

/// An app that needs nothing of the store but its limit.
const LIMITED: &str = "scoping = \"upstream\"\nlimits.chat = \"3/h per end_user\"\n\
                       inject.headers = { X-End-User = \"{{claims.sub}}\" }";

/// An app that needs a context for each request.
const WITH_CONTEXT: &str = "scoping = \"upstream\"\n\
                            inject.headers = { X-End-User = \"{{claims.sub}}\", X-Tenant = \"{{env.TENANT}}\" }";

async fn start(server: &RedisServer, upstream: &Upstream, app: &str, on_error: &str) -> Gate {
    let gate = server.share(Gate::builder(upstream)).app(app).set(&format!("store.limits_on_error={on_error}"));
    gate.set("store.redis.timeout=1s").set("store.redis.connect_timeout=1s").start().await
}

/// The status, within a bearable time.
async fn ask(gate: &Gate, token: &str) -> u16 {
    let request = gate.chat(Method::GET, "/api/v1/tasks", token).send();
    let answer = tokio::time::timeout(BEARABLE, request).await.expect("in time").expect("an answer");
    answer.status().as_u16()
}

async fn readiness(gate: &Gate) -> (u16, Value) {
    let answer = tokio::time::timeout(BEARABLE, gate.ops("/readyz").send()).await.expect("in time");
    let answer = answer.expect("an answer");
    (answer.status().as_u16(), json_of(answer).await["checks"].take())
}

async fn degraded(gate: &Gate) -> bool {
    let text = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text");
    text.contains("\nsidegate_limits_degraded 1\n")
}

/// Asserts that all is as before the outage.
async fn assert_recovered(gate: &Gate) {
    gate.wait_for_line("the store works again").await;
    until("it is ready", async || {
        let (status, checks) = readiness(gate).await;
        status == 200 && checks["store"] == "ok" && checks["limits"] == "shared"
    })
    .await;
    assert!(!degraded(gate).await);
}

#[tokio::test]
async fn a_frozen_redis_denies() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = start(&server, &upstream, LIMITED, "deny").await;
    let (ada, grace) = (gate.token("ada").mint().await, gate.token("grace").mint().await);
    assert_eq!(ask(&gate, &ada).await, 200);
    server.freeze();
    let statuses = join_all((0..50).map(|_| ask(&gate, &grace))).await;
    assert_eq!(statuses, [503; 50]);
    let (status, checks) = readiness(&gate).await;
    assert_eq!((status, &checks["store"], &checks["limits"]), (503, &"unavailable".into(), &"deny".into()));
    assert!(degraded(&gate).await);
    server.thaw();
    assert_recovered(&gate).await;
    assert_eq!(ask(&gate, &ada).await, 200);
    assert_eq!(gate.output().matches("the store does not answer").count(), 1, "{}", gate.output());
}

#[tokio::test]
async fn a_frozen_redis_lets_the_gate_count_for_itself() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = start(&server, &upstream, LIMITED, "local").await;
    let token = gate.token("ada").mint().await;
    server.freeze();
    let mut statuses = join_all((0..5).map(|_| ask(&gate, &token))).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let (status, checks) = readiness(&gate).await;
    assert_eq!((status, &checks["store"], &checks["limits"]), (200, &"unavailable".into(), &"local".into()));
    assert!(degraded(&gate).await);
    server.thaw();
    assert_recovered(&gate).await;
}

#[tokio::test]
async fn a_frozen_redis_lets_all_pass() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = start(&server, &upstream, LIMITED, "allow").await;
    let token = gate.token("ada").mint().await;
    server.freeze();
    assert_eq!(join_all((0..5).map(|_| ask(&gate, &token))).await, [200; 5]);
    let (status, checks) = readiness(&gate).await;
    assert_eq!((status, &checks["limits"]), (200, &"allow".into()));
    server.thaw();
    assert_recovered(&gate).await;
}

/// What was revoked elsewhere meanwhile must not pass.
#[tokio::test]
async fn a_redis_that_stays_silent_is_denied_by_every_policy() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let app = LIMITED.replace("limits.chat = \"3/h per end_user\"\n", "");
    let gate = start(&server, &upstream, &app, "allow").await;
    let token = gate.token("ada").mint().await;
    server.freeze();
    assert_eq!(ask(&gate, &token).await, 200, "for some seconds it may go on");
    until("it is refused", async || ask(&gate, &token).await == 503).await;
    let (status, checks) = readiness(&gate).await;
    assert_eq!((status, &checks["revocations"]), (503, &"stale".into()));
    server.thaw();
    until("it passes again", async || ask(&gate, &token).await == 200).await;
    assert_recovered(&gate).await;
    gate.wait_for_line("the store tells what is revoked again").await;
}

/// What limits may do without, contexts, owners and single use may not.
#[tokio::test]
async fn what_is_not_a_limit_is_denied_in_any_case() {
    let single_use = format!("{LIMITED}\ntoken.single_use = true");
    for app in [WITH_CONTEXT, "scoping = \"gate\"", &single_use] {
        println!("{app}");
        let (mut server, upstream) = (RedisServer::start(), Upstream::start().await);
        let gate = start(&server, &upstream, app, "allow").await;
        let token = gate.token("ada").env("TENANT", "acme").mint().await;
        server.kill();
        let answer = gate.chat(Method::GET, "/api/v1/tasks/task_1", &token).send().await.expect("an answer");
        assert_refused(answer, 503, "STORE_UNAVAILABLE").await;
        assert_eq!(upstream.count(), 0);
    }
}

#[tokio::test]
async fn a_store_that_is_emptied_or_without_scripts_goes_on() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = start(&server, &upstream, &format!("limits.chat = \"1000/h\"\n{WITH_CONTEXT}"), "deny").await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    assert_eq!(ask(&gate, &token).await, 200);
    let _: () = server.command(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(ask(&gate, &token).await, 200);
    let _: () = server.command(&["FLUSHALL"]).await;
    assert_eq!(ask(&gate, &token).await, 401, "its context is gone: the page fetches another token");
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    assert_eq!(ask(&gate, &token).await, 200);
    let _: u64 = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    until("it has connected anew", async || ask(&gate, &token).await == 200).await;
}
