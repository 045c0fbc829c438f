//! Accepts connections and drives each until it ends or is ordered to.

use std::{
    net::Shutdown,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{
    Connection, Order, Shared, respond,
    tap::{Tap, write_all},
};

/// A TLS acceptor for this certificate; ALPN offers h2 first when `http2`.
pub(super) fn acceptor(cert_pem: &str, key_pem: &str, http2: bool) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(cert_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).unwrap();
    let offered: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Accepts for ever. Connections live in the set, so that they end with this task.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, http2: Option<u32>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        number += 1;
        let peer = Peer::new(socket, number, Arc::clone(&shared));
        connections.spawn(peer.serve(tls.clone(), http2));
        // Those that have ended are let go of.
        while connections.try_join_next().is_some() {}
    }
}

/// One connection.
struct Peer {
    number: usize,
    socket: Arc<TcpStream>,
    received: Arc<Mutex<Vec<u8>>>,
    orders: mpsc::UnboundedReceiver<Order>,
    give_order: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
}

impl Peer {
    fn new(socket: TcpStream, number: usize, shared: Arc<Shared>) -> Self {
        socket.set_nodelay(true).unwrap();
        let (give_order, orders) = mpsc::unbounded_channel();
        let received = Arc::new(Mutex::default());
        let connection = Connection { orders: give_order.clone(), received: Arc::clone(&received) };
        shared.connections.lock().unwrap().insert(number, connection);
        shared.advance(|seen| {
            seen.connections += 1;
            seen.open += 1;
        });
        Self { number, socket: Arc::new(socket), received, orders, give_order, shared }
    }

    async fn serve(self, tls: Option<TlsAcceptor>, http2: Option<u32>) {
        let _open = Open(Arc::clone(&self.shared));
        let tap = Tap { socket: Arc::clone(&self.socket), received: Arc::clone(&self.received) };
        let Some(tls) = tls else {
            return self.drive(tap, http2).await;
        };
        // A failed handshake is the peer's business, and what some tests want.
        let Ok(stream) = tls.accept(tap).await else {
            return;
        };
        let http2 = http2.filter(|_| stream.get_ref().1.alpn_protocol() == Some(b"h2"));
        self.drive(stream, http2).await;
    }

    async fn drive<I>(mut self, io: I, http2: Option<u32>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let last = self.run_http(io, http2).await;
        // By now hyper has let go of the socket.
        match last {
            Some(Order::Reset) => {
                SockRef::from(&*self.socket).set_linger(Some(Duration::ZERO)).unwrap();
            }
            Some(Order::Raw(bytes)) => {
                // The peer may turn away in disgust before it has read all of it.
                let _ = write_all(&self.socket, &bytes).await;
                let _ = SockRef::from(&*self.socket).shutdown(Shutdown::Write);
            }
            Some(Order::Finish) | None => {}
        }
    }

    /// Until the connection ends by itself (`None`) or must end in a special way.
    async fn run_http<I>(&mut self, io: I, http2: Option<u32>) -> Option<Order>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(respond::to(self.number, self.give_order.clone(), Arc::clone(&self.shared)));
        let mut builder = Builder::new(TokioExecutor::new());
        if let Some(streams) = http2 {
            builder.http2().max_concurrent_streams(streams);
        }
        let builder = if http2.is_some() { builder.http2_only() } else { builder.http1_only() };
        let mut http = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
        loop {
            tokio::select! {
                _ = http.as_mut() => return None,
                Some(order) = self.orders.recv() => match order {
                    Order::Finish => http.as_mut().graceful_shutdown(),
                    Order::Reset | Order::Raw(_) => return Some(order),
                },
            }
        }
    }
}

/// Counts the connection as open for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.advance(|seen| seen.open -= 1);
    }
}
