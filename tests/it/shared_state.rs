//! Replicas on one Redis: what one of them knows, all know.

use futures_util::future::join_all;
use reqwest::{Method, Response};

use crate::support::gate::{Gate, assert_refused};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::within;
use crate::{chat9, leash};

/// A replica of an app with these lines; patient, as many tests run at once.
async fn replica(server: &RedisServer, upstream: &Upstream, app: &str) -> Gate {
    server.share(Gate::builder(upstream)).set("store.redis.timeout=10s").app(app).start().await
}

async fn replicas(server: &RedisServer, upstream: &Upstream, app: &str) -> Vec<Gate> {
    join_all((0..3).map(|_| replica(server, upstream, app))).await
}

async fn ask(gate: &Gate, token: &str) -> Response {
    gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer")
}

#[tokio::test]
async fn contexts_and_owners_are_known_to_all_replicas() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gates = replicas(&server, &upstream, "inject.headers = { X-Tenant = \"{{env.TENANT}}\" }").await;
    let token = gates[0].token("ada").env("TENANT", "acme").mint().await;
    let task = gates[1].create_task(&token).await;
    let path = format!("/api/v1/tasks/{task}");
    let own = gates[2].chat(Method::GET, &path, &token).send().await.expect("an answer");
    assert_eq!(own.status(), 200);
    let other = gates[0].token("grace").env("TENANT", "acme").mint().await;
    let foreign = gates[1].chat(Method::GET, &path, &other).send().await.expect("an answer");
    assert_refused(foreign, 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn a_replica_that_is_killed_loses_nothing() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let app = "token.single_use = true\ninject.headers = { X-Tenant = \"{{env.TENANT}}\" }";
    let gate = replica(&server, &upstream, app).await;
    let mint = async || gate.token("ada").env("TENANT", "acme").mint().await;
    let (used, fresh, fresher) = (mint().await, mint().await, mint().await);
    let task = gate.create_task(&used).await;
    gate.signal("KILL");
    gate.wait().await;
    let gate = replica(&server, &upstream, app).await;
    assert_eq!(assert_refused(ask(&gate, &used).await, 401, "INVALID_TOKEN").await, "The token has been used");
    assert_eq!(ask(&gate, &fresh).await.status(), 200);
    let own = gate.chat(Method::GET, &format!("/api/v1/tasks/{task}"), &fresher).send().await.expect("an answer");
    assert_eq!(own.status(), 200);
}

#[tokio::test]
async fn the_start_says_what_is_shared() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = replica(&server, &upstream, "").await;
    let line = gate.wait_for_line("shared with all replicas").await;
    assert!(line.contains("used tokens and the counters of limits"), "{line}");
    gate.wait_for_line("Redis runs without appendonly").await;
    let durable = RedisServer::builder().durable().start();
    let gate = replica(&durable, &upstream, "").await;
    gate.wait_for_line("shared with all replicas").await;
    assert!(!gate.output().contains("appendonly"), "{}", gate.output());
}

#[tokio::test]
async fn a_replica_does_not_start_without_its_store() {
    let (mut server, url) = {
        let server = RedisServer::start();
        let url = server.url();
        (server, url)
    };
    server.kill();
    let listen = ["public", "private", "ops"].map(|name| format!("listen.{name}=127.0.0.1:0"));
    let mut program = crate::support::program::program(&["serve"]).set("store.state=redis");
    for setting in listen.iter().chain([&format!("store.redis.url={url}")]) {
        program = program.set(setting);
    }
    let run = program.run();
    assert_eq!(run.code, 1);
    assert!(run.err.contains("store.redis.url: cannot use 127.0.0.1:"), "{}", run.err);
}

#[tokio::test]
async fn a_session_that_one_replica_closes_ends_its_streams_on_the_others() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let replica = async || server.share(chat9::with_lines(&upstream, chat9::UNLIMITED)).start().await;
    let (one, other) = (replica().await, replica().await);
    let (session, another) = (chat9::anonymous(&one).await, chat9::anonymous(&one).await);
    let mut open = Vec::new();
    for (gate, session) in [(&other, &session), (&other, &another), (&one, &session)] {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once("/widget/chat", behaviour);
        open.push(leash::begun(chat9::say(gate, session, "hi").await, stream).await);
    }
    let (mut closing, closes) = open.pop().expect("three");
    let (mut of_another, anothers) = open.pop().expect("two");
    let (answer, stream) = open.pop().expect("one");
    closes.chunk("data: {\"type\":\"done\",\"chat_ended\":true}\n\n");
    within(closing.chunk()).await.expect("a chunk").expect("not the end");
    assert_eq!(leash::data_of(&leash::rest(answer).await)["reason"], "SESSION_CLOSED");
    within(stream.closed()).await;
    leash::passes(&mut of_another, &anothers).await;
}
