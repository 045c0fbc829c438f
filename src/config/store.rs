//! `[store]`: what is kept, and where.

use std::path::PathBuf;

use sidegate_core::context::seal::Sealer;
use sidegate_core::secret::SecretDigest;

use super::layered::Reader;
use super::layered::parsers::{bytes, list, non_empty, one_of};
use super::postgres::{PostgresSettings, read_postgres, refuse_environment};
use super::redis::{RedisSettings, read_redis};
use super::settings::{KeyUses, Resolve, secret};

/// What outlives a request.
#[derive(Debug)]
pub struct StoreSettings {
    /// Where the state is kept.
    pub state: StateSettings,
    /// Where the registry is kept.
    pub registry: RegistrySettings,
    /// Bytes of it in this process's memory.
    pub memory: usize,
    /// Seals env and secrets; without it they are refused.
    pub sealer: Option<Sealer>,
    /// What becomes of limits while a shared store does not count.
    pub limits_on_error: LimitsOnError,
}

/// Where the state is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum StateSettings {
    /// In a file of this machine.
    Embedded {
        /// The file.
        path: PathBuf,
    },
    /// In memory alone.
    Memory,
    /// In a Redis that all replicas share.
    Redis(RedisSettings),
}

/// Where the registry is kept: service tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistrySettings {
    /// With the state.
    State,
    /// In a PostgreSQL that all replicas share.
    Postgres(PostgresSettings),
}

impl RegistrySettings {
    /// Whether it is kept elsewhere than the state.
    #[must_use]
    pub const fn is_apart(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// What becomes of a request that has a limit while the store that counts does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsOnError {
    /// It is refused.
    Deny,
    /// It is counted in this process.
    Local,
    /// It passes.
    Allow,
}

impl LimitsOnError {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Local => "local",
            Self::Allow => "allow",
        }
    }
}

const LIMITS_ON_ERROR: &[(&str, LimitsOnError)] =
    &[("deny", LimitsOnError::Deny), ("local", LimitsOnError::Local), ("allow", LimitsOnError::Allow)];

pub(super) fn read_store(table: Reader<'_>, resolve: &Resolve<'_>, keys: &mut KeyUses) -> Option<StoreSettings> {
    let state = read_state(&table, resolve);
    let registry = read_registry(&table, resolve);
    let limits_on_error = table.required("limits_on_error", one_of(LIMITS_ON_ERROR));
    let memory = table.required("memory", bytes);
    let sealer = read_sealer(&table, resolve, keys);
    table.finish();
    Some(StoreSettings {
        state: state?,
        registry: registry?,
        memory: memory?,
        sealer,
        limits_on_error: limits_on_error?,
    })
}

/// A table of an engine that is not chosen is checked all the same.
fn read_state(table: &Reader<'_>, resolve: &Resolve<'_>) -> Option<StateSettings> {
    let names = [("embedded", State::Embedded), ("memory", State::Memory), ("redis", State::Redis)];
    let state = table.required("state", one_of(&names));
    let path = PathBuf::from(table.required("path", non_empty).unwrap_or_default());
    let redis = table.table("redis").map(|redis| read_redis(redis, resolve));
    match (state?, redis) {
        (State::Embedded, _) => Some(StateSettings::Embedded { path }),
        (State::Memory, _) => Some(StateSettings::Memory),
        (State::Redis, Some(settings)) => settings.map(StateSettings::Redis),
        (State::Redis, None) => {
            table.problem("state", "\"redis\" needs a table `store.redis` with `url`");
            None
        }
    }
}

/// The names of [`StateSettings`].
#[derive(Clone, Copy)]
enum State {
    Embedded,
    Memory,
    Redis,
}

/// As [`read_state`].
fn read_registry(table: &Reader<'_>, resolve: &Resolve<'_>) -> Option<RegistrySettings> {
    let names = [("state", false), ("postgres", true)];
    let apart = table.required("registry", one_of(&names));
    let postgres = table.table("postgres").map(|postgres| read_postgres(postgres, resolve));
    match (apart?, postgres) {
        (false, _) => Some(RegistrySettings::State),
        (true, Some(settings)) => {
            refuse_environment(table, resolve);
            settings.map(RegistrySettings::Postgres)
        }
        (true, None) => {
            table.problem("registry", "\"postgres\" needs a table `store.postgres` with `url`");
            None
        }
    }
}

/// The first of the keys seals, all open.
fn read_sealer(table: &Reader<'_>, resolve: &Resolve<'_>, keys: &mut KeyUses) -> Option<Sealer> {
    let mut ring: Option<Sealer> = None;
    for (index, key) in table.or("seal_keys", list(secret(resolve)), Vec::new()).iter().enumerate() {
        let claimed = keys.claim(&SecretDigest::of(key), "as a seal key");
        let added = claimed.and_then(|()| match &mut ring {
            Some(ring) => Ok(ring.also_opens(key)?),
            None => Ok(ring.insert(Sealer::from_text(key)?)).map(|_| ()),
        });
        if let Err(fault) = added {
            table.problem("seal_keys", &format!("entry {}: {fault}", index + 1));
        }
    }
    ring
}
