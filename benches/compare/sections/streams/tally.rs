//! What upstream and clients count together; they share one thread and one clock.

use super::wire::{Stamp, since_ns};
use crate::Result;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// An event that takes longer is an error, not a delay.
const LATE: Duration = Duration::from_secs(1);

/// Counters of one proxy's run.
pub(super) struct Tally {
    clock: Instant,
    /// Stamped events, written by the upstream and read by clients.
    sent: Cell<u64>,
    received: Cell<u64>,
    delays_us: RefCell<Vec<f64>>,
    /// The first thing that went wrong; it voids the run.
    failure: RefCell<Option<String>>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            clock: Instant::now(),
            sent: Cell::default(),
            received: Cell::default(),
            delays_us: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// The stamp of an event that is about to be written.
    pub(super) fn stamp(&self, number: u32) -> Result<Stamp> {
        self.sent.set(self.sent.get() + 1);
        Ok(Stamp { number, at_ns: since_ns(self.clock)? })
    }

    /// Counts an event that a client has read.
    pub(super) fn arrived(&self, stamp: Stamp) -> Result<()> {
        let delay = Duration::from_nanos(since_ns(self.clock)?.saturating_sub(stamp.at_ns));
        if delay > LATE {
            return Err(format!("an event took {delay:?}").into());
        }
        self.received.set(self.received.get() + 1);
        self.delays_us.borrow_mut().push(delay.as_secs_f64() * 1e6);
        Ok(())
    }

    /// Events that are still on their way.
    pub(super) fn missing(&self) -> u64 {
        self.sent.get() - self.received.get()
    }

    /// Sorted delays since the last call.
    pub(super) fn take_delays_us(&self) -> Vec<f64> {
        let mut delays = self.delays_us.take();
        delays.sort_by(f64::total_cmp);
        delays
    }

    /// Keeps the first failure.
    pub(super) fn fail(&self, failure: String) {
        self.failure.borrow_mut().get_or_insert(failure);
    }

    /// The first failure, if there was one.
    pub(super) fn check(&self) -> Result<()> {
        self.failure.borrow().as_ref().map_or(Ok(()), |failure| Err(failure.clone().into()))
    }
}
