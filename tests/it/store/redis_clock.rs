//! A Redis server whose clock is not this machine's.

use std::time::Duration;

use reqwest::Method;
use sidegate::store::{Counter, Counters as _, Redis, Whose};

use super::conformance;
use super::redis::{counts_exactly, fresh};
use crate::support::gate::{Gate, assert_refused};
use crate::support::program::program;
use crate::support::redis::{RedisServer, until};
use crate::support::upstream::Upstream;

/// Just within what is taken, in seconds.
const A_LITTLE: i64 = 140;

fn server(ahead: i64) -> RedisServer {
    RedisServer::builder().clock_ahead(ahead).start()
}

#[test]
fn a_server_with_another_time_is_refused() {
    for ahead in [200, -200] {
        let server = server(ahead);
        let mut program =
            program(&["serve"]).set("store.state=redis").set(&format!("store.redis.url={}", server.url()));
        for listener in ["public", "private", "ops"] {
            program = program.set(&format!("listen.{listener}=127.0.0.1:0"));
        }
        let run = program.run();
        assert_eq!(run.code, 1);
        let said = |off| format!("store.redis.url: the clocks of Redis and of this machine differ by {off} s");
        assert!((199..=201).any(|off| run.err.contains(&said(off))), "{ahead}: {}", run.err);
    }
}

#[tokio::test]
async fn a_clock_that_is_a_little_off_breaks_no_promise() {
    for ahead in [A_LITTLE, -A_LITTLE] {
        println!("{ahead}");
        let server = server(ahead);
        conformance::all(async || fresh(server.settings()).await as _).await;
        counts_exactly(&Redis::open(&server.settings()).await.expect("a store")).await;
    }
}

/// Though by the server's clock the token is over when it is made.
#[tokio::test]
async fn a_clock_that_is_ahead_forgets_neither_contexts_nor_uses() {
    let (server, upstream) = (server(A_LITTLE), Upstream::start().await);
    let app = "token.single_use = true\ninject.headers = { X-Tenant = \"{{env.TENANT}}\" }";
    let start = || server.share(Gate::builder(&upstream)).set("store.redis.timeout=10s").app(app).start();
    let (gate, other) = (start().await, start().await);
    let token = gate.token("ada").env("TENANT", "acme").expires_in("1m").mint().await;
    let ask = async |gate: &Gate| gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer");
    assert_eq!(ask(&other).await.status(), 200);
    assert_eq!(assert_refused(ask(&gate).await, 401, "INVALID_TOKEN").await, "The token has been used");
}

/// What was counted by a clock that was ahead is given back as if it were now.
#[tokio::test]
async fn a_clock_that_is_set_back_locks_nobody_out() {
    let server = server(0);
    let store = Redis::open(&server.settings()).await.expect("a store");
    let app = "app".parse().expect("id");
    let counters = [Counter { app: &app, limit: "chat", whose: Whose::App, rate: "10/s".parse().expect("a rate") }];
    server.set_clock_ahead(100);
    for _ in 0..10 {
        assert!(store.count(&counters).await.expect("counted").is_ok());
    }
    server.set_clock_ahead(0);
    let full = store.count(&counters).await.expect("counted").expect_err("over the limit");
    assert!(full.wait <= Duration::from_millis(100), "{full:?}");
    until("another is allowed", async || matches!(store.count(&counters).await, Ok(Ok(_)))).await;
}

#[tokio::test]
async fn a_clock_that_goes_astray_is_told() {
    let (server, upstream) = (server(0), Upstream::start().await);
    let gate = server.share(Gate::builder(&upstream)).set("store.redis.timeout=10s").start().await;
    server.set_clock_ahead(400);
    let line = gate.wait_for_line("the clocks of Redis and of this machine differ").await;
    assert!(line.contains("ERROR") && ["399", "400", "401"].iter().any(|off| line.contains(off)), "{line}");
    server.set_clock_ahead(0);
    gate.wait_for_line("the clocks of Redis and of this machine agree again").await;
}
