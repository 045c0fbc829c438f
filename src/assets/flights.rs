//! Fetches under way, so that all who want a file wait for one request, whichever worker sends it.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::keep::Key;
use super::{MAX_FLIGHTS, Stored};
use crate::forward::Failure;
use crate::metrics::AssetResult;

/// What a fetch brought.
#[derive(Clone)]
pub(super) enum Landed {
    /// For everybody who wants it.
    Asset(Arc<Stored>, AssetResult),
    /// For one of them: it may not be kept, so not be shared.
    Single(Arc<Mutex<Option<Arc<Stored>>>>),
    /// There is no such file.
    Missing,
    /// The CDN failed, and nothing stands in.
    Failed(Failure),
}

/// A fetch that somebody waits for; `None` until it has landed.
pub(super) type Flight = watch::Receiver<Option<Landed>>;

/// All of them.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Flight>>);

/// What boarding led to.
pub(super) enum Boarded {
    /// One was under way.
    Joined(Flight),
    /// There was none: whoever asked is to fetch.
    First(Flight, Takeoff),
    /// What is kept has changed meanwhile.
    Changed,
    /// There are too many.
    Full,
}

/// The right, and the duty, to land a flight. Dropped without, its waiters see to it themselves.
pub(super) struct Takeoff {
    flights: Arc<Flights>,
    key: Key,
    landed: watch::Sender<Option<Landed>>,
}

impl Flights {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the fetch of a key, or begins it if `unchanged` still holds: one that landed a moment ago
    /// was first kept, then taken off the list.
    pub(super) fn board(self: &Arc<Self>, key: Key, unchanged: impl FnOnce() -> bool) -> Boarded {
        let mut all = self.all();
        let full = all.len() >= MAX_FLIGHTS;
        match all.entry(key) {
            Slot::Occupied(flight) => Boarded::Joined(flight.get().clone()),
            Slot::Vacant(_) if !unchanged() => Boarded::Changed,
            Slot::Vacant(_) if full => Boarded::Full,
            Slot::Vacant(free) => {
                let (landed, flight) = watch::channel(None);
                let takeoff = Takeoff { flights: Arc::clone(self), key: free.key().clone(), landed };
                free.insert(flight.clone());
                Boarded::First(flight, takeoff)
            }
        }
    }
}

impl Takeoff {
    /// Tells all who wait.
    pub(super) fn land(self, landed: Landed) {
        self.landed.send_replace(Some(landed));
    }
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        self.flights.all().remove(&self.key);
    }
}

/// Waits for a flight; `None` if its worker ended before it landed.
pub(super) async fn landing(mut flight: Flight) -> Option<Landed> {
    flight.wait_for(Option::is_some).await.ok()?.clone()
}
