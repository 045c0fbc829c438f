//! Changes, and how some of them become one transaction.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, EndUserId};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Row as _, query};

use super::cache::{Conversation, Key, OfSession};
use super::object_changes::{self, ObjectChange};
use super::sessions::{self, SessionChange};
use super::use_counts::add_uses;
use crate::store::{Entry, REMOVALS_ARE_TOLD, Used};

/// What can be asked of the writer. Each takes place or does not.
pub(super) enum Change {
    /// A new context; not if the token has one.
    Put { key: Key, sealed: Bytes, expires_at: Timestamp },
    /// Another text for a context; not if it is no longer `old`.
    Replace { key: Key, old: Bytes, new: Bytes },
    /// An owner; not if the conversation has another one.
    Own { conversation: Conversation, end_user: EndUserId },
    /// A token's first use; not if it was used.
    Use { key: Key, until: Timestamp },
    /// A change of a chat session.
    Session { key: OfSession, change: SessionChange },
    /// One more chat session that was opened.
    CountSession { app: AppId, at: Timestamp, identified: bool },
    /// A revocation as JSON.
    Revoke { revocation: String, until: Timestamp },
    /// A new entry of the registry; not if its id is taken.
    AddEntry(Entry),
    /// Another document for an entry; not if it no longer has the revision.
    RewriteEntry(Entry),
    /// Uses of service tokens.
    AddUses(Vec<Used>),
    /// A change of an object of the API.
    Object(ObjectChange),
    /// Drops some of what is over; "took place" says that there may be more.
    Sweep { now: Timestamp },
    /// Finds out whether there is room again, and some to spare.
    Probe,
}

/// Rows that go at once, so that others need not wait for long.
const SWEPT: u32 = 500;

/// Bytes that a probe needs: more than an owner, and as much as most contexts.
const PROBED: u32 = 64 * 1024;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Commits all changes, or none if there is an error. Each call of SQLite is a way to its thread and
/// back, so rows of the same table share a statement, and changes of one kind a call.
pub(super) async fn commit(connection: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<bool>> {
    let mut done = vec![false; changes.len()];
    let which = |wanted: fn(&Change) -> bool| -> Vec<usize> {
        (0..changes.len()).filter(|index| wanted(&changes[*index])).collect()
    };
    let puts = which(|change| matches!(change, Change::Put { .. }));
    let uses = which(|change| matches!(change, Change::Use { .. }));
    for (inserts, places) in [(&CONTEXTS, &puts), (&USES, &uses)] {
        if places.len() == changes.len() {
            insert(connection, &inserts.whole, changes, places, &mut done).await?;
            return Ok(done);
        }
    }
    query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    insert(connection, &CONTEXTS.part, changes, &puts, &mut done).await?;
    insert(connection, &USES.part, changes, &uses, &mut done).await?;
    for (change, done) in changes.iter().zip(&mut done) {
        if !matches!(change, Change::Put { .. } | Change::Use { .. }) {
            *done = apply(connection, change).await?;
        }
    }
    query("COMMIT").execute(connection).await?;
    Ok(done)
}

/// Rows of one statement: few sizes, so that each is prepared once. Rows that are not needed are null.
const SIZES: [usize; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Statements that tell which rows a table has already, and insert the others; by [`SIZES`]. To ask
/// for the new ones instead would be to get almost all of them back, each on a way of its own.
struct Inserts {
    /// Within a transaction.
    part: [String; SIZES.len()],
    /// With all of the transaction around it.
    whole: [String; SIZES.len()],
}

static CONTEXTS: LazyLock<Inserts> =
    LazyLock::new(|| inserts("contexts", "token, app, expires_at, sealed", "(?, ?, ?, ?)"));
static USES: LazyLock<Inserts> = LazyLock::new(|| inserts("uses", "token, app, until", "(?, ?, ?)"));

fn inserts(table: &str, columns: &str, row: &str) -> Inserts {
    let part = SIZES.map(|size| {
        let (keys, rows) = (vec!["(?, ?)"; size].join(", "), vec![row; size].join(", "));
        format!(
            "select token, app from {table} where (token, app) in (values {keys}); \
             insert into {table} ({columns}) select * from (values {rows}) where column1 is not null \
             on conflict do nothing"
        )
    });
    let whole = part.each_ref().map(|insert| format!("BEGIN IMMEDIATE; {insert}; COMMIT"));
    Inserts { part, whole }
}

async fn insert(
    connection: &mut SqliteConnection,
    statements: &'static [String; SIZES.len()],
    changes: &[Change],
    places: &[usize],
    done: &mut [bool],
) -> Result<()> {
    for chunk in places.chunks(SIZES[SIZES.len() - 1]) {
        let fits = SIZES.iter().zip(statements).find(|(size, _)| **size >= chunk.len());
        let Some((size, statement)) = fits else { continue };
        let mut bound = query(statement.as_str());
        for index in 0..*size {
            let (token, app) = chunk.get(index).map(|place| names(&changes[*place])).unzip();
            bound = bound.bind(token).bind(app);
        }
        let bound = chunk.iter().fold(bound, |query, place| bind(query, &changes[*place]));
        let known = bound.fetch_all(&mut *connection).await?;
        let mut taken = HashSet::with_capacity(chunk.len());
        for row in &known {
            taken.insert((row.try_get::<&str, _>(0)?, row.try_get::<&str, _>(1)?));
        }
        // Of two changes for one token, the first is the one that took place.
        chunk.iter().for_each(|place| done[*place] = taken.insert(names(&changes[*place])));
    }
    Ok(())
}

type Bound<'q> = Query<'q, sqlx::Sqlite, SqliteArguments>;

fn bind<'q>(query: Bound<'q>, change: &'q Change) -> Bound<'q> {
    let (token, app) = names(change);
    let query = query.bind(token).bind(app);
    match change {
        Change::Put { sealed, expires_at, .. } => query.bind(millis(*expires_at)).bind(&sealed[..]),
        Change::Use { until, .. } => query.bind(millis(*until)),
        _ => query,
    }
}

fn names(change: &Change) -> (&str, &str) {
    match change {
        Change::Put { key: (token, app), .. } | Change::Use { key: (token, app), .. } => (token.as_str(), app.as_str()),
        _ => Default::default(),
    }
}

async fn apply(connection: &mut SqliteConnection, change: &Change) -> Result<bool> {
    let statement = match change {
        Change::Replace { key: (token, app), old, new } => {
            query("update contexts set sealed = ? where token = ? and app = ? and sealed = ?")
                .bind(&new[..])
                .bind(token.as_str())
                .bind(app.as_str())
                .bind(&old[..])
        }
        Change::Own { conversation: (app, conversation), end_user } => query(
            "insert into owners (app, conversation, end_user) values (?, ?, ?) on conflict do update \
             set end_user = excluded.end_user where end_user = excluded.end_user",
        )
        .bind(app.as_str())
        .bind(conversation.as_str())
        .bind(end_user.as_str()),
        Change::Revoke { revocation, until } => {
            query("insert into revocations (revocation, until) values (?, ?)").bind(revocation).bind(millis(*until))
        }
        Change::Probe => query("replace into probe (id, filling) values (1, zeroblob(?))").bind(PROBED),
        Change::AddEntry(entry) => return write_entry(connection, entry, ADD_ENTRY).await,
        Change::RewriteEntry(entry) => return write_entry(connection, entry, REWRITE_ENTRY).await,
        Change::Session { key, change } => return sessions::apply(connection, key, change).await,
        Change::CountSession { app, at, identified } => {
            return sessions::count(connection, app, *at, *identified).await;
        }
        Change::Object(change) => return object_changes::apply(connection, change).await,
        Change::AddUses(used) => return add_uses(connection, used).await.map(|()| true),
        Change::Sweep { now } => return sweep(connection, *now).await,
        Change::Put { .. } | Change::Use { .. } => return Ok(false),
    };
    Ok(statement.execute(connection).await?.rows_affected() > 0)
}

const ADD_ENTRY: &str =
    "insert into entries (kind, id, revision, document) values (?1, ?2, 1, ?4) on conflict do nothing";
const REWRITE_ENTRY: &str = "update entries set revision = revision + 1, document = ?4 \
     where kind = ?1 and id = ?2 and revision = ?3";

async fn write_entry(connection: &mut SqliteConnection, entry: &Entry, statement: &'static str) -> Result<bool> {
    let write = query(statement).bind(entry.kind.name()).bind(&entry.id);
    let write = write.bind(i64::try_from(entry.revision).unwrap_or(i64::MAX)).bind(&entry.document);
    let written = write.execute(&mut *connection).await?.rows_affected() > 0;
    if written {
        query("update generation set changes = changes + 1").execute(connection).await?;
    }
    Ok(written)
}

async fn sweep(connection: &mut SqliteConnection, now: Timestamp) -> Result<bool> {
    let told = u64::try_from(REMOVALS_ARE_TOLD.as_millis()).unwrap_or(u64::MAX);
    let told_for_long = Timestamp::from_millis(now.millis().saturating_sub(told));
    let mut more = false;
    for (statement, until) in [
        (
            "delete from contexts where (token, app) in \
             (select token, app from contexts where expires_at <= ? order by expires_at limit ?)",
            now,
        ),
        (
            "delete from sessions where (session, app) in \
             (select session, app from sessions where expires_at <= ? order by expires_at limit ?)",
            now,
        ),
        (
            "delete from uses where (token, app) in \
             (select token, app from uses where until <= ? order by until limit ?)",
            now,
        ),
        (
            "delete from revocations where mark in \
             (select mark from revocations where until <= ? order by until limit ?)",
            now,
        ),
        (
            "delete from object_changes where (kind, id) in \
             (select kind, id from object_changes where removed_at <= ? order by removed_at limit ?)",
            told_for_long,
        ),
    ] {
        let dropped = query(statement).bind(millis(until)).bind(SWEPT).execute(&mut *connection).await?;
        more |= dropped.rows_affected() == u64::from(SWEPT);
    }
    Ok(more)
}

/// SQLite's integers end earlier than ours, in a future that never comes.
pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.millis()).unwrap_or(i64::MAX)
}
