//! Limits: how often an app may be used. Counted in this process, or by a store that all replicas
//! share.

mod local;
mod shared;

use std::net::IpAddr;
use std::sync::Arc;

use sidegate_core::app::{App, AppLimits};
use sidegate_core::denial::Denial;
use sidegate_core::id::{AppId, EndUserId};
use sidegate_core::rate::{Rate, RateKey};

use self::local::Local;
use crate::config::LimitsOnError;
use crate::store::{Counters, Whose};

/// An app's limits.
#[derive(Debug)]
pub struct Limits {
    /// Of exchanges.
    pub exchange: Option<Limit>,
    /// Of admitted chat requests.
    pub chat: Option<Limit>,
}

/// One limit.
#[derive(Debug)]
pub struct Limit {
    app: AppId,
    name: &'static str,
    rate: Rate,
    local: Arc<Local>,
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
    /// An app's limits. One whose rate is that of `before` goes on counting where that one is; others
    /// have fresh counters in this process.
    #[must_use]
    pub fn new(app: &App, before: Option<&Self>) -> Self {
        let limit = |name, rate: Rate, before: Option<&Limit>| {
            let same = before.filter(|before| before.rate == rate);
            let local = same.map_or_else(|| Arc::new(Local::new(rate)), |before| Arc::clone(&before.local));
            Limit { app: app.id.clone(), name, rate, local }
        };
        let AppLimits { exchange, chat } = app.limits;
        Self {
            exchange: exchange.map(|rate| limit("exchange", rate, before.and_then(|before| before.exchange.as_ref()))),
            chat: chat.map(|rate| limit("chat", rate, before.and_then(|before| before.chat.as_ref()))),
        }
    }

    /// Forgets keys that are at rest.
    pub fn sweep(&self) {
        for limit in [&self.exchange, &self.chat].into_iter().flatten() {
            limit.local.sweep();
        }
    }
}

impl Limit {
    /// Counts a request: by `counters` if there are any, else in this process, without waiting.
    ///
    /// # Errors
    /// [`Code::RateLimited`](sidegate_core::denial::Code::RateLimited), with the time until the next
    /// one. If `counters` do not answer, what `on_error` says.
    pub async fn check(
        &self,
        counters: Option<&dyn Counters>,
        on_error: LimitsOnError,
        counted: Counted<'_>,
    ) -> Result<(), Denial> {
        match counters {
            None => self.local.check(self.whose(counted)),
            Some(counters) => self.check_shared(counters, on_error, counted).await,
        }
    }

    fn whose<'a>(&self, counted: Counted<'a>) -> Whose<'a> {
        match self.rate.key {
            RateKey::App => Whose::App,
            RateKey::EndUser => Whose::EndUser(counted.end_user),
            RateKey::Address => Whose::Network(network(counted.address)),
        }
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
    #[test]
    fn ipv6_counts_by_network_and_mapped_ipv4_as_ipv4() {
        let network = |text: &str| super::network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
