//! Wiring, and nothing else: bind before you build, drain before you die.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join;
use quick_cache::sync::Cache;
use sidegate_core::clock::Clock as _;
use sidegate_core::dialect::Dialect;
use sidegate_core::entropy::{self, Entropy};
use sidegate_core::service_token::ServiceToken;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use crate::apps::{Apps, Configured};
use crate::assets::Assets;
use crate::config::{ListenSettings, Settings};
use crate::contacts::Contacts;
use crate::control::{Asks, Place};
use crate::follow;
use crate::gate::Gate;
use crate::http::{Readiness, server_config};
use crate::leash::{Closings, Spending};
use crate::notify::Beats;
use crate::registry::Registry;
use crate::revocations::{Follower, Revoked};
use crate::rsa::RsaTurns;
use crate::service_tokens::ServiceTokens;
use crate::sockets::{Accepting, Addresses, Sockets};
use crate::steady::Steady;
use crate::store::{Kind, Store, Stores, Unavailable};
use crate::system::System;
use crate::trade::Trades;
use crate::visitor::MAX_VISITS;
use crate::widgets::Widgets;
use crate::worker::{Parts, Worker};

/// How often expired contexts and counters at rest are dropped.
const SWEEP: Duration = Duration::from_secs(5);

/// How often the uses of service tokens are written down: what a crash forgets at most.
const KEEP_USES: Duration = Duration::from_secs(3);

/// How long after the store did not answer it is asked again for what was left undone.
const RETRY: Duration = Duration::from_secs(5);

/// How many used identity tokens are remembered here, so that who shows one again costs next to nothing.
const SPENT: usize = 10_000;

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
        let tls = listen.tls.as_ref().map(server_config).transpose()?;
        let private_tls = listen.private_tls.as_ref().map(server_config).transpose()?;
        let stores = crate::store::open(&settings.store).await?;
        let kind = stores.state.kind();
        let revocations = Follower::start(Arc::clone(&stores.state)).await.map_err(|fault| fault.to_string())?;
        let registry = Arc::clone(&stores.registry);
        let gate = Arc::new(build_gate(settings, stores, revocations.revoked()).await?);
        let registry = follow::Follower::new(registry, &gate);
        let (draining, drained) = watch::channel(false);
        let mut workers = Vec::new();
        for index in 0..worker_count(&listen) {
            let parts = Parts {
                gate: Arc::clone(&gate),
                tls: tls.clone(),
                private_tls: private_tls.clone(),
                draining: drained.clone(),
                seed: seed()?,
            };
            let worker = Worker::start(format!("worker-{index}"), parts);
            workers.push(worker.map_err(|fault| format!("cannot start a worker: {fault}"))?);
        }
        let metrics = workers.iter().map(|worker| Arc::clone(&worker.metrics)).collect();
        let readiness = Arc::new(Readiness { gate: Arc::clone(&gate), draining: false.into(), metrics });
        let background = vec![
            tokio::spawn(revocations.run(|| System.now())),
            tokio::spawn(registry.run()),
            tokio::spawn(keep_uses(Arc::clone(&gate))),
            tokio::spawn(resume_setups(Arc::clone(&gate))),
            tokio::spawn(sweep(gate)),
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

    /// Whether there is any app, of the configuration or of the registry.
    #[must_use]
    pub fn serves_apps(&self) -> bool {
        self.readiness.gate.registry.load().apps().next().is_some()
    }

    /// The workers' beats.
    #[must_use]
    pub fn beats(&self) -> Beats {
        Beats::new(self.workers.iter().map(|worker| Arc::clone(&worker.beats)))
    }

    /// The time that requests under way have at the end.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.readiness.gate.listen.drain_timeout
    }

    /// Where its state is, to be told whether another gate works on it, too.
    #[must_use]
    pub fn state(&self) -> Arc<dyn Store> {
        Arc::clone(&self.readiness.gate.store)
    }

    /// Begins to drain, and leaves all sockets to the process that has them, too. Nothing is accepted any more
    /// when this returns.
    pub async fn hand_over(&mut self) {
        self.readiness.gate.store.share(true);
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
        let gate = &self.readiness.gate;
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

async fn build_gate(settings: Settings, stores: Stores, revoked: Arc<Revoked>) -> Result<Gate, StartError> {
    let unavailable = |fault: Unavailable| fault.to_string();
    let (system, configured) = (Arc::new(System), Configured::of(&settings));
    let apps = settings.apps.into_iter().map(|configured| (configured.app, configured.upstream)).collect();
    let registry = Registry::new(&settings.upstreams, apps).map_err(StartError)?;
    let assets = Assets::start(&settings.assets, &registry)?;
    let registry = Arc::new(ArcSwap::from_pointee(registry));
    let sealer = settings.store.sealer.map(Arc::new);
    let (entries, served) = (Arc::clone(&stores.registry), Some(Arc::clone(&registry)));
    let apps = Apps::open(entries, sealer.clone(), configured, served, Arc::clone(&system) as _, system).await;
    let bootstrap = settings.bootstrap_token.and_then(|secret| ServiceToken::bootstrap(&secret, System.now()));
    let widgets = Widgets::open(Arc::clone(&stores.registry)).await.map_err(unavailable)?;
    let service_tokens = ServiceTokens::open(stores.registry, bootstrap, Arc::new(System), Arc::new(System)).await;
    Ok(Gate {
        registry,
        apps: Arc::new(apps.map_err(unavailable)?),
        widgets: Arc::new(widgets),
        contacts: Contacts::default(),
        vault: Arc::clone(&stores.state) as _,
        store: stores.state,
        revoked,
        closings: Closings::default(),
        spending: Spending::default(),
        service_tokens: Arc::new(service_tokens.map_err(unavailable)?),
        visits: Semaphore::new(MAX_VISITS),
        rsa: RsaTurns::default(),
        spent: Cache::new(SPENT),
        trades: Trades::default(),
        registry_is_apart: settings.store.registry.is_apart(),
        limits_on_error: settings.store.limits_on_error,
        sealer,
        assets,
        limits: settings.limits,
        listen: settings.listen,
        cors_max_age: settings.cors_max_age,
        access_log: settings.access_log,
        clock: Arc::new(System),
        entropy: Arc::new(System),
    })
}

async fn sweep(gate: Arc<Gate>) {
    let mut steady = Steady::default();
    // Looks at the clock before it may jump.
    steady.now(gate.now());
    loop {
        tokio::time::sleep(SWEEP).await;
        gate.sweep(steady.now(gate.now())).await;
    }
}

/// Takes up what a gate of before was asked for and did not come to the end of.
async fn resume_setups(gate: Arc<Gate>) {
    let registry = gate.registry.load_full();
    for registered in registry.apps().filter(|registered| registered.app.dialect == Dialect::ChatBotKit) {
        while gate.widgets.resume_setups(&registered.app.id).await.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What the store does not take it says itself, and it is tried again.
async fn keep_uses(gate: Arc<Gate>) {
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
