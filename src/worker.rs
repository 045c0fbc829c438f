//! A worker: one thread, one single-threaded runtime, its own upstream connections. A request
//! never leaves the thread it came in on.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sidegate_core::ending::Ending;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::gate::Gates;
use crate::http::{Accepted, ConnectionLimits, Inbox, Place, Private, Public, Seat, Service, Serving, serve};
use crate::leash::Leashes;
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

/// For a client to send its request when all that it can be told is that there is no room.
const CROWDED: Duration = Duration::from_secs(5);

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
    pub gates: Gates,
    /// Turns true when the program is told to stop.
    pub draining: watch::Receiver<bool>,
    /// Where its request ids begin.
    pub seed: u64,
    /// How many workers there are.
    pub workers: usize,
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
    draining: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
    serving: Rc<Serving>,
}

/// Serves connections until the acceptors are gone and the last connection has ended.
async fn run(
    parts: Parts,
    (metrics, beats): (Arc<Metrics>, Arc<AtomicU64>),
    mut inbox: mpsc::UnboundedReceiver<Accepted>,
) {
    let local = Rc::new(Local::new(parts, metrics));
    let ticker = tokio::task::spawn_local(tick(Rc::clone(&local), Arc::clone(&beats)));
    let (setups, at_work) = (Arc::clone(&local.serving.now().gate().widgets.setups), Rc::clone(&local));
    let translations = tokio::task::spawn_local(Translations::run(setups, move || at_work.translations()));
    let leashes = tokio::task::spawn_local(local.leashes().follow());
    let overload = Rc::clone(&local.serving.now().common.overload);
    let pulse = tokio::task::spawn_local(async move { overload.watch().await });
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
    pulse.abort();
    drain.abort();
    beats.store(ENDED, Ordering::Relaxed);
}

impl Local {
    fn new(parts: Parts, metrics: Arc<Metrics>) -> Self {
        let Parts { gates, draining, seed, workers } = parts;
        Self { draining, serving: Rc::new(Serving::new(gates, Arc::clone(&metrics), seed, workers)), metrics }
    }

    fn leashes(&self) -> Rc<Leashes> {
        Rc::clone(&self.serving.now().common.leashes)
    }

    fn translations(&self) -> Translations {
        let services = self.serving.now();
        let (gate, client) = (Arc::clone(services.gate()), Rc::clone(&services.common.client));
        Translations { gate, client, metrics: Arc::clone(&self.metrics) }
    }
}

async fn tick(local: Rc<Local>, beats: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(TICK).await;
        beats.fetch_add(1, Ordering::Relaxed);
        let services = local.serving.now();
        services.common.tick();
        services.public.tick();
    }
}

/// Once draining begins, streams are told, and when there is just time enough for their last words, they end.
async fn drain(local: Rc<Local>) {
    let mut draining = local.draining.clone();
    // An error means that the program's other end is gone: also a reason to drain.
    let _ = draining.wait_for(|draining| *draining).await;
    let (leashes, whole) = (local.leashes(), local.serving.now().gate().listen.drain_timeout);
    leashes.announce_drain();
    tokio::time::sleep(whole - LAST_WORDS.min(whole / 4)).await;
    leashes.end_all(Ending::Draining);
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
    let crowded = place.is_spare();
    let Ok(socket) = TcpStream::from_std(socket) else { return };
    let gauge = local.metrics.connections(listener).clone();
    gauge.inc();
    let _alive = Alive { _place: place, _counted: counted, gauge };
    let client = Client { socket, address: address.ip(), crowded };
    match listener {
        Listener::Public => serve_one::<Public>(&local, client).await,
        Listener::Private => serve_one::<Private>(&local, client).await,
    }
}

/// Who has connected.
struct Client {
    socket: TcpStream,
    address: IpAddr,
    /// Whether there was no room for it.
    crowded: bool,
}

/// What a connection bears, and how it speaks TLS, is of the gate that it finds when it comes.
async fn serve_one<S: Service>(local: &Local, Client { socket, address, crowded }: Client) {
    let gate = Arc::clone(local.serving.now().gate());
    let tls = match S::LISTENER {
        Listener::Public => &gate.tls,
        Listener::Private => &gate.private_tls,
    };
    let tls = tls.as_ref().map(|tls| Arc::clone(&tls.config));
    let seat = Rc::new(Seat::new(Rc::clone(&local.serving), (address, tls.is_some()), crowded));
    let listen = &gate.listen;
    let limits = ConnectionLimits {
        head_timeout: if crowded { listen.head_timeout.min(CROWDED) } else { listen.head_timeout },
        write_timeout: listen.write_timeout,
        leave_timeout: LEAVE.min(listen.drain_timeout / 8).min(listen.head_timeout),
        max_head: listen.max_head,
        h2c: S::LISTENER == Listener::Public && seat.is_trusted(),
        once: crowded,
    };
    // A connection may live longer than its configuration.
    drop(gate);
    serve::<S>(socket, tls, &limits, seat, local.draining.clone()).await;
}
