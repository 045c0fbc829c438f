//! Owners of conversations. They have no time: what an end user owns stays theirs.

use std::collections::HashSet;

use bytes::Bytes;
use redis::cmd;
use sidegate_core::id::{AppId, ConversationId, EndUserId};

use super::Redis;
use super::fault::Fault;
use crate::store::{Answer, Cursor, Owner, Owners, Page, Unavailable};

impl Owners for Redis {
    fn has_room(&self) -> Answer<'_, bool> {
        Box::pin(async move {
            match self.link.try_writing().await {
                Ok(()) => Ok(true),
                Err(error) if Fault(&error).is_full() => Ok(false),
                Err(_) => Err(Unavailable),
            }
        })
    }

    fn record<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut script = self.scripts.own.key(self.keys.owner(owner.app, conversation));
            script.key(self.keys.conversations(owner)).arg(owner.end_user.as_str()).arg(conversation.as_str());
            match self.link.run(&script).await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(Unavailable),
            }
        })
    }

    fn owns<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, bool> {
        Box::pin(async move {
            let name = self.keys.owner(owner.app, conversation);
            let known: Option<String> = self.link.call(cmd("GET").arg(name)).await.map_err(|_| Unavailable)?;
            Ok(known.is_some_and(|known| known == owner.end_user.as_str()))
        })
    }

    fn of<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, HashSet<ConversationId>> {
        Box::pin(async move {
            let name = self.keys.conversations(owner);
            let all: Vec<String> = self.link.call(cmd("SMEMBERS").arg(name)).await.map_err(|_| Unavailable)?;
            Ok(all.iter().filter_map(|id| id.parse().ok()).collect())
        })
    }

    fn owners_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, EndUserId, ConversationId)>> {
        Box::pin(async move {
            let read = |name: &str, value: Bytes| {
                let (app, conversation) = self.keys.of_owner(name)?;
                Some((app, std::str::from_utf8(&value).ok()?.parse().ok()?, conversation))
            };
            self.page_of(self.keys.any_owner(), from, read).await
        })
    }
}
