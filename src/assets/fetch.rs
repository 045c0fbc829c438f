//! A worker's way to the CDN: asks for a file, follows redirects on the CDN itself, and keeps what comes.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use sidegate_core::cache::{Policy, Times, Varies};
use sidegate_core::clock::Clock;
use sidegate_core::dialect::orcheo::is_plain;
use url::Url;

use super::flights::{Boarded, Landed, Takeoff, landing};
use super::keep::{Entry, Key};
use super::{Assets, FETCH_TIMEOUT, Found, Stored, Wanted};
use crate::forward::{Call, Client, Failure, Upstream};
use crate::metrics::{AssetResult, Metrics};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;
/// How often a request looks again when what is kept changes under it.
const ATTEMPTS: usize = 8;

/// Finds files for one worker's requests.
#[derive(Clone)]
pub struct Fetcher {
    /// What all workers share.
    pub assets: Arc<Assets>,
    /// This worker's connections.
    pub client: Rc<Client>,
    /// This worker's counters.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whose requests they are.
    pub address: IpAddr,
}

/// An answer of the CDN, and what led to it.
pub(super) struct Answered {
    pub(super) response: Response<Bytes>,
    times: Times,
    /// One for each redirect; `None` for one that may not be kept.
    redirects: Vec<Option<Policy>>,
}

impl Answered {
    /// For how long what has these fields may be used: no longer than the redirects that led to it.
    pub(super) fn policy(&self, said: &HeaderMap) -> Option<Policy> {
        let own = Policy::of(StatusCode::OK, said, self.times)?;
        self.redirects.iter().try_fold(own, |policy, redirect| Some(policy.within((*redirect)?)))
    }

    /// `Date`, for an answer that has none (RFC 9110 section 6.6.1).
    pub(super) fn date(&self) -> HeaderValue {
        let answered = UNIX_EPOCH + Duration::from_secs(self.times.answered.seconds());
        HeaderValue::try_from(httpdate::fmt_http_date(answered)).unwrap_or(HeaderValue::from_static(""))
    }

    pub(super) fn is_redirected(&self) -> bool {
        !self.redirects.is_empty()
    }
}

impl Fetcher {
    /// Finds what is wanted: kept and fresh, or as the CDN has it now, or kept and stale where that may
    /// stand in. All who want the same wait for one request.
    pub async fn find(&self, wanted: Wanted) -> Found {
        let (assets, wanted) = (&self.assets, Rc::new(wanted));
        for _ in 0..ATTEMPTS {
            let (key, known) = assets.keep.look_up(&wanted);
            let stored = match &known {
                Some(Entry::Passes) if self.may_fetch() => return self.pass(&wanted, key).await,
                Some(Entry::Passes) => return Found::Failed(Failure::Busy),
                Some(Entry::Asset(stored)) => Some(Arc::clone(stored)),
                Some(Entry::Varies) | None => None,
            };
            let policy = stored.as_ref().and_then(|stored| Some((stored, stored.policy()?)));
            let now = self.clock.now();
            if let Some((stored, _)) = policy.filter(|(_, policy)| policy.is_fresh(now)) {
                return Found::Asset(Arc::clone(stored), AssetResult::Hit);
            }
            if stored.is_none() && assets.fetched.may_ask(self.address).is_err() {
                return Found::Failed(Failure::Busy);
            }
            let unchanged = || Entry::is_same(known.as_ref(), assets.keep.look_up(&wanted).1.as_ref());
            let (flight, first) = match assets.flights.board(key.clone(), unchanged) {
                Boarded::Joined(flight) => (flight, false),
                Boarded::First(flight, takeoff) => {
                    // To ask whether one that is kept has changed costs little.
                    if stored.is_none() {
                        assets.fetched.count(self.address);
                    }
                    self.take_off(Rc::clone(&wanted), key.clone(), stored.clone(), takeoff);
                    (flight, true)
                }
                Boarded::Changed => continue,
                Boarded::Full => return self.without_flight(stored.as_ref()),
            };
            if let Some((stored, _)) = policy.filter(|(_, policy)| policy.may_be_used_while_asked(now)) {
                return Found::Asset(Arc::clone(stored), AssetResult::Stale);
            }
            if let Some(landed) = landing(flight).await
                && let Some(found) = self.found(landed, first, &wanted, key).await
            {
                return found;
            }
            // Its worker has stopped, or it was for another `Accept`.
        }
        Found::Failed(Failure::Busy)
    }

    /// Whether another file may be fetched for the network of this client, which is counted.
    fn may_fetch(&self) -> bool {
        let may = self.assets.fetched.may_ask(self.address).is_ok();
        self.assets.fetched.count(self.address);
        may
    }

    /// What there is for those who find no place in any flight.
    fn without_flight(&self, stored: Option<&Arc<Stored>>) -> Found {
        match self.instead(Failure::Busy, stored) {
            Landed::Asset(stored, result) => Found::Asset(stored, result),
            _ => Found::Failed(Failure::Busy),
        }
    }

    /// What a flight brought to one who waited; `None` if it was for others.
    async fn found(&self, landed: Landed, first: bool, wanted: &Wanted, key: Key) -> Option<Found> {
        match landed {
            Landed::Asset(stored, result) => {
                let result = if first { result } else { AssetResult::Shared };
                stored.answers(&wanted.accept).then_some(Found::Asset(stored, result))
            }
            Landed::Single(slot) => {
                let single = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                Some(match single {
                    Some(stored) => Found::Asset(stored, AssetResult::Passed),
                    None if self.may_fetch() => self.pass(wanted, key).await,
                    None => Found::Failed(Failure::Busy),
                })
            }
            Landed::Missing => Some(Found::Missing),
            Landed::Failed(failure) => Some(Found::Failed(failure)),
        }
    }

    /// Fetches in a task of its own: the first who waits may leave before the others have it.
    fn take_off(&self, wanted: Rc<Wanted>, key: Key, stored: Option<Arc<Stored>>, takeoff: Takeoff) {
        let fetcher = self.clone();
        tokio::task::spawn_local(async move {
            let landed = fetcher.fetch(&wanted, &key, stored.as_ref()).await;
            takeoff.land(landed);
        });
    }

    async fn fetch(&self, wanted: &Wanted, key: &Key, stored: Option<&Arc<Stored>>) -> Landed {
        match self.fetched(wanted, key, stored).await {
            Ok(landed) => landed,
            Err(failure) => self.instead(failure, stored),
        }
    }

    /// A copy whose time is over, if it may stand in.
    fn instead(&self, failure: Failure, stored: Option<&Arc<Stored>>) -> Landed {
        if failure == Failure::TooLarge {
            tracing::warn!("an asset is larger than assets.max_asset");
        }
        let (now, configured) = (self.clock.now(), self.assets.settings.stale_if_error);
        let may =
            |stored: &&Arc<Stored>| stored.policy().is_some_and(|policy| policy.may_replace_error(now, configured));
        let Some(stored) = stored.filter(may) else { return Landed::Failed(failure) };
        // No refusal will tell of it.
        self.metrics.failure(failure);
        Landed::Asset(Arc::clone(stored), AssetResult::Stale)
    }

    async fn fetched(&self, wanted: &Wanted, key: &Key, stored: Option<&Arc<Stored>>) -> Result<Landed, Failure> {
        let conditions = stored.map(|stored| stored.conditions()).unwrap_or_default();
        let mut answered = self.ask(wanted, conditions).await?;
        if let (StatusCode::NOT_MODIFIED, Some(stored)) = (answered.response.status(), stored) {
            if let Some(fresh) = stored.refreshed(&answered) {
                return Ok(self.kept(wanted, key, fresh, AssetResult::Revalidated));
            }
            // It has not changed since something that is not kept.
            answered = self.ask(wanted, HeaderMap::new()).await?;
        }
        match answered.response.status() {
            StatusCode::OK => Ok(self.kept(wanted, key, Stored::of(answered, &wanted.accept)?, AssetResult::Miss)),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.assets.keep.remove(key);
                Ok(Landed::Missing)
            }
            _ => Err(Failure::Unavailable),
        }
    }

    /// Keeps a file, if it may be kept.
    fn kept(&self, wanted: &Wanted, key: &Key, fresh: Stored, result: AssetResult) -> Landed {
        if fresh.policy().is_none() {
            self.assets.keep.pass(key.clone());
            return fresh.into_single();
        }
        let fresh = Arc::new(fresh);
        self.assets.keep.put(wanted, &fresh);
        Landed::Asset(fresh, result)
    }

    /// Fetches for one request alone, with its own conditions.
    async fn pass(&self, wanted: &Wanted, key: Key) -> Found {
        self.passed(wanted, key).await.unwrap_or_else(Found::Failed)
    }

    async fn passed(&self, wanted: &Wanted, key: Key) -> Result<Found, Failure> {
        let answered = self.ask(wanted, wanted.conditions.clone()).await?;
        let status = answered.response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if !wanted.conditions.is_empty() => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Found::Missing),
            _ => return Err(Failure::Unavailable),
        }
        let stored = Arc::new(Stored::of(answered, &wanted.accept)?);
        if status == StatusCode::OK && stored.policy().is_some() {
            self.assets.keep.remove(&key);
            self.assets.keep.put(wanted, &stored);
        }
        Ok(Found::Asset(stored, AssetResult::Passed))
    }

    /// Asks the CDN, within a place and a time.
    async fn ask(&self, wanted: &Wanted, mut headers: HeaderMap) -> Result<Answered, Failure> {
        if !wanted.accept.is_empty() {
            headers.insert(ACCEPT, wanted.accept.clone());
        }
        let upstream = self.assets.opened().ok_or(Failure::TlsCertificate)?;
        if !self.assets.has_room() {
            return Err(Failure::Busy);
        }
        let asking = async {
            let _place = self.assets.places.acquire().await.map_err(|_| Failure::Busy)?;
            self.follow(&upstream, &wanted.target, headers).await
        };
        tokio::time::timeout(FETCH_TIMEOUT, asking).await.unwrap_or(Err(Failure::ResponseTimeout))
    }

    async fn follow(&self, upstream: &Arc<Upstream>, target: &str, headers: HeaderMap) -> Result<Answered, Failure> {
        let mut target = target.to_owned();
        let mut redirects = Vec::new();
        while redirects.len() <= MAX_REDIRECTS {
            let asked = self.clock.now();
            let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
            let limit = self.assets.settings.max_asset;
            let call = Call { method: Method::GET, path, query, headers: headers.clone(), body: None, limit };
            let response = self.client.call(upstream, call).await?.map(|body| self.assets.live.count(body));
            let times = Times { asked, answered: self.clock.now() };
            if !is_redirect(response.status()) {
                return Ok(Answered { response, times, redirects });
            }
            let policy = Policy::of(response.status(), response.headers(), times);
            redirects.push(policy.filter(|_| Varies::of(response.headers(), &ACCEPT) == Varies::No));
            target = next(upstream, &target, response.headers()).ok_or(Failure::Unreadable)?;
        }
        Err(Failure::Unreadable)
    }
}

const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads: on the same origin and below the base URL, else nowhere.
fn next(upstream: &Upstream, target: &str, headers: &HeaderMap) -> Option<String> {
    let base = Url::parse(&upstream.settings.url().to_string()).ok()?;
    let folder = base.path().trim_end_matches('/').to_owned();
    let mut from = base.clone();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    from.set_path(&format!("{folder}{path}"));
    from.set_query(query);
    let to = from.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let same = to.origin() == base.origin() && to.username().is_empty() && to.password().is_none();
    let below = to.path().strip_prefix(&*folder).filter(|_| same)?;
    let plain = below.strip_prefix('/').is_some_and(is_plain);
    plain.then(|| to.query().map_or_else(|| below.to_owned(), |query| format!("{below}?{query}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AssetSettings;

    fn leads(base: &str, target: &str, location: &str) -> Option<String> {
        let settings = AssetSettings {
            enabled: true,
            base_url: base.parse().expect("a URL"),
            ca: None,
            memory: 2,
            max_asset: 1,
            stale_if_error: Duration::ZERO,
        };
        let upstream = Upstream::new(settings.upstream(1, FETCH_TIMEOUT), 0, None).expect("an upstream");
        let location = (LOCATION, location.parse().expect("a value"));
        next(&upstream, target, &HeaderMap::from_iter([location]))
    }

    #[test]
    fn a_redirect_leads_on_below_the_base_alone() {
        for (location, expected) in [
            ("b.js", Some("/deployments/chatkit/b.js")),
            ("../v2/a.js?x=1", Some("/deployments/v2/a.js?x=1")),
            ("/cdn/assets/ck1/a.js#top", Some("/assets/ck1/a.js")),
            ("http://cdn.example:80/cdn/a", Some("/a")),
            ("//cdn.example/cdn/a", Some("/a")),
            ("/assets/ck1/a.js", None),
            ("/cdnx/a", None),
            ("/cdn", None),
            ("/cdn/../a", None),
            ("/cdn/%2e%2e/a", None),
            ("/cdn/a//b", None),
            ("/cdn/a%2fb", None),
            ("https://cdn.example/cdn/a", None),
            ("http://cdn.example:8080/cdn/a", None),
            ("http://evil.example/cdn/a", None),
            ("//evil.example/cdn/a", None),
            ("http://user@cdn.example/cdn/a", None),
            ("http://cdn.example@evil.example/cdn/a", None),
            ("\\\\evil.example\\cdn\\a", None),
            ("http://169.254.169.254/cdn/a", None),
            ("file:///cdn/a", None),
            ("data:,a", None),
        ] {
            let found = leads("http://cdn.example/cdn", "/deployments/chatkit/a.js?v=1", location);
            assert_eq!(found.as_deref(), expected, "{location}");
        }
        assert_eq!(leads("http://cdn.example", "/a", "/b").as_deref(), Some("/b"));
    }
}
