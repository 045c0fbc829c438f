//! Questions to the file, on connections that cannot write.

use std::future::Future;
use std::time::Duration;

use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tokio::runtime::Handle;

use super::file::DataFile;
use super::schema;
use crate::store::Unavailable;
use crate::store::health::Health;

/// Reads are short, and SQLite runs each connection on a thread of its own.
const CONNECTIONS: u32 = 2;
/// How long a question waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections that read.
pub(super) struct Reads {
    pool: SqlitePool,
    /// Where `open` was called. Questions run there and not with their caller: one that is given up
    /// then leaves no connection in the middle of an answer, and a worker that ends takes none along.
    runtime: Handle,
    health: Health,
}

impl Reads {
    pub(super) async fn open(file: &DataFile) -> Result<Self, String> {
        let options = schema::options(file).read_only(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(CONNECTIONS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(PATIENCE)
            .connect_with(options)
            .await
            .map_err(|fault| schema::explain(&fault))?;
        Ok(Self { pool, runtime: Handle::current(), health: Health::new("store", "read") })
    }

    pub(super) fn pool(&self) -> SqlitePool {
        self.pool.clone()
    }

    /// The answer to a question that was made with [`Self::pool`].
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = sqlx::Result<T>> + Send + 'static,
    ) -> Result<T, Unavailable> {
        // The only other fault is a runtime that ends, and with it the program.
        match self.runtime.spawn(question).await.map_err(|_| Unavailable)? {
            Ok(answer) => {
                self.health.worked();
                Ok(answer)
            }
            Err(fault) => {
                self.health.failed(&schema::explain(&fault));
                Err(Unavailable)
            }
        }
    }
}
