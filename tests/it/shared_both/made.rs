//! What is made, changed or used up at one gate is so at all.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    HEADER, Servers, assert_served, everywhere, knows, make_everywhere, mint, single_use, single_use_token, user,
    with_context,
};
use crate::apps::{Made, chat, post};
use crate::support::admin::{APPS, TOKENS, assert_problem, call, done};
use crate::support::gate::Gate;
use crate::support::lane::{Lane, is_used};
use crate::support::load::admitted;
use crate::support::tally::Tally;

/// Single-use tokens that are raced for, and how many of them at the same time.
const RACED: usize = 2_000;
const LANES: usize = 16;
/// What an end user of the limited app may ask in an hour: no more comes back within a test.
const LIMIT: usize = 30;

#[tokio::test]
async fn an_app_that_is_made_and_changed_at_one_gate_is_so_at_all() {
    let (servers, upstream) = (Servers::start(), Tally::of(HEADER).await);
    let gates = servers.gates(&upstream).await;
    let first = make_everywhere(&gates, 0, with_context()).await;
    assert_served(&gates, &first).await;
    assert_eq!(upstream.counts(), HashMap::from([("ada any".to_owned(), 9)]));
    let rotated = post(&gates[1], &first.id, "rotate-secret", json!({ "overlap": "0s" })).await;
    let secret = rotated["secret"].as_str().expect("a secret").to_owned();
    let app = Made { id: first.id.clone(), secret };
    everywhere("the secret is new", &gates, async |gate| knows(gate, &app).await && !knows(gate, &first).await).await;
    let token = mint(&gates[0], &app, "any").await;
    post(&gates[2], &app.id, "disable", Value::Null).await;
    let is_gone = async |gate: &Gate| chat(gate, &token).await == 401 && !knows(gate, &app).await;
    everywhere("the app is gone", &gates, is_gone).await;
    post(&gates[1], &app.id, "enable", Value::Null).await;
    everywhere("the app is back", &gates, async |gate| chat(gate, &token).await == 200).await;
    assert_served(&gates, &app).await;
}

#[tokio::test]
async fn a_service_token_that_is_revoked_at_one_gate_is_so_at_all() {
    let (servers, upstream) = (Servers::start(), Tally::of(HEADER).await);
    let gates = servers.gates(&upstream).await;
    let made = done(&gates[0], Method::POST, TOKENS, json!({ "id": "ops", "scopes": ["admin:apps:read"] })).await;
    let secret = made["secret"].as_str().expect("a secret");
    let status = async |gate: &Gate| call(gate, secret, Method::GET, APPS, Value::Null).await.status().as_u16();
    everywhere("the token is good", &gates, async |gate| status(gate).await == 200).await;
    done(&gates[1], Method::DELETE, &format!("{TOKENS}/ops"), json!({})).await;
    everywhere("the token is revoked", &gates, async |gate| status(gate).await == 403).await;
    let refused = call(&gates[2], secret, Method::GET, APPS, Value::Null).await;
    assert_problem(refused, 403, "SERVICE_TOKEN_REVOKED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_single_use_token_of_an_app_of_the_registry_is_used_once_at_all() {
    let (servers, upstream) = (Servers::start(), Tally::of(HEADER).await);
    let gates = servers.gates(&upstream).await;
    make_everywhere(&gates, 0, single_use()).await;
    let addresses: Vec<_> = gates.iter().map(|gate| Mutex::new(gate.public)).collect();
    let (next, wins) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 3]);
    let race = async || {
        let mut lane = Lane::to(&addresses);
        while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < RACED) {
            let answers = lane.show(&single_use_token(index), index).await;
            let used = answers.iter().flatten().filter(|answer| is_used(answer)).count();
            assert_eq!((admitted(index, &answers), used), (1, 2), "token {index}: {answers:?}");
            let won = answers.iter().flatten().position(|answer| answer.status == 200).expect("a winner");
            wins[won].fetch_add(1, Ordering::Relaxed);
        }
    };
    join_all((0..LANES).map(|_| race())).await;
    assert!(wins.iter().all(|wins| wins.load(Ordering::Relaxed) > 0), "it was a race: {wins:?}");
    let expected: HashMap<_, _> = (0..RACED).map(|index| (user(index), 1)).collect();
    assert!(upstream.counts() == expected, "each token came through once");
}

#[tokio::test]
async fn a_limit_of_an_app_of_the_registry_holds_for_all_gates_together() {
    let (servers, upstream) = (Servers::start(), Tally::of(HEADER).await);
    let gates = servers.gates(&upstream).await;
    let mut settings = with_context();
    settings["limits"]["chat"] = format!("{LIMIT}/h per end_user").into();
    let app = make_everywhere(&gates, 0, settings).await;
    let token = mint(&gates[1], &app, "any").await;
    let statuses = join_all((0..3 * LIMIT).map(|index| chat(&gates[index % 3], &token))).await;
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(429)), (LIMIT, 2 * LIMIT));
    assert_eq!(upstream.counts(), HashMap::from([("ada any".to_owned(), LIMIT)]));
}
