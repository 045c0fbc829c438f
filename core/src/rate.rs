//! Rates as the config writes them: `60/m per end_user`, and lists of them.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// What a limit counts by, the narrowest first: the order in which rates are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RateKey {
    /// One counter for each client address (an IPv6 address counts by its /64).
    Address,
    /// One counter for each network of clients: an IPv4 one of 24 bits, an IPv6 one of 64.
    Network,
    /// One counter for each session, or token that has an id; without one, for each end user.
    Session,
    /// One counter for each end user of the app.
    EndUser,
    /// One counter for each chat route of the app.
    Route,
    /// One counter for each workflow of the app (Orcheo).
    Workflow,
    /// One counter for the whole app.
    App,
}

impl RateKey {
    /// Every key, in the order in which rates are asked.
    pub const ALL: [Self; 7] =
        [Self::Address, Self::Network, Self::Session, Self::EndUser, Self::Route, Self::Workflow, Self::App];

    /// As the config writes it behind `per`, and policies of `RateLimit-Policy` are called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Network => "network",
            Self::Session => "session",
            Self::EndUser => "end_user",
            Self::Route => "route",
            Self::Workflow => "workflow",
            Self::App => "app",
        }
    }
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

impl Rate {
    /// How long it takes until one is given back.
    #[must_use]
    pub fn interval(&self) -> Duration {
        (self.period / self.count.get()).max(Duration::from_nanos(1))
    }
}

/// Why a text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRate;

impl fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be COUNT/s, COUNT/m or COUNT/h, and may go on with `per app`, `per workflow`, `per route`, \
             `per end_user`, `per session`, `per network` or `per address`",
        )
    }
}

impl std::error::Error for InvalidRate {}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (amount, key) = match text.split_once(" per ") {
            None => (text, RateKey::App),
            Some((amount, name)) => {
                let key = RateKey::ALL.into_iter().find(|key| key.name() == name);
                (amount, key.ok_or(InvalidRate)?)
            }
        };
        let (count, unit) = amount.split_once('/').ok_or(InvalidRate)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(InvalidRate),
        };
        // The standard library takes a plus sign, too.
        let digits = Some(count).filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()));
        let count = digits.ok_or(InvalidRate)?.parse().map_err(|_| InvalidRate)?;
        Ok(Self { count, period: Duration::from_secs(seconds), key })
    }
}

/// Rates that all count the same requests, in the order of their keys. There is no key twice, so there are
/// seven at most; none is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(Vec<Rate>);

/// Two rates of one list count by the same key: the one would never be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTwice;

impl fmt::Display for KeyTwice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two of the rates count by the same key")
    }
}

impl std::error::Error for KeyTwice {}

impl Rates {
    /// These rates, in whatever order.
    ///
    /// # Errors
    /// [`KeyTwice`].
    pub fn new(mut list: Vec<Rate>) -> Result<Self, KeyTwice> {
        list.sort_by_key(|rate| rate.key);
        if list.windows(2).any(|pair| pair[0].key == pair[1].key) { Err(KeyTwice) } else { Ok(Self(list)) }
    }

    /// The rates, the narrowest key first.
    #[must_use]
    pub fn all(&self) -> &[Rate] {
        &self.0
    }

    /// Whether one of them counts by `key`.
    #[must_use]
    pub fn count_by(&self, key: RateKey) -> bool {
        self.0.iter().any(|rate| rate.key == key)
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
        for (text, key) in [
            ("50/s", RateKey::App),
            ("50/s per app", RateKey::App),
            ("50/s per workflow", RateKey::Workflow),
            ("50/s per address", RateKey::Address),
            ("50/s per network", RateKey::Network),
            ("50/s per session", RateKey::Session),
            ("50/s per route", RateKey::Route),
        ] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.key), Ok(key), "{text}");
        }
    }

    #[test]
    fn the_order_of_keys_is_that_of_their_list() {
        assert!(RateKey::ALL.is_sorted());
        assert!(RateKey::ALL.iter().all(|key| format!("1/s per {}", key.name()).parse()
            == Ok(Rate { count: NonZeroU32::MIN, period: Duration::from_secs(1), key: *key })));
    }

    #[test]
    fn a_list_has_each_key_once_and_an_order() {
        let rates = |texts: &[&str]| Rates::new(texts.iter().map(|text| text.parse().expect("a rate")).collect());
        let all = rates(&["4/s", "3/s per workflow", "1/s per address", "2/s per end_user"]).expect("four keys");
        assert_eq!(all.all().iter().map(|rate| rate.count.get()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(all.count_by(RateKey::Workflow) && !Rates::default().count_by(RateKey::Workflow));
        assert_eq!(rates(&["1/s per app", "1/h per address", "9/h"]), Err(KeyTwice));
    }

    #[test]
    fn refuses_what_it_cannot_count() {
        for bad in ["", "0/s", "1/d", "1", "/s", "-1/s", "+1/s", "1_0/s", "1/s per", "1/s per moon", "4294967296/s"] {
            assert_eq!(bad.parse::<Rate>(), Err(InvalidRate), "{bad}");
        }
    }
}
