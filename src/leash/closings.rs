//! Sessions that were closed lately, here, on another replica or by a gate that takes over: their open streams end.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use sidegate_core::id::SessionDigest;

use crate::follow::INTERVAL;
use crate::gate::Lasting;
use crate::store::{CLOSED_KEPT, Mark};

/// Sessions that were closed lately.
#[derive(Debug, Default)]
pub struct Closings(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    closed: HashSet<SessionDigest>,
    /// The oldest comes first.
    in_turn: VecDeque<SessionDigest>,
}

impl Closings {
    /// One more; whether it was not known yet. Streams are to be asked for it as soon as there is one: only the latest
    /// [`CLOSED_KEPT`] are remembered.
    pub fn add(&self, session: SessionDigest) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !lately.closed.insert(session.clone()) {
            return false;
        }
        lately.in_turn.push_back(session);
        if lately.in_turn.len() > CLOSED_KEPT
            && let Some(oldest) = lately.in_turn.pop_front()
        {
            lately.closed.remove(&oldest);
        }
        true
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, session: &SessionDigest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed.contains(session)
    }
}

/// Hears of sessions that others have closed, until the task is aborted. What is not heard of while the store is
/// silent is heard of afterwards.
pub async fn follow_closings(lasting: Arc<Lasting>) {
    let mut mark = Mark::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Ok(closed) = lasting.store.closed_since(mark).await else { continue };
        mark = closed.mark;
        let unknown = closed.sessions.into_iter().filter(|session| lasting.closings.add(session.clone())).count();
        if unknown > 0 {
            lasting.changes.tell();
        }
    }
}
