//! Objects of the API.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, query, query_scalar};

use super::Sqlite;
use super::batch::Change;
use super::object_changes::ObjectChange;
use crate::store::lists::{self, List, Lists, Place};
use crate::store::objects::{PAGE, place_of};
use crate::store::{
    Answer, Changed, Counts, Cursor, Mark, Object, ObjectKind, ObjectQuery, Objects, Page, Unavailable, Usage,
};

pub(super) const OBJECT: &str = "select * from objects where kind = ?1 and id = ?2";
const OF_IDS: &str = "select * from objects where kind = ?1 and id in (select value from json_each(?2))";
const IDS: &str = "select id from object_lists where list = ?1 and id > ?2 order by id limit ?3";
const IDS_NEWEST_FIRST: &str = "select id from object_lists where list = ?1 and id < ?2 order by id desc limit ?3";
const AMONG: &str = "select id from object_lists where list = ?1 and id in (select value from json_each(?2))";
/// After a mark that was never given all are told.
const CHANGED: &str = "select kind, id, changed from object_changes where changed > \
     (select case when ?1 > changes then 0 else ?1 end from object_generation) order by changed limit ?2";
const LAST_CHANGE: &str = "select changes from object_generation";
const USAGE: &str = "select sessions, messages, refused, bytes from object_usage where widget = ?1";
const ALL: &str = "select objects.*, sessions, messages, refused, bytes from objects \
     left join object_usage on widget = id and kind = 'widget' where (kind, id) > (?1, ?2) order by kind, id limit ?3";

impl Objects for Sqlite {
    fn insert<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(self.writer.write(Change::Object(ObjectChange::Insert(object.clone()))))
    }

    fn replace<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(self.writer.write(Change::Object(ObjectChange::Replace(object.clone()))))
    }

    fn remove<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, bool> {
        Box::pin(self.writer.write(Change::Object(ObjectChange::Remove(kind, id.to_owned()))))
    }

    fn object<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, Option<Object>> {
        Box::pin(async move {
            let one = query(OBJECT).bind(kind.name()).bind(id.to_owned());
            let pool = self.reads.pool();
            let row = self.reads.ask(async move { one.fetch_optional(&pool).await }).await?;
            row.map(|row| object_of(&row).ok_or(Unavailable)).transpose()
        })
    }

    fn objects<'a>(&'a self, query: &'a ObjectQuery<'a>) -> Answer<'a, Vec<Object>> {
        Box::pin(lists::page(self, query))
    }

    fn changed_since(&self, mark: Mark) -> Answer<'_, Changed> {
        Box::pin(async move {
            let later = query(CHANGED).bind(number(mark.0)).bind(number(PAGE));
            let pool = self.reads.pool();
            let rows = self.reads.ask(async move { later.fetch_all(&pool).await }).await?;
            let mut changed = Changed::read(rows.iter().map(change_of), mark).ok_or(Unavailable)?;
            if changed.ids.is_empty() {
                changed.mark = mark.min(self.last_change().await?);
            }
            Ok(changed)
        })
    }

    fn last_change(&self) -> Answer<'_, Mark> {
        Box::pin(async move {
            let pool = self.reads.pool();
            let changes = query_scalar::<_, i64>(LAST_CHANGE);
            let changes = self.reads.ask(async move { changes.fetch_one(&pool).await }).await?;
            u64::try_from(changes).map(Mark).map_err(|_| Unavailable)
        })
    }

    fn add_usage<'a>(&'a self, usage: &'a [Usage]) -> Answer<'a, ()> {
        Box::pin(
            async move { self.writer.write(Change::Object(ObjectChange::AddUsage(usage.to_vec()))).await.map(drop) },
        )
    }

    fn usage<'a>(&'a self, widget: &'a str) -> Answer<'a, Counts> {
        Box::pin(async move {
            let one = query(USAGE).bind(widget.to_owned());
            let pool = self.reads.pool();
            let row = self.reads.ask(async move { one.fetch_optional(&pool).await }).await?;
            row.map_or(Ok(Counts::default()), |row| counts_of(&row).ok_or(Unavailable))
        })
    }

    fn objects_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(Object, Counts)>> {
        Box::pin(async move {
            // No kind is empty.
            let from = from.as_deref().map(place_of).transpose()?;
            let (kind, id) = from.map_or(("", String::new()), |(kind, id)| (kind.name(), id));
            let page = query(ALL).bind(kind).bind(id).bind(number(PAGE));
            let pool = self.reads.pool();
            let rows = self.reads.ask(async move { page.fetch_all(&pool).await }).await?;
            let record = |row| Some((object_of(row)?, counts_of(row).unwrap_or_default()));
            let records = rows.iter().map(record).collect::<Option<Vec<_>>>().ok_or(Unavailable)?;
            let next = records.last().filter(|_| rows.len() == PAGE).map(|(object, _)| object.cursor());
            Ok(Page { records, next })
        })
    }
}

impl Lists for Sqlite {
    fn ids<'a>(&'a self, list: List, place: &'a Place, take: usize) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let ids = query_scalar::<_, String>(if place.newest_first { IDS_NEWEST_FIRST } else { IDS });
            let ids = ids.bind(list.0.to_vec()).bind(place.bound()).bind(number(take));
            let pool = self.reads.pool();
            self.reads.ask(async move { ids.fetch_all(&pool).await }).await
        })
    }

    fn among(&self, list: List, ids: Vec<String>) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let ids = serde_json::to_string(&ids).map_err(|_| Unavailable)?;
            let some = query_scalar::<_, String>(AMONG).bind(list.0.to_vec()).bind(ids);
            let pool = self.reads.pool();
            self.reads.ask(async move { some.fetch_all(&pool).await }).await
        })
    }

    fn of_ids(&self, kind: ObjectKind, ids: Vec<String>) -> Answer<'_, Vec<Object>> {
        Box::pin(async move {
            let ids = serde_json::to_string(&ids).map_err(|_| Unavailable)?;
            let some = query(OF_IDS).bind(kind.name()).bind(ids);
            let pool = self.reads.pool();
            let rows = self.reads.ask(async move { some.fetch_all(&pool).await }).await?;
            rows.iter().map(|row| object_of(row).ok_or(Unavailable)).collect()
        })
    }
}

/// SQLite's integers end earlier than ours.
pub(super) fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// `None` if it is not as we write it.
pub(super) fn object_of(row: &SqliteRow) -> Option<Object> {
    let text = |column| row.try_get::<&str, _>(column).ok();
    Some(Object {
        kind: ObjectKind::from_name(text("kind")?)?,
        id: text("id")?.to_owned(),
        app: text("app")?.parse().ok()?,
        revision: row.try_get::<i64, _>("revision").ok()?.try_into().ok()?,
        parent: row.try_get("parent").ok()?,
        labels: serde_json::from_str(text("labels")?).ok()?,
        document: text("document")?.to_owned(),
    })
}

fn change_of(row: &SqliteRow) -> Option<((ObjectKind, String), Mark)> {
    let kind = ObjectKind::from_name(row.try_get("kind").ok()?)?;
    let changed = row.try_get::<i64, _>("changed").ok()?.try_into().ok()?;
    Some(((kind, row.try_get("id").ok()?), Mark(changed)))
}

fn counts_of(row: &SqliteRow) -> Option<Counts> {
    let number = |column| row.try_get::<i64, _>(column).ok().and_then(|count| u64::try_from(count).ok());
    Some(Counts::from_numbers([number("sessions")?, number("messages")?, number("refused")?, number("bytes")?]))
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnection;
    use sqlx::{AssertSqlSafe, Connection as _, raw_sql};

    use super::*;

    /// Whatever is asked is found by a key: no table is read as a whole, and nothing is sorted.
    #[tokio::test]
    async fn every_question_is_answered_from_an_index() {
        let mut connection = SqliteConnection::connect(":memory:").await.expect("a connection");
        raw_sql(include_str!("migrations/4_objects.sql")).execute(&mut connection).await.expect("tables");
        for statement in [OBJECT, OF_IDS, IDS, IDS_NEWEST_FIRST, AMONG, CHANGED, USAGE, ALL] {
            let plan = query(AssertSqlSafe(format!("explain query plan {statement}")));
            let rows = plan.fetch_all(&mut connection).await.expect("a plan");
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let slow = |step: &&String| step.contains("TEMP B-TREE") || (step.contains("SCAN") && !may_be_read(step));
            assert_eq!(steps.iter().find(slow), None, "{statement}: {steps:?}");
            assert!(steps.iter().any(|step| step.contains("SEARCH")), "{statement}: {steps:?}");
        }
    }

    /// What is in the question itself, and the one row of the generation.
    fn may_be_read(step: &str) -> bool {
        step.contains("json_each") || step.contains("object_generation")
    }
}
