//! How often somebody asks for what is not there: who guesses ids makes the store look for each.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use sidegate_core::denial::{Denial, UsedUp};
use sidegate_core::rate::{Rate, RateKey};

use super::local::Local;
use super::neighbourhood;
use crate::store::Whose;

/// So many wrong ones in a minute.
const WRONG: NonZeroU32 = NonZeroU32::new(120).expect("not zero");

/// Wrong guesses of each network of clients, in this process.
#[derive(Debug)]
pub struct Guesses {
    rate: Rate,
    wrong: Local,
}

impl Default for Guesses {
    fn default() -> Self {
        let rate = Rate { count: WRONG, period: Duration::from_secs(60), key: RateKey::Network };
        Self { rate, wrong: Local::new(rate) }
    }
}

impl Guesses {
    /// Refuses a network that has guessed wrong too often.
    ///
    /// # Errors
    /// [`Code::RateLimited`](sidegate_core::denial::Code::RateLimited).
    pub fn may_ask(&self, address: IpAddr) -> Result<(), Denial> {
        let looked = self.wrong.look(Whose::Network(neighbourhood(address)));
        looked.map_err(|wait| Denial::rate_limited(UsedUp::Network, self.rate, wait))
    }

    /// Counts a wrong one.
    pub fn wrong(&self, address: IpAddr) {
        // Over the rate it is over the rate.
        let _ = self.wrong.count(Whose::Network(neighbourhood(address)));
    }

    /// Forgets who is at rest.
    pub fn sweep(&self) {
        self.wrong.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_guesses_wrong_too_often_is_refused_and_others_are_not() {
        let (guesses, address) = (Guesses::default(), "203.0.113.7".parse().expect("an address"));
        for _ in 0..WRONG.get() {
            assert!(guesses.may_ask(address).is_ok());
            guesses.wrong(address);
        }
        assert!(guesses.may_ask("203.0.113.99".parse().expect("an address")).is_err(), "of the same network");
        assert!(guesses.may_ask("203.0.114.7".parse().expect("an address")).is_ok());
        guesses.sweep();
        assert!(guesses.may_ask(address).is_err());
    }
}
