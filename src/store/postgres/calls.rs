//! Calls at run time: where they run, how long they may take, and what becomes of a connection that
//! has failed.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::Query;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::log::LevelFilter;

use super::fault::explain;
use crate::config::PostgresSettings;
use crate::store::Unavailable;
use crate::store::health::Health;

/// One for the question that is asked all the time, the others for the gate's own API.
const CONNECTIONS: u32 = 3;

/// The connections, and how they fare.
pub(super) struct Calls {
    pool: PgPool,
    /// For an answer, once there is a connection.
    patience: Duration,
    /// Where the store was opened, and so where the sockets live: a call from a worker runs there. One
    /// that is given up still comes to its end, and a worker that ends takes no connection along.
    runtime: Handle,
    reads: Health,
    writes: Health,
}

impl Calls {
    /// Connects when it is first asked.
    pub(super) fn new(options: PgConnectOptions, settings: &PostgresSettings) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(settings.connect_timeout)
            .acquire_slow_level(LevelFilter::Off)
            .connect_lazy_with(options);
        Self {
            pool,
            patience: settings.timeout,
            runtime: Handle::current(),
            reads: Health::new("registry", "read"),
            writes: Health::new("registry", "written"),
        }
    }

    /// The rows of a question.
    pub(super) async fn read(&self, question: Asked) -> Result<Vec<PgRow>, Unavailable> {
        self.call(question, &self.reads).await
    }

    /// The rows of a change. One that is given up may have taken place.
    pub(super) async fn write(&self, change: Asked) -> Result<Vec<PgRow>, Unavailable> {
        self.call(change, &self.writes).await
    }

    async fn call(&self, asked: Asked, health: &Health) -> Result<Vec<PgRow>, Unavailable> {
        let recoveries = health.recoveries();
        let answer = self.runtime.spawn(rows(self.pool.clone(), asked, self.patience));
        // The only other fault is a runtime that ends, and with it the program.
        match answer.await.map_err(|_| Unavailable)? {
            Ok(rows) => {
                health.worked();
                Ok(rows)
            }
            Err(reason) => {
                health.failed_since(recoveries, &reason);
                Err(Unavailable)
            }
        }
    }
}

/// A statement with its values.
pub(super) type Asked = Query<'static, sqlx::Postgres, PgArguments>;

async fn rows(pool: PgPool, asked: Asked, patience: Duration) -> Result<Vec<PgRow>, String> {
    let mut connection = pool.acquire().await.map_err(|fault| explain(&fault))?;
    let reason = match timeout(patience, asked.fetch_all(&mut *connection)).await {
        Ok(Ok(rows)) => return Ok(rows),
        Ok(Err(fault)) => explain(&fault),
        Err(_) => "no answer in time".to_owned(),
    };
    // It may be in the middle of something, lead nowhere, or to a server that has become a standby:
    // the next call begins with another one.
    drop(connection.detach());
    Err(reason)
}
