//! From settings to a server that can be relied on, or a clear reason why not.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Error, query_scalar};
use tokio::time::timeout;

use super::calls::Calls;
use super::fault::{self, NO_LOGIN, WRONG_PASSWORD, explain};
use super::object_statements::ObjectStatements;
use super::options::options;
use super::statements::Statements;
use super::{Postgres, rights, schema};
use crate::config::PostgresSettings;

/// For all that a start asks: others may be starting, and only one at a time makes tables.
const PATIENCE: Duration = Duration::from_secs(60);

impl Postgres {
    /// Connects, and makes the tables if they are not there. The runtime around this call does the work
    /// and must outlive the store.
    ///
    /// # Errors
    /// Why it cannot be used; names the setting, never the password. What is not ours, or of a newer
    /// version, is left as it is.
    pub async fn open(settings: &PostgresSettings) -> Result<Self, String> {
        let options = options(settings)?;
        let mut connection = connect(&options, settings).await?;
        let prepared = timeout(PATIENCE, prepare(&mut connection, settings)).await;
        prepared.unwrap_or_else(|_| Err(format!("store.postgres.url: no answer within {} s", PATIENCE.as_secs())))?;
        // What was done is committed.
        let _ = timeout(settings.timeout, connection.close()).await;
        let (statements, objects) = (Statements::new(&settings.schema), ObjectStatements::new(&settings.schema));
        Ok(Self { calls: Calls::new(options, settings), statements, objects })
    }
}

/// Not through the pool, which waits for a server that refuses connections and then does not say so.
async fn connect(options: &PgConnectOptions, settings: &PostgresSettings) -> Result<PgConnection, String> {
    let connected = timeout(settings.connect_timeout, options.connect()).await;
    let connected = connected.map_err(|_| unreachable_because(settings, "no answer in time"))?;
    connected.map_err(|fault| unconnected(settings, &fault))
}

async fn prepare(connection: &mut PgConnection, settings: &PostgresSettings) -> Result<(), String> {
    let read_only = query_scalar("select current_setting('transaction_read_only') = 'on'");
    if read_only.fetch_one(&mut *connection).await.map_err(|fault| unusable(&fault))? {
        return Err("store.postgres.url: this server only reads, as a standby does: name the primary".to_owned());
    }
    schema::prepare(connection, &settings.schema).await?;
    rights::check(connection, &settings.schema).await
}

/// Why there is no connection.
fn unconnected(settings: &PostgresSettings, fault: &Error) -> String {
    match fault::code(fault).as_deref() {
        Some(WRONG_PASSWORD) if settings.password.is_none() => {
            return "store.postgres.password: PostgreSQL wants one".to_owned();
        }
        Some(WRONG_PASSWORD) => return "store.postgres.password: PostgreSQL refuses this user or password".to_owned(),
        Some(NO_LOGIN) => return format!("store.postgres.username: {}", explain(fault)),
        _ => {}
    }
    match fault::of_tls(fault) {
        Some(reason) => {
            let key = if settings.ca.is_some() { "ca" } else { "url" };
            format!("store.postgres.{key}: TLS with {} failed: {reason}", named(settings))
        }
        None => unreachable_because(settings, &explain(fault)),
    }
}

fn unreachable_because(settings: &PostgresSettings, reason: &str) -> String {
    format!("store.postgres.url: cannot use {}: {reason}", named(settings))
}

fn named(settings: &PostgresSettings) -> String {
    let at = &settings.address;
    if at.is_socket() { format!("{}/.s.PGSQL.{}", at.host, at.port) } else { format!("{}:{}", at.host, at.port) }
}

/// Why a connection is of no use.
pub(super) fn unusable(fault: &Error) -> String {
    let key = if fault::code(fault).as_deref() == Some(fault::NOT_ALLOWED) { "username" } else { "url" };
    format!("store.postgres.{key}: {}", explain(fault))
}
