//! The state in memory: lost when the program ends, and bounded. What does not fit is refused;
//! nothing that was acknowledged is dropped before its time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, ConversationId, EndUserId, TokenId};

use super::{Answer, Owner, Owners, Unavailable, Vault};

/// What one entry costs beside its own bytes: maps, index and allocations, rounded up.
const ENTRY_COST: usize = 256;

/// Contexts and owners in memory.
#[derive(Debug)]
pub struct Memory {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Of `used`, what owners cost. They are never dropped, so half is kept free of them: chatting
    /// cannot stop the exchange.
    owned: usize,
    records: HashMap<TokenId, Record>,
    expiries: BTreeSet<(Timestamp, TokenId)>,
    owners: HashMap<(AppId, ConversationId), EndUserId>,
    conversations: HashMap<(AppId, EndUserId), HashSet<ConversationId>>,
}

#[derive(Debug)]
struct Record {
    sealed: Vec<u8>,
    expires_at: Timestamp,
}

impl Memory {
    /// A store that holds at most `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    /// A panic elsewhere cannot leave the maps in disorder: each change below is complete before
    /// anything that can fail.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reserve(&mut self, cost: usize, capacity: usize) -> Result<(), Unavailable> {
        self.used = self.used.checked_add(cost).filter(|used| *used <= capacity).ok_or(Unavailable)?;
        Ok(())
    }

    fn room_for_owners(&self, capacity: usize) -> usize {
        (capacity / 2).saturating_sub(self.owned).min(capacity.saturating_sub(self.used))
    }

    fn drop_expired(&mut self, now: Timestamp) {
        while let Some((expires_at, token)) = self.expiries.first().filter(|(at, _)| *at <= now).cloned() {
            self.expiries.remove(&(expires_at, token.clone()));
            if let Some(record) = self.records.remove(&token) {
                self.used -= record_cost(&token, &record.sealed);
            }
        }
    }
}

fn record_cost(token: &TokenId, sealed: &[u8]) -> usize {
    ENTRY_COST + token.as_str().len() + sealed.len()
}

impl Vault for Memory {
    fn put<'a>(&'a self, token: &'a TokenId, sealed: Vec<u8>, expires_at: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut state = self.state();
            if state.records.contains_key(token) {
                return Err(Unavailable);
            }
            state.reserve(record_cost(token, &sealed), self.capacity)?;
            state.expiries.insert((expires_at, token.clone()));
            state.records.insert(token.clone(), Record { sealed, expires_at });
            Ok(())
        })
    }

    fn get<'a>(&'a self, token: &'a TokenId, now: Timestamp) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let state = self.state();
            let live = state.records.get(token).filter(|record| record.expires_at > now);
            Ok(live.map(|record| record.sealed.clone()))
        })
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move {
            self.state().drop_expired(now);
            Ok(())
        })
    }
}

fn owner_cost(owner: Owner<'_>, conversation: &ConversationId) -> usize {
    2 * (ENTRY_COST + conversation.as_str().len()) + owner.app.as_str().len() + owner.end_user.as_str().len()
}

impl Owners for Memory {
    fn has_room(&self) -> Answer<'_, bool> {
        /// More than the costliest owner: two entries with ids of full length.
        const LARGEST: usize = 4 * ENTRY_COST + 1024;
        Box::pin(async move { Ok(self.state().room_for_owners(self.capacity) >= LARGEST) })
    }

    fn record<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut state = self.state();
            let key = (owner.app.clone(), conversation.clone());
            if let Some(known) = state.owners.get(&key) {
                return if known == owner.end_user { Ok(()) } else { Err(Unavailable) };
            }
            let cost = owner_cost(owner, conversation);
            if state.room_for_owners(self.capacity) < cost {
                return Err(Unavailable);
            }
            state.reserve(cost, self.capacity)?;
            state.owned += cost;
            state.owners.insert(key, owner.end_user.clone());
            let of_user = (owner.app.clone(), owner.end_user.clone());
            state.conversations.entry(of_user).or_default().insert(conversation.clone());
            Ok(())
        })
    }

    fn owns<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, bool> {
        Box::pin(async move {
            let key = (owner.app.clone(), conversation.clone());
            Ok(self.state().owners.get(&key).is_some_and(|known| known == owner.end_user))
        })
    }

    fn of<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, HashSet<ConversationId>> {
        Box::pin(async move {
            let key = (owner.app.clone(), owner.end_user.clone());
            Ok(self.state().conversations.get(&key).cloned().unwrap_or_default())
        })
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
