//! A connection to a row's registry, past the gate.

use crate::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, raw_sql};
use std::path::Path;

/// Either engine: what they are asked to do is written the same way.
pub(super) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    pub(super) async fn sqlite(file: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(file).pragma("synchronous", "off");
        Ok(Self::Sqlite(options.disable_statement_logging().connect().await?))
    }

    pub(super) async fn begin(&mut self) -> Result<()> {
        if let Self::Postgres(_) = self {
            self.run("set search_path to sidegate").await?;
        }
        self.run("begin").await
    }

    /// Runs a statement, of which no part comes from outside.
    pub(super) async fn run(&mut self, statement: &str) -> Result<()> {
        let statement = raw_sql(AssertSqlSafe(statement));
        match self {
            Self::Sqlite(connection) => statement.execute(connection).await.map(drop)?,
            Self::Postgres(connection) => statement.execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    /// Leaves nothing to be done under load that would be done in time.
    pub(super) async fn close(mut self) -> Result<()> {
        if let Self::Postgres(_) = self {
            self.run("vacuum analyze").await?;
            self.run("checkpoint").await?;
        }
        match self {
            // The last to leave moves the log to the file.
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}
