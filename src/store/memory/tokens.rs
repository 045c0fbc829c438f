//! What belongs to tokens: contexts, first uses, revocations.

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::id::{AppId, TokenId};
use sidegate_core::revocation::Revocation;

use super::{ENTRY_COST, Entry, Key, Memory, key_cost, pages, record_cost};
use crate::store::{Answer, Cursor, Mark, Page, Record, Replay, Revocations, Revoked, Unavailable, Vault};

fn owned(key: ContextKey<'_>) -> Key {
    (key.token.clone(), key.app.clone())
}

impl Vault for Memory {
    fn put<'a>(&'a self, key: ContextKey<'a>, sealed: Bytes, expires_at: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move {
            let (key, record) = (owned(key), Record { sealed, expires_at });
            let mut state = self.state();
            if state.records.contains_key(&key) {
                return Err(Unavailable);
            }
            state.reserve(record_cost(&key, &record), self.capacity)?;
            state.expiries.insert((expires_at, Entry::Record(key.clone())));
            state.records.insert(key, record);
            Ok(())
        })
    }

    fn get<'a>(&'a self, key: ContextKey<'a>, now: Timestamp) -> Answer<'a, Option<Record>> {
        Box::pin(async move {
            let state = self.state();
            Ok(state.records.get(&owned(key)).filter(|record| record.expires_at > now).cloned())
        })
    }

    fn page(&self, from: Option<Cursor>) -> Answer<'_, Page> {
        Box::pin(async move {
            pages::page(&self.state().records, from.as_deref(), |(token, app), record| {
                (app.clone(), token.clone(), record.clone())
            })
        })
    }

    fn replace<'a>(&'a self, key: ContextKey<'a>, old: &'a Bytes, new: Bytes) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut state = self.state();
            let used = (state.used + new.len()).saturating_sub(old.len());
            let Some(record) = state.records.get_mut(&owned(key)).filter(|record| record.sealed == *old) else {
                return Ok(false);
            };
            if used > self.capacity {
                return Err(Unavailable);
            }
            record.sealed = new;
            state.used = used;
            Ok(true)
        })
    }
}

impl Replay for Memory {
    fn first_use<'a>(&'a self, key: ContextKey<'a>, until: Timestamp) -> Answer<'a, bool> {
        Box::pin(async move {
            let key = owned(key);
            let mut state = self.state();
            if state.first_uses.contains_key(&key) {
                return Ok(false);
            }
            state.reserve(key_cost(&key), self.capacity)?;
            state.expiries.insert((until, Entry::FirstUse(key.clone())));
            Ok(state.first_uses.insert(key, until).is_none())
        })
    }

    fn uses_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, TokenId, Timestamp)>> {
        Box::pin(async move {
            pages::page(&self.state().first_uses, from.as_deref(), |(token, app), until| {
                (app.clone(), token.clone(), *until)
            })
        })
    }
}

impl Revocations for Memory {
    fn revoke<'a>(&'a self, revocation: &'a Revocation, until: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut state = self.state();
            state.reserve(ENTRY_COST, self.capacity)?;
            state.last_mark += 1;
            let mark = state.last_mark;
            state.expiries.insert((until, Entry::Revocation(mark)));
            state.revocations.insert(mark, (revocation.clone(), until));
            Ok(())
        })
    }

    fn revoked_since(&self, mark: Mark) -> Answer<'_, Revoked> {
        Box::pin(async move {
            let state = self.state();
            let later = state.revocations.range(mark.0 + 1..);
            let revocations: Vec<_> = later.map(|(_, kept)| kept.clone()).collect();
            Ok(Revoked { revocations, mark: Mark(state.last_mark) })
        })
    }
}
