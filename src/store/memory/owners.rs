//! Owners of conversations.

use std::collections::HashSet;

use sidegate_core::id::{AppId, ConversationId, EndUserId};

use super::{ENTRY_COST, Memory, pages};
use crate::store::{Answer, Cursor, Owner, Owners, Page, Unavailable};

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

    fn owners_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, EndUserId, ConversationId)>> {
        Box::pin(async move {
            pages::page(&self.state().owners, from.as_deref(), |(app, conversation), end_user| {
                (app.clone(), end_user.clone(), conversation.clone())
            })
        })
    }
}
