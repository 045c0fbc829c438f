//! One address of an upstream, and how it fares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use http::uri::Authority;
use http::{HeaderValue, Uri};

use super::connect::TlsConfigs;
use crate::breaker::Breaker;
use crate::config::{Protocol, UpstreamSettings};

/// An address of a chat service, shared by all workers.
#[derive(Debug)]
pub struct Endpoint {
    /// The settings of its upstream.
    pub settings: Arc<UpstreamSettings>,
    /// Its place in each worker's pool: that of its upstream, and among the addresses of that.
    pub place: (usize, usize),
    /// How TLS is spoken with it; `None` for plain HTTP.
    pub tls: Option<TlsConfigs>,
    /// The value of `Host`.
    pub host: HeaderValue,
    /// The authority, with its port.
    pub authority: Authority,
    /// Whether it takes chat requests.
    pub circuit: Breaker,
    /// Whether checks find it well; true where none are made.
    healthy: AtomicBool,
    /// Whether somebody checks it.
    watched: AtomicBool,
    /// Whether no new request goes to it, as its upstream is none of the configuration's any more.
    retired: AtomicBool,
    /// What tells it from others when an end user's is chosen.
    seed: u64,
}

/// How an address fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// It is asked.
    Healthy,
    /// Checks fail: it is asked only if no other is healthy.
    Unhealthy,
    /// Requests have failed: it is left alone for a while.
    Suspended,
}

impl EndpointState {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Unhealthy, Self::Suspended];

    /// Its label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Suspended => "suspended",
        }
    }
}

impl Endpoint {
    /// Prepares an address. It is as healthy as the one of `known` that it was.
    ///
    /// # Errors
    /// A message if its URL has no authority.
    pub(super) fn new(
        settings: &Arc<UpstreamSettings>,
        url: &Uri,
        place: (usize, usize),
        (tls, known): (Option<TlsConfigs>, &[Arc<Self>]),
    ) -> Result<Self, String> {
        let name = &settings.name;
        let authority = url.authority().cloned().ok_or_else(|| format!("upstream {name}: no host"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| format!("upstream {name}: no host name"))?;
        let same = known.iter().find(|known| settings.health.is_some() && known.authority == authority);
        let healthy = same.is_none_or(|same| same.is_healthy());
        let seed = digest(&[authority.as_str()]);
        Ok(Self {
            place,
            tls,
            host,
            authority,
            circuit: Breaker::new(settings.circuit),
            healthy: AtomicBool::new(healthy),
            watched: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            seed,
            settings: Arc::clone(settings),
        })
    }

    /// Whether HTTP/2 is spoken without negotiation.
    #[must_use]
    pub fn is_plain_http2(&self) -> bool {
        self.tls.is_none() && self.settings.protocol == Protocol::Http2
    }

    /// Whether checks find it well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Says what checks find; whether that is news.
    pub(super) fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }

    /// Whether nobody checked it before: whoever asks does from now on.
    pub(super) fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::Relaxed)
    }

    /// From now on no connection to it is kept for another request, and nobody checks it.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether its upstream is one of the configuration's no more.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// How it fares.
    #[must_use]
    pub fn state(&self) -> EndpointState {
        if self.circuit.is_open() {
            EndpointState::Suspended
        } else if self.is_healthy() {
            EndpointState::Healthy
        } else {
            EndpointState::Unhealthy
        }
    }

    /// How much it is an end user's: of all addresses the one with the most is chosen (rendezvous hashing), so
    /// that one that comes or goes moves no other user than its own. The same in every process.
    pub(super) const fn affinity(&self, key: u64) -> u64 {
        // The finalizer of SplitMix64.
        let mut mixed = self.seed ^ key;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The first 64 bits of SHA-256 of these, each with an octet behind it that no text has: whatever built a gate, it comes to
/// the same.
pub(super) fn digest(texts: &[&str]) -> u64 {
    let mut all = Context::new(&SHA256);
    for text in texts {
        all.update(text.as_bytes());
        all.update(&[0xff]);
    }
    all.finish().as_ref().iter().take(8).fold(0, |number, octet| number << 8 | u64::from(*octet))
}
