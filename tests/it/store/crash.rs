//! What was acknowledged is kept, however the program ends.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sidegate::system::System;
use sidegate_core::entropy;
use tokio::time::Instant;

use crate::support::gate::{APP, Gate, PATIENCE, SECRET, assert_refused, json_of, program_file};
use crate::support::redis::RedisServer;
use crate::support::upstream::Upstream;

const TASKS: &str = "/api/v1/tasks";

/// Programs that are killed side by side, and how often each: on a slow machine as often as there is time for, a few times
/// at least.
const GATES: u32 = 4;
const ROUNDS: u32 = 50;
const FEW_ROUNDS: u32 = 10;
const TIME: Duration = Duration::from_secs(90);
/// Customers' servers and pages at once.
const CLIENTS: u32 = 8;

/// Tokens of one round, with the value of their context.
#[derive(Default)]
struct Acknowledged {
    fresh: Mutex<Vec<(String, String)>>,
    used: Mutex<Vec<String>>,
    count: AtomicU32,
}

/// Where a gate keeps things.
enum Place {
    File(tempfile::TempDir),
    Redis(Box<RedisServer>),
}

impl Place {
    fn file() -> Self {
        Self::File(tempfile::tempdir().expect("a directory"))
    }

    fn redis() -> Self {
        Self::Redis(Box::new(RedisServer::builder().durable().start()))
    }

    /// A gate with tokens for one request each, with a context.
    async fn start(&self, upstream: &Upstream) -> Gate {
        let app = "token.single_use = true\n[apps.inject.headers]\nX-Value = \"{{env.VALUE}}\"";
        let builder = Gate::builder(upstream).app(app).set("listen.workers=1");
        let builder = match self {
            Self::File(folder) => builder.set(&format!("store.path={}", folder.path().join("sidegate.db").display())),
            Self::Redis(server) => server.share(builder).set("store.redis.timeout=10s"),
        };
        builder.start().await
    }

    /// Kills the gate, and a server before it, or after it, or not at all.
    async fn kill(&mut self, gate: &Gate) {
        let Self::Redis(server) = self else { return gate.signal("KILL") };
        match random(3) {
            0 => gate.signal("KILL"),
            1 => {
                server.kill();
                pause().await;
                gate.signal("KILL");
            }
            _ => {
                gate.signal("KILL");
                pause().await;
                server.kill();
            }
        }
    }

    fn revive(&mut self) {
        if let Self::Redis(server) = self {
            server.kill();
            server.revive();
        }
    }

    /// Whether the store may be gone before the gate.
    const fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(_))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_is_killed() {
    kill_all(Place::file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_and_redis_are_killed() {
    kill_all(Place::redis).await;
}

async fn kill_all(place: fn() -> Place) {
    let each = async || tokio::spawn(kill_again_and_again(place())).await.expect("a round held");
    let counts = join_all((0..GATES).map(|_| each())).await;
    let sum = |sum: [u32; 3], count: [u32; 3]| std::array::from_fn(|index| sum[index] + count[index]);
    let [kills, fresh, used] = counts.into_iter().fold([0; 3], sum);
    println!("{fresh} fresh and {used} used tokens after {kills} kills");
    assert!(fresh > kills && used > kills, "there was load: {fresh} fresh, {used} used");
}

/// How often it was killed, and how many fresh and used tokens were held to what had been said of them.
async fn kill_again_and_again(mut place: Place) -> [u32; 3] {
    let (upstream, begun) = (Upstream::start().await, Instant::now());
    let [mut kills, mut fresh, mut used] = [0; 3];
    while kills < FEW_ROUNDS || kills < ROUNDS && begun.elapsed() < TIME {
        let gate = place.start(&upstream).await;
        let acknowledged = Acknowledged::default();
        let shared = place.is_shared();
        let load = join_all((0..CLIENTS).map(|_| load(&gate, &acknowledged, shared)));
        let kill = async {
            some_moment(&acknowledged.count).await;
            place.kill(&gate).await;
        };
        futures_util::future::join(kill, load).await;
        drop(gate);
        place.revive();
        upstream.take();
        let counts = verify(&place.start(&upstream).await, &upstream, acknowledged).await;
        (kills, fresh, used) = (kills + 1, fresh + counts.0, used + counts.1);
    }
    [kills, fresh, used]
}

fn random(below: u32) -> u32 {
    u32::from_le_bytes(entropy::bytes(&System).expect("randomness")) % below
}

async fn some_moment(acknowledged: &AtomicU32) {
    let wanted = random(60);
    let enough = async {
        while acknowledged.load(Ordering::Relaxed) <= wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, enough).await.expect("load");
    pause().await;
}

/// So short that what is under way still is.
async fn pause() {
    tokio::time::sleep(Duration::from_micros(random(2_000).into())).await;
}

/// Exchanges and uses tokens until the gate is gone.
async fn load(gate: &Gate, acknowledged: &Acknowledged, shared: bool) {
    let is_of_an_outage = |status| shared && status == 503;
    loop {
        let value = format!("value-{}", random(u32::MAX));
        let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada", "env": { "VALUE": value } });
        let Ok(answer) = gate.private(Method::POST, "/api/v1/auth/token").json(&body).send().await else { return };
        if is_of_an_outage(answer.status()) {
            continue;
        }
        assert_eq!(answer.status(), 200);
        let Ok(answer) = answer.json::<Value>().await else { return };
        let token = answer["data"]["token"].as_str().expect("a token").to_owned();
        acknowledged.count.fetch_add(1, Ordering::Relaxed);
        if random(2) == 0 {
            acknowledged.fresh.lock().unwrap().push((token, value));
            continue;
        }
        let Ok(answer) = gate.chat(Method::GET, TASKS, &token).send().await else { return };
        // Whether it was used up then, nobody knows.
        if !is_of_an_outage(answer.status()) {
            assert_eq!(answer.status(), 200);
            acknowledged.used.lock().unwrap().push(token);
        }
    }
}

async fn verify(gate: &Gate, upstream: &Upstream, acknowledged: Acknowledged) -> (u32, u32) {
    let (fresh, used) = (acknowledged.fresh.into_inner().unwrap(), acknowledged.used.into_inner().unwrap());
    for (token, _) in &fresh {
        let answer = gate.chat(Method::GET, TASKS, token).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "a token that was handed out before the kill");
    }
    for token in &used {
        let answer = gate.chat(Method::GET, TASKS, token).send().await.expect("an answer");
        assert_refused(answer, 401, "INVALID_TOKEN").await;
    }
    let injected: BTreeSet<_> = upstream.take().iter().map(|request| request.header("x-value").to_owned()).collect();
    assert_eq!(injected, fresh.iter().map(|(_, value)| value.clone()).collect());
    (u32::try_from(fresh.len()).expect("few"), u32::try_from(used.len()).expect("few"))
}

/// A gate under strace, which writes `trace`. The gate is the child: strace stands aside.
async fn traced(upstream: &Upstream, trace: &Path) -> Gate {
    let mut command = Command::new("strace");
    let calls = "trace=read,recvfrom,fdatasync,fsync,write,writev,sendto,sendmsg";
    command.args(["-D", "-f", "-s", "64", "-e", calls, "-o"]).arg(trace).arg(program_file());
    assert!(
        Command::new("strace").arg("-V").output().is_ok_and(|run| run.status.success()),
        "this test needs strace: scripts/setup.sh test installs it"
    );
    Gate::builder(upstream).command(command).start().await
}

#[tokio::test]
async fn a_context_is_on_the_disk_before_its_token_is_answered() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace");
    let gate = traced(&upstream, &trace).await;
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada", "env": { "A": "1" } });
    assert_eq!(json_of(gate.exchange(&body).await).await["success"], true);
    let answered = async {
        loop {
            let text = std::fs::read_to_string(&trace).expect("a trace");
            match text.split_once("POST /api/v1/auth/token").map(|(_, then)| then) {
                Some(then) if then.contains("HTTP/1.1 200") => return then.to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let then = tokio::time::timeout(PATIENCE, answered).await.expect("the answer in the trace");
    let (before, _) = then.split_once("HTTP/1.1 200").expect("an answer");
    let returned =
        |line: &str| ["fsync(", "fsync resumed", "fdatasync(", "fdatasync resumed"].iter().any(|it| line.contains(it));
    let synced = before.lines().any(|line| returned(line) && line.trim_end().ends_with("= 0"));
    assert!(synced, "nothing was synced between the exchange and its answer:\n{before}");
}
