//! The operating system's clock and randomness: the one place that touches either.

use std::time::{SystemTime, UNIX_EPOCH};

use sidegate_core::clock::{Clock, Timestamp};
use sidegate_core::entropy::{Entropy, EntropyUnavailable};

/// The real clock and the real randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is where Timestamps come from")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Entropy for System {
    #[expect(clippy::disallowed_methods, reason = "this is where randomness comes from")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| EntropyUnavailable)
    }
}
