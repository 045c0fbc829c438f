//! The registry's entries.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, query, query_scalar};

use super::Sqlite;
use super::batch::Change;
use crate::store::{Answer, Entries, Entry, EntryKind, Unavailable};

impl Entries for Sqlite {
    fn add<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(self.writer.write(Change::AddEntry(entry.clone())))
    }

    fn change<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(self.writer.write(Change::RewriteEntry(entry.clone())))
    }

    fn entry<'a>(&'a self, kind: EntryKind, id: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let statement = "select id, revision, document from entries where kind = ? and id = ?";
            let one = query(statement).bind(kind.name()).bind(id.to_owned());
            let pool = self.reads.pool();
            let row = self.reads.ask(async move { one.fetch_optional(&pool).await }).await?;
            row.map(|row| entry_of(kind, &row).ok_or(Unavailable)).transpose()
        })
    }

    fn entries(&self, kind: EntryKind) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let all = query("select id, revision, document from entries where kind = ? order by id").bind(kind.name());
            let pool = self.reads.pool();
            let rows = self.reads.ask(async move { all.fetch_all(&pool).await }).await?;
            rows.iter().map(|row| entry_of(kind, row).ok_or(Unavailable)).collect()
        })
    }

    fn generation(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let pool = self.reads.pool();
            let changes = query_scalar::<_, i64>("select changes from generation");
            let changes = self.reads.ask(async move { changes.fetch_one(&pool).await }).await?;
            u64::try_from(changes).map_err(|_| Unavailable)
        })
    }

    fn is_shared(&self) -> bool {
        false
    }
}

/// `None` if it is not as we write it.
fn entry_of(kind: EntryKind, row: &SqliteRow) -> Option<Entry> {
    let id = row.try_get("id").ok()?;
    let revision = row.try_get::<i64, _>("revision").ok()?.try_into().ok()?;
    Some(Entry { kind, id, revision, document: row.try_get("document").ok()? })
}
