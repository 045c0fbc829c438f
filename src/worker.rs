//! A worker: one thread, one single-threaded runtime, its own upstream connections. A request
//! never leaves the thread it came in on.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use sidegate_core::ending::Ending;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::gate::Gate;
use crate::http::{Accepted, Common, ConnectionLimits, Inbox, Peer, Place, Private, Public, Service, serve};
use crate::metrics::{Listener, Metrics};
use crate::widgets::Translations;

/// How often a worker sets the date of its answers and forgets what is over.
const TICK: Duration = Duration::from_secs(1);

/// What a worker's beats are when it has ended as it should.
pub const ENDED: u64 = u64::MAX;

/// How long an idle HTTP/1.1 connection stays once draining has begun. A client that asks again and again has sent
/// its next request by then, and learns from the answer that it was the last.
const LEAVE: Duration = Duration::from_secs(1);

/// Of the time to drain, what streams and WebSockets have to say goodbye, at most: a WebSocket may take 2.6 s.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// A running worker.
pub struct Worker {
    /// Where it takes connections from.
    pub inbox: Inbox,
    /// Its counters.
    pub metrics: Arc<Metrics>,
    /// Goes on by one about each second, as long as it answers.
    pub beats: Arc<AtomicU64>,
    /// Its thread.
    pub thread: std::thread::JoinHandle<()>,
}

/// What a worker is made of.
pub struct Parts {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// TLS on the public listener.
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS on the private listener.
    pub private_tls: Option<Arc<ServerConfig>>,
    /// Turns true when the program is told to stop.
    pub draining: watch::Receiver<bool>,
    /// Where its request ids begin.
    pub seed: u64,
}

impl Worker {
    /// Starts a worker's thread.
    ///
    /// # Errors
    /// If the operating system gives no thread or runtime.
    pub fn start(name: String, parts: Parts) -> std::io::Result<Self> {
        let metrics = Arc::new(Metrics::new().map_err(std::io::Error::other)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, inbox) = mpsc::unbounded_channel();
        let beats = Arc::<AtomicU64>::default();
        let shared = (Arc::clone(&metrics), Arc::clone(&beats));
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            LocalSet::new().block_on(&runtime, run(parts, shared, inbox));
        })?;
        Ok(Self { inbox: Inbox { sender, load: Arc::new(AtomicUsize::new(0)) }, metrics, beats, thread })
    }
}

/// The thread's own state.
struct Local {
    parts: Parts,
    metrics: Arc<Metrics>,
    common: Rc<Common>,
    public: Rc<Public>,
    private: Rc<Private>,
    limits: ConnectionLimits,
}

/// Serves connections until the acceptors are gone and the last connection has ended.
async fn run(
    parts: Parts,
    (metrics, beats): (Arc<Metrics>, Arc<AtomicU64>),
    mut inbox: mpsc::UnboundedReceiver<Accepted>,
) {
    let local = Rc::new(Local::new(parts, metrics));
    let ticker = tokio::task::spawn_local(tick(Rc::clone(&local), Arc::clone(&beats)));
    let translations = tokio::task::spawn_local(local.translations().run());
    let leashes = tokio::task::spawn_local(Rc::clone(&local.common.leashes).follow());
    let drain = tokio::task::spawn_local(drain(Rc::clone(&local)));
    let connections = Rc::new(());
    while let Some(accepted) = inbox.recv().await {
        tokio::task::spawn_local(connection(Rc::clone(&local), accepted, Rc::clone(&connections)));
    }
    while Rc::strong_count(&connections) > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ticker.abort();
    translations.abort();
    leashes.abort();
    drain.abort();
    beats.store(ENDED, Ordering::Relaxed);
}

impl Local {
    fn new(parts: Parts, metrics: Arc<Metrics>) -> Self {
        let listen = &parts.gate.listen;
        let common = Rc::new(Common::new(Arc::clone(&parts.gate), Arc::clone(&metrics), parts.seed));
        Self {
            public: Rc::new(Public::new(Rc::clone(&common))),
            private: Rc::new(Private::new(Rc::clone(&common))),
            common,
            limits: ConnectionLimits {
                head_timeout: listen.head_timeout,
                write_timeout: listen.write_timeout,
                leave_timeout: LEAVE.min(listen.drain_timeout / 4).min(listen.head_timeout),
                max_head: listen.max_head,
                h2c: false,
            },
            metrics,
            parts,
        }
    }

    fn translations(&self) -> Translations {
        let (gate, metrics) = (Arc::clone(&self.parts.gate), Arc::clone(&self.metrics));
        Translations { gate, client: Rc::clone(&self.common.client), metrics }
    }
}

async fn tick(local: Rc<Local>, beats: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(TICK).await;
        beats.fetch_add(1, Ordering::Relaxed);
        local.common.tick();
        local.public.tick();
    }
}

/// Once draining begins, streams are told, and when there is just time enough for their last words, they end.
async fn drain(local: Rc<Local>) {
    let mut draining = local.parts.draining.clone();
    // An error means that the program's other end is gone: also a reason to drain.
    let _ = draining.wait_for(|draining| *draining).await;
    local.common.leashes.announce_drain();
    let whole = local.parts.gate.listen.drain_timeout;
    tokio::time::sleep(whole - LAST_WORDS.min(whole / 4)).await;
    local.common.leashes.end_all(Ending::Draining);
}

/// What a connection holds while it lives: its places, the gauge, and the count by which the worker
/// knows that it is still there.
struct Alive {
    _place: Place,
    _counted: Rc<()>,
    gauge: prometheus::IntGauge,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

async fn connection(local: Rc<Local>, accepted: Accepted, counted: Rc<()>) {
    let Accepted { socket, address, listener, place } = accepted;
    let Ok(socket) = TcpStream::from_std(socket) else { return };
    let gauge = local.metrics.connections(listener).clone();
    gauge.inc();
    let _alive = Alive { _place: place, _counted: counted, gauge };
    let parts = &local.parts;
    let address = address.ip();
    match listener {
        Listener::Public => serve_one(&local, &local.public, parts.tls.clone(), socket, address).await,
        Listener::Private => serve_one(&local, &local.private, parts.private_tls.clone(), socket, address).await,
    }
}

async fn serve_one<S: Service>(
    local: &Local,
    service: &Rc<S>,
    tls: Option<Arc<ServerConfig>>,
    socket: TcpStream,
    address: IpAddr,
) {
    let peer = Rc::new(Peer::new(&local.parts.gate, address, tls.is_some()));
    let h2c = S::LISTENER == Listener::Public && peer.trusted;
    let limits = ConnectionLimits { h2c, ..local.limits.clone() };
    serve(socket, tls, &limits, Rc::clone(service), peer, local.parts.draining.clone()).await;
}
