//! A gate that has more to do than it can: new requests are refused at once, in words that pages can read; what is
//! under way goes on, and so do probes and those who run it.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::json;

use crate::support::forge;
use crate::support::gate::{APP, Gate, SECRET, SHOP, SIGNING_KEY, assert_refused};
use crate::support::raw::{Raw, page};
use crate::support::upstream::{Behaviour, StreamHandle, Upstream};
use crate::support::wire::{Wire, metric, stream_path, within};
use crate::websocket::open_as;

const TASKS: &str = "/api/v1/tasks";

async fn ask(gate: &Gate, token: &str) -> Response {
    within(gate.chat(Method::GET, TASKS, token).send()).await.expect("an answer")
}

/// A stream that is under way.
async fn stream(gate: &Gate, upstream: &Upstream, token: &str) -> (Response, StreamHandle) {
    let path = format!("{TASKS}/{}/stream", gate.create_task(token).await);
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let answer = within(gate.chat(Method::GET, &path, token).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    (answer, stream)
}

async fn assert_goes_on((answer, stream): &mut (Response, StreamHandle)) {
    stream.chunk("data: still here\n\n");
    assert_eq!(within(answer.chunk()).await.expect("a stream").expect("a piece"), "data: still here\n\n");
}

async fn shed(gate: &Gate, reason: &str) -> f64 {
    metric(gate, &format!("sidegate_shed_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn at_max_requests_new_ones_are_refused_and_streams_go_on() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_requests=2").set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    let mut streams = [stream(&gate, &upstream, &token).await, stream(&gate, &upstream, &token).await];
    let before = upstream.count();
    let refused = ask(&gate, &token).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(refused.headers()["vary"], "Origin");
    assert_refused(refused, 503, "OVERLOADED").await;
    assert_refused(ask(&gate, "no token at all").await, 503, "OVERLOADED").await;
    assert_eq!(upstream.count(), before);
    assert!((shed(&gate, "requests").await - 2.0).abs() < 0.5);
    for stream in &mut streams {
        assert_goes_on(stream).await;
    }
    let [first, _second] = streams;
    first.1.end();
    within(first.0.text()).await.expect("its end");
    within(async { while ask(&gate, &token).await.status() != 200 {} }).await;
}

#[tokio::test]
async fn a_websocket_is_under_way_as_long_as_it_lasts() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_requests=1").set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let socket = open_as(&gate, &path, &token).await;
    assert_refused(ask(&gate, &token).await, 503, "OVERLOADED").await;
    drop(socket);
    within(async { while ask(&gate, &token).await.status() != 200 {} }).await;
}

#[tokio::test]
async fn an_overloaded_gate_answers_preflights_probes_and_those_who_run_it() {
    let upstream = Upstream::start().await;
    let bootstrap = "bootstrap-0123456789abcdef0123456789abcdef";
    let admin = format!("[admin]\nbootstrap_token = {{ value = \"{bootstrap}\" }}");
    let gate = Gate::builder(&upstream).toml(&admin).set("listen.max_requests=1").set("listen.workers=1");
    let gate = gate.start().await;
    let token = gate.token("ada").mint().await;
    let mut stream = stream(&gate, &upstream, &token).await;
    assert_refused(ask(&gate, &token).await, 503, "OVERLOADED").await;
    let exchange = gate.exchange(&json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada" })).await;
    assert_eq!(exchange.status(), 503);
    assert_eq!(exchange.headers()["retry-after"], "1");
    let preflight = gate.public(Method::OPTIONS, TASKS).header("origin", SHOP);
    let preflight = preflight.header("access-control-request-method", "GET").send().await.expect("an answer");
    assert_eq!(preflight.status(), 204);
    let apps = gate.private(Method::GET, "/admin/v1/apps").bearer_auth(bootstrap).send().await.expect("an answer");
    assert_eq!(apps.status(), 200);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gate.ops(path).send().await.expect("an answer").status(), 200, "{path}");
    }
    assert_goes_on(&mut stream).await;
}

#[tokio::test]
async fn a_refused_page_elsewhere_gets_no_allow_header() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_requests=1").set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    let _stream = stream(&gate, &upstream, &token).await;
    let elsewhere = gate.public(Method::GET, TASKS).bearer_auth(&token).header("origin", "https://evil.example");
    let refused = elsewhere.send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn who_comes_when_all_connections_are_taken_is_told_so_once() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_connections=1").start().await;
    let token = forge::token_of(APP, SIGNING_KEY, &json!({ "sub": "ada" }));
    let request = format!("GET {TASKS} HTTP/1.1\r\n{}\r\n", page(&gate, &token));
    let mut first = Raw::connect(gate.public).await;
    first.send(&request).await;
    assert_eq!(first.answer().await.status, 200);
    let mut next = Raw::connect(gate.public).await;
    next.send(&request).await;
    let refused = next.answer().await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.header("access-control-allow-origin"), Some(SHOP));
    assert_eq!(refused.header("connection"), Some("close"));
    assert!(refused.body.contains("OVERLOADED"), "{refused:?}");
    next.closed().await;
    first.send(&request).await;
    assert_eq!(first.answer().await.status, 200, "who is in stays in");
    assert!((shed(&gate, "connections").await - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn those_who_say_nothing_do_not_keep_others_from_being_told() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_connections=1").set("listen.head_timeout=300ms").start().await;
    let token = forge::token_of(APP, SIGNING_KEY, &json!({ "sub": "ada" }));
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(Wire::connect(gate.public).await);
    }
    let mut last = Raw::connect(gate.public).await;
    last.send(format!("GET {TASKS} HTTP/1.1\r\n{}\r\n", page(&gate, &token))).await;
    assert!([200, 503].contains(&within(last.answer()).await.status));
}

/// The load is what one worker gets from so many clients that ask as fast as they are answered.
#[tokio::test]
async fn a_worker_that_is_late_refuses_until_it_is_in_time_again() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_lag=10ms").set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    let request = format!("GET {TASKS} HTTP/1.1\r\n{}\r\n", page(&gate, &token));
    let done = AtomicBool::new(false);
    let load = async || {
        let mut raw = Raw::connect(gate.public).await;
        while !done.load(Ordering::SeqCst) {
            raw.send(&request).await;
            let answer = raw.answer().await;
            match answer.status {
                200 => {}
                503 => {
                    assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP));
                    assert!(answer.body.contains("OVERLOADED"), "{answer:?}");
                    done.store(true, Ordering::SeqCst);
                }
                _ => panic!("{answer:?}"),
            }
        }
    };
    tokio::time::timeout(3 * crate::support::gate::PATIENCE, join_all((0..300).map(|_| load())))
        .await
        .expect("too late");
    assert!(shed(&gate, "lag").await > 0.5);
    gate.wait_for_line("a worker cannot keep up").await;
    within(async { while ask(&gate, &token).await.status() != 200 {} }).await;
    gate.wait_for_line("the worker keeps up again").await;
}
