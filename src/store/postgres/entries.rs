//! The registry's entries.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::statements::ask;
use crate::store::{Answer, Entries, Entry, EntryKind, Unavailable};

impl Entries for Postgres {
    fn add<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(self.write(&self.statements.add, entry, 1))
    }

    fn change<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(async move {
            match i64::try_from(entry.revision) {
                Ok(revision) => self.write(&self.statements.change, entry, revision).await,
                // No entry has ever been written so often.
                Err(_) => Ok(false),
            }
        })
    }

    fn entry<'a>(&'a self, kind: EntryKind, id: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let one = ask(&self.statements.entry).bind(kind.name()).bind(id.to_owned());
            let rows = self.calls.read(one).await?;
            rows.first().map(|row| entry_of(kind, row).ok_or(Unavailable)).transpose()
        })
    }

    fn entries(&self, kind: EntryKind) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.statements.entries).bind(kind.name())).await?;
            rows.iter().map(|row| entry_of(kind, row).ok_or(Unavailable)).collect()
        })
    }

    fn generation(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.statements.generation)).await?;
            let changes = rows.first().and_then(|row| row.try_get::<i64, _>("changes").ok()).ok_or(Unavailable)?;
            u64::try_from(changes).map_err(|_| Unavailable)
        })
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl Postgres {
    /// Whether the change took place.
    async fn write(&self, statement: &std::sync::Arc<str>, entry: &Entry, revision: i64) -> Result<bool, Unavailable> {
        let change = ask(statement).bind(entry.kind.name()).bind(entry.id.clone());
        let rows = self.calls.write(change.bind(revision).bind(entry.document.clone())).await?;
        Ok(!rows.is_empty())
    }
}

/// `None` if it is not as we write it.
fn entry_of(kind: EntryKind, row: &PgRow) -> Option<Entry> {
    let id = row.try_get("id").ok()?;
    let revision = row.try_get::<i64, _>("revision").ok()?.try_into().ok()?;
    Some(Entry { kind, id, revision, document: row.try_get("document").ok()? })
}
