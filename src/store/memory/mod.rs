//! The state in memory: lost when the program ends, and bounded. What does not fit is refused;
//! nothing that was acknowledged is dropped before its time.

mod entries;
mod objects;
mod owners;
mod pages;
mod sessions;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, ConversationId, EndUserId, TokenId};
use sidegate_core::revocation::Revocation;

use super::{Answer, Kind, Record, Store, Unavailable};

/// What one entry costs beside its own bytes: maps, index and allocations, rounded up.
const ENTRY_COST: usize = 256;

/// Everything, in memory.
#[derive(Debug)]
pub struct Memory {
    capacity: usize,
    state: Mutex<State>,
    kept: Mutex<entries::Kept>,
}

/// A token of an app.
type Key = (TokenId, AppId);

/// Maps that are read page by page have an order.
#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Of `used`, what owners cost. They are never dropped, so half is kept free of them: chatting
    /// cannot stop the exchange.
    owned: usize,
    /// Of `used`, what chat sessions cost. Anybody may open one, so half is kept free of them, too.
    chatting: usize,
    /// Of `used`, what objects of the API cost.
    kept_for_objects: usize,
    objects: objects::Kept,
    records: BTreeMap<Key, Record>,
    sessions: sessions::Kept,
    first_uses: BTreeMap<Key, Timestamp>,
    revocations: BTreeMap<u64, (Revocation, Timestamp)>,
    last_mark: u64,
    expiries: BTreeSet<(Timestamp, Entry)>,
    owners: BTreeMap<(AppId, ConversationId), EndUserId>,
    conversations: HashMap<(AppId, EndUserId), HashSet<ConversationId>>,
}

/// What expires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Record(Key),
    FirstUse(Key),
    Session(sessions::Key),
    Revocation(u64),
}

impl Memory {
    /// A store that holds at most `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), kept: Mutex::default() }
    }

    /// A panic elsewhere cannot leave the maps in disorder: each change below is complete before
    /// anything that can fail.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, entries::Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn kind(&self) -> Kind {
        Kind::Memory
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        /// Entries that are dropped while others wait.
        const STEP: usize = 1_024;
        Box::pin(async move {
            self.state().sessions.forget_days(now);
            self.state().forget_removals(now);
            while self.state().drop_expired(now, STEP) == STEP {
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl State {
    fn reserve(&mut self, cost: usize, capacity: usize) -> Result<(), Unavailable> {
        self.used = self.used.checked_add(cost).filter(|used| *used <= capacity).ok_or(Unavailable)?;
        Ok(())
    }

    fn room_for_owners(&self, capacity: usize) -> usize {
        let own = (capacity / 2).saturating_sub(self.owned);
        own.min(self.room_beside_contexts(capacity)).min(capacity.saturating_sub(self.used))
    }

    /// What strangers, and callers of the API, may fill together: a quarter is left for contexts.
    fn room_beside_contexts(&self, capacity: usize) -> usize {
        (capacity / 4 * 3).saturating_sub(self.owned + self.chatting + self.kept_for_objects)
    }

    /// Drops at most `most` entries; how many it were.
    fn drop_expired(&mut self, now: Timestamp, most: usize) -> usize {
        for dropped in 0..most {
            if self.expiries.first().is_none_or(|(at, _)| *at > now) {
                return dropped;
            }
            let Some((_, entry)) = self.expiries.pop_first() else { return dropped };
            self.used -= match entry {
                Entry::Record(key) => self.records.remove(&key).map_or(0, |record| record_cost(&key, &record)),
                Entry::FirstUse(key) => {
                    self.first_uses.remove(&key);
                    key_cost(&key)
                }
                Entry::Session(key) => {
                    let cost = self.sessions.drop(&key);
                    self.chatting -= cost;
                    cost
                }
                Entry::Revocation(mark) => {
                    self.revocations.remove(&mark);
                    ENTRY_COST
                }
            };
        }
        most
    }
}

fn key_cost((token, app): &Key) -> usize {
    ENTRY_COST + token.as_str().len() + app.as_str().len()
}

fn record_cost(key: &Key, record: &Record) -> usize {
    key_cost(key) + record.sealed.len()
}
