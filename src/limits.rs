//! Rates, counted in this process (GCRA, by the `governor` crate).

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::{Quota, RateLimiter};
use sidegate_core::app::AppLimits;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::EndUserId;
use sidegate_core::rate::{Rate, RateKey};

type Keyed = RateLimiter<u64, governor::state::keyed::DashMapStateStore<u64>, MonotonicClock>;

/// The most keys that one limit counts at once. Past it all keys share one counter until the next
/// sweep finds fewer: memory stays bounded and the limit still holds for all of them together.
const MAX_KEYS: usize = 1_000_000;

/// An app's limits, with their counters.
#[derive(Debug)]
pub struct Limits {
    exchange: Option<Limit>,
    chat: Option<Limit>,
}

/// Who is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// The end user.
    pub end_user: &'a EndUserId,
}

impl Limits {
    /// Fresh counters for an app's rates.
    #[must_use]
    pub fn new(limits: &AppLimits) -> Self {
        Self { exchange: limits.exchange.map(Limit::new), chat: limits.chat.map(Limit::new) }
    }

    /// Counts an exchange.
    ///
    /// # Errors
    /// [`Code::RateLimited`], with the time until the next one.
    pub fn exchange(&self, counted: Counted<'_>) -> Result<(), Denial> {
        self.exchange.as_ref().map_or(Ok(()), |limit| limit.check(counted))
    }

    /// Counts an admitted chat request.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub fn chat(&self, counted: Counted<'_>) -> Result<(), Denial> {
        self.chat.as_ref().map_or(Ok(()), |limit| limit.check(counted))
    }

    /// Forgets keys that are at rest.
    pub fn sweep(&self) {
        for limit in [&self.exchange, &self.chat].into_iter().flatten() {
            limit.counters.retain_recent();
            limit.crowded.store(limit.counters.len() >= MAX_KEYS, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct Limit {
    key: RateKey,
    /// Keyed at random, so that nobody can choose end users that collide.
    hasher: RandomState,
    counters: Keyed,
    /// Whether there were too many keys at the last sweep: to count them takes every lock.
    crowded: AtomicBool,
}

impl Limit {
    fn new(rate: Rate) -> Self {
        let interval = (rate.period / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(interval)
            .map_or_else(|| Quota::per_second(rate.count), |quota| quota.allow_burst(rate.count));
        let counters = RateLimiter::dashmap_with_clock(quota, MonotonicClock);
        Self { key: rate.key, hasher: RandomState::new(), counters, crowded: AtomicBool::new(false) }
    }

    fn check(&self, counted: Counted<'_>) -> Result<(), Denial> {
        let key = match self.key {
            RateKey::App => 0,
            _ if self.crowded.load(Ordering::Relaxed) => 0,
            RateKey::EndUser => self.hasher.hash_one(counted.end_user.as_str()),
            RateKey::Address => self.hasher.hash_one(network(counted.address)),
        };
        self.counters
            .check_key(&key)
            .map_err(|not_until| Denial::retry(Code::RateLimited, not_until.wait_time_from(MonotonicClock.now())))
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, within which a
/// client picks addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => (address.to_bits() & !u128::from(u64::MAX)).to_be_bytes().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(chat: &str) -> Limits {
        Limits::new(&AppLimits { exchange: None, chat: Some(chat.parse().expect("a rate")) })
    }

    fn counted<'a>(address: &str, end_user: &'a EndUserId) -> Counted<'a> {
        Counted { address: address.parse().expect("an address"), end_user }
    }

    #[test]
    fn a_burst_passes_and_the_next_waits() {
        let (ada, grace) = ("ada".parse().expect("id"), "grace".parse().expect("id"));
        let limits = limits("2/h per end_user");
        assert!(limits.chat(counted("::1", &ada)).is_ok());
        assert!(limits.chat(counted("::1", &ada)).is_ok());
        let denial = limits.chat(counted("::1", &ada)).expect_err("over the limit");
        assert_eq!(denial.code, Code::RateLimited);
        assert!(denial.retry_after.is_some_and(|wait| wait > Duration::from_secs(1_000)));
        assert!(limits.chat(counted("::1", &grace)).is_ok(), "another end user has a counter of their own");
    }

    #[test]
    fn ipv6_counts_by_network_and_mapped_ipv4_as_ipv4() {
        let ada = "ada".parse().expect("id");
        let limits = limits("1/h per address");
        assert!(limits.chat(counted("2001:db8:0:1::1", &ada)).is_ok());
        assert!(limits.chat(counted("2001:db8:0:1::2", &ada)).is_err());
        assert!(limits.chat(counted("2001:db8:0:2::1", &ada)).is_ok());
        assert!(limits.chat(counted("192.0.2.1", &ada)).is_ok());
        assert!(limits.chat(counted("::ffff:192.0.2.1", &ada)).is_err());
    }
}
