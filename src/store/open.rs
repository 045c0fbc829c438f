//! From settings to stores that work, or a clear reason why not.

use std::sync::Arc;

use super::{Entries, Memory, Postgres, Redis, Sqlite, Store};
use crate::config::{RegistrySettings, StateSettings, StoreSettings};

/// Everything that outlives a request.
#[derive(Clone)]
pub struct Stores {
    /// Contexts, owners, used and revoked tokens.
    pub state: Arc<dyn Store>,
    /// Apps and service tokens that the configuration file does not have.
    pub registry: Arc<dyn Entries>,
}

/// The registry is kept with the state.
impl From<Arc<dyn Store>> for Stores {
    fn from(state: Arc<dyn Store>) -> Self {
        Self { registry: Arc::clone(&state) as _, state }
    }
}

/// Opens the stores.
///
/// # Errors
/// Why they cannot be used; names the setting.
pub async fn open(settings: &StoreSettings) -> Result<Stores, String> {
    let state: Arc<dyn Store> = match &settings.state {
        StateSettings::Embedded { path } => Arc::new(Sqlite::open(path, settings.memory).await?),
        StateSettings::Memory => Arc::new(Memory::new(settings.memory)),
        StateSettings::Redis(redis) => Arc::new(Redis::open(redis).await?),
    };
    Ok(match &settings.registry {
        RegistrySettings::State => state.into(),
        RegistrySettings::Postgres(postgres) => Stores { state, registry: Arc::new(Postgres::open(postgres).await?) },
    })
}

/// Opens the registry alone: where it is not kept with the state, that need not be within reach.
///
/// # Errors
/// As [`open`].
pub async fn open_registry(settings: &StoreSettings) -> Result<Arc<dyn Entries>, String> {
    match &settings.registry {
        RegistrySettings::State => Ok(open(settings).await?.registry),
        RegistrySettings::Postgres(postgres) => Ok(Arc::new(Postgres::open(postgres).await?)),
    }
}
