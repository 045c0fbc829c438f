//! An upstream at run time: its settings, prepared, and how many requests are under way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http::HeaderValue;
use http::uri::PathAndQuery;
use sidegate_core::id::{AppId, EndUserId};

use super::connect::{Authorities, TlsConfigs, authorities};
use super::endpoint::digest;
use super::{Endpoint, Failure};
use crate::breaker::Breaker;
use crate::config::UpstreamSettings;

/// The number of the next upstream that is prepared.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A chat service, shared by all workers.
#[derive(Debug)]
pub struct Upstream {
    /// Its settings.
    pub settings: Arc<UpstreamSettings>,
    /// Its number, which no other upstream ever has in this process.
    pub number: u64,
    /// Its place in each worker's pool.
    pub index: usize,
    /// Its addresses: one or more, with one scheme and one base path.
    endpoints: Box<[Arc<Endpoint>]>,
    base_path: String,
    authorities: Option<Authorities>,
    /// Shared with those that had its name and URLs before it.
    under_way: Arc<AtomicUsize>,
    /// Counts requests of nobody, which are spread by it over the addresses.
    turn: AtomicUsize,
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
        if let Some(same) = before.filter(|before| *before.settings == *settings)
            && same.authorities == authorities(settings)?
        {
            return Ok(Arc::clone(same));
        }
        Self::new(settings.clone(), index(), before).map(Arc::new)
    }

    /// Prepares an upstream, which has the place `index` in each worker's pool. Requests that are under way at `before`,
    /// if that is at the same URLs, are counted on.
    ///
    /// # Errors
    /// A message if its certificate authorities cannot be read, or a URL has no authority.
    pub fn new(settings: UpstreamSettings, index: usize, before: Option<&Arc<Self>>) -> Result<Self, String> {
        let settings = Arc::new(settings);
        if settings.urls.is_empty() {
            return Err(format!("upstream {}: no address", settings.name));
        }
        let authorities = authorities(&settings)?;
        let tls = settings.is_secure().then(|| TlsConfigs::new(&settings, authorities.as_ref())).transpose()?;
        let endpoint = |(place, url)| {
            let tls = tls.as_ref().map(|tls| tls.at(&settings, url)).transpose()?;
            let known = before.map_or(&[][..], |before| before.endpoints());
            Endpoint::new(&settings, url, (index, place), (tls, known)).map(Arc::new)
        };
        let endpoints = settings.urls.iter().enumerate().map(endpoint).collect::<Result<_, String>>()?;
        let base_path = settings.url().path().trim_end_matches('/').to_owned();
        let before = before.filter(|before| before.settings.urls == settings.urls);
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            index,
            endpoints,
            base_path,
            authorities,
            under_way: before.map(|before| Arc::clone(&before.under_way)).unwrap_or_default(),
            turn: AtomicUsize::new(0),
            trades: Breaker::default(),
            settings,
        })
    }

    /// Its addresses, one or more.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The value of `Host` for the first of its addresses; one that is sent elsewhere gets another.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.endpoints[0].host
    }

    /// By what an end user's requests go to one address.
    #[must_use]
    pub fn key(&self, app: &AppId, end_user: &EndUserId) -> u64 {
        if self.endpoints.len() == 1 {
            return 0;
        }
        // The same in every process: replicas send a user to the same address.
        digest(&[app.as_str(), end_user.as_str()])
    }

    /// A key for a request of nobody: another one for each, so that they are spread over the addresses.
    pub(super) fn next_key(&self) -> u64 {
        if self.endpoints.len() == 1 { 0 } else { self.turn.fetch_add(1, Ordering::Relaxed) as u64 }
    }

    /// From now on no connection to it is kept for another request, and nobody checks it.
    pub fn retire(&self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.retire());
    }

    /// Whether it is one of the configuration's no more. Requests that were admitted before go on.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.endpoints[0].is_retired()
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
