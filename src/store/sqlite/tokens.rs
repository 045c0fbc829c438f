//! What belongs to tokens: contexts, first uses, revocations.

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::id::{AppId, TokenId};
use sidegate_core::revocation::Revocation;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, query};

use super::Sqlite;
use super::batch::{Change, millis};
use super::cache::Key;
use crate::store::{Answer, Cursor, Mark, Page, Record, Replay, Revocations, Revoked, Unavailable, Vault};

fn owned(key: ContextKey<'_>) -> Key {
    (key.token.clone(), key.app.clone())
}

impl Vault for Sqlite {
    fn put<'a>(&'a self, key: ContextKey<'a>, sealed: Bytes, expires_at: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move {
            let kept = self.writer.write(Change::Put { key: owned(key), sealed, expires_at }).await?;
            kept.then_some(()).ok_or(Unavailable)
        })
    }

    fn get<'a>(&'a self, key: ContextKey<'a>, now: Timestamp) -> Answer<'a, Option<Record>> {
        Box::pin(async move {
            let key = owned(key);
            // Of many who ask for the same record, one reads it.
            let record = match self.cache.contexts.get_value_or_guard_async(&key).await {
                Ok(record) => Some(record),
                Err(vacancy) => {
                    let record = self.read(&key).await?;
                    // A record that is too large for the cache, or was replaced meanwhile, is not kept.
                    record.inspect(|record| drop(vacancy.insert(record.clone())))
                }
            };
            Ok(record.filter(|record| record.expires_at > now))
        })
    }

    fn page(&self, from: Option<Cursor>) -> Answer<'_, Page> {
        const STATEMENT: &str = "select token, app, sealed, expires_at from contexts \
                                 where (token, app) > (?, ?) order by token, app limit ?";
        Box::pin(self.page_of(STATEMENT, from, record_of, |(app, token, _)| (token.as_str(), app.as_str())))
    }

    fn replace<'a>(&'a self, key: ContextKey<'a>, old: &'a Bytes, new: Bytes) -> Answer<'a, bool> {
        Box::pin(self.writer.write(Change::Replace { key: owned(key), old: old.clone(), new }))
    }
}

impl Sqlite {
    async fn read(&self, (token, app): &Key) -> Result<Option<Record>, Unavailable> {
        let statement = "select token, app, sealed, expires_at from contexts where token = ? and app = ?";
        let record = query(statement).bind(token.as_str().to_owned()).bind(app.as_str().to_owned());
        let pool = self.reads.pool();
        let row = self.reads.ask(async move { record.fetch_optional(&pool).await }).await?;
        row.map(|row| record_of(&row).map(|(_, _, record)| record).ok_or(Unavailable)).transpose()
    }
}

/// `None` if it is not as we write it.
fn record_of(row: &SqliteRow) -> Option<(AppId, TokenId, Record)> {
    let text = |column| row.try_get::<&str, _>(column).ok();
    let sealed = Bytes::copy_from_slice(row.try_get("sealed").ok()?);
    let expires_at = time_of(row, "expires_at")?;
    Some((text("app")?.parse().ok()?, text("token")?.parse().ok()?, Record { sealed, expires_at }))
}

fn use_of(row: &SqliteRow) -> Option<(AppId, TokenId, Timestamp)> {
    let text = |column| row.try_get::<&str, _>(column).ok();
    Some((text("app")?.parse().ok()?, text("token")?.parse().ok()?, time_of(row, "until")?))
}

pub(super) fn time_of(row: &SqliteRow, column: &str) -> Option<Timestamp> {
    row.try_get::<i64, _>(column).ok()?.try_into().ok().map(Timestamp::from_millis)
}

impl Replay for Sqlite {
    fn first_use<'a>(&'a self, key: ContextKey<'a>, until: Timestamp) -> Answer<'a, bool> {
        Box::pin(self.writer.write(Change::Use { key: owned(key), until }))
    }

    fn uses_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, TokenId, Timestamp)>> {
        const STATEMENT: &str =
            "select token, app, until from uses where (token, app) > (?, ?) order by token, app limit ?";
        Box::pin(self.page_of(STATEMENT, from, use_of, |(app, token, _)| (token.as_str(), app.as_str())))
    }
}

impl Revocations for Sqlite {
    fn revoke<'a>(&'a self, revocation: &'a Revocation, until: Timestamp) -> Answer<'a, ()> {
        Box::pin(async move {
            let revocation = serde_json::to_string(revocation).map_err(|_| Unavailable)?;
            self.writer.write(Change::Revoke { revocation, until }).await.map(drop)
        })
    }

    fn revoked_since(&self, mark: Mark) -> Answer<'_, Revoked> {
        Box::pin(async move {
            let after = millis(Timestamp::from_millis(mark.0));
            let later =
                query("select mark, revocation, until from revocations where mark > ? order by mark").bind(after);
            let pool = self.reads.pool();
            let rows = self.reads.ask(async move { later.fetch_all(&pool).await }).await?;
            let mut revoked = Revoked { revocations: Vec::with_capacity(rows.len()), mark };
            for row in &rows {
                let (at, kept) = revocation_of(row).ok_or(Unavailable)?;
                revoked.revocations.push(kept);
                revoked.mark = at;
            }
            Ok(revoked)
        })
    }
}

/// `None` if it is not as we write it. It is not passed over: what it revokes would be admitted.
fn revocation_of(row: &SqliteRow) -> Option<(Mark, (Revocation, Timestamp))> {
    let mark = row.try_get::<i64, _>("mark").ok()?.try_into().ok()?;
    let revocation = serde_json::from_str(row.try_get("revocation").ok()?).ok()?;
    Some((Mark(mark), (revocation, time_of(row, "until")?)))
}
