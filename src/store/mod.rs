//! What outlives a request: one trait for each need, engines behind them.
//!
//! Every call may fail; nothing that was refused is half kept. Records are sealed before they come
//! here: an engine sees ciphertext.

mod memory;

pub use memory::Memory;

use std::future::Future;
use std::pin::Pin;

use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, ConversationId, EndUserId, TokenId};

/// A store did not do what was asked: unreachable, or full. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// An answer of a store. Boxed, so that engines can stand behind one trait object; the calls are
/// off the hot path.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// Sealed contexts by token id.
pub trait Vault: Send + Sync {
    /// Keeps `record` until `expires_at`. It is durable, to the degree the engine promises, when
    /// this answers.
    fn put<'a>(&'a self, token: &'a TokenId, record: Vec<u8>, expires_at: Timestamp) -> Answer<'a, ()>;

    /// The record of a token; `None` if there is none, or its time is over.
    fn get<'a>(&'a self, token: &'a TokenId, now: Timestamp) -> Answer<'a, Option<Vec<u8>>>;

    /// Drops what has expired by `now`.
    fn sweep(&self, now: Timestamp) -> Answer<'_, ()>;
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
}

/// An end user of an app.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The app.
    pub app: &'a AppId,
    /// The end user.
    pub end_user: &'a EndUserId,
}
