//! The load on all three gates, and what must have become of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{single_use_token, user};
use crate::apps::Made;
use crate::support::gate::Gate;
use crate::support::lane::{Lane, list_tasks};
use crate::support::load::{Seen, admitted, ask, exchange, some_more, within};
use crate::support::raw::Raw;
use crate::support::tally::Tally;

/// Connections to each gate at the end, when all is shown again.
const LANES: usize = 8;
/// Between two requests of a client: the machine is the servers', too.
const PACE: Duration = Duration::from_millis(10);

/// The load, and what was acknowledged under it.
pub(super) struct Load {
    gates: Vec<(SocketAddr, SocketAddr)>,
    /// One of the file and one of the registry.
    pub(super) apps: [Made; 2],
    stop: AtomicBool,
    /// For each gate with each app.
    exchanges: Vec<Seen>,
    chats: Vec<Seen>,
    /// For each lane.
    races: Vec<Seen>,
    /// Tokens with the value of their context.
    minted: Mutex<Vec<(String, String)>>,
    /// Whether each single-use token was admitted.
    used: Mutex<HashMap<usize, bool>>,
    next: AtomicUsize,
}

impl Load {
    /// Begins; the tasks end when it is stopped.
    pub(super) fn begin(gates: &[Gate], apps: [Made; 2]) -> (Arc<Self>, JoinSet<()>) {
        let gates: Vec<_> = gates.iter().map(|gate| (gate.public, gate.private)).collect();
        let seen = |count: usize| (0..count).map(|_| Seen::default()).collect();
        let (exchanges, chats, races) = (seen(2 * gates.len()), seen(2 * gates.len()), seen(2));
        let (stop, minted, used, next) = (AtomicBool::default(), Mutex::default(), Mutex::default(), 0.into());
        let load = Arc::new(Self { gates, apps, stop, exchanges, chats, races, minted, used, next });
        let mut tasks = JoinSet::new();
        for index in 0..load.exchanges.len() {
            let load = Arc::clone(&load);
            tasks.spawn(async move { load.exchange_and_chat(index).await });
        }
        for lane in 0..load.races.len() {
            let load = Arc::clone(&load);
            tasks.spawn(async move { load.race(lane).await });
        }
        (load, tasks)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Tokens with a context, each used at the next gate.
    async fn exchange_and_chat(&self, index: usize) {
        let (app, gate, count) = (&self.apps[index % 2], index / 2, self.gates.len());
        let mut private = Raw::connect(self.gates[gate].1).await;
        let mut public = Raw::connect(self.gates[(gate + 1) % count].0).await;
        let mut last = None;
        while self.goes_on() {
            let value = format!("value-{}", self.next.fetch_add(1, Ordering::SeqCst));
            let answer = ask(&mut private, &exchange(&app.id, &app.secret, &value)).await;
            self.exchanges[index].count(&answer);
            if answer.status == 200 {
                let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
                let token = last.insert(answer["data"]["token"].as_str().expect("a token").to_owned());
                self.minted.lock().unwrap().push((token.clone(), value));
            }
            let token = last.as_ref().expect("it begins well");
            self.chats[index].count(&ask(&mut public, &list_tasks(token)).await);
            sleep(PACE).await;
        }
    }

    /// Single-use tokens, each shown to all gates at once.
    async fn race(&self, lane: usize) {
        let gates: Vec<_> = self.gates.iter().map(|(public, _)| Mutex::new(*public)).collect();
        let (seen, mut lane) = (&self.races[lane], Lane::to(&gates));
        while self.goes_on() {
            let index = self.next.fetch_add(1, Ordering::SeqCst);
            let answers = within(lane.show(&single_use_token(index), index)).await;
            let was_admitted = admitted(index, &answers) == 1;
            let failed = answers.iter().flatten().find(|answer| answer.status == 503);
            let passed = answers.iter().flatten().find(|answer| answer.status == 200);
            seen.count(failed.or(passed).unwrap_or_else(|| panic!("nobody took token {index}: {answers:?}")));
            self.used.lock().unwrap().insert(index, was_admitted);
            sleep(PACE).await;
        }
    }

    fn kinds(&self) -> [&Vec<Seen>; 3] {
        [&self.exchanges, &self.chats, &self.races]
    }

    pub(super) async fn all_pass(&self) {
        some_more("all pass", |(passed, _)| passed, &self.kinds()).await;
    }

    pub(super) async fn all_fail(&self) {
        some_more("all are refused", |(_, failed)| failed, &self.kinds()).await;
    }

    pub(super) fn failed(&self) -> usize {
        self.kinds().iter().flat_map(|kind| kind.iter()).map(|seen| seen.both().1).sum()
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Everything that was acknowledged, held to what was said of it, at every gate.
pub(super) async fn verify(load: &Load, upstream: &Tally) {
    let gates: Vec<_> = load.gates.iter().map(|(public, _)| Mutex::new(*public)).collect();
    let minted = std::mem::take(&mut *load.minted.lock().unwrap());
    let used: Vec<_> = load.used.lock().unwrap().drain().collect();
    println!("{} contexts, {} single-use tokens, {} refusals", minted.len(), used.len(), load.failed());
    let before = upstream.counts();
    let show = async |minted: &[(String, String)]| {
        let mut lane = Lane::to(&gates);
        for (token, value) in minted {
            let statuses = lane.show(token, 0).await.into_iter().flatten().map(|answer| answer.status);
            assert_eq!(statuses.collect::<Vec<_>>(), [200; 3], "the acknowledged context {value}");
        }
    };
    join_all(minted.chunks(minted.len().div_ceil(LANES)).map(show)).await;
    let show_again = async |used: &[(usize, bool)]| {
        let mut lane = Lane::to(&gates);
        for (index, was_admitted) in used {
            let again = admitted(*index, &lane.show(&single_use_token(*index), 0).await);
            assert!(!was_admitted || again == 0, "token {index} twice");
        }
    };
    join_all(used.chunks(used.len().div_ceil(LANES)).map(show_again)).await;
    let counts = upstream.counts();
    for (_, value) in &minted {
        let name = format!("ada {value}");
        assert_eq!(counts[&name], before.get(&name).unwrap_or(&0) + 3, "{name}");
    }
    for (index, was_admitted) in &used {
        let came = counts.get(&user(*index)).copied().unwrap_or_default();
        assert!(came <= 1 && (came == 1 || !was_admitted), "token {index} came {came} times");
    }
}
