//! What tokens, sessions and end users have used of their leash: counted in this process, in memory. Where there is none,
//! nothing is.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::{AppId, EndUserId, TokenId};
use sidegate_core::leash::Leash;
use sidegate_core::policy::Permit;
use sidegate_core::secret::SecretDigest;

/// Tokens and end users that are remembered; those that were not seen for longest are forgotten first, and so begin anew.
const KEPT: usize = 200_000;

/// After which a stream may be tried again that found no place: its others may have ended.
const RETRY: Duration = Duration::from_secs(5);

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Id(TokenId),
    Token(SecretDigest),
    EndUser(EndUserId),
    /// An end user without any token, whose requests have the bounds of one.
    Visitor(EndUserId),
}

/// What was used, by whom.
#[derive(Debug)]
pub struct Spending(Cache<(AppId, Who), Arc<Spent>>);

/// What one has used.
#[derive(Debug, Default)]
struct Spent {
    messages: AtomicU64,
    bytes: AtomicU64,
    streams: AtomicU64,
}

/// A request's share in it.
#[derive(Debug)]
pub struct Tether {
    leash: Leash,
    spent: Arc<Spent>,
    of_end_user: Option<Arc<Spent>>,
    places: OnceLock<[Option<Place>; 2]>,
}

/// A place among the streams of a token or an end user, given back when dropped.
#[derive(Debug)]
struct Place(Arc<Spent>);

impl Default for Spending {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl Spending {
    /// Takes a request on, if anything is counted under its leash.
    ///
    /// # Errors
    /// [`Code::BytesUsedUp`].
    pub fn enter(&self, permit: &Permit, token: Option<&SecretDigest>) -> Result<Option<Arc<Tether>>, Denial> {
        let (app, claims, leash) = (permit.app(), permit.claims(), permit.leash());
        if !leash.counts() {
            return Ok(None);
        }
        let who = match (&claims.id, token) {
            (Some(id), _) => Who::Id(id.clone()),
            (None, Some(token)) => Who::Token(token.clone()),
            (None, None) => Who::Visitor(claims.subject.clone()),
        };
        let of_end_user = leash.streams_per_end_user.map(|_| self.of(&app.id, Who::EndUser(claims.subject.clone())));
        let tether = Tether { leash, spent: self.of(&app.id, who), of_end_user, places: OnceLock::new() };
        if tether.has_no_bytes() { Err(Code::BytesUsedUp.into()) } else { Ok(Some(Arc::new(tether))) }
    }

    fn of(&self, app: &AppId, who: Who) -> Arc<Spent> {
        let key = (app.clone(), who);
        let made = self.0.get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(Arc::default()));
        made.unwrap_or_else(|never| match never {})
    }
}

impl Place {
    fn take(spent: &Arc<Spent>, most: u64) -> Result<Self, Denial> {
        let place = Self(Arc::clone(spent));
        let before = spent.streams.fetch_add(1, Ordering::Relaxed);
        if before < most { Ok(place) } else { Err(Denial::retry(Code::TooManyStreams, RETRY)) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tether {
    /// Takes a place among the streams, for as long as this is there.
    ///
    /// # Errors
    /// [`Code::TooManyStreams`].
    pub fn stream(&self) -> Result<(), Denial> {
        let take = |spent: &Arc<Spent>, most: Option<u64>| most.map(|most| Place::take(spent, most)).transpose();
        let of_token = take(&self.spent, self.leash.streams_per_token)?;
        let of_end_user = match &self.of_end_user {
            Some(spent) => take(spent, self.leash.streams_per_end_user)?,
            None => None,
        };
        // A request has one stream at most.
        let _ = self.places.set([of_token, of_end_user]);
        Ok(())
    }

    /// Whether there is room for a message.
    ///
    /// # Errors
    /// [`Code::MessagesUsedUp`].
    pub fn check_messages(&self) -> Result<(), Denial> {
        let used_up = self.leash.messages.is_some_and(|most| self.spent.messages.load(Ordering::Relaxed) >= most);
        if used_up { Err(Code::MessagesUsedUp.into()) } else { Ok(()) }
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`Code::MessagesUsedUp`].
    pub fn say(&self) -> Result<(), Denial> {
        let Some(most) = self.leash.messages else { return Ok(()) };
        let more = |said: u64| (said < most).then_some(said + 1);
        let said = self.spent.messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        said.map(drop).map_err(|_| Code::MessagesUsedUp.into())
    }

    /// Counts bytes of an answer.
    pub fn sent(&self, bytes: usize) {
        self.spent.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether no more bytes may be sent.
    #[must_use]
    pub fn has_no_bytes(&self) -> bool {
        self.leash.bytes.is_some_and(|most| self.spent.bytes.load(Ordering::Relaxed) >= most)
    }
}
