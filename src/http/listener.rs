//! Accepting: one acceptor for each listener deals sockets to the worker with the fewest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::metrics::Listener;

/// A connection on its way to its worker.
pub struct Accepted {
    /// The socket, not yet known to any runtime.
    pub socket: std::net::TcpStream,
    /// The other end.
    pub address: SocketAddr,
    /// Which listener it came in by.
    pub listener: Listener,
    /// Its places among the worker's and the listener's connections.
    pub place: Place,
}

/// A connection's place, given back when dropped.
pub struct Place {
    load: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
    spare: bool,
}

impl Place {
    /// Whether it is one of those beyond the limit, where clients are only told that there is no room.
    #[must_use]
    pub const fn is_spare(&self) -> bool {
        self.spare
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a worker takes its connections from.
#[derive(Clone)]
pub struct Inbox {
    /// To the worker.
    pub sender: mpsc::UnboundedSender<Accepted>,
    /// How many connections it has.
    pub load: Arc<AtomicUsize>,
}

/// Connections beyond the limit that are open at once.
const SPARES: usize = 64;

/// One listener's acceptor.
pub struct Acceptor {
    /// The bound socket. Whoever takes over gets it while this accepts.
    pub socket: Arc<TcpListener>,
    /// Which listener it is.
    pub listener: Listener,
    /// All workers.
    pub workers: Vec<Inbox>,
    /// Connections at once.
    pub max_connections: usize,
}

impl Acceptor {
    /// Accepts until `draining` turns true. At the limit some more are taken, each to be told so: a page that waits
    /// in the kernel's queue learns nothing, and does not know what it waits for. When those are taken, too, new
    /// connections do wait there.
    pub async fn run(self, mut draining: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.max_connections));
        let spares = Arc::new(Semaphore::new(SPARES));
        let mut want = Want::default();
        loop {
            let next = async {
                let place = tokio::select! {
                    biased;
                    place = Arc::clone(&places).acquire_owned() => (place, false),
                    spare = Arc::clone(&spares).acquire_owned() => (spare, true),
                };
                let accepted = self.socket.accept().await;
                // There may be room by now.
                let found = if place.1 { Arc::clone(&places).try_acquire_owned().ok() } else { None };
                let (permit, spare) = found.map_or(place, |found| (Ok(found), false));
                (permit, spare, accepted)
            };
            let (permit, spare, accepted) = tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => return,
                next = next => next,
            };
            match (permit, accepted) {
                (Ok(permit), Ok((socket, address))) => {
                    want.accepted();
                    self.deal(socket, address, (permit, spare));
                }
                (Ok(_), Err(fault)) => want.pause_after(&fault).await,
                (Err(_), _) => return,
            }
        }
    }

    fn deal(&self, socket: TcpStream, address: SocketAddr, (permit, spare): (OwnedSemaphorePermit, bool)) {
        let alive = self.workers.iter().filter(|worker| !worker.sender.is_closed());
        let Some(worker) = alive.min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else { return };
        crate::socket::prepare(&socket);
        let Ok(socket) = socket.into_std() else { return };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let place = Place { load: Arc::clone(&worker.load), _permit: permit, spare };
        // A worker that is gone drops the socket, which tells the client.
        let _ = worker.sender.send(Accepted { socket, address, listener: self.listener, place });
    }
}

/// A want of descriptors or memory, by which no connection can be accepted. It is said once when it begins and once when it is
/// over: with each descriptor that is given back one connection comes in, and the next one waits again.
#[derive(Default)]
struct Want {
    /// When it was last felt, if it is not over.
    felt: Option<Instant>,
}

impl Want {
    /// Without a failure for so long it is over.
    const OVER: Duration = Duration::from_secs(1);
    /// Until the next attempt, or the loop would spin.
    const PAUSE: Duration = Duration::from_millis(100);

    fn accepted(&mut self) {
        if self.felt.take_if(|felt| felt.elapsed() > Self::OVER).is_some() {
            tracing::info!("connections are accepted again");
        }
    }

    /// A connection that broke before it was accepted is no reason to wait.
    async fn pause_after(&mut self, fault: &io::Error) {
        if matches!(fault.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        if self.felt.replace(Instant::now()).is_none() {
            tracing::error!(error = %fault, "cannot accept connections: new ones wait");
        }
        tokio::time::sleep(Self::PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start(workers: usize, max_connections: usize) -> (SocketAddr, Vec<mpsc::UnboundedReceiver<Accepted>>) {
        let socket = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let address = socket.local_addr().expect("an address");
        let (inboxes, receivers) = (0..workers)
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                (Inbox { sender, load: Arc::default() }, receiver)
            })
            .unzip();
        let (draining, drained) = watch::channel(false);
        let acceptor = Acceptor { socket, listener: Listener::Public, workers: inboxes, max_connections };
        tokio::spawn(async move {
            acceptor.run(drained).await;
            drop(draining);
        });
        (address, receivers)
    }

    async fn accepted(receivers: &mut [mpsc::UnboundedReceiver<Accepted>]) -> (usize, Accepted) {
        let [one, other] = receivers else { panic!("two workers") };
        tokio::select! {
            accepted = one.recv() => (0, accepted.expect("accepting")),
            accepted = other.recv() => (1, accepted.expect("accepting")),
        }
    }

    #[tokio::test]
    async fn each_connection_goes_to_the_worker_with_the_fewest() {
        let (address, mut receivers) = start(2, 100).await;
        let mut clients = Vec::new();
        let mut held = [Vec::new(), Vec::new()];
        for _ in 0..8 {
            clients.push(TcpStream::connect(address).await.expect("connected"));
            let (worker, connection) = accepted(&mut receivers).await;
            held[worker].push(connection);
        }
        assert_eq!([held[0].len(), held[1].len()], [4, 4]);
        held[1].clear();
        for _ in 0..4 {
            clients.push(TcpStream::connect(address).await.expect("connected"));
            let (worker, connection) = accepted(&mut receivers).await;
            assert_eq!(worker, 1, "the other one has four");
            held[worker].push(connection);
        }
    }

    #[tokio::test]
    async fn at_the_limit_some_more_are_taken_and_marked_and_then_the_next_waits() {
        let (address, mut receivers) = start(1, 2).await;
        let mut next = async |clients: &mut Vec<TcpStream>| {
            clients.push(TcpStream::connect(address).await.expect("connected"));
            receivers[0].recv().await.expect("accepting")
        };
        let mut clients = Vec::new();
        let first = next(&mut clients).await;
        let _second = next(&mut clients).await;
        assert!(!first.place.is_spare());
        let mut spare = Vec::new();
        for _ in 0..SPARES {
            spare.push(next(&mut clients).await);
        }
        assert!(spare.iter().all(|accepted| accepted.place.is_spare()));
        let waits = TcpStream::connect(address).await.expect("queued by the kernel");
        tokio::task::yield_now().await;
        assert!(receivers[0].try_recv().is_err());
        drop(first);
        let taken = receivers[0].recv().await.expect("accepting");
        assert!(!taken.place.is_spare(), "there is room again");
        drop((waits, spare));
    }
}
