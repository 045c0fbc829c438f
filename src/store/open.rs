//! From settings to a store that works, or a clear reason why not.

use std::sync::Arc;

use super::{Memory, Redis, Sqlite, Store};
use crate::config::{StateSettings, StoreSettings};

/// Opens the store.
///
/// # Errors
/// Why it cannot be used; names the setting.
pub async fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, String> {
    match &settings.state {
        StateSettings::Embedded { path } => Ok(Arc::new(Sqlite::open(path, settings.memory).await?)),
        StateSettings::Memory => Ok(Arc::new(Memory::new(settings.memory))),
        StateSettings::Redis(redis) => Ok(Arc::new(Redis::open(redis).await?)),
    }
}
