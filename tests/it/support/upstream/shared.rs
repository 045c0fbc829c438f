//! What the connections and the test's side have in common.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::{Behaviour, Progress, Recorded, sigmic};

/// Ends the life of one connection in a special way.
pub(super) enum Order {
    /// No new request; closes at once when idle.
    Finish,
    /// TCP reset.
    Reset,
    /// These bytes instead of a response, then close. Plain TCP only.
    Raw(Bytes),
}

/// What can be asked of, and known about, one connection.
pub(super) struct Connection {
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) received: Arc<Mutex<Vec<u8>>>,
}

/// The rules, the most pressing first.
#[derive(Default)]
pub(super) struct Behaviours {
    pub(super) once: HashMap<String, VecDeque<Behaviour>>,
    pub(super) on: HashMap<String, Behaviour>,
    pub(super) always: Option<Behaviour>,
}

/// The whole.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) behaviours: Mutex<Behaviours>,
    pub(super) requests: Mutex<Vec<Recorded>>,
    pub(super) connections: Mutex<BTreeMap<usize, Connection>>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) sigmic: sigmic::Tasks,
}

impl Shared {
    pub(super) fn behaviour(&self, path: &str) -> Behaviour {
        let mut all = self.behaviours.lock().unwrap();
        let once = all.once.get_mut(path).and_then(VecDeque::pop_front);
        let lasting = || all.on.get(path).or(all.always.as_ref()).cloned();
        once.or_else(lasting).unwrap_or_else(Behaviour::sigmic)
    }

    pub(super) fn advance(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }
}
