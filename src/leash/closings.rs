//! Sessions that were closed lately, in this process: their open streams end. Elsewhere they end with their own upstreams.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use sidegate_core::id::SessionDigest;

/// How many are remembered. Streams are asked for them as soon as there is one more.
const KEPT: usize = 1_024;

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
    /// One more.
    pub fn add(&self, session: SessionDigest) {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !lately.closed.insert(session.clone()) {
            return;
        }
        lately.in_turn.push_back(session);
        if lately.in_turn.len() > KEPT
            && let Some(oldest) = lately.in_turn.pop_front()
        {
            lately.closed.remove(&oldest);
        }
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, session: &SessionDigest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed.contains(session)
    }
}
