//! An upstream at run time: its settings, prepared, and how many requests are under way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};

use super::Failure;
use super::connect::{Authorities, TlsConfigs, authorities};
use crate::breaker::Breaker;
use crate::config::{Protocol, UpstreamSettings};

/// The number of the next upstream that is prepared.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A chat service, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    /// Its settings.
    pub settings: UpstreamSettings,
    /// Its number, which no other upstream ever has in this process.
    pub number: u64,
    /// Its place in each worker's pool.
    pub index: usize,
    /// How TLS is spoken with it; `None` for plain HTTP.
    pub tls: Option<TlsConfigs>,
    /// The value of `Host`.
    pub host: HeaderValue,
    /// The authority, with its port.
    pub authority: Authority,
    base_path: String,
    authorities: Option<Authorities>,
    /// Shared with those that had its name and URL before it.
    under_way: Arc<AtomicUsize>,
    /// Whether no new request goes to it, as it is none of the configuration's any more.
    retired: AtomicBool,
    /// Whether it makes tokens.
    pub trades: Breaker,
}

impl Upstream {
    /// Goes on with `before` if everything that it is made of is as it was, else prepares an upstream.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn renewed(
        settings: &UpstreamSettings,
        index: impl FnOnce() -> usize,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, String> {
        if let Some(same) = before.filter(|before| before.settings == *settings)
            && same.authorities == authorities(settings)?
        {
            return Ok(Arc::clone(same));
        }
        Self::new(settings.clone(), index(), before).map(Arc::new)
    }

    /// Prepares an upstream; requests that are under way at `before`, if that is at the same URL, are counted on.
    ///
    /// # Errors
    /// A message if its certificate authorities cannot be read, or its URL has no authority.
    pub fn new(settings: UpstreamSettings, index: usize, before: Option<&Arc<Self>>) -> Result<Self, String> {
        let name = &settings.name;
        let authority = settings.url.authority().cloned().ok_or_else(|| format!("upstream {name}: no host"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| format!("upstream {name}: no host name"))?;
        let authorities = authorities(&settings)?;
        let tls = settings.is_secure().then(|| TlsConfigs::new(&settings, authorities.as_ref())).transpose()?;
        let base_path = settings.url.path().trim_end_matches('/').to_owned();
        let before = before.filter(|before| before.settings.url == settings.url);
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            index,
            tls,
            host,
            authority,
            base_path,
            authorities,
            under_way: before.map(|before| Arc::clone(&before.under_way)).unwrap_or_default(),
            retired: AtomicBool::new(false),
            trades: Breaker::default(),
            settings,
        })
    }

    /// Whether HTTP/2 is spoken without negotiation.
    #[must_use]
    pub fn is_plain_http2(&self) -> bool {
        self.tls.is_none() && self.settings.protocol == Protocol::Http2
    }

    /// From now on no connection to it is kept for another request.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether it is one of the configuration's no more. Requests that were admitted before go on.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The path and query to ask for: the upstream's base path, the route's path, the query.
    #[must_use]
    pub fn target(&self, path: &str, query: Option<&str>) -> Option<PathAndQuery> {
        let mut target =
            String::with_capacity(self.base_path.len() + path.len() + query.map_or(0, |query| query.len() + 1));
        target.push_str(&self.base_path);
        target.push_str(path);
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target).ok()
    }

    /// Takes a place among the requests under way.
    ///
    /// # Errors
    /// [`Failure::Busy`] if all are taken.
    pub fn enter(self: &Arc<Self>) -> Result<Slot, Failure> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(&self.under_way));
        if before < self.settings.max_requests { Ok(slot) } else { Err(Failure::Busy) }
    }
}

/// A place among an upstream's requests under way, given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
