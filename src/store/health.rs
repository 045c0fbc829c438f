//! Whether something works, as last seen; each change is logged once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One thing that may fail.
#[derive(Debug)]
pub(super) struct Health {
    /// What it is: "store" or "registry".
    of: &'static str,
    /// What becomes of it: "read" or "written".
    what: &'static str,
    failing: AtomicBool,
    /// How often it has worked again.
    recoveries: AtomicU64,
}

impl Health {
    pub(super) const fn new(of: &'static str, what: &'static str) -> Self {
        Self { of, what, failing: AtomicBool::new(false), recoveries: AtomicU64::new(0) }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self, fault: &dyn std::fmt::Display) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(error = %fault, "the {} cannot be {}; what needs it is refused", self.of, self.what);
        }
    }

    /// How often it has worked again, for whoever begins to ask.
    pub(super) fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::Relaxed)
    }

    /// A call failed that began when it had worked again so often: if it has since, that says nothing new.
    pub(super) fn failed_since(&self, recoveries: u64, fault: &dyn std::fmt::Display) {
        if self.recoveries() == recoveries {
            self.failed(fault);
        }
    }

    pub(super) fn worked(&self) {
        if self.is_failing() && self.failing.swap(false, Ordering::Relaxed) {
            self.recoveries.fetch_add(1, Ordering::Relaxed);
            tracing::info!("the {} can be {} again", self.of, self.what);
        }
    }
}
