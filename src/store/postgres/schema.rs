//! The schema, and its way to that of this version. One that is current is only looked at, so that a
//! role that may make nothing can run the gate.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Error, SqlSafeStr as _, query, query_as, query_scalar};

use super::open::unusable;

/// Whoever makes tables holds this lock of the database, until its transaction ends: "sidegate".
const LOCK: i64 = i64::from_be_bytes(*b"sidegate");

/// What is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// No such schema.
    Nothing,
    /// An empty schema, or one of an older version.
    Older,
    /// What this version needs.
    Current,
    /// What a newer version has made.
    Newer,
    /// Somebody else's tables.
    Foreign,
}

/// Makes the schema ready, or says why it cannot be, before anything in it is changed.
pub(super) async fn prepare(connection: &mut PgConnection, schema: &str) -> Result<(), String> {
    if is_current(schema, look(connection, schema).await)? {
        return Ok(());
    }
    migrate(connection, schema).await
}

fn is_current(schema: &str, found: Result<Found, Error>) -> Result<bool, String> {
    match found.map_err(|fault| unusable(&fault))? {
        Found::Current => Ok(true),
        Found::Nothing | Found::Older => Ok(false),
        Found::Newer => Err(format!("store.postgres.schema: \"{schema}\" was written by a newer version of Sidegate")),
        Found::Foreign => Err(format!(
            "store.postgres.schema: \"{schema}\" holds tables of another program, which are left as they are: name a \
             schema of the gate's own"
        )),
    }
}

async fn look(connection: &mut PgConnection, schema: &str) -> Result<Found, Error> {
    let tables: Vec<Option<String>> = query_scalar(
        "select class.relname::text from pg_catalog.pg_namespace space \
         left join pg_catalog.pg_class class on class.relnamespace = space.oid where space.nspname = $1",
    )
    .bind(schema)
    .fetch_all(&mut *connection)
    .await?;
    if tables.is_empty() {
        return Ok(Found::Nothing);
    }
    if tables.iter().flatten().next().is_none() {
        return Ok(Found::Older);
    }
    if !tables.iter().flatten().any(|name| name == "_sqlx_migrations") {
        return Ok(Found::Foreign);
    }
    let applied = format!("select version, checksum from \"{schema}\"._sqlx_migrations order by version");
    let applied: Vec<(i64, Vec<u8>)> = query_as(AssertSqlSafe(applied)).fetch_all(connection).await?;
    Ok(judge(&applied, &migrations(schema)))
}

/// A migration of ours is known by its text, not by its number alone.
fn judge(applied: &[(i64, Vec<u8>)], ours: &Migrator) -> Found {
    let differs = |one: &Migration| {
        let same = applied.iter().find(|(version, _)| *version == one.version);
        same.is_some_and(|(_, checksum)| **checksum != *one.checksum)
    };
    let last = ours.iter().map(|one| one.version).max().unwrap_or_default();
    let has_first = applied.first().is_none_or(|(version, _)| *version == 1);
    if !has_first || ours.iter().any(differs) {
        Found::Foreign
    } else if applied.last().is_some_and(|(version, _)| *version > last) {
        Found::Newer
    } else if applied.len() == ours.iter().count() {
        Found::Current
    } else {
        Found::Older
    }
}

/// In one transaction: a start that is cut off leaves nothing.
async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), String> {
    let failed = |fault: Error| unusable(&fault);
    let mut all = connection.begin().await.map_err(failed)?;
    query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *all).await.map_err(failed)?;
    // Another replica may have been first.
    let found = look(&mut all, schema).await;
    let nothing = matches!(found, Ok(Found::Nothing));
    if is_current(schema, found)? {
        return Ok(());
    }
    let made = async {
        if nothing {
            query(AssertSqlSafe(format!("create schema \"{schema}\""))).execute(&mut *all).await?;
        }
        // Where the migrations put their tables.
        query(AssertSqlSafe(format!("set local search_path to \"{schema}\""))).execute(&mut *all).await?;
        migrations(schema).run_direct(None, &mut *all, false).await.map_err(Error::from)?;
        all.commit().await
    };
    made.await.map_err(failed)
}

/// In the order of their versions; none is changed once it was released. Their record is kept in the
/// same schema.
fn migrations(schema: &str) -> Migrator {
    let simple = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let all = vec![
        simple(1, "registry", include_str!("migrations/1_registry.sql")),
        simple(2, "use counts", include_str!("migrations/2_use_counts.sql")),
        simple(3, "objects", include_str!("migrations/3_objects.sql")),
    ];
    let mut migrations = Migrator::with_migrations(all);
    migrations.dangerous_set_table_name(format!("\"{schema}\"._sqlx_migrations"));
    // Ours is held already, and ends with the transaction; the driver's would outlive it in a pooler.
    migrations.set_locking(false);
    migrations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_judged_by_number_and_text() {
        let ours = migrations("sidegate");
        let all: Vec<_> = ours.iter().map(|one| (one.version, one.checksum.to_vec())).collect();
        let other = vec![(1, vec![0; 48])];
        let newer = [all.clone(), vec![(99, vec![0; 48])]].concat();
        assert_eq!(judge(&[], &ours), Found::Older);
        assert_eq!(judge(&all[..1], &ours), Found::Older);
        assert_eq!(judge(&all, &ours), Found::Current);
        assert_eq!(judge(&newer, &ours), Found::Newer);
        assert_eq!(judge(&other, &ours), Found::Foreign);
        assert_eq!(judge(&[(20_260_101, vec![0; 48])], &ours), Found::Foreign);
    }
}
