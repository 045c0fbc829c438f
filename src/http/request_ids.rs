//! Request ids.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};

/// The field that carries them, to the upstream and back to the caller.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Request ids of one worker: 64 bits in hexadecimal, unique in the worker, spread so that they say
/// nothing of how many came before.
#[derive(Debug)]
pub(super) struct RequestIds(AtomicU64);

impl RequestIds {
    /// Ids that begin at a random `seed`.
    #[must_use]
    pub(super) const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next id: a counter through the finaliser of SplitMix64, which is a bijection.
    pub(super) fn next(&self) -> HeaderValue {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let id = sidegate_core::entropy::hex(&(mixed ^ (mixed >> 31)).to_be_bytes());
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ() {
        let ids = RequestIds::new(u64::MAX);
        let seen: std::collections::HashSet<_> = (0..1_000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 1_000);
    }
}
