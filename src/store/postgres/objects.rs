//! Objects of the API.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::calls::Asked;
use super::statements::ask;
use crate::store::lists::{self, List, Lists, Place, moves};
use crate::store::objects::{PAGE, REMOVE_TRIES, place_of};
use crate::store::use_counts::MOST;
use crate::store::{
    Answer, Changed, Counts, Cursor, Mark, Object, ObjectKind, ObjectQuery, Objects, Page, REMOVALS_ARE_TOLD,
    Unavailable, Usage,
};

impl Objects for Postgres {
    fn insert<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(async move {
            let insert = texts_of(object, &self.objects.insert).bind(names(List::all_of(object)));
            Ok(!self.calls.write(insert).await?.is_empty())
        })
    }

    fn replace<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(async move {
            // Its lists follow from what it says, so those of a revision are known for good.
            let known = self.object(object.kind, &object.id).await?;
            let same = |known: &Object| known.revision == object.revision && known.app == object.app;
            let Some(known) = known.filter(same) else { return Ok(false) };
            let (left, joined) = moves(&known, object);
            let replace = texts_of(object, &self.objects.replace).bind(names(joined)).bind(names(left));
            Ok(!self.calls.write(replace.bind(number(object.revision))).await?.is_empty())
        })
    }

    fn remove<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            for _ in 0..REMOVE_TRIES {
                let Some(known) = self.object(kind, id).await? else { return Ok(false) };
                let remove = ask(&self.objects.remove).bind(kind.name()).bind(id.to_owned());
                let remove = remove.bind(number(known.revision)).bind(names(List::all_of(&known)));
                if !self.calls.write(remove).await?.is_empty() {
                    // What fails is done after the next removal.
                    let long_ago = ask(&self.objects.forget_removals).bind(REMOVALS_ARE_TOLD.as_secs_f64());
                    let _ = self.calls.write(long_ago).await;
                    return Ok(true);
                }
            }
            Err(Unavailable)
        })
    }

    fn object<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, Option<Object>> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.objects.object).bind(kind.name()).bind(id.to_owned())).await?;
            rows.first().map(|row| object_of(row).ok_or(Unavailable)).transpose()
        })
    }

    fn objects<'a>(&'a self, query: &'a ObjectQuery<'a>) -> Answer<'a, Vec<Object>> {
        Box::pin(lists::page(self, query))
    }

    fn changed_since(&self, mark: Mark) -> Answer<'_, Changed> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.objects.changed).bind(number(mark.0)).bind(number(PAGE))).await?;
            let mut changed = Changed::read(rows.iter().map(change_of), mark).ok_or(Unavailable)?;
            if changed.ids.is_empty() {
                changed.mark = mark.min(self.last_change().await?);
            }
            Ok(changed)
        })
    }

    fn last_change(&self) -> Answer<'_, Mark> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.objects.last_change)).await?;
            rows.first().and_then(|row| count(row, "changes")).map(Mark).ok_or(Unavailable)
        })
    }

    fn add_usage<'a>(&'a self, usage: &'a [Usage]) -> Answer<'a, ()> {
        Box::pin(async move {
            let usage = Usage::by_widget(usage);
            let widgets: Vec<_> = usage.keys().map(|widget| (*widget).to_owned()).collect();
            let column =
                |place: usize| -> Vec<i64> { usage.values().map(|counts| number(counts.numbers()[place])).collect() };
            let add = (0..4).fold(ask(&self.objects.add_usage).bind(widgets), |add, place| add.bind(column(place)));
            self.calls.write(add.bind(number(MOST))).await.map(drop)
        })
    }

    fn usage<'a>(&'a self, widget: &'a str) -> Answer<'a, Counts> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.objects.usage).bind(widget.to_owned())).await?;
            rows.first().map_or(Ok(Counts::default()), |row| counts_of(row).ok_or(Unavailable))
        })
    }

    fn objects_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(Object, Counts)>> {
        Box::pin(async move {
            // No kind is empty.
            let from = from.as_deref().map(place_of).transpose()?;
            let (kind, id) = from.map_or(("", String::new()), |(kind, id)| (kind.name(), id));
            let rows = self.calls.read(ask(&self.objects.all).bind(kind).bind(id).bind(number(PAGE))).await?;
            let record = |row| Some((object_of(row)?, counts_of(row).unwrap_or_default()));
            let records = rows.iter().map(record).collect::<Option<Vec<_>>>().ok_or(Unavailable)?;
            let next = records.last().filter(|_| rows.len() == PAGE).map(|(object, _)| object.cursor());
            Ok(Page { records, next })
        })
    }
}

impl Lists for Postgres {
    fn ids<'a>(&'a self, list: List, place: &'a Place, take: usize) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let ids = if place.newest_first { &self.objects.ids_newest_first } else { &self.objects.ids };
            let ids = ask(ids).bind(list.0.to_vec()).bind(place.bound()).bind(number(take));
            self.calls.read(ids).await?.iter().map(id_of).collect()
        })
    }

    fn among(&self, list: List, ids: Vec<String>) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let some = ask(&self.objects.among).bind(list.0.to_vec()).bind(ids);
            self.calls.read(some).await?.iter().map(id_of).collect()
        })
    }

    fn of_ids(&self, kind: ObjectKind, ids: Vec<String>) -> Answer<'_, Vec<Object>> {
        Box::pin(async move {
            let rows = self.calls.read(ask(&self.objects.of_ids).bind(kind.name()).bind(ids)).await?;
            rows.iter().map(|row| object_of(row).ok_or(Unavailable)).collect()
        })
    }
}

/// A statement with the object's own values.
fn texts_of(object: &Object, statement: &Arc<str>) -> Asked {
    let named = ask(statement).bind(object.kind.name()).bind(object.id.clone()).bind(object.app.as_str().to_owned());
    named.bind(object.parent.clone()).bind(object.labels_as_json()).bind(object.document.clone())
}

fn names(lists: impl IntoIterator<Item = List>) -> Vec<Vec<u8>> {
    lists.into_iter().map(|list| list.0.to_vec()).collect()
}

/// Its integers end earlier than ours.
fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// `None` if it is not as we write it.
fn object_of(row: &PgRow) -> Option<Object> {
    let text = |column| row.try_get::<&str, _>(column).ok();
    Some(Object {
        kind: ObjectKind::from_name(text("kind")?)?,
        id: text("id")?.to_owned(),
        app: text("app")?.parse().ok()?,
        revision: count(row, "revision")?,
        parent: row.try_get("parent").ok()?,
        labels: serde_json::from_str(text("labels")?).ok()?,
        document: text("document")?.to_owned(),
    })
}

fn id_of(row: &PgRow) -> Result<String, Unavailable> {
    row.try_get("id").map_err(|_| Unavailable)
}

fn change_of(row: &PgRow) -> Option<((ObjectKind, String), Mark)> {
    let kind = ObjectKind::from_name(row.try_get("kind").ok()?)?;
    Some(((kind, row.try_get("id").ok()?), Mark(count(row, "changed")?)))
}

fn counts_of(row: &PgRow) -> Option<Counts> {
    let count = |column| count(row, column);
    Some(Counts::from_numbers([count("sessions")?, count("messages")?, count("refused")?, count("bytes")?]))
}

fn count(row: &PgRow, column: &str) -> Option<u64> {
    row.try_get::<i64, _>(column).ok()?.try_into().ok()
}
