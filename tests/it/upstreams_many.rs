//! An upstream with several addresses: each end user stays at one, and goes on to another when that one fails.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::json;

use crate::support::gate::{Builder, Gate};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric, within};

const TASKS: &str = "/api/v1/tasks";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A gate before all of these, which tells them whom each request is for.
fn before(upstreams: &[&Upstream]) -> Builder {
    let urls: Vec<_> = upstreams.iter().map(|upstream| upstream.url()).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    Gate::builder_for_all(&urls).app("scoping = \"upstream\"\ninject.headers = { X-User = \"{{claims.sub}}\" }")
}

/// Tokens of so many end users.
async fn tokens(gate: &Gate, count: usize) -> Vec<String> {
    join_all((0..count).map(|user| gate.token(&format!("user-{user}")).mint())).await
}

async fn ask(gate: &Gate, token: &str) -> Response {
    within(gate.chat(Method::GET, TASKS, token).send()).await.expect("an answer")
}

/// Whose requests an upstream has got since it was asked last.
fn users(upstream: &Upstream) -> BTreeSet<String> {
    upstream.take().iter().map(|request| request.header("x-user").to_owned()).collect()
}

#[tokio::test]
async fn an_end_user_stays_at_one_address_whichever_replica_it_comes_to() {
    let upstreams = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
    let all = [&upstreams[0], &upstreams[1], &upstreams[2]];
    // The other one has them in another order, and more workers.
    let gates = [before(&all).start().await, before(&[all[2], all[0], all[1]]).set("listen.workers=3").start().await];
    let tokens = tokens(&gates[0], 40).await;
    let mut seen: Vec<_> = (0..3).map(|_| BTreeSet::new()).collect();
    for round in 0..4 {
        for token in &tokens {
            assert_eq!(ask(&gates[round % 2], token).await.status(), 200);
        }
        let now: Vec<_> = all.iter().map(|upstream| users(upstream)).collect();
        if round == 0 {
            seen.clone_from(&now);
        }
        assert_eq!(now, seen, "round {round}");
    }
    assert!(seen.iter().all(|users| users.len() > 3), "{seen:?}");
    assert_eq!(seen.iter().map(BTreeSet::len).sum::<usize>(), 40, "nobody is at two");
}

#[tokio::test]
async fn each_address_is_called_by_its_name() {
    let upstreams = [Upstream::start().await, Upstream::start().await];
    let gate = before(&[&upstreams[0], &upstreams[1]]).start().await;
    for token in &tokens(&gate, 12).await {
        ask(&gate, token).await;
    }
    for upstream in &upstreams {
        let hosts: BTreeSet<_> = upstream.take().iter().map(|request| request.header("host").to_owned()).collect();
        assert_eq!(hosts, BTreeSet::from([upstream.address().to_string()]));
    }
}

#[tokio::test]
async fn users_of_an_address_that_is_gone_go_on_to_others_and_come_back_to_it() {
    let (gone, stays) = (Upstream::start().await, Upstream::start().await);
    let gate = before(&[&gone, &stays]).upstream("circuit = { failures = 2, wait = \"20ms\", longest = \"20ms\" }");
    let gate = gate.start().await;
    let tokens = tokens(&gate, 20).await;
    for token in &tokens {
        assert_eq!(ask(&gate, token).await.status(), 200);
    }
    let (its_users, others) = (users(&gone), users(&stays));
    assert!(!its_users.is_empty() && !others.is_empty());
    let address = gone.address();
    gone.stop().await;
    for token in &tokens {
        assert_eq!(ask(&gate, token).await.status(), 200, "nothing was sent to the one that is gone");
    }
    assert_eq!(users(&stays).len(), 20);
    let back = Upstream::builder().at(address).start().await;
    let mut returned = BTreeSet::new();
    within(async {
        while returned != its_users {
            for token in &tokens {
                assert_eq!(ask(&gate, token).await.status(), 200);
            }
            returned.extend(users(&back));
        }
    })
    .await;
    stays.take();
    for token in &tokens {
        ask(&gate, token).await;
    }
    assert_eq!(users(&stays), others, "who was never moved is where it was");
}

#[tokio::test]
async fn an_address_that_answers_503_again_and_again_is_left_alone() {
    let (bad, good) = (Upstream::start().await, Upstream::start().await);
    bad.always(Behaviour::answer(Reply::json(503, &json!({ "down": true }))));
    bad.on(TASKS, Behaviour::answer(Reply::json(503, &json!({ "down": true }))));
    let gate =
        before(&[&bad, &good]).upstream("circuit = { failures = 3, wait = \"1h\", longest = \"1h\" }").start().await;
    let mut refused = 0;
    for token in &tokens(&gate, 40).await {
        match ask(&gate, token).await.status().as_u16() {
            503 => refused += 1,
            status => assert_eq!(status, 200),
        }
    }
    assert_eq!((refused, bad.count(), good.count()), (3, 3, 37));
    let opened = gate.wait_for_line("is left alone for now").await;
    assert!(opened.contains(&format!("\"address\":\"{}\"", bad.address())), "{opened}");
}

#[tokio::test]
async fn a_websocket_goes_on_to_another_address_too() {
    let (gone, stays) = (Upstream::start().await, Upstream::start().await);
    stays.always(Behaviour::websocket());
    let gate = before(&[&gone, &stays]).start().await;
    gone.stop().await;
    for user in 0..6 {
        let token = gate.token(&format!("user-{user}")).mint().await;
        let page = crate::support::raw::page(&gate, &token);
        let mut raw = crate::support::raw::Raw::connect(gate.public).await;
        raw.send(format!("GET {TASKS}/t/stream HTTP/1.1\r\n{page}{HANDSHAKE}")).await;
        assert_eq!(raw.answer().await.status, 101, "user {user}");
    }
    let hosts: BTreeSet<_> = stays.take().iter().map(|request| request.header("host").to_owned()).collect();
    assert_eq!(hosts, BTreeSet::from([stays.address().to_string()]));
}

#[tokio::test]
async fn the_gates_own_calls_go_on_to_another_address_too() {
    let (gone, stays) = (Upstream::start().await, Upstream::start().await);
    let app = format!(
        r#"
[[apps]]
id = "asks"
dialect = "orcheo"
upstream = "chat"
origins = ["{shop}"]
workflows = [{{ id = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1" }}]
token.key = {{ value = "a-key-of-the-tests-0123456789abcdefghij" }}
authorize = {{ kind = "request", upstream = "chat", path = "/whoami", headers = ["X-Login"] }}
"#,
        shop = crate::support::gate::SHOP,
    );
    let gate = before(&[&gone, &stays]).toml(&app).start().await;
    stays.on("/whoami", Behaviour::answer(Reply::json(200, &json!({})).header("x-end-user-id", "ada")));
    gone.stop().await;
    for _ in 0..6 {
        let asked = gate.public(Method::POST, "/apps/asks/chatkit-token").header("origin", crate::support::gate::SHOP);
        assert_eq!(within(asked.header("x-login", "x").send()).await.expect("an answer").status(), 200);
    }
    assert_eq!(stays.count(), 6);
    assert!(metric(&gate, "sidegate_denials_total{code=\"AUTHORIZATION_UNAVAILABLE\"}").await < 0.5);
}
