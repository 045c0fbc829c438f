//! Wiring, and nothing else: bind before you build, drain before you die.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join;
use sidegate_core::clock::Clock as _;
use sidegate_core::dialect::Dialect;
use sidegate_core::entropy::{self, Entropy};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::assemble::{Prepared, lasting};
use crate::config::{ListenSettings, Settings};
use crate::control::{Asks, Place};
use crate::follow::follow;
use crate::forward;
use crate::gate::{Gate, Gates, Lasting};
use crate::http::Readiness;
use crate::leash::{Changes, follow_closings};
use crate::notify::Beats;
use crate::reload::{Origins, Reloader, Reloads};
use crate::revocations::{Follower, Revoked};
use crate::sockets::{Accepting, Addresses, Sockets};
use crate::steady::Steady;
use crate::store::{Kind, Store, Stores, Unavailable};
use crate::system::System;
use crate::worker::{Parts, Worker};

/// How often expired contexts and counters at rest are dropped.
const SWEEP: Duration = Duration::from_secs(5);

/// How often somebody looks for upstreams that are not checked yet.
const NEW_UPSTREAMS: Duration = Duration::from_secs(1);

/// How often the uses of service tokens are written down: what a crash forgets at most.
const KEEP_USES: Duration = Duration::from_secs(3);

/// How long after the store did not answer it is asked again for what was left undone.
const RETRY: Duration = Duration::from_secs(5);

/// For how long the end waits for that.
const LAST_USES: Duration = Duration::from_secs(2);

/// Why the program did not start: every reason that was found.
#[derive(Debug)]
pub struct StartError(pub Vec<String>);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for StartError {}

impl From<String> for StartError {
    fn from(reason: String) -> Self {
        Self(vec![reason])
    }
}

/// The program, built; it runs once it accepts.
pub struct Sidegate {
    /// Where it listens.
    pub addresses: Addresses,
    /// Where its state is.
    pub store: Kind,
    sockets: Option<Sockets>,
    accepting: Accepting,
    readiness: Arc<Readiness>,
    draining: watch::Sender<bool>,
    workers: Vec<Worker>,
    background: Vec<JoinHandle<()>>,
}

impl Sidegate {
    /// Builds and starts everything but the acceptors, so that nothing can fail any more. Needs a tokio runtime
    /// around it: the control runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: Settings, sockets: Sockets) -> Result<Self, StartError> {
        let addresses = sockets.addresses()?;
        let listen = settings.listen.clone();
        let is_apart = settings.store.registry.is_apart();
        let prepared = Prepared::new(settings, None).map_err(StartError)?;
        let stores = crate::store::open(prepared.store()).await?;
        let (kind, changes) = (stores.state.kind(), Changes::default());
        let revocations = Follower::start(Arc::clone(&stores.state), changes.clone()).await;
        let revocations = revocations.map_err(|fault| fault.to_string())?;
        let gate = first_gate(prepared, stores, is_apart, (revocations.revoked(), changes)).await?;
        let (lasting, gates) = (Arc::clone(&gate.lasting), Arc::new(ArcSwap::from_pointee(gate)));
        let (draining, drained) = watch::channel(false);
        let workers = start_workers(&listen, &gates, &drained)?;
        let metrics: Vec<_> = workers.iter().map(|worker| Arc::clone(&worker.metrics)).collect();
        if let Some(first) = metrics.first() {
            first.configured(System.now());
        }
        let readiness = Arc::new(Readiness { gates: Arc::clone(&gates), draining: false.into(), metrics });
        let background = vec![
            tokio::spawn(revocations.run(|| System.now())),
            tokio::spawn(follow(Arc::clone(&gates))),
            tokio::spawn(follow_closings(Arc::clone(&lasting))),
            tokio::spawn(keep_uses(lasting)),
            tokio::spawn(resume_setups(Arc::clone(&gates))),
            tokio::spawn(watch_upstreams(Arc::clone(&gates))),
            tokio::spawn(sweep(gates)),
        ];
        let (sockets, accepting) = (Some(sockets), Accepting::default());
        Ok(Self { addresses, store: kind, sockets, accepting, readiness, draining, workers, background })
    }

    /// Begins to accept connections and commands. Commands come as long as the place of their socket is there.
    pub fn accept(&mut self) -> (Asks, Option<Place>) {
        let Some(sockets) = self.sockets.take() else { return Default::default() };
        let drained = self.draining.subscribe();
        let (accepting, asks, place) = sockets.accept(&self.workers, &self.readiness, &drained);
        self.accepting = accepting;
        (asks, place)
    }

    /// Reloads its configuration from now on: when it is asked to, and when a file has changed.
    #[must_use]
    pub fn reloads(&self, of: Origins) -> Option<Reloads> {
        let readiness = &self.readiness;
        let metrics = Arc::clone(readiness.metrics.first()?);
        Some(Reloader::start(of, Arc::clone(&readiness.gates), self.draining.subscribe(), metrics))
    }

    /// Whether there is any app, of the configuration or of the registry.
    #[must_use]
    pub fn serves_apps(&self) -> bool {
        self.readiness.gates.load().registry.load().apps().next().is_some()
    }

    /// The workers' beats.
    #[must_use]
    pub fn beats(&self) -> Beats {
        Beats::new(self.workers.iter().map(|worker| Arc::clone(&worker.beats)))
    }

    /// The time that requests under way have at the end.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.readiness.gates.load().listen.drain_timeout
    }

    /// Where its state is, to be told whether another gate works on it, too.
    #[must_use]
    pub fn state(&self) -> Arc<dyn Store> {
        Arc::clone(&self.readiness.gates.load().store)
    }

    /// Begins to drain, and leaves all sockets to the process that has them, too. Nothing is accepted any more
    /// when this returns.
    pub async fn hand_over(&mut self) {
        self.readiness.gates.load().store.share(true);
        self.drain();
        self.accepting.end().await;
    }

    /// Readiness fails, and nothing more is accepted.
    fn drain(&self) {
        self.readiness.draining.store(true, Ordering::Relaxed);
        // Where there is no receiver any more, nobody needs to know.
        self.draining.send_replace(true);
    }

    /// Stops: drains, and lets requests under way finish for `listen.drain_timeout`. Returns whether all did.
    pub async fn stop(mut self) -> bool {
        self.drain();
        self.accepting.finish().await;
        let threads: Vec<_> = self.workers.into_iter().map(|worker| worker.thread).collect();
        // A reload that was under way when draining began may still have put another one there.
        let gate = self.readiness.gates.load_full();
        let finished = tokio::time::timeout(gate.listen.drain_timeout, join_all(threads)).await;
        let uses = join(gate.service_tokens.keep_uses(), gate.widgets.tally.write(gate.widgets.registry()));
        if !matches!(tokio::time::timeout(LAST_USES, uses).await, Ok((Ok(()), Ok(())))) {
            tracing::warn!("the last uses of service tokens and widgets could not be counted");
        }
        self.accepting.end().await;
        for task in self.background {
            task.abort();
        }
        matches!(finished, Ok(Ok(true)))
    }
}

/// Waits for all threads, in a thread of its own: a runtime that ends waits for its blocking tasks,
/// and would so wait for streams whose time is over.
fn join_all(threads: Vec<std::thread::JoinHandle<()>>) -> oneshot::Receiver<bool> {
    let (done, joined) = oneshot::channel();
    // Without a thread to wait in, the receiver learns at once that nobody waits.
    let _ = std::thread::Builder::new().name("join".into()).spawn(move || {
        let _ = done.send(threads.into_iter().all(|thread| thread.join().is_ok()));
    });
    joined
}

async fn first_gate(
    prepared: Prepared,
    stores: Stores,
    is_apart: bool,
    revoked: (Arc<Revoked>, Changes),
) -> Result<Gate, StartError> {
    let unavailable = |fault: Unavailable| fault.to_string();
    let lasting = lasting(stores, is_apart, revoked, prepared.bootstrap()).await.map_err(unavailable)?;
    Ok(prepared.finish(Arc::new(lasting), 0).await.map_err(unavailable)?)
}

fn start_workers(
    listen: &ListenSettings,
    gates: &Gates,
    draining: &watch::Receiver<bool>,
) -> Result<Vec<Worker>, StartError> {
    let workers = worker_count(listen);
    let start = |index| {
        let parts = Parts { gates: Arc::clone(gates), draining: draining.clone(), seed: seed()?, workers };
        Worker::start(format!("worker-{index}"), parts)
            .map_err(|fault| StartError::from(format!("cannot start a worker: {fault}")))
    };
    (0..workers).map(start).collect()
}

async fn sweep(gates: Gates) {
    let mut steady = Steady::default();
    // Looks at the clock before it may jump.
    steady.now(gates.load().now());
    loop {
        tokio::time::sleep(SWEEP).await;
        let gate = gates.load_full();
        gate.sweep(steady.now(gate.now())).await;
    }
}

/// Takes up what a gate of before was asked for and did not come to the end of.
async fn resume_setups(gates: Gates) {
    let gate = gates.load_full();
    let (registry, lasting) = (gate.registry.load_full(), Arc::clone(&gate.lasting));
    // It may wait for the store for longer than this configuration lasts.
    drop(gate);
    for registered in registry.apps().filter(|registered| registered.app.dialect == Dialect::ChatBotKit) {
        while lasting.widgets.resume_setups(&registered.app.id).await.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Whatever upstreams there are: a reload may bring others.
async fn watch_upstreams(gates: Gates) {
    loop {
        forward::watch(gates.load().registry.load().upstreams());
        tokio::time::sleep(NEW_UPSTREAMS).await;
    }
}

/// What the store does not take it says itself, and it is tried again.
async fn keep_uses(gate: Arc<Lasting>) {
    loop {
        tokio::time::sleep(KEEP_USES).await;
        let _ = gate.service_tokens.keep_uses().await;
        let _ = gate.widgets.tally.write(gate.widgets.registry()).await;
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn worker_count(listen: &ListenSettings) -> usize {
    match listen.workers {
        0 => cores(),
        count => count,
    }
}

fn seed() -> Result<u64, StartError> {
    let bytes = entropy::bytes(&System as &dyn Entropy).map_err(|fault| fault.to_string())?;
    Ok(u64::from_le_bytes(bytes))
}
