//! Tokens at hand, and the one request for each that is under way.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use quick_cache::sync::{Cache, DefaultLifecycle, EntryAction, EntryResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Weighter};
use secrecy::{ExposeSecret as _, SecretString};
use sidegate_core::clock::Timestamp;
use sidegate_core::dialect::orcheo::{Traded, WorkflowId};
use sidegate_core::id::{AppId, EndUserId};

use super::Order;
use crate::forward::Refused;

/// Bytes of all that is held.
const MEMORY: u64 = 32 * 1024 * 1024;

/// About as many as fit.
const ITEMS: usize = 16 * 1024;

/// For how long a failure is the answer to those who ask for the same: they may all have waited for it.
const FAILED: Duration = Duration::from_secs(1);

/// Whose token, of where, for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    app: AppId,
    /// The number of its upstream: an app may change to another one.
    upstream: u64,
    /// The workflow of a chat; `None` for the Realtime API.
    workflow: Option<WorkflowId>,
    end_user: EndUserId,
    /// With what it was asked for: another credential may be another account's.
    authorization: Option<HeaderValue>,
}

impl Key {
    pub(super) fn of(order: &Order) -> Self {
        Self {
            app: order.registered.app.id.clone(),
            upstream: order.registered.upstream.number,
            workflow: order.purpose.workflow().cloned(),
            authorization: order.registered.app.trade().map(|trade| trade.authorization.clone()),
            end_user: order.end_user.clone(),
        }
    }
}

/// What came of a request.
pub(super) struct Held {
    pub(super) outcome: Result<Traded, Refused>,
    /// Until when it is handed out.
    until: Timestamp,
}

impl Held {
    /// A token is handed out for half of the life that it has now.
    pub(super) fn new(outcome: Result<Traded, Refused>, now: Timestamp) -> Self {
        let life = outcome.as_ref().map_or(FAILED, |traded| traded.expires_at.since(now) / 2);
        Self { outcome, until: now.plus(life) }
    }

    /// Whether it answers who asks for one instead of `current`.
    fn is_fresh(&self, current: Option<&SecretString>, now: Timestamp) -> bool {
        let token = self.outcome.as_ref().ok().zip(current);
        now < self.until && !token.is_some_and(|(token, current)| token.is(current))
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<Held>> for Bytes {
    fn weight(&self, key: &Key, held: &Arc<Held>) -> u64 {
        const ITEM: usize = 256;
        let length = |text: &SecretString| text.expose_secret().len();
        let of_token = |traded: &Traded| length(&traded.token) + traded.session.as_ref().map_or(0, length);
        let token = held.outcome.as_ref().map_or(0, of_token);
        (ITEM + key.end_user.as_str().len() + token) as u64
    }
}

/// What is kept of tokens that were traded; shared by all workers. Forgotten at a restart: then they are
/// fetched again.
pub struct Trades(Cache<Key, Arc<Held>, Bytes>);

impl std::fmt::Debug for Trades {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trades({})", self.0.len())
    }
}

impl Default for Trades {
    fn default() -> Self {
        Self(Cache::with_weighter(ITEMS, MEMORY, Bytes))
    }
}

/// The place of what is being fetched; given up if it is dropped.
pub(super) struct Place<'a>(PlaceholderGuard<'a, Key, Arc<Held>, Bytes, DefaultHashBuilder, Life>);

type Life = DefaultLifecycle<Key, Arc<Held>>;

impl Trades {
    /// What is at hand for who asks for one instead of `current`.
    pub(super) fn fresh(&self, key: &Key, current: Option<&SecretString>, now: Timestamp) -> Option<Arc<Held>> {
        self.0.get(key).filter(|held| held.is_fresh(current, now))
    }

    /// What is at hand or under way; else the place of it, which is then this caller's to fill.
    pub(super) async fn hold(
        &self,
        key: &Key,
        current: Option<&SecretString>,
        now: impl Fn() -> Timestamp,
    ) -> Result<Arc<Held>, Place<'_>> {
        let keep_fresh = |_: &Key, held: &mut Arc<Held>| match held.is_fresh(current, now()) {
            true => EntryAction::Retain(Arc::clone(held)),
            false => EntryAction::ReplaceWithGuard,
        };
        loop {
            match self.0.entry_async(key, keep_fresh).await {
                EntryResult::Retained(held) => return Ok(held),
                EntryResult::Vacant(place) | EntryResult::Replaced(place, _) => return Err(Place(place)),
                // Neither is asked for.
                EntryResult::Removed(..) | EntryResult::Timeout => {}
            }
        }
    }
}

impl Place<'_> {
    /// Fills it. A place that the cache has given to something else meanwhile stays empty: then others
    /// fetch their own.
    pub(super) fn fill(self, held: Held) {
        let _ = self.0.insert(Arc::new(held));
    }
}
