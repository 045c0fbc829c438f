//! What is kept at hand, so that most requests do not read the file.
//!
//! Only what cannot become wrong: a context is replaced through this store or not at all while the
//! program runs, an owner is never replaced, and a session that changes is forgotten here. (`sidegate store rekey` replaces
//! sealed ones by the same under another key, so a reload, which may take the old key away, forgets them all.) Uses and
//! revocations are not kept here. While another gate takes over, both change sessions: then each reads them anew.

use std::sync::atomic::{AtomicUsize, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache as Map;
use sidegate_core::id::{self, AppId, ConversationId, EndUserId, TokenId};

use crate::store::{Record, Session};

/// What one entry costs beside its own bytes, rounded up.
const ENTRY_COST: usize = 256;
/// For a first guess at the number of entries.
const TYPICAL_ENTRY: usize = 2_048;

/// A token of an app.
pub(super) type Key = (TokenId, AppId);
/// A conversation of an app.
pub(super) type Conversation = (AppId, ConversationId);

/// A session of an app.
pub(super) type OfSession = (id::SessionDigest, AppId);

/// Contexts, sessions and owners, each bounded in bytes.
pub(super) struct Cache {
    pub(super) contexts: Map<Key, Record, Cost>,
    pub(super) sessions: Map<OfSession, Session, Cost>,
    pub(super) owners: Map<Conversation, EndUserId, Cost>,
    /// How many other gates there are.
    others: AtomicUsize,
}

/// Counts bytes.
#[derive(Clone, Debug)]
pub(super) struct Cost;

impl Cache {
    /// At most `memory` bytes, a quarter of them for owners and a quarter for sessions.
    pub(super) fn new(memory: usize) -> Self {
        let (owners, sessions) = (memory / 4, memory / 4);
        let contexts = memory - owners - sessions;
        let entries = |bytes: usize| bytes / TYPICAL_ENTRY;
        Self {
            contexts: Map::with_weighter(entries(contexts), contexts as u64, Cost),
            sessions: Map::with_weighter(entries(sessions), sessions as u64, Cost),
            owners: Map::with_weighter(entries(owners), owners as u64, Cost),
            others: AtomicUsize::new(0),
        }
    }

    /// One more gate changes the file, too, or one less. While there is any, sessions are read there: nothing else can change.
    pub(super) fn share(&self, shared: bool) {
        if shared {
            self.others.fetch_add(1, Ordering::AcqRel);
        } else {
            self.sessions.clear();
            self.others.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// What is sealed is read anew.
    pub(super) fn forget_sealed(&self) {
        self.contexts.clear();
        self.sessions.clear();
    }

    /// Whether sessions in the file may be others than those at hand.
    pub(super) fn is_shared(&self) -> bool {
        self.others.load(Ordering::Acquire) > 0
    }
}

impl Weighter<Key, Record> for Cost {
    fn weight(&self, (token, app): &Key, record: &Record) -> u64 {
        (ENTRY_COST + token.as_str().len() + app.as_str().len() + record.sealed.len()) as u64
    }
}

impl Weighter<OfSession, Session> for Cost {
    fn weight(&self, (session, app): &OfSession, kept: &Session) -> u64 {
        (ENTRY_COST + session.as_str().len() + app.as_str().len() + kept.sealed.len()) as u64
    }
}

impl Weighter<Conversation, EndUserId> for Cost {
    fn weight(&self, (app, conversation): &Conversation, end_user: &EndUserId) -> u64 {
        (ENTRY_COST + app.as_str().len() + conversation.as_str().len() + end_user.as_str().len()) as u64
    }
}
