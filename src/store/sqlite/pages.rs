//! Tables, page by page in the order of their keys, which are two texts without spaces.

use sidegate_core::id::ConversationId;
use sqlx::query;
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use crate::store::{Cursor, Page, Unavailable};

/// Rows on a page.
const PAGE: usize = 256;

impl Sqlite {
    /// The page behind the key that `from` names. `statement` takes the two parts of that key and the
    /// number of rows; `read` and `key` are the row's meaning and its key.
    pub(super) async fn page_of<T>(
        &self,
        statement: &'static str,
        from: Option<Cursor>,
        read: fn(&SqliteRow) -> Option<T>,
        key: fn(&T) -> (&str, &str),
    ) -> Result<Page<T>, Unavailable> {
        let (one, two) = match &from {
            // No id is empty.
            None => ("", ""),
            Some(cursor) => cursor.split_once(' ').filter(|key| are_ids(*key)).ok_or(Unavailable)?,
        };
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let page = query(statement).bind(one.to_owned()).bind(two.to_owned()).bind(limit);
        let pool = self.reads.pool();
        let rows = self.reads.ask(async move { page.fetch_all(&pool).await }).await?;
        let records = rows.iter().map(read).collect::<Option<Vec<_>>>().ok_or(Unavailable)?;
        let last = records.last().filter(|_| rows.len() == PAGE).map(key);
        let next = last.map(|(one, two)| format!("{one} {two}"));
        Ok(Page { records, next })
    }
}

/// Whether both could stand in a key: conversations have the widest ids of those that do.
fn are_ids((one, two): (&str, &str)) -> bool {
    [one, two].iter().all(|part| ConversationId::parse(part).is_ok())
}
