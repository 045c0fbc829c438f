//! How exact limits are that three replicas on one Redis count together, all of them under load.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::{join, join_all};
use serde_json::json;
use sidegate_core::secret::SecretDigest;
use tokio::time::Instant;

use crate::support::forge;
use crate::support::gate::{APP, Gate, SECRET, SIGNING_KEY};
use crate::support::lane::list_tasks;
use crate::support::raw::Raw;
use crate::support::redis::{RedisServer, until};
use crate::support::tally::Tally;

/// What each counter allows at once, and in a minute.
const RATE: u32 = 2_400;
/// The load goes on until each counter has allowed so many: many of them were given back.
const ENOUGH: u32 = RATE + RATE / 10;
/// Connections to each replica for each counter.
const CONNECTIONS: usize = 8;
/// The app that has one counter for all of its end users.
const WHOLE: &str = "wapp_whole";
const WHOLE_KEY: &str = "another-key-of-the-tests-0123456789abcdef";

/// One counter of a limit: what it should count, and what it did.
struct Counted {
    app: &'static str,
    /// `None`: each connection has an end user of its own.
    end_user: Option<&'static str>,
    allowed: AtomicU32,
    /// When the first request was over the limit: nothing is lost from then on, as somebody always waits.
    spent: OnceLock<Instant>,
}

impl Counted {
    const fn new(app: &'static str, end_user: Option<&'static str>) -> Self {
        Self { app, end_user, allowed: AtomicU32::new(0), spent: OnceLock::new() }
    }

    fn token(&self, connection: usize) -> String {
        let user = self.end_user.map_or_else(|| format!("user-{connection}"), str::to_owned);
        let key = if self.app == WHOLE { WHOLE_KEY } else { SIGNING_KEY };
        forge::token_of(self.app, key, &json!({ "sub": user }))
    }

    /// Asks again and again; after `stop` until it is refused.
    async fn load(&self, gate: SocketAddr, connection: usize, stop: &AtomicBool) {
        let (mut raw, request) = (Raw::connect(gate).await, list_tasks(&self.token(connection)));
        loop {
            let stopping = stop.load(Ordering::SeqCst);
            raw.send(&request).await;
            let answer = raw.answer().await;
            match answer.status {
                200 => {
                    self.allowed.fetch_add(1, Ordering::SeqCst);
                }
                429 => {
                    self.spent.get_or_init(Instant::now);
                    if stopping {
                        return;
                    }
                }
                _ => panic!("{answer:?}"),
            }
        }
    }

    /// What a rate allows in a time: all at once, and what it gives back.
    fn allowance(seconds: f64) -> f64 {
        f64::from(RATE) * (1.0 + seconds / 60.0)
    }

    fn assert_exact(&self, began: Instant, stopped: Instant, ended: Instant) {
        let allowed = f64::from(self.allowed.load(Ordering::SeqCst));
        let spent = *self.spent.get().expect("it was over its limit");
        let least = Self::allowance(stopped.saturating_duration_since(spent).as_secs_f64());
        let most = Self::allowance((ended - began).as_secs_f64());
        println!("{} {:?}: {allowed} of {least:.1} to {most:.1}", self.app, self.end_user);
        // One more or less, as two clocks measure: nearer than a percent, which a wrong rate could hide in.
        assert!(allowed >= least - 1.0, "{allowed} of {least:.1} at least");
        assert!(allowed <= most + 1.0, "{allowed} of {most:.1} at most");
    }
}

async fn replica(server: &RedisServer, upstream: &Tally) -> Gate {
    let app = |limit: &str| {
        format!(
            "scoping = \"upstream\"\nlimits.chat = \"{RATE}/m per {limit}\"\n\
             inject.headers = {{ X-End-User = \"{{{{app.id}}}} {{{{claims.sub}}}}\" }}"
        )
    };
    let digest = SecretDigest::of(&SECRET.into());
    let whole = format!(
        "[[apps]]\nid = \"{WHOLE}\"\ndialect = \"sigmic\"\nupstream = \"chat\"\nsecret_digests = [\"{digest}\"]\n\
         token.key = {{ value = \"{WHOLE_KEY}\" }}\n{}",
        app("app")
    );
    let gate = server.share(Gate::builder_for(&upstream.url())).app(&app("end_user")).toml(&whole);
    gate.set("store.redis.timeout=10s").set("log.access=false").start().await
}

/// The bounds hold whoever is slow: a request counts between its sending and its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_within_a_percent_over_three_replicas_under_load() {
    let (server, upstream) = (RedisServer::start(), Tally::of("x-end-user").await);
    let gates = join_all((0..3).map(|_| replica(&server, &upstream))).await;
    let counters = [Counted::new(APP, Some("ada")), Counted::new(APP, Some("grace")), Counted::new(WHOLE, None)];
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let clients = counters.iter().flat_map(|counter| {
        let stop = &stop;
        let each = |gate: &Gate| (0..CONNECTIONS).map(move |_| gate.public).collect::<Vec<_>>();
        let connections = gates.iter().flat_map(each).enumerate();
        connections.map(move |(connection, gate)| counter.load(gate, connection, stop))
    });
    let enough = async {
        let all_have = async || counters.iter().all(|counter| counter.allowed.load(Ordering::SeqCst) >= ENOUGH);
        until("each counter has given back", all_have).await;
        let stopped = Instant::now();
        stop.store(true, Ordering::SeqCst);
        stopped
    };
    let (_, stopped) = join(join_all(clients), enough).await;
    let ended = Instant::now();
    for counter in &counters {
        counter.assert_exact(began, stopped, ended);
    }
    let through: usize = upstream.counts().values().sum();
    let allowed: u32 = counters.iter().map(|counter| counter.allowed.load(Ordering::SeqCst)).sum();
    assert_eq!(through, allowed as usize, "what was allowed came through, and nothing else");
}
