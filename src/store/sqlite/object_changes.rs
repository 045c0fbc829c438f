//! How objects of the API are written, within the writer's transaction.

use serde_json::{Value, json};
use sqlx::query;
use sqlx::sqlite::SqliteConnection;

use super::objects::{OBJECT, number, object_of};
use crate::store::lists::{List, moves};
use crate::store::use_counts::MOST;
use crate::store::{Counts, Object, ObjectKind, Usage};

/// What can be asked of the writer.
pub(super) enum ObjectChange {
    /// A new object; not if its id is taken.
    Insert(Object),
    /// Another text for an object; not if it no longer has the revision.
    Replace(Object),
    /// An object goes.
    Remove(ObjectKind, String),
    /// Usage of widgets.
    AddUsage(Vec<Usage>),
}

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Whether it took place.
pub(super) async fn apply(connection: &mut SqliteConnection, change: &ObjectChange) -> Result<bool> {
    match change {
        ObjectChange::Insert(object) => insert(connection, object).await,
        ObjectChange::Replace(object) => replace(connection, object).await,
        ObjectChange::Remove(kind, id) => remove(connection, *kind, id).await,
        ObjectChange::AddUsage(usage) => add_usage(connection, usage).await.map(|()| true),
    }
}

async fn insert(connection: &mut SqliteConnection, object: &Object) -> Result<bool> {
    let statement = "insert into objects (kind, id, app, revision, parent, labels, document) \
                     values (?1, ?2, ?3, 1, ?4, ?5, ?6) on conflict do nothing";
    let insert = query(statement).bind(object.kind.name()).bind(&object.id).bind(object.app.as_str());
    let insert = insert.bind(&object.parent).bind(object.labels_as_json()).bind(&object.document);
    if insert.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(false);
    }
    for list in List::all_of(object) {
        join(connection, list, &object.id).await?;
    }
    note(connection, object.kind, &object.id, Now::Is).await?;
    Ok(true)
}

async fn replace(connection: &mut SqliteConnection, object: &Object) -> Result<bool> {
    let same = |known: &Object| known.revision == object.revision && known.app == object.app;
    let Some(known) = find(connection, object.kind, &object.id).await?.filter(same) else { return Ok(false) };
    let statement = "update objects set revision = revision + 1, parent = ?3, labels = ?4, document = ?5 \
                     where kind = ?1 and id = ?2";
    let update = query(statement).bind(object.kind.name()).bind(&object.id);
    let update = update.bind(&object.parent).bind(object.labels_as_json()).bind(&object.document);
    update.execute(&mut *connection).await?;
    let (left, joined) = moves(&known, object);
    for list in left {
        leave(connection, list, &object.id).await?;
    }
    for list in joined {
        join(connection, list, &object.id).await?;
    }
    note(connection, object.kind, &object.id, Now::Is).await?;
    Ok(true)
}

async fn remove(connection: &mut SqliteConnection, kind: ObjectKind, id: &str) -> Result<bool> {
    let Some(known) = find(connection, kind, id).await? else { return Ok(false) };
    let delete = query("delete from objects where kind = ?1 and id = ?2").bind(kind.name()).bind(id);
    delete.execute(&mut *connection).await?;
    for list in List::all_of(&known) {
        leave(connection, list, id).await?;
    }
    if kind == ObjectKind::Widget {
        query("delete from object_usage where widget = ?1").bind(id).execute(&mut *connection).await?;
    }
    note(connection, kind, id, Now::IsGone).await?;
    Ok(true)
}

/// Nothing else writes, so it stays as it is until the transaction ends. One that cannot be read is of a later
/// version, and left as it is.
async fn find(connection: &mut SqliteConnection, kind: ObjectKind, id: &str) -> Result<Option<Object>> {
    let row = query(OBJECT).bind(kind.name()).bind(id).fetch_optional(connection).await?;
    Ok(row.as_ref().and_then(object_of))
}

async fn join(connection: &mut SqliteConnection, list: List, id: &str) -> Result<()> {
    let join = query("insert into object_lists (list, id) values (?1, ?2) on conflict do nothing");
    join.bind(list.0.to_vec()).bind(id).execute(connection).await.map(drop)
}

async fn leave(connection: &mut SqliteConnection, list: List, id: &str) -> Result<()> {
    let leave = query("delete from object_lists where list = ?1 and id = ?2");
    leave.bind(list.0.to_vec()).bind(id).execute(connection).await.map(drop)
}

/// What an object is after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Is,
    IsGone,
}

async fn note(connection: &mut SqliteConnection, kind: ObjectKind, id: &str, now: Now) -> Result<()> {
    query("update object_generation set changes = changes + 1").execute(&mut *connection).await?;
    let statement = "insert into object_changes (kind, id, changed, removed_at) \
                     select ?1, ?2, changes, iif(?3, unixepoch() * 1000, null) from object_generation where true \
                     on conflict do update set changed = excluded.changed, removed_at = excluded.removed_at";
    let note = query(statement).bind(kind.name()).bind(id).bind(now == Now::IsGone);
    note.execute(connection).await.map(drop)
}

/// All in one statement: each is a way to SQLite's thread and back, on which everybody who writes would wait.
async fn add_usage(connection: &mut SqliteConnection, usage: &[Usage]) -> Result<()> {
    let statement = "insert into object_usage (widget, sessions, messages, refused, bytes) \
                     select objects.id, added.value ->> 1, added.value ->> 2, added.value ->> 3, added.value ->> 4 \
                     from json_each(?1) as added cross join objects \
                     on objects.kind = 'widget' and objects.id = added.value ->> 0 where true \
                     on conflict do update set sessions = min(sessions + excluded.sessions, ?2), \
                     messages = min(messages + excluded.messages, ?2), \
                     refused = min(refused + excluded.refused, ?2), bytes = min(bytes + excluded.bytes, ?2)";
    let row = |(widget, counts): (&str, Counts)| {
        let [sessions, messages, refused, bytes] = counts.numbers();
        json!([widget, sessions, messages, refused, bytes])
    };
    let added: Value = Usage::by_widget(usage).into_iter().map(row).collect();
    query(statement).bind(added.to_string()).bind(number(MOST)).execute(connection).await.map(drop)
}
