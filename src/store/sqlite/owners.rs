//! Owners of conversations.

use std::collections::HashSet;

use sidegate_core::id::{AppId, ConversationId, EndUserId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, query_scalar};

use super::Sqlite;
use super::batch::Change;
use crate::store::{Answer, Cursor, Owner, Owners, Page, Unavailable};

impl Owners for Sqlite {
    fn has_room(&self) -> Answer<'_, bool> {
        Box::pin(async {
            if !self.file.is_in_place() {
                return Err(Unavailable);
            }
            // While writes fail, this is what finds out that they do not any more.
            Ok(!self.writer.is_failing() || self.writer.write(Change::Probe).await.is_ok())
        })
    }

    fn record<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, ()> {
        Box::pin(async move {
            let (conversation, end_user) = ((owner.app.clone(), conversation.clone()), owner.end_user.clone());
            let recorded = self.writer.write(Change::Own { conversation, end_user }).await?;
            recorded.then_some(()).ok_or(Unavailable)
        })
    }

    fn owns<'a>(&'a self, owner: Owner<'a>, conversation: &'a ConversationId) -> Answer<'a, bool> {
        Box::pin(async move {
            let key = (owner.app.clone(), conversation.clone());
            if let Some(known) = self.cache.owners.get(&key) {
                return Ok(known == *owner.end_user);
            }
            let statement = "select end_user from owners where app = ? and conversation = ?";
            let found = query_scalar::<_, String>(statement)
                .bind(owner.app.as_str().to_owned())
                .bind(conversation.as_str().to_owned());
            let pool = self.reads.pool();
            let found = self.reads.ask(async move { found.fetch_optional(&pool).await }).await?;
            // Only what is there is kept: that a conversation has no owner can change.
            let Some(end_user) = found else { return Ok(false) };
            let end_user: EndUserId = end_user.parse().map_err(|_| Unavailable)?;
            let owns = end_user == *owner.end_user;
            self.cache.owners.insert(key, end_user);
            Ok(owns)
        })
    }

    fn of<'a>(&'a self, owner: Owner<'a>) -> Answer<'a, HashSet<ConversationId>> {
        Box::pin(async move {
            let all = query_scalar::<_, String>("select conversation from owners where app = ? and end_user = ?")
                .bind(owner.app.as_str().to_owned())
                .bind(owner.end_user.as_str().to_owned());
            let pool = self.reads.pool();
            let all = self.reads.ask(async move { all.fetch_all(&pool).await }).await?;
            all.iter().map(|conversation| conversation.parse().map_err(|_| Unavailable)).collect()
        })
    }

    fn owners_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, EndUserId, ConversationId)>> {
        const STATEMENT: &str = "select app, end_user, conversation from owners \
                                 where (app, conversation) > (?, ?) order by app, conversation limit ?";
        Box::pin(
            self.page_of(STATEMENT, from, owner_of, |(app, _, conversation)| (app.as_str(), conversation.as_str())),
        )
    }
}

/// `None` if it is not as we write it.
fn owner_of(row: &SqliteRow) -> Option<(AppId, EndUserId, ConversationId)> {
    let text = |column| row.try_get::<&str, _>(column).ok();
    Some((text("app")?.parse().ok()?, text("end_user")?.parse().ok()?, text("conversation")?.parse().ok()?))
}
