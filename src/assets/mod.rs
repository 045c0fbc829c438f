//! ChatKit's assets: files of a CDN, through the gate and kept in memory for all workers. One request
//! goes upstream however many browsers wait for a file, and nothing of a browser's goes with it but
//! what it accepts.

mod answer;
mod fetch;
mod flights;
mod keep;
mod live;
mod stored;

pub use fetch::Fetcher;
pub use stored::Stored;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::orcheo::AssetPath;
use tokio::sync::Semaphore;

use self::flights::Flights;
use self::keep::Keep;
use self::live::Live;
use crate::config::AssetSettings;
use crate::forward::{Failure, Upstream, picked};
use crate::limits::NetworkRate;
use crate::metrics::AssetResult;
use crate::registry::{CDN_INDEX, Registry};

/// Files that are fetched at once: so many times `max_asset` there may be in memory beside what is kept.
const FETCHED_AT_ONCE: usize = 16;
/// Files that are fetched or wait to be.
const MAX_FLIGHTS: usize = 1_024;
/// For all of a fetch, the wait for a place included; as the vendor has it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What all workers share.
pub struct Assets {
    settings: AssetSettings,
    upstream: OnceLock<Option<Arc<Upstream>>>,
    keep: Keep,
    flights: Arc<Flights>,
    places: Semaphore,
    /// What each network of clients has made the gate fetch. No token is asked for, and each query may be another file.
    pub(crate) fetched: NetworkRate,
    live: Live,
}

/// What a request asks for, with what of it matters to the CDN.
pub struct Wanted {
    /// Path and query below the CDN's base URL.
    target: Arc<str>,
    /// `Accept`; empty without one.
    accept: HeaderValue,
    /// `If-None-Match` and `If-Modified-Since`.
    conditions: HeaderMap,
}

/// What became of a request.
pub enum Found {
    /// Here it is.
    Asset(Arc<Stored>, AssetResult),
    /// The CDN has no such file.
    Missing,
    /// The CDN failed, and nothing stands in.
    Failed(Failure),
}

impl Assets {
    /// Prepares the cache for the apps of `registry`, or goes on with that of `before` if nothing has changed; `None`
    /// if it is switched off. The CDN's certificate authorities are read now if an app needs them, else when the first
    /// is made.
    ///
    /// # Errors
    /// A message if they cannot be read.
    pub fn start(
        settings: &AssetSettings,
        registry: &Registry,
        before: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, String> {
        if !settings.enabled {
            return Ok(None);
        }
        let needed = registry.serves(Dialect::Orcheo);
        if let Some(same) = before.filter(|before| before.settings == *settings)
            && same.goes_on(needed)?
        {
            return Ok(Some(Arc::clone(same)));
        }
        let assets = Self {
            upstream: OnceLock::new(),
            keep: Keep::new(settings.memory),
            flights: Arc::default(),
            places: Semaphore::new(FETCHED_AT_ONCE),
            fetched: NetworkRate::default(),
            live: Live::default(),
            settings: settings.clone(),
        };
        if needed {
            // Nobody else has it yet, so this is the first.
            let _ = assets.upstream.set(Some(assets.open(None)?));
        }
        Ok(Some(Arc::new(assets)))
    }

    /// Whether it can go on as it is, with its CDN opened if that is `needed`.
    fn goes_on(&self, needed: bool) -> Result<bool, String> {
        match self.upstream.get() {
            None if needed => {
                let opened = self.open(None)?;
                // Who was faster has read the same file.
                let _ = self.upstream.set(Some(opened));
                Ok(true)
            }
            None => Ok(true),
            Some(None) => Ok(false),
            Some(Some(upstream)) => Ok(Arc::ptr_eq(upstream, &self.open(Some(upstream))?)),
        }
    }

    /// The end of it: its CDN is not opened any more if nobody has, and else retired.
    pub fn retire(&self) {
        if let Some(upstream) = self.upstream.get_or_init(|| None) {
            upstream.retire();
        }
    }

    /// The CDN; `None` if its certificate authorities cannot be read, which is logged once.
    #[must_use]
    pub fn upstream(&self) -> Option<Arc<Upstream>> {
        self.upstream.get().cloned().flatten()
    }

    /// As [`Self::upstream`], opened if nobody has.
    fn opened(&self) -> Option<Arc<Upstream>> {
        let open = || self.open(None).map_err(|fault| tracing::error!("assets cannot be served: {fault}")).ok();
        self.upstream.get_or_init(open).clone()
    }

    fn open(&self, before: Option<&Arc<Upstream>>) -> Result<Arc<Upstream>, String> {
        // The places bound them; a connection that is shared bounds nothing.
        let settings = self.settings.upstream(FETCHED_AT_ONCE, FETCH_TIMEOUT);
        Upstream::renewed(&settings, || CDN_INDEX, before)
    }

    /// Whether more may be fetched: browsers that read slowly hold files which are kept no more.
    fn has_room(&self) -> bool {
        let most = self.settings.memory.saturating_add(FETCHED_AT_ONCE.saturating_mul(self.settings.max_asset));
        self.live.bytes() < most
    }

    /// Bytes of what is kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.keep.bytes()
    }
}

impl Wanted {
    /// What a request for `path` asks for. Of its fields only those pass that the CDN may need: no
    /// cookie, credential, referrer or address of the browser.
    #[must_use]
    pub fn new(path: &AssetPath, query: Option<&str>, headers: &HeaderMap) -> Self {
        let target = query.map_or_else(|| path.as_str().to_owned(), |query| format!("{path}?{query}"));
        let mut accepts = headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
        let accept = match (accepts.next(), accepts.next()) {
            (Some(only), None) => HeaderValue::from_bytes(only).ok(),
            (Some(first), Some(second)) => {
                let all: Vec<_> = [first, second].into_iter().chain(accepts).collect();
                HeaderValue::from_bytes(&all.join(&b", "[..])).ok()
            }
            (None, _) => None,
        };
        Self {
            target: target.into(),
            accept: accept.unwrap_or(HeaderValue::from_static("")),
            conditions: picked(headers, &[IF_NONE_MATCH, IF_MODIFIED_SINCE]),
        }
    }
}
