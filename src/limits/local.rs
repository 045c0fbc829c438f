//! Counters in this process (GCRA, by the `governor` crate).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::{Quota, RateLimiter};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::rate::Rate;

use crate::store::Whose;

type Keyed = RateLimiter<u64, governor::state::keyed::DashMapStateStore<u64>, MonotonicClock>;

/// The most keys that one limit counts at once. Past it all keys share one counter until the next
/// sweep finds fewer: memory stays bounded and the limit still holds for all of them together.
const MAX_KEYS: usize = 1_000_000;

/// The counters of one limit.
#[derive(Debug)]
pub(super) struct Local {
    /// Keyed at random, so that nobody can choose end users that collide.
    hasher: RandomState,
    counters: Keyed,
    /// Whether there were too many keys at the last sweep: to count them takes every lock.
    crowded: AtomicBool,
}

impl Local {
    pub(super) fn new(rate: Rate) -> Self {
        let interval = (rate.period / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(interval)
            .map_or_else(|| Quota::per_second(rate.count), |quota| quota.allow_burst(rate.count));
        let counters = RateLimiter::dashmap_with_clock(quota, MonotonicClock);
        Self { hasher: RandomState::new(), counters, crowded: AtomicBool::new(false) }
    }

    pub(super) fn check(&self, whose: Whose<'_>) -> Result<(), Denial> {
        let key = match whose {
            Whose::App => 0,
            _ if self.crowded.load(Ordering::Relaxed) => 0,
            Whose::EndUser(end_user) => self.hasher.hash_one(end_user.as_str()),
            Whose::Network(address) => self.hasher.hash_one(address),
        };
        self.counters
            .check_key(&key)
            .map_err(|not_until| Denial::retry(Code::RateLimited, not_until.wait_time_from(MonotonicClock.now())))
    }

    pub(super) fn sweep(&self) {
        self.counters.retain_recent();
        self.crowded.store(self.counters.len() >= MAX_KEYS, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_next_waits() {
        let (ada, grace) = ("ada".parse().expect("id"), "grace".parse().expect("id"));
        let counters = Local::new("2/h per end_user".parse().expect("a rate"));
        assert!(counters.check(Whose::EndUser(&ada)).is_ok());
        assert!(counters.check(Whose::EndUser(&ada)).is_ok());
        let denial = counters.check(Whose::EndUser(&ada)).expect_err("over the limit");
        assert_eq!(denial.code, Code::RateLimited);
        assert!(denial.retry_after.is_some_and(|wait| wait > Duration::from_secs(1_000)));
        assert!(counters.check(Whose::EndUser(&grace)).is_ok(), "another end user has a counter of their own");
    }
}
