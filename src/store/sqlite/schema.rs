//! Connections, and the file's way to the schema of this version.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Error, SqlSafeStr as _, query, query_scalar};

use super::file::{APPLICATION_ID, DataFile};

/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries where SQLite itself does not wait.
const BUSY_STEP: Duration = Duration::from_millis(20);
/// What is left of the log after a large batch.
const LOG_KEPT: &str = "16777216";

/// In the order of their versions; none is changed once it was released.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let simple = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        simple(1, "state", include_str!("migrations/1_state.sql")),
        simple(2, "use counts", include_str!("migrations/2_use_counts.sql")),
        simple(3, "sessions", include_str!("migrations/3_sessions.sql")),
        simple(4, "objects", include_str!("migrations/4_objects.sql")),
        simple(5, "closings", include_str!("migrations/5_closings.sql")),
    ])
});

/// A connection that writes; what it has committed is on the disk.
pub(super) fn options(file: &DataFile) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file.path())
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", LOG_KEPT)
        .thread_name(|number| format!("store-{number}"))
        .disable_statement_logging()
}

/// A connection after a failure. On a full disk the log cannot grow, so what it holds is moved to the
/// file as far as that has room: then the log is begun anew, and what is over can be swept.
pub(super) async fn reconnect(file: &DataFile) -> Result<SqliteConnection, Error> {
    let mut connection = options(file).connect().await?;
    if let Err(fault) = query("pragma wal_checkpoint(restart)").execute(&mut connection).await {
        tracing::debug!(error = %fault, "the store's log cannot be begun anew");
    }
    Ok(connection)
}

/// Makes the file ready, or says why it cannot be, before anything in it is changed.
pub(super) async fn prepare(file: &DataFile) -> Result<(), String> {
    if !file.is_new {
        check(file).await?;
    }
    let mut connection = options(file).connect().await.map_err(|fault| explain(&fault))?;
    let prepared = async {
        migrate(&mut connection).await?;
        use_log(&mut connection).await
    };
    let prepared = prepared.await;
    connection.close().await.map_err(|fault| explain(&fault))?;
    prepared
}

/// Whether all of it can be read, and by this version.
async fn check(file: &DataFile) -> Result<(), String> {
    let options = options(file).read_only(!file.has_journal());
    let mut connection = options.connect().await.map_err(|fault| explain(&fault))?;
    let checked = async {
        let found: String = query_scalar("pragma quick_check(1)").fetch_one(&mut connection).await?;
        if found != "ok" {
            return Ok(Err(format!("it is damaged ({found}); restore it from a backup, it is left as it is")));
        }
        let table = "select count(*) from sqlite_schema where name = '_sqlx_migrations'";
        if query_scalar::<_, i64>(table).fetch_one(&mut connection).await? == 0 {
            return Ok(Ok(()));
        }
        let version: Option<i64> =
            query_scalar("select max(version) from _sqlx_migrations").fetch_one(&mut connection).await?;
        let known = MIGRATIONS.iter().map(|migration| migration.version).max();
        Ok(if version > known { Err("it was written by a newer version of Sidegate".to_owned()) } else { Ok(()) })
    };
    let checked: Result<_, Error> = checked.await;
    // Nothing was changed that could be lost.
    let _ = connection.close().await;
    checked.map_err(|fault| explain(&fault))?
}

/// In one transaction, the mark included: a start that is cut off leaves an empty file.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), String> {
    let mut all = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|fault| explain(&fault))?;
    let migrated = async {
        let marked: i64 = query_scalar("pragma application_id").fetch_one(&mut *all).await?;
        if marked == 0 {
            query(AssertSqlSafe(format!("pragma application_id = {APPLICATION_ID}"))).execute(&mut *all).await?;
        }
        MIGRATIONS.run_direct(None, &mut *all, false).await.map_err(Error::from)?;
        all.commit().await
    };
    migrated.await.map_err(|fault| explain(&fault))
}

/// Turns the write-ahead log on, which the file remembers.
async fn use_log(connection: &mut SqliteConnection) -> Result<(), String> {
    let patience = tokio::time::Instant::now() + BUSY_TIMEOUT;
    loop {
        match query_scalar::<_, String>("pragma journal_mode = wal").fetch_one(&mut *connection).await {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(format!("no write-ahead log is possible there (journal mode {mode})")),
            // Another process that starts: for this one step SQLite does not wait by itself.
            Err(fault) if code(&fault) == Some(BUSY) && tokio::time::Instant::now() < patience => {
                tokio::time::sleep(BUSY_STEP).await;
            }
            Err(fault) => return Err(explain(&fault)),
        }
    }
}

// <https://sqlite.org/rescode.html>
const BUSY: i32 = 5;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

/// The primary result code: the low byte of the extended one.
fn code(fault: &Error) -> Option<i32> {
    Some(fault.as_database_error()?.code()?.parse::<i32>().ok()? & 0xff)
}

/// A fault in words that say what to do.
pub(super) fn explain(fault: &Error) -> String {
    match code(fault) {
        Some(BUSY) => "another process has locked it".to_owned(),
        Some(READONLY | CANTOPEN) => {
            format!("it and its directory must be writable, for SQLite keeps two files beside it ({fault})")
        }
        Some(CORRUPT | NOTADB) => format!("it is damaged ({fault}); restore it from a backup, it is left as it is"),
        Some(FULL) => "the disk is full".to_owned(),
        _ => fault.to_string(),
    }
}
