//! Sessions that were closed lately, in this process: their open streams end. Elsewhere they end with their own upstreams.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sidegate_core::id::SessionDigest;

/// How many are remembered. They are looked at a few times a second.
const KEPT: usize = 1_024;

/// Sessions that were closed lately.
#[derive(Debug, Default)]
pub struct Closings {
    count: AtomicU64,
    lately: Mutex<VecDeque<SessionDigest>>,
}

impl Closings {
    /// One more.
    pub fn add(&self, session: SessionDigest) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.len() == KEPT {
            lately.pop_front();
        }
        lately.push_back(session);
        drop(lately);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, session: &SessionDigest) -> bool {
        self.count() > 0 && self.lately.lock().unwrap_or_else(PoisonError::into_inner).contains(session)
    }

    /// How many there have been.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }
}
