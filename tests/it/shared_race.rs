//! Single-use tokens raced: each is shown to three replicas at the same moment, and one of them takes it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;
use tokio::time::Instant;

use crate::support::forge;
use crate::support::gate::{Builder, Gate};
use crate::support::lane::{Addresses, Lane, is_used};
use crate::support::raw::RawAnswer;
use crate::support::redis::{RedisServer, until};
use crate::support::tally::Tally;

/// Tokens that are shown to all three replicas: on a slow machine as many as there is time for, a few at least.
const TOKENS: usize = 100_000;
const FEW_TOKENS: usize = 10_000;
const TIME: Duration = Duration::from_secs(90);
/// The same while one of the replicas is killed and started anew.
const TOKENS_AND_KILLS: usize = FEW_TOKENS;
const KILLS: usize = 3;
/// Tokens that are raced for at the same time.
const LANES: usize = 48;

const HEADER: &str = "x-end-user";
const APP: &str =
    "token.single_use = true\nscoping = \"upstream\"\ninject.headers = { X-End-User = \"{{claims.sub}}\" }";

/// A replica of one worker; patient, as many tests run at once.
fn replica(server: &RedisServer, upstream: &Tally) -> Builder {
    let gate = server.share(Gate::builder_for(&upstream.url())).app(APP);
    gate.set("listen.workers=1").set("store.redis.timeout=10s").set("log.access=false")
}

async fn replicas(server: &RedisServer, upstream: &Tally) -> Vec<Gate> {
    join_all((0..3).map(|_| replica(server, upstream).start())).await
}

/// As an app's own server could sign it: each of an end user of its own.
fn token(index: usize) -> String {
    forge::token_with(&json!({ "sub": user(index), "jti": format!("{index:032x}") }))
}

fn user(index: usize) -> String {
    format!("user-{index}")
}

/// What became of a token at each replica; `None` of one that was not there.
type Answers = Vec<Option<RawAnswer>>;

/// Shows so many tokens, each to all gates at once, and hands the answers to `judge`. When the time is over, no more
/// than those.
async fn race(gates: &Addresses, tokens: usize, begun: &AtomicUsize, judge: impl Fn(usize, &Answers)) {
    let start = Instant::now();
    let is_over = || start.elapsed() >= TIME && begun.load(Ordering::Relaxed) >= tokens.min(FEW_TOKENS);
    let lane = async || {
        let mut lane = Lane::to(gates);
        while !is_over() {
            let index = begun.fetch_add(1, Ordering::Relaxed);
            if index >= tokens {
                return;
            }
            judge(index, &lane.show(&token(index), index).await);
        }
    };
    join_all((0..LANES).map(|_| lane())).await;
}

fn addresses(gates: &[Gate]) -> Vec<Mutex<SocketAddr>> {
    gates.iter().map(|gate| Mutex::new(gate.public)).collect()
}

/// Which gates admitted the token.
fn admitted(answers: &Answers) -> Vec<usize> {
    let by = |answer: &Option<RawAnswer>| answer.as_ref().is_some_and(|answer| answer.status == 200);
    (0..answers.len()).filter(|gate| by(&answers[*gate])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_thousand_tokens_each_is_used_once_on_all_replicas_together() {
    let (server, upstream) = (RedisServer::start(), Tally::of(HEADER).await);
    let gates = replicas(&server, &upstream).await;
    let (begun, wins) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 3]);
    race(&addresses(&gates), TOKENS, &begun, |index, answers| {
        let admitted = admitted(answers);
        let refused = answers.iter().flatten().filter(|answer| is_used(answer)).count();
        assert_eq!((admitted.len(), refused), (1, 2), "token {index}: {answers:?}");
        wins[admitted[0]].fetch_add(1, Ordering::Relaxed);
    })
    .await;
    println!("won by each replica: {wins:?}");
    assert!(wins.iter().all(|wins| wins.load(Ordering::Relaxed) > 0), "it was a race: {wins:?}");
    let shown = begun.into_inner().min(TOKENS);
    println!("{shown} tokens");
    let expected: HashMap<_, _> = (0..shown).map(|index| (user(index), 1)).collect();
    assert!(upstream.counts() == expected, "each token came through once");
}

/// The request that had used a token up when its replica was killed may never have got through; no other may, either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_used_twice_while_a_replica_is_killed() {
    let (server, upstream) = (RedisServer::start(), Tally::of(HEADER).await);
    let mut gates = replicas(&server, &upstream).await;
    let addresses = addresses(&gates);
    let (begun, admissions) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    let kills = async {
        for kill in 1..=KILLS {
            let moment = kill * TOKENS_AND_KILLS / (KILLS + 1);
            until("the race is under way", async || begun.load(Ordering::Relaxed) > moment).await;
            let killed = kill % gates.len();
            gates[killed].signal("KILL");
            let restarted = replica(&server, &upstream).start().await;
            *addresses[killed].lock().unwrap() = restarted.public;
            gates[killed] = restarted;
        }
    };
    let racing = race(&addresses, TOKENS_AND_KILLS, &begun, |index, answers| {
        let refused = answers.iter().flatten().filter(|answer| answer.status == 401).count();
        let admitted = admitted(answers).len();
        let answered = answers.iter().flatten().count();
        assert_eq!(admitted + refused, answered, "token {index}: {answers:?}");
        assert!(admitted <= 1 && answered >= 2, "token {index}: {answers:?}");
        assert!(admitted == 1 || answered < 3, "nobody took token {index}: {answers:?}");
        admissions.lock().unwrap().insert(index, admitted);
    });
    join(kills, racing).await;
    let seen = upstream.counts();
    assert!(seen.values().all(|count| *count == 1), "no token came through twice");
    let mut lost = 0;
    for (index, admitted) in admissions.into_inner().unwrap() {
        let came = seen.contains_key(&user(index));
        assert!(came || admitted == 0, "token {index} was admitted and did not come through");
        lost += usize::from(!came);
    }
    println!("{lost} tokens were used up by requests that a kill cut short");
    assert!(lost <= KILLS * LANES, "{lost}");
    race(&addresses, TOKENS_AND_KILLS, &AtomicUsize::new(0), |index, answers| {
        let refused = answers.iter().flatten().filter(|answer| is_used(answer)).count();
        assert_eq!(refused, 3, "token {index} again: {answers:?}");
    })
    .await;
}
