//! A file as it is kept and handed out.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, DATE, ETAG, EXPIRES, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sidegate_core::cache::{Policy, Varies};
use sidegate_core::dialect::orcheo::rewritten;

use super::fetch::Answered;
use crate::forward::{Failure, picked};

/// Fields of the CDN that a browser gets; all others are dropped, cookies above all.
const PASSED: [HeaderName; 7] = [CACHE_CONTROL, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED, VARY];

/// Those of them that a 304 brings anew; what describes the body stays with it.
const REFRESHED: [HeaderName; 7] = [AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, LAST_MODIFIED, VARY];

/// A whole file, or, where nothing is kept, a 304 of the CDN on its way to the one who asked.
pub struct Stored {
    pub(super) status: StatusCode,
    /// What the CDN said.
    said: HeaderMap,
    /// What browsers get, but for what each is told of its own.
    pub(super) head: HeaderMap,
    pub(super) body: Bytes,
    /// The body is not as the CDN sent it.
    changed: bool,
    /// `None` if it may not be kept.
    policy: Option<Policy>,
    varies: Varies,
    /// To what `Accept` it is the answer.
    accept: HeaderValue,
}

impl Stored {
    /// From a 200 to a request that accepts `accept`, or from a 304 for that request alone.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] if it has a content coding although none was asked for.
    pub(super) fn of(answered: Answered, accept: &HeaderValue) -> Result<Self, Failure> {
        let mut said = answered.response.headers().clone();
        said.entry(DATE).or_insert_with(|| answered.date());
        if said.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Failure::Unreadable);
        }
        let status = answered.response.status();
        let policy = answered.policy(&said);
        let redirected = answered.is_redirected();
        let body = answered.response.into_body();
        let html = if is_html(&said) { rewritten(&body) } else { None };
        let changed = html.is_some();
        let body = html.map_or(body, Bytes::from);
        let mut stored = Self {
            status,
            head: HeaderMap::new(),
            varies: Varies::of(&said, &ACCEPT),
            said,
            body,
            changed,
            policy,
            accept: accept.clone(),
        };
        stored.set_head(redirected);
        Ok(stored)
    }

    /// The same file with what a 304 says of it; `None` if that is about another.
    pub(super) fn refreshed(&self, answered: &Answered) -> Option<Self> {
        let fresh = answered.response.headers();
        let other = fresh.get(ETAG).zip(self.said.get(ETAG)).is_some_and(|(fresh, said)| opaque(fresh) != opaque(said));
        if other {
            return None;
        }
        let mut said = self.said.clone();
        // It is as old as the 304 says, which says nothing if it is new.
        said.remove(AGE);
        said.insert(DATE, answered.date());
        for name in REFRESHED.iter().filter(|name| fresh.contains_key(*name)) {
            said.remove(name);
            for value in fresh.get_all(name) {
                said.append(name, value.clone());
            }
        }
        let mut stored = Self {
            status: self.status,
            head: HeaderMap::new(),
            policy: answered.policy(&said),
            varies: Varies::of(&said, &ACCEPT),
            said,
            body: self.body.clone(),
            changed: self.changed,
            accept: self.accept.clone(),
        };
        stored.set_head(answered.is_redirected());
        Some(stored)
    }

    fn set_head(&mut self, redirected: bool) {
        let mut head = picked(&self.said, &PASSED);
        if redirected {
            // What the file says holds for its own URL, not for the one that led there for now.
            head.remove(EXPIRES);
            head.insert(CACHE_CONTROL, as_cache_control(self.policy.as_ref()));
        }
        // A 304 that passes does not tell whether the file it is about was changed on its way.
        if self.changed || self.status == StatusCode::NOT_MODIFIED {
            weaken(&mut head);
        }
        head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        head.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.head = head;
    }

    /// For how long it may be used; `None` if it may not be kept.
    pub(super) fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().filter(|_| self.varies != Varies::Always)
    }

    pub(super) const fn varies(&self) -> Varies {
        self.varies
    }

    /// Whether it answers a request that accepts `accept`.
    pub(super) fn answers(&self, accept: &HeaderValue) -> bool {
        self.varies == Varies::No || self.accept == *accept
    }

    /// The fields of a request that asks whether it still is what the CDN has.
    pub(super) fn conditions(&self) -> HeaderMap {
        let mut conditions = HeaderMap::new();
        for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
            if let Some(value) = self.said.get(validator) {
                conditions.insert(condition, value.clone());
            }
        }
        conditions
    }

    /// Its bytes.
    pub(super) fn size(&self) -> usize {
        let fields = |map: &HeaderMap| map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        self.body.len() + fields(&self.said) + fields(&self.head) + self.accept.len()
    }

    pub(super) fn into_single(self) -> super::flights::Landed {
        super::flights::Landed::Single(Arc::new(std::sync::Mutex::new(Some(Arc::new(self)))))
    }
}

/// `text/html`, whatever its parameters.
fn is_html(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/html"))
}

/// An entity tag without its mark of weakness.
fn opaque(tag: &HeaderValue) -> &[u8] {
    let tag = tag.as_bytes();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The CDN's tag says that its bytes are the same; ours are others, though as good.
fn weaken(head: &mut HeaderMap) {
    if let Some(tag) = head.remove(ETAG)
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", opaque(&tag)].concat())
    {
        head.insert(ETAG, weak);
    }
}

fn as_cache_control(policy: Option<&Policy>) -> HeaderValue {
    let seconds = policy.map_or(0, |policy| policy.lifetime().as_secs());
    let text = format!("public, max-age={seconds}, must-revalidate");
    let known = HeaderValue::try_from(text).ok().filter(|_| seconds > 0);
    known.unwrap_or(HeaderValue::from_static("no-cache"))
}
