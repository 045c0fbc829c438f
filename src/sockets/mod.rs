//! The sockets that the program listens on, and who accepts on them.

mod inherited;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::inherited::Inherited;
use crate::app::StartError;
use crate::config::ListenSettings;
use crate::control::handover::Handles;
use crate::control::{self, Asks, ControlSocket, Place};
use crate::http::{Acceptor, Readiness, ops_router, serve_ops};
use crate::metrics::Listener;
use crate::worker::Worker;

/// Where the program listens, once bound.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For browsers.
    pub public: SocketAddr,
    /// For the customer's servers.
    pub private: SocketAddr,
    /// For the platform.
    pub ops: SocketAddr,
}

/// Bound, and not yet accepted on.
pub struct Sockets {
    public: Arc<TcpListener>,
    private: Arc<TcpListener>,
    ops: Arc<TcpListener>,
    control: Option<ControlSocket>,
}

/// Accepted on by tasks of the control runtime.
#[derive(Default)]
pub struct Accepting {
    /// Deal connections to the workers until draining begins.
    acceptors: Vec<JoinHandle<()>>,
    /// Serve the ops listener and the control socket until they are aborted.
    servers: Vec<JoinHandle<()>>,
}

impl Sockets {
    /// Binds all that are not inherited.
    ///
    /// # Errors
    /// The first that cannot be bound, by its setting.
    pub async fn bind(listen: &ListenSettings, inherited: Inherited) -> Result<Self, StartError> {
        let Inherited { public, private, ops, control } = inherited;
        let control = match (&listen.control, control) {
            (Some(path), Some(listener)) => Some(ControlSocket::inherit(listener, path)?),
            (Some(path), None) => Some(ControlSocket::bind(path).await?),
            (None, _) => None,
        };
        Ok(Self {
            public: listener("public", listen.public, public)?,
            private: listener("private", listen.private, private)?,
            ops: listener("ops", listen.ops, ops)?,
            control,
        })
    }

    /// Where they are.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn addresses(&self) -> Result<Addresses, StartError> {
        let of = |socket: &TcpListener| socket.local_addr().map_err(|fault| fault.to_string());
        Ok(Addresses { public: of(&self.public)?, private: of(&self.private)?, ops: of(&self.ops)? })
    }

    /// Starts the acceptors of the workers' listeners, the ops server, and what listens for commands: those
    /// come by `Asks`, as long as `Place` is there.
    #[must_use]
    pub fn accept(
        mut self,
        workers: &[Worker],
        readiness: &Arc<Readiness>,
        drained: &watch::Receiver<bool>,
    ) -> (Accepting, Asks, Option<Place>) {
        let (control, asks, place) = self.take_commands();
        let gate = readiness.gates.load();
        let listen = &gate.listen;
        let acceptor = |socket, listener| Acceptor {
            socket,
            listener,
            workers: workers.iter().map(|worker| worker.inbox.clone()).collect(),
            max_connections: listen.max_connections,
        };
        let public = acceptor(self.public, Listener::Public).run(drained.clone());
        let private = acceptor(self.private, Listener::Private).run(drained.clone());
        let ops = serve_ops(self.ops, ops_router(Arc::clone(readiness)), listen.head_timeout, listen.write_timeout);
        let acceptors = vec![tokio::spawn(public), tokio::spawn(private)];
        let servers = control.into_iter().chain([tokio::spawn(ops)]).collect();
        (Accepting { acceptors, servers }, asks, place)
    }

    /// Listens for commands, if there is a socket for them.
    fn take_commands(&mut self) -> (Option<JoinHandle<()>>, Asks, Option<Place>) {
        let Some(ControlSocket { listener, mut place }) = self.control.take() else { return Default::default() };
        place.take();
        let (sender, asks) = Asks::new();
        let listeners = [("public", &self.public), ("private", &self.private), ("ops", &self.ops)];
        let handles = Handles {
            listeners: listeners.map(|(name, listener)| (name, Arc::downgrade(listener))),
            control: Arc::downgrade(&listener),
        };
        (Some(tokio::spawn(control::serve(listener, &place, sender, handles))), asks, Some(place))
    }
}

impl Accepting {
    /// Waits until nothing more is accepted from clients, which draining ends. Ops and commands go on.
    pub async fn finish(&mut self) {
        for acceptor in self.acceptors.drain(..) {
            // One that has panicked does not accept either.
            let _ = acceptor.await;
        }
    }

    /// Has nobody accept any more here, and closes the sockets. Connections that are there go on.
    pub async fn end(&mut self) {
        self.finish().await;
        for server in self.servers.drain(..) {
            server.abort();
            let _ = server.await;
        }
    }
}

fn listener(
    name: &str,
    address: SocketAddr,
    inherited: Option<std::net::TcpListener>,
) -> Result<Arc<TcpListener>, StartError> {
    let Some(inherited) = inherited else {
        let fault = |fault: std::io::Error| format!("cannot listen on {address} (listen.{name}): {fault}");
        return Ok(crate::socket::listen(address).map(Arc::new).map_err(fault)?);
    };
    let fault =
        |fault: std::io::Error| format!("cannot listen on the socket that is handed over (listen.{name}): {fault}");
    inherited.set_nonblocking(true).map_err(fault)?;
    Ok(TcpListener::from_std(inherited).map(Arc::new).map_err(fault)?)
}
