//! A worker's services, by the gate of now: each request begins by taking them, so a reload holds from the next request
//! on, on every connection, and what is under way goes on with what it took.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::Cache;

use super::service::{Common, Service};
use super::{Peer, Private, Public};
use crate::gate::{Gate, Gates};
use crate::metrics::Metrics;

/// What a worker serves with.
pub struct Services {
    /// What they share.
    pub common: Rc<Common>,
    /// For browsers.
    pub public: Rc<Public>,
    /// For the customer's servers.
    pub private: Rc<Private>,
}

impl Services {
    fn of(common: Common) -> Rc<Self> {
        let common = Rc::new(common);
        let (public, private) = (Public::new(Rc::clone(&common)), Private::new(Rc::clone(&common)));
        Rc::new(Self { common, public: Rc::new(public), private: Rc::new(private) })
    }

    /// The gate that they are of.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.common.gate
    }
}

/// Those of now.
pub struct Serving {
    /// Tells by one relaxed load whether there is another gate.
    gates: RefCell<Cache<Gates, Arc<Gate>>>,
    services: RefCell<Rc<Services>>,
}

impl Serving {
    /// What one of `workers` begins with; its request ids at `seed`.
    #[must_use]
    pub fn new(gates: Gates, metrics: Arc<Metrics>, seed: u64, workers: usize) -> Self {
        let services = Services::of(Common::new(&gates, metrics, seed, workers));
        Self { gates: RefCell::new(Cache::new(gates)), services: RefCell::new(services) }
    }

    /// The services of now.
    #[must_use]
    pub fn now(&self) -> Rc<Services> {
        let mut gates = self.gates.borrow_mut();
        let gate = gates.load();
        let mut services = self.services.borrow_mut();
        if !Arc::ptr_eq(gate, services.gate()) {
            *services = Services::of(services.common.renewed(Arc::clone(gate)));
        }
        Rc::clone(&services)
    }
}

/// What serves one connection.
pub struct Seat {
    serving: Rc<Serving>,
    address: IpAddr,
    secure: bool,
    /// Whether there was no room for it.
    crowded: bool,
    /// Of the gate that sees the peer as it stands here.
    generation: Cell<u64>,
    peer: RefCell<Rc<Peer>>,
}

impl Seat {
    /// For a connection from `address`, with TLS or without; `crowded` if it is only to be told that there is no room.
    #[must_use]
    pub fn new(serving: Rc<Serving>, (address, secure): (IpAddr, bool), crowded: bool) -> Self {
        let services = serving.now();
        let peer = Rc::new(Peer::new(services.gate(), address, secure, crowded));
        let generation = Cell::new(services.gate().generation);
        Self { serving, address, secure, crowded, generation, peer: RefCell::new(peer) }
    }

    /// What answers its next request, and who sends that: whether a proxy is trusted is of the configuration.
    #[must_use]
    pub fn take<S: Service>(&self) -> (Rc<S>, Rc<Peer>) {
        let services = self.serving.now();
        let gate = services.gate();
        if self.generation.replace(gate.generation) != gate.generation {
            self.peer.replace(Rc::new(Peer::new(gate, self.address, self.secure, self.crowded)));
        }
        (Rc::clone(S::of(&services)), Rc::clone(&self.peer.borrow()))
    }

    /// Whether the peer is a trusted proxy.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.peer.borrow().trusted
    }
}
