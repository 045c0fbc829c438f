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
    /// Accepts until `draining` turns true. At the limit, new connections wait in the kernel's
    /// queue.
    pub async fn run(self, mut draining: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.max_connections));
        let mut want = Want::default();
        loop {
            let next = async {
                let permit = Arc::clone(&places).acquire_owned().await;
                (permit, self.socket.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => return,
                next = next => next,
            };
            match (permit, accepted) {
                (Ok(permit), Ok((socket, address))) => {
                    want.accepted();
                    self.deal(socket, address, permit);
                }
                (Ok(_), Err(fault)) => want.pause_after(&fault).await,
                (Err(_), _) => return,
            }
        }
    }

    fn deal(&self, socket: TcpStream, address: SocketAddr, permit: OwnedSemaphorePermit) {
        let alive = self.workers.iter().filter(|worker| !worker.sender.is_closed());
        let Some(worker) = alive.min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else { return };
        crate::socket::prepare(&socket);
        let Ok(socket) = socket.into_std() else { return };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let place = Place { load: Arc::clone(&worker.load), _permit: permit };
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
    async fn at_the_limit_a_connection_waits_until_another_one_ends() {
        let (address, mut receivers) = start(1, 1).await;
        let _first = TcpStream::connect(address).await.expect("connected");
        let held = receivers[0].recv().await.expect("accepting");
        let _second = TcpStream::connect(address).await.expect("queued by the kernel");
        tokio::task::yield_now().await;
        assert!(receivers[0].try_recv().is_err());
        drop(held);
        assert!(receivers[0].recv().await.is_some());
    }
}
