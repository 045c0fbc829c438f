//! To which of an upstream's addresses a request goes: that of its end user, unless it fails; then the next one.
//!
//! Two things are known of an address. Its circuit is what requests have met there: one that failed again and
//! again is left alone for a while, then tried once, and a request for which every circuit is open is refused at once.
//! Its health is what checks have found: it is asked after those that are well, and all the same where none is. So a
//! check that asks for the wrong path takes no chat away.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use sidegate_core::denial::{Code, Denial};
use tokio::time::Instant;

use super::{Endpoint, Failure, Refused, Upstream};
use crate::breaker::{Pass, Turn};
use crate::config::MAX_URLS;

/// A request's way: the address that it goes to now, and those that it has tried.
pub(super) struct Route<'a> {
    upstream: &'a Upstream,
    endpoint: &'a Arc<Endpoint>,
    /// Leave to ask it; `None` for the gate's own calls, which ask whatever is known.
    pass: Option<Pass<'a>>,
    key: u64,
    /// The places of those that were tried, as bits: the settings take no more addresses.
    tried: u64,
}

const _: () = assert!(MAX_URLS <= u64::BITS as usize);

impl<'a> Route<'a> {
    /// The way of a chat request.
    ///
    /// # Errors
    /// [`Code::UpstreamSuspended`] if no address may be asked now.
    pub(super) fn new(upstream: &'a Upstream, key: u64) -> Result<Self, Refused> {
        let mut shortest = Duration::MAX;
        let (endpoint, pass) = Self::choose(upstream, key, 0, &mut shortest).ok_or_else(|| suspended(shortest))?;
        Ok(Self { upstream, endpoint, pass: Some(pass), key, tried: 0 })
    }

    /// The way of a call of the gate's own, which says nothing about chats.
    pub(super) fn of_call(upstream: &'a Upstream) -> Self {
        let key = upstream.next_key();
        let is_bad = |endpoint: &Endpoint| endpoint.circuit.is_open() || !endpoint.is_healthy();
        let endpoint = best(upstream, 0, |endpoint| (!is_bad(endpoint), endpoint.affinity(key)));
        Self { upstream, endpoint: endpoint.unwrap_or(&upstream.endpoints()[0]), pass: None, key, tried: 0 }
    }

    /// Where it goes now.
    pub(super) const fn endpoint(&self) -> &'a Arc<Endpoint> {
        self.endpoint
    }

    /// Whether others wait for what becomes of it.
    pub(super) fn tries(&self) -> bool {
        self.pass.as_ref().is_some_and(Pass::is_trial)
    }

    /// Goes on to another address after this one could not be reached; whether there is one.
    pub(super) fn goes_on(&mut self) -> bool {
        self.tried |= 1 << self.endpoint.place.1;
        let next = match self.pass.take() {
            Some(pass) => {
                note(self.endpoint, pass, false);
                let found = Self::choose(self.upstream, self.key, self.tried, &mut Duration::default());
                found.map(|(endpoint, pass)| (endpoint, Some(pass)))
            }
            None => best(self.upstream, self.tried, |endpoint| endpoint.affinity(self.key)).map(|next| (next, None)),
        };
        let Some((endpoint, pass)) = next else { return false };
        (self.endpoint, self.pass) = (endpoint, pass);
        true
    }

    /// Whether the upstream has more than one address.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.upstream.endpoints().len() > 1
    }

    /// Notes what came of it.
    pub(super) fn note(mut self, outcome: Result<StatusCode, Failure>) {
        let Some(pass) = self.pass.take() else { return };
        match outcome {
            Ok(StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
                note(self.endpoint, pass, false);
            }
            Ok(_) => note(self.endpoint, pass, true),
            Err(failure) if failure.is_of_endpoint() => note(self.endpoint, pass, false),
            Err(_) => {}
        }
    }

    /// The best address that was not tried and gives leave. `shortest` becomes the time until one does.
    fn choose(
        upstream: &'a Upstream,
        key: u64,
        mut tried: u64,
        shortest: &mut Duration,
    ) -> Option<(&'a Arc<Endpoint>, Pass<'a>)> {
        loop {
            let endpoint = best(upstream, tried, |endpoint| (endpoint.is_healthy(), endpoint.affinity(key)))?;
            match endpoint.circuit.enter_now() {
                Ok(pass) => return Some((endpoint, pass)),
                Err(wait) => *shortest = wait.min(*shortest),
            }
            tried |= 1 << endpoint.place.1;
        }
    }
}

/// Of the addresses that were not tried the one with the most.
fn best<T: Ord>(upstream: &Upstream, tried: u64, worth: impl Fn(&Endpoint) -> T) -> Option<&Arc<Endpoint>> {
    match upstream.endpoints() {
        [only] => (tried == 0).then_some(only),
        several => {
            let left = several.iter().filter(|endpoint| tried & (1 << endpoint.place.1) == 0);
            left.max_by_key(|endpoint| worth(endpoint))
        }
    }
}

fn suspended(wait: Duration) -> Refused {
    Refused { denial: Denial::retry(Code::UpstreamSuspended, wait), failure: Some(Failure::Suspended) }
}

fn note(endpoint: &Endpoint, pass: Pass<'_>, works: bool) {
    let (upstream, address) = (&*endpoint.settings.name, endpoint.authority.as_str());
    match if works { pass.succeeded() } else { pass.failed(Instant::now()) } {
        Turn::None => {}
        Turn::Opened => {
            tracing::warn!(upstream, address, "the upstream fails again and again; it is left alone for now")
        }
        Turn::Closed => tracing::info!(upstream, address, "the upstream works again"),
    }
}

#[cfg(test)]
mod tests;
