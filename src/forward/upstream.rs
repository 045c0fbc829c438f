//! An upstream at run time: its settings, prepared, and how many requests are under way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery, Scheme};

use super::Failure;
use super::connect::TlsConfigs;
use crate::breaker::Breaker;
use crate::config::{Protocol, UpstreamSettings};

/// A chat service, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    /// Its settings.
    pub settings: UpstreamSettings,
    /// Its place in each worker's pool.
    pub index: usize,
    /// How TLS is spoken with it; `None` for plain HTTP.
    pub tls: Option<TlsConfigs>,
    /// The value of `Host`.
    pub host: HeaderValue,
    /// The authority, with its port.
    pub authority: Authority,
    base_path: String,
    under_way: AtomicUsize,
    /// Whether it makes tokens.
    pub trades: Breaker,
}

impl Upstream {
    /// Prepares an upstream.
    ///
    /// # Errors
    /// A message if its certificate authorities cannot be read, or its URL has no authority.
    pub fn new(settings: UpstreamSettings, index: usize) -> Result<Self, String> {
        let name = &settings.name;
        let authority = settings.url.authority().cloned().ok_or_else(|| format!("upstream {name}: no host"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| format!("upstream {name}: no host name"))?;
        let secure = settings.url.scheme() == Some(&Scheme::HTTPS);
        let tls = secure.then(|| TlsConfigs::load(&settings)).transpose()?;
        let base_path = settings.url.path().trim_end_matches('/').to_owned();
        Ok(Self {
            index,
            tls,
            host,
            authority,
            base_path,
            under_way: AtomicUsize::new(0),
            trades: Breaker::default(),
            settings,
        })
    }

    /// Whether HTTP/2 is spoken without negotiation.
    #[must_use]
    pub fn is_plain_http2(&self) -> bool {
        self.tls.is_none() && self.settings.protocol == Protocol::Http2
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
        let slot = Slot(Arc::clone(self));
        if before < self.settings.max_requests { Ok(slot) } else { Err(Failure::Busy) }
    }
}

/// A place among an upstream's requests under way, given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Upstream>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
