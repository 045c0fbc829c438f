//! Counters in this process (GCRA, by the `governor` crate).

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::{Quota, RateLimiter};
use sidegate_core::rate::Rate;

use crate::store::Whose;

/// The most keys that one limit counts at once. Past it all keys share one counter until the next
/// sweep finds fewer: memory stays bounded and the limit still holds for all of them together.
const MAX_KEYS: usize = 1_000_000;

/// The counters of one rate.
#[derive(Debug)]
pub(super) struct Local {
    /// Keyed at random, so that nobody can choose end users that collide.
    hasher: RandomState,
    counters: RateLimiter<Asked, Store, MonotonicClock, StateInformationMiddleware>,
    /// Whether there were too many keys at the last sweep: to count them takes every lock.
    crowded: AtomicBool,
}

/// What is asked of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    key: u64,
    /// Whether the request is counted, not only held against the counter.
    counts: bool,
}

/// The counters' states. `governor` has no way to look at a counter without counting.
#[derive(Debug, Default)]
struct Store(DashMapStateStore<u64>);

impl StateStore for Store {
    type Key = Asked;

    fn measure_and_replace<T, F, E>(&self, asked: &Asked, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if asked.counts {
            return self.0.measure_and_replace(&asked.key, measure);
        }
        // What is an error replaces nothing.
        let Err(measured) = self.0.measure_and_replace(&asked.key, |now| Err::<(Infallible, Nanos), _>(measure(now)));
        measured.map(|(outcome, _)| outcome)
    }
}

impl ShrinkableKeyedStateStore<Asked> for Store {
    fn retain_recent(&self, drop_below: Nanos) {
        ShrinkableKeyedStateStore::retain_recent(&self.0, drop_below);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Local {
    pub(super) fn new(rate: Rate) -> Self {
        let quota = Quota::with_period(rate.interval())
            .map_or_else(|| Quota::per_second(rate.count), |quota| quota.allow_burst(rate.count));
        let counters = RateLimiter::new(quota, Store::default(), MonotonicClock);
        Self { hasher: RandomState::new(), counters, crowded: AtomicBool::new(false) }
    }

    /// Counts a request, and says how many more it takes now; how long to wait if it is over the rate, and then it
    /// is not counted.
    pub(super) fn count(&self, whose: Whose<'_>) -> Result<u32, Duration> {
        self.ask(Asked { key: self.key(whose), counts: true }).map(|after| after.remaining_burst_capacity())
    }

    /// Whether a request would be counted.
    pub(super) fn look(&self, whose: Whose<'_>) -> Result<(), Duration> {
        self.ask(Asked { key: self.key(whose), counts: false }).map(drop)
    }

    fn ask(&self, asked: Asked) -> Result<StateSnapshot, Duration> {
        self.counters.check_key(&asked).map_err(|not_until| not_until.wait_time_from(MonotonicClock.now()))
    }

    fn key(&self, whose: Whose<'_>) -> u64 {
        match whose {
            Whose::App => 0,
            _ if self.crowded.load(Ordering::Relaxed) => 0,
            Whose::Session(session) => self.hasher.hash_one(session),
            Whose::EndUser(end_user) => self.hasher.hash_one(end_user.as_str()),
            Whose::Route(route) => self.hasher.hash_one(route),
            Whose::Workflow(workflow) => self.hasher.hash_one(workflow.as_str()),
            Whose::Network(address) => self.hasher.hash_one(address),
        }
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
        assert_eq!(counters.count(Whose::EndUser(&ada)), Ok(1));
        assert_eq!(counters.count(Whose::EndUser(&ada)), Ok(0));
        let wait = counters.count(Whose::EndUser(&ada)).expect_err("over the limit");
        assert!(wait > Duration::from_secs(1_000));
        assert!(counters.count(Whose::EndUser(&grace)).is_ok(), "another end user has a counter of their own");
    }

    #[test]
    fn a_look_counts_nothing_and_sees_what_was_counted() {
        let counters = Local::new("1/h".parse().expect("a rate"));
        for _ in 0..3 {
            assert_eq!(counters.look(Whose::App), Ok(()));
        }
        assert_eq!(counters.count(Whose::App), Ok(0));
        assert!(counters.look(Whose::App).is_err_and(|wait| wait > Duration::from_secs(3_000)));
        counters.sweep();
        assert!(counters.look(Whose::App).is_err(), "a sweep forgets only what is at rest");
    }
}
