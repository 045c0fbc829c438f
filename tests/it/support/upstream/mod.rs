//! A fake chat service that does what a test tells it to, and remembers what it saw.
//!
//! Nothing here sleeps: a test waits for facts ([`Upstream::wait_for`] and its kin) and
//! releases each step of a scripted answer by hand, so a proxy that buffers fails the
//! test rather than pass by luck.
//!
//! ```ignore
//! let upstream = Upstream::start().await;
//! let (behaviour, stream) = Behaviour::sse();
//! upstream.on("/api/v1/tasks/task_1/stream", behaviour);
//! // … the client asks through the gate …
//! stream.chunk("event: content\ndata: {}\n\n");
//! ```

mod behaviour;
mod builder;
mod handles;
mod record;
mod respond;
mod serve;
mod shared;
mod sigmic;
mod tap;
mod websocket;

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

pub use behaviour::{Behaviour, Reply};
pub use builder::Builder;
pub use handles::StreamHandle;
pub use record::{Progress, Recorded};
use shared::{Connection, Order, Shared};

use super::gate::PATIENCE;

/// The running service. It ends, with all its connections, when dropped.
pub struct Upstream {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

impl Upstream {
    /// Plain HTTP/1.1 on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    fn run(listener: TcpListener, tls: Option<TlsAcceptor>, http2: Option<u32>) -> Self {
        let shared = Arc::<Shared>::default();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tokio::spawn(serve::accept(listener, tls, http2, Arc::clone(&shared)));
        Self { address, scheme, shared, acceptor }
    }

    /// An address on which nobody listens.
    pub async fn nowhere() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        listener.local_addr().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`, or `https://…` with TLS. (A certificate for `localhost` needs
    /// a URL made from [`Upstream::address`] instead.)
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    // ---- what it is to do; the first that applies: once, on, always, Sigmic's API ------

    /// For the next request to this path (without query) only. Calls queue up.
    pub fn once(&self, path: &str, behaviour: Behaviour) {
        let mut all = self.shared.behaviours.lock().unwrap();
        all.once.entry(path.to_owned()).or_default().push_back(behaviour);
    }

    /// For every request to this path.
    pub fn on(&self, path: &str, behaviour: Behaviour) {
        self.shared.behaviours.lock().unwrap().on.insert(path.to_owned(), behaviour);
    }

    /// For every request to any other path.
    pub fn always(&self, behaviour: Behaviour) {
        self.shared.behaviours.lock().unwrap().always = Some(behaviour);
    }

    /// Closes idle connections, and busy ones when they are done; waits until all are gone.
    pub async fn close_idle(&self) {
        for connection in self.shared.connections.lock().unwrap().values() {
            // The connection may be gone already, which is just as well.
            let _ = connection.orders.send(Order::Finish);
        }
        self.wait_until(|seen| seen.open == 0).await;
    }

    /// Ends at once, listener and connections; new connections are refused from then on.
    pub async fn stop(mut self) {
        self.acceptor.abort();
        let _ = (&mut self.acceptor).await;
    }

    // ---- what it saw -------------------------------------------------------------------

    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests so far; they are forgotten.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    /// How many requests were recorded since the start, taken ones included.
    pub fn count(&self) -> usize {
        self.progress().recorded
    }

    pub fn progress(&self) -> Progress {
        self.shared.progress.borrow().clone()
    }

    /// Every byte received on this connection so far (ciphertext, with TLS).
    pub fn raw(&self, connection: usize) -> Vec<u8> {
        let connections = self.shared.connections.lock().unwrap();
        let received = Arc::clone(&connections[&connection].received);
        drop(connections);
        received.lock().unwrap().clone()
    }

    // ---- waiting -----------------------------------------------------------------------

    /// Until this holds.
    pub async fn wait_until(&self, holds: impl FnMut(&Progress) -> bool) -> Progress {
        let mut progress = self.shared.progress.subscribe();
        let seen = tokio::time::timeout(PATIENCE, progress.wait_for(holds)).await.map(|seen| seen.unwrap().clone());
        seen.unwrap_or_else(|_| panic!("the upstream has not seen it: {:?}", self.progress()))
    }

    /// Until `n` requests in all were recorded; gives those not taken yet.
    pub async fn wait_for(&self, n: usize) -> Vec<Recorded> {
        self.wait_until(|seen| seen.recorded >= n).await;
        self.requests()
    }

    /// Until `n` request heads have arrived, bodies read or not.
    pub async fn wait_heads(&self, n: usize) {
        self.wait_until(|seen| seen.heads >= n).await;
    }

    /// Until the peer has given up on a request.
    pub async fn wait_cancelled(&self) {
        self.wait_until(|seen| seen.cancelled > 0).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
