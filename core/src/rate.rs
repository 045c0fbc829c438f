//! Rates as the config writes them: `60/m per end_user`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// What a limit counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// One counter for the whole app.
    App,
    /// One counter for each end user of the app.
    EndUser,
    /// One counter for each client address (an IPv6 address counts by its /64).
    Address,
}

/// So many in a period, counted by a key. The whole count may come at once (a burst), and is
/// given back evenly over the period (GCRA).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub period: Duration,
    /// Counted by what.
    pub key: RateKey,
}

/// Why a text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRate;

impl fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be COUNT/s, COUNT/m or COUNT/h, and may go on with `per app`, `per end_user` or `per address`",
        )
    }
}

impl std::error::Error for InvalidRate {}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (amount, key) = match text.split_once(" per ") {
            None => (text, RateKey::App),
            Some((amount, "app")) => (amount, RateKey::App),
            Some((amount, "end_user")) => (amount, RateKey::EndUser),
            Some((amount, "address")) => (amount, RateKey::Address),
            Some(_) => return Err(InvalidRate),
        };
        let (count, unit) = amount.split_once('/').ok_or(InvalidRate)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(InvalidRate),
        };
        let count = count.parse().map_err(|_| InvalidRate)?;
        Ok(Self { count, period: Duration::from_secs(seconds), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_count_period_and_key() {
        let rate: Rate = "60/m per end_user".parse().expect("a rate");
        assert_eq!(rate.count.get(), 60);
        assert_eq!(rate.period, Duration::from_secs(60));
        assert_eq!(rate.key, RateKey::EndUser);
        assert_eq!("50/s".parse::<Rate>().map(|rate| rate.key), Ok(RateKey::App));
    }

    #[test]
    fn refuses_what_it_cannot_count() {
        for bad in ["", "0/s", "1/d", "1", "/s", "-1/s", "1/s per", "1/s per moon", "4294967296/s"] {
            assert_eq!(bad.parse::<Rate>(), Err(InvalidRate), "{bad}");
        }
    }
}
