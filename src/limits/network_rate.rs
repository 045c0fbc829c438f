//! How often somebody asks for what costs, and needs no token for it: ids that are not there, for each of which the store looks;
//! files that are not kept.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use sidegate_core::denial::{Denial, UsedUp};
use sidegate_core::rate::{Rate, RateKey};

use super::local::Local;
use super::neighbourhood;
use crate::store::Whose;

/// So many in a minute.
const MOST: NonZeroU32 = NonZeroU32::new(120).expect("not zero");

/// How often each network of clients has asked, in this process.
#[derive(Debug)]
pub struct NetworkRate {
    rate: Rate,
    counts: Local,
}

impl Default for NetworkRate {
    fn default() -> Self {
        let rate = Rate { count: MOST, period: Duration::from_secs(60), key: RateKey::Network };
        Self { rate, counts: Local::new(rate) }
    }
}

impl NetworkRate {
    /// Refuses a network that has asked too often.
    ///
    /// # Errors
    /// [`Code::RateLimited`](sidegate_core::denial::Code::RateLimited).
    pub fn may_ask(&self, address: IpAddr) -> Result<(), Denial> {
        let looked = self.counts.look(Whose::Network(neighbourhood(address)));
        looked.map_err(|wait| Denial::rate_limited(UsedUp::Network, self.rate, wait))
    }

    /// Counts one.
    pub fn count(&self, address: IpAddr) {
        // Over the rate it is over the rate.
        let _ = self.counts.count(Whose::Network(neighbourhood(address)));
    }

    /// Forgets who is at rest.
    pub fn sweep(&self) {
        self.counts.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_asks_too_often_is_refused_and_others_are_not() {
        let (rate, address) = (NetworkRate::default(), "203.0.113.7".parse().expect("an address"));
        for _ in 0..MOST.get() {
            assert!(rate.may_ask(address).is_ok());
            rate.count(address);
        }
        assert!(rate.may_ask("203.0.113.99".parse().expect("an address")).is_err(), "of the same network");
        assert!(rate.may_ask("203.0.114.7".parse().expect("an address")).is_ok());
        rate.sweep();
        assert!(rate.may_ask(address).is_err());
    }
}
