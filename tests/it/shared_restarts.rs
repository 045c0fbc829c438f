//! Redis killed and started anew, again and again, while three replicas are under load: each policy does what it says,
//! nothing that was acknowledged is lost, no token is used twice, and the gates recover by themselves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use sidegate_core::secret::SecretDigest;

use crate::support::forge;
use crate::support::gate::{Gate, SECRET, json_of};
use crate::support::lane::{Lane, list_tasks};
use crate::support::load::{SOME, Seen, admitted, ask, exchange, some_more, within};
use crate::support::raw::Raw;
use crate::support::redis::{RedisServer, until};
use crate::support::tally::Tally;

/// How often Redis is killed under each policy.
const KILLS: usize = 3;

const HEADER: &str = "x-end-user";
/// The app whose tokens need their context. The usual app's tokens have a limit and need nothing else of the store.
const WITH_CONTEXT: &str = "wapp_context";
const SINGLE_USE: &str = "wapp_once";

/// The load, and what was acknowledged under it.
struct Load {
    gates: Vec<(SocketAddr, SocketAddr)>,
    stop: AtomicBool,
    limited: Vec<Seen>,
    contexts: Vec<Seen>,
    exchanges: Vec<Seen>,
    /// Tokens with the value of their context.
    minted: Mutex<Vec<(String, String)>>,
    /// Whether each single-use token was admitted.
    used: Mutex<HashMap<usize, bool>>,
    next: AtomicUsize,
}

impl Load {
    fn on(gates: &[Gate]) -> Self {
        let each = || gates.iter().map(|_| Seen::default()).collect();
        Self {
            gates: gates.iter().map(|gate| (gate.public, gate.private)).collect(),
            stop: AtomicBool::new(false),
            limited: each(),
            contexts: each(),
            exchanges: each(),
            minted: Mutex::default(),
            used: Mutex::default(),
            next: AtomicUsize::new(0),
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Tokens that nothing but their limit needs the store for.
    async fn chat(&self, gate: usize) {
        let (mut raw, request) = (Raw::connect(self.gates[gate].0).await, list_tasks(&forge::token(&forge::claims())));
        while self.goes_on() {
            self.limited[gate].count(&ask(&mut raw, &request).await);
        }
    }

    /// New tokens with a context, each used at the next replica: a context that was acknowledged is never missing.
    async fn exchange_and_chat(&self, gate: usize) {
        let next = (gate + 1) % self.gates.len();
        let (mut private, mut public) =
            (Raw::connect(self.gates[gate].1).await, Raw::connect(self.gates[next].0).await);
        while self.goes_on() {
            let value = format!("value-{}", self.next.fetch_add(1, Ordering::SeqCst));
            let answer = ask(&mut private, &exchange(WITH_CONTEXT, SECRET, &value)).await;
            self.exchanges[gate].count(&answer);
            if answer.status == 200 {
                let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
                let token = answer["data"]["token"].as_str().expect("a token").to_owned();
                self.minted.lock().unwrap().push((token, value));
            }
            let last = self.minted.lock().unwrap().last().cloned();
            if let Some((token, _)) = last {
                self.contexts[next].count(&ask(&mut public, &list_tasks(&token)).await);
            }
        }
    }

    /// Single-use tokens, each shown to all replicas at once: whatever Redis does, one of them takes it at most.
    async fn race(&self) {
        let gates: Vec<_> = self.gates.iter().map(|(public, _)| Mutex::new(*public)).collect();
        let mut lane = Lane::to(&gates);
        while self.goes_on() {
            let index = self.next.fetch_add(1, Ordering::SeqCst);
            let answers = within(lane.show(&single_use(index), index)).await;
            self.used.lock().unwrap().insert(index, admitted(index, &answers) == 1);
        }
    }
}

fn single_use(index: usize) -> String {
    let claims = json!({ "sub": format!("user-{index}"), "jti": format!("{index:032x}") });
    forge::token_of(SINGLE_USE, &key_of(SINGLE_USE), &claims)
}

/// Each app has one of its own.
fn key_of(app: &str) -> String {
    format!("{app}-key-of-the-tests-0123456789abcdef")
}

fn app(id: &str, lines: &str) -> String {
    let digest = SecretDigest::of(&SECRET.into());
    format!(
        "[[apps]]\nid = \"{id}\"\ndialect = \"sigmic\"\nupstream = \"chat\"\nsecret_digests = [\"{digest}\"]\n\
         token.key = {{ value = \"{}\" }}\nscoping = \"upstream\"\n{lines}\n",
        key_of(id)
    )
}

async fn replica(server: &RedisServer, upstream: &Tally, on_error: &str) -> Gate {
    let named = |value: &str| format!("inject.headers = {{ X-End-User = \"{value}\" }}");
    let limited = format!("scoping = \"upstream\"\nlimits.chat = \"1000000/h\"\n{}", named("{{claims.sub}}"));
    let context = app(WITH_CONTEXT, &named("{{claims.sub}} {{env.VALUE}}"));
    let once = app(SINGLE_USE, &format!("token.single_use = true\n{}", named("{{claims.sub}}")));
    let gate = server.share(Gate::builder_for(&upstream.url())).app(&limited).toml(&context).toml(&once);
    let gate = gate.set("store.redis.timeout=1s").set("store.redis.connect_timeout=1s");
    gate.set(&format!("store.limits_on_error={on_error}")).set("log.access=false").start().await
}

async fn killed_and_restarted_under_load(on_error: &str) {
    let (mut server, upstream) = (RedisServer::builder().durable().start(), Tally::of(HEADER).await);
    let gates = join_all((0..3).map(|_| replica(&server, &upstream, on_error))).await;
    let load = Load::on(&gates);
    let chats = join_all((0..gates.len()).map(|gate| load.chat(gate)));
    let contexts = join_all((0..gates.len()).map(|gate| load.exchange_and_chat(gate)));
    let races = join_all((0..4).map(|_| load.race()));
    let outages = async {
        for _ in 0..KILLS {
            some_more("all pass", |(passed, _)| passed, &[&load.limited, &load.contexts, &load.exchanges]).await;
            server.kill();
            some_more("it is seen", |(_, failed)| failed, &[&load.contexts, &load.exchanges]).await;
            some_more("limits go on", |(passed, failed)| passed + failed, &[&load.limited]).await;
            server.revive();
        }
        some_more("all pass again", |(passed, _)| passed, &[&load.limited, &load.contexts, &load.exchanges]).await;
        load.stop.store(true, Ordering::SeqCst);
    };
    join(outages, join(chats, join(contexts, races))).await;
    for (gate, seen) in gates.iter().zip(&load.limited) {
        assert_recovered(gate).await;
        assert_policy(gate, on_error, seen.both().1);
    }
    verify(&load, &upstream).await;
}

/// Who may go on without the store did, unless what is revoked was unknown for too long.
fn assert_policy(gate: &Gate, on_error: &str, refused: usize) {
    let stale = gate.output().contains("the store does not tell what is revoked");
    match on_error {
        "deny" => assert!(refused > 0, "a limit that cannot be counted denies"),
        _ => assert!(refused == 0 || stale, "{on_error}: {refused} refused\n{}", gate.output()),
    }
}

async fn assert_recovered(gate: &Gate) {
    until("it is ready", async || {
        let answer = within(gate.ops("/readyz").send()).await.expect("an answer");
        let (status, body) = (answer.status(), json_of(answer).await);
        status == 200 && body["checks"]["store"] == "ok" && body["checks"]["limits"] == "shared"
    })
    .await;
}

/// Everything that was acknowledged, held to what was said of it, at every replica.
async fn verify(load: &Load, upstream: &Tally) {
    let gates: Vec<_> = load.gates.iter().map(|(public, _)| Mutex::new(*public)).collect();
    let mut lane = Lane::to(&gates);
    let minted = std::mem::take(&mut *load.minted.lock().unwrap());
    let before = upstream.counts();
    for (token, _) in &minted {
        let answers = lane.show(token, 0).await;
        assert!(answers.iter().flatten().all(|answer| answer.status == 200), "an acknowledged context: {answers:?}");
    }
    let used = std::mem::take(&mut *load.used.lock().unwrap());
    for (index, was_admitted) in &used {
        let again = admitted(*index, &lane.show(&single_use(*index), 0).await);
        assert!(!was_admitted || again == 0, "token {index} twice");
    }
    let counts = upstream.counts();
    for (_, value) in &minted {
        let name = format!("ada {value}");
        assert_eq!(counts[&name], before.get(&name).unwrap_or(&0) + 3, "{name}");
    }
    for (index, was_admitted) in &used {
        let came = counts.get(&format!("user-{index}")).copied().unwrap_or_default();
        assert!(came <= 1 && (came == 1 || !was_admitted), "token {index} came {came} times");
    }
    let admissions = used.values().filter(|admitted| **admitted).count();
    println!("{} contexts; {admissions} of {} single-use tokens admitted", minted.len(), used.len());
    assert!(minted.len() > KILLS * SOME && admissions > KILLS, "there was load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_deny_and_nothing_is_lost_when_redis_is_killed_under_load() {
    killed_and_restarted_under_load("deny").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_counted_locally_and_nothing_is_lost_when_redis_is_killed_under_load() {
    killed_and_restarted_under_load("local").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_pass_and_nothing_is_lost_when_redis_is_killed_under_load() {
    killed_and_restarted_under_load("allow").await;
}
