//! Whether something works, as last seen; each change is logged once.

use std::sync::atomic::{AtomicBool, Ordering};

/// One thing that may fail.
#[derive(Debug)]
pub(super) struct Health {
    /// What it is: "store" or "registry".
    of: &'static str,
    /// What becomes of it: "read" or "written".
    what: &'static str,
    failing: AtomicBool,
}

impl Health {
    pub(super) const fn new(of: &'static str, what: &'static str) -> Self {
        Self { of, what, failing: AtomicBool::new(false) }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self, fault: &dyn std::fmt::Display) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(error = %fault, "the {} cannot be {}; what needs it is refused", self.of, self.what);
        }
    }

    pub(super) fn worked(&self) {
        if self.is_failing() && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the {} can be {} again", self.of, self.what);
        }
    }
}
