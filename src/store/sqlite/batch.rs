//! Changes, and how some of them become one transaction.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::EndUserId;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Row as _, query};

use super::cache::{Conversation, Key};
use crate::store::Entry;

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
    /// A revocation as JSON.
    Revoke { revocation: String, until: Timestamp },
    /// A new entry of the registry; not if its id is taken.
    AddEntry(Entry),
    /// Another document for an entry; not if it no longer has the revision.
    RewriteEntry(Entry),
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
/// back, so rows of the same table share statements.
pub(super) async fn commit(connection: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<bool>> {
    let mut done = vec![false; changes.len()];
    query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let which = |wanted: fn(&Change) -> bool| -> Vec<usize> {
        (0..changes.len()).filter(|index| wanted(&changes[*index])).collect()
    };
    let puts = which(|change| matches!(change, Change::Put { .. }));
    insert(connection, &CONTEXTS, changes, &puts, &mut done).await?;
    let uses = which(|change| matches!(change, Change::Use { .. }));
    insert(connection, &USES, changes, &uses, &mut done).await?;
    for (change, done) in changes.iter().zip(&mut done) {
        if !matches!(change, Change::Put { .. } | Change::Use { .. }) {
            *done = apply(connection, change).await?;
        }
    }
    query("COMMIT").execute(connection).await?;
    Ok(done)
}

/// Rows of one statement: few sizes, so that each is prepared once.
const SIZES: [usize; 3] = [64, 8, 1];

type Statements = [String; SIZES.len()];

static CONTEXTS: LazyLock<Statements> =
    LazyLock::new(|| statements("insert into contexts (token, app, expires_at, sealed) values ", "(?, ?, ?, ?)"));
static USES: LazyLock<Statements> =
    LazyLock::new(|| statements("insert into uses (token, app, until) values ", "(?, ?, ?)"));

/// They tell which rows are new.
fn statements(start: &str, row: &str) -> Statements {
    SIZES.map(|size| format!("{start}{} on conflict do nothing returning token, app", vec![row; size].join(", ")))
}

async fn insert(
    connection: &mut SqliteConnection,
    statements: &'static Statements,
    changes: &[Change],
    mut places: &[usize],
    done: &mut [bool],
) -> Result<()> {
    for (size, statement) in SIZES.iter().zip(statements) {
        while let Some((chunk, rest)) = places.split_at_checked(*size) {
            let bound = chunk.iter().fold(query(statement.as_str()), |query, place| bind(query, &changes[*place]));
            let rows = bound.fetch_all(&mut *connection).await?;
            if rows.len() == *size {
                chunk.iter().for_each(|place| done[*place] = true);
            } else {
                let mut new = HashSet::new();
                for row in &rows {
                    new.insert((row.try_get::<&str, _>(0)?, row.try_get::<&str, _>(1)?));
                }
                // Of two changes for one token, the first is the one that took place.
                chunk.iter().for_each(|place| done[*place] = new.remove(&names(&changes[*place])));
            }
            places = rest;
        }
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
    let mut more = false;
    for statement in [
        "delete from contexts where (token, app) in \
         (select token, app from contexts where expires_at <= ? order by expires_at limit ?)",
        "delete from uses where (token, app) in (select token, app from uses where until <= ? order by until limit ?)",
        "delete from revocations where mark in (select mark from revocations where until <= ? order by until limit ?)",
    ] {
        let dropped = query(statement).bind(millis(now)).bind(SWEPT).execute(&mut *connection).await?;
        more |= dropped.rows_affected() == u64::from(SWEPT);
    }
    Ok(more)
}

/// SQLite's integers end earlier than ours, in a future that never comes.
pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.millis()).unwrap_or(i64::MAX)
}
