//! What outlives a request: one trait for each need, engines behind them.
//!
//! Every call may fail; nothing that was refused is half kept. Contexts are sealed before they come
//! here: an engine sees ciphertext. `now` and expiry times come from the caller, so an engine's own
//! clock decides nothing but when memory is given back.

pub mod backup;
mod entries;
mod health;
mod lists;
mod memory;
mod objects;
mod open;
mod postgres;
mod redis;
mod rekey;
mod sessions;
mod sqlite;
mod use_counts;

pub use entries::{Entries, Entry, EntryKind};
pub use memory::Memory;
pub use objects::{Changed, Counts, Object, ObjectKind, ObjectQuery, Objects, REMOVALS_ARE_TOLD, Usage};
pub use open::{Stores, open, open_registry};
pub use postgres::Postgres;
pub use redis::Redis;
pub use rekey::{Interrupted, Rekeyed, rekey};
pub use sessions::{Activity, CLOSED_KEPT, COUNTED_DAYS, Closed, Session, SessionCounts, Sessions};
pub use sqlite::Sqlite;
pub use use_counts::{UseCounts, Used};

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::dialect::orcheo::WorkflowId;
use sidegate_core::id::{AppId, ConversationId, EndUserId, TokenId};
use sidegate_core::rate::Rate;
use sidegate_core::revocation::Revocation;

/// A store did not do what was asked: unreachable, or full. Nothing was changed, as far as can be
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the store is unavailable")
    }
}

impl std::error::Error for Unavailable {}

/// An answer of a store. Boxed, so that engines can stand behind one trait object; the calls are
/// off the hot path.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// One engine: everything that is kept in one place.
pub trait Store: Vault + Sessions + Owners + Replay + Revocations + Entries {
    /// Where it is kept.
    fn kind(&self) -> Kind;

    /// Drops what has expired by `now`, in small steps: other calls go on between them.
    fn sweep(&self, now: Timestamp) -> Answer<'_, ()>;

    /// Whether it answers; for readiness.
    fn ping(&self) -> Answer<'_, ()>;

    /// Whether another gate works on it, too, for a while: what that one changes must not be overlooked. Engines
    /// that are made for replicas need not be told.
    fn share(&self, _shared: bool) {}

    /// Forgets what is kept at hand of what is kept elsewhere: a command may have sealed that anew.
    fn forget_at_hand(&self) {}

    /// Counters that all replicas share; without them each counts for itself.
    fn counters(&self) -> Option<&dyn Counters> {
        None
    }
}

/// Where a store keeps things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In this process; gone when it ends.
    Memory,
    /// In a file of this machine.
    Embedded,
    /// In a server that all replicas share.
    Shared,
}

/// Sealed contexts of tokens.
pub trait Vault: Send + Sync {
    /// Keeps `record` until `expires_at`. It is durable, to the degree the engine promises, when
    /// this answers. A token has one record: a second `put` is refused.
    fn put<'a>(&'a self, key: ContextKey<'a>, record: Bytes, expires_at: Timestamp) -> Answer<'a, ()>;

    /// The record of a token; `None` if there is none, or its time is over.
    fn get<'a>(&'a self, key: ContextKey<'a>, now: Timestamp) -> Answer<'a, Option<Record>>;

    /// Some records, from a place in the store on; `None` is its beginning. Each record that is
    /// there from the first page to the last is on one of them, if not on two; one that is over
    /// may be. A cursor that is none is refused.
    fn page(&self, from: Option<Cursor>) -> Answer<'_, Page>;

    /// Puts `new` in the place of the record `old` if it is still there; whether it was.
    fn replace<'a>(&'a self, key: ContextKey<'a>, old: &'a Bytes, new: Bytes) -> Answer<'a, bool>;
}

/// A sealed context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// As it was put.
    pub sealed: Bytes,
    /// When it is over.
    pub expires_at: Timestamp,
}

/// A place in a store, in its engine's own terms.
pub type Cursor = String;

/// Some of what a store keeps: sealed contexts, where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T = (AppId, TokenId, Record)> {
    /// Whose they are, and what.
    pub records: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// Who created which conversation. Owners outlive tokens.
pub trait Owners: Send + Sync {
    /// Whether another owner can be recorded; asked before a conversation is created upstream, so
    /// that none is created that nobody may read.
    fn has_room(&self) -> Answer<'_, bool>;

    /// Records that `owner` created `conversation`. An owner is never replaced by another one.
    fn record<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, ()>;

    /// Whether `conversation` is `owner`'s.
    fn owns<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, bool>;

    /// The conversations of `owner`.
    fn of<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, std::collections::HashSet<ConversationId>>;

    /// Some owners with a conversation each; pages as those of [`Vault::page`].
    fn owners_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, EndUserId, ConversationId)>>;
}

/// An end user of an app.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The app.
    pub app: &'a AppId,
    /// The end user.
    pub end_user: &'a EndUserId,
}

/// Which single-use tokens have been used.
pub trait Replay: Send + Sync {
    /// Whether this is the token's first use, of all calls on all replicas. Remembered until `until`,
    /// from when on the token is refused anyway; durable when this answers.
    fn first_use<'a>(&'a self, key: ContextKey<'a>, until: Timestamp) -> Answer<'a, bool>;

    /// Some used tokens, and until when each is remembered; pages as those of [`Vault::page`].
    fn uses_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, TokenId, Timestamp)>>;
}

/// What is revoked.
pub trait Revocations: Send + Sync {
    /// Keeps a revocation for as long as it matters; durable when this answers.
    fn revoke<'a>(&'a self, revocation: &'a Revocation, until: Timestamp) -> Answer<'a, ()>;

    /// Those that were kept after `mark`, in order; [`Mark::default`] is before the first. Each is
    /// told at least once, whoever keeps them meanwhile.
    fn revoked_since(&self, mark: Mark) -> Answer<'_, Revoked>;
}

/// A place in the order of revocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// Some revocations, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// With the time until which each matters.
    pub revocations: Vec<(Revocation, Timestamp)>,
    /// Where to go on.
    pub mark: Mark,
}

/// Counters of limits.
pub trait Counters: Send + Sync {
    /// Counts one request with all of `counters`, and says which of them has the least left; if one is full, with
    /// none of them, and then says which.
    fn count<'a>(&'a self, counters: &'a [Counter<'a>]) -> Answer<'a, Result<Left, Full>>;

    /// Whether it counted when last asked.
    fn is_counting(&self) -> bool;
}

/// What one counter is for.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    /// The app.
    pub app: &'a AppId,
    /// The name of its limit.
    pub limit: &'static str,
    /// Whose requests are counted.
    pub whose: Whose<'a>,
    /// How many it takes.
    pub rate: Rate,
}

/// What is left of the counter that has the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its place.
    pub which: usize,
    /// How many requests it takes at once.
    pub left: u32,
    /// How long until it takes one, if none is left.
    pub wait: Duration,
}

/// A counter that takes no request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// The place of the first one that is full.
    pub which: usize,
    /// How long until it takes one.
    pub wait: Duration,
}

/// Whose requests a counter counts.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// All of the app.
    App,
    /// Those in a session, by its id, which may be a secret.
    Session(&'a str),
    /// Those of an end user.
    EndUser(&'a EndUserId),
    /// Those of a chat route: its method and template.
    Route((&'static str, &'static str)),
    /// Those to a workflow.
    Workflow(&'a WorkflowId),
    /// Those from a client's network.
    Network(IpAddr),
}
