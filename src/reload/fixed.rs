//! What is bound when the program starts, and no reload changes.

use crate::config::{ListenSettings, LogFormat, RegistrySettings, Settings, StateSettings};

/// The settings that only a restart changes.
#[derive(Debug)]
pub struct Fixed {
    listen: ListenSettings,
    state: StateSettings,
    registry: RegistrySettings,
    memory: usize,
    log_format: LogFormat,
}

impl Fixed {
    /// Those of `settings`.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let store = &settings.store;
        Self {
            listen: settings.listen.clone(),
            state: store.state.clone(),
            registry: store.registry.clone(),
            memory: store.memory,
            log_format: settings.log_format,
        }
    }

    /// The keys that `settings` give another value.
    #[must_use]
    pub fn changed(&self, settings: &Settings) -> Vec<&'static str> {
        let (was, is) = (&self.listen, &settings.listen);
        let store = &settings.store;
        [
            ("listen.public", was.public != is.public),
            ("listen.private", was.private != is.private),
            ("listen.ops", was.ops != is.ops),
            ("listen.control", was.control != is.control),
            ("listen.workers", was.workers != is.workers),
            ("listen.max_connections", was.max_connections != is.max_connections),
            ("listen.tls", was.tls.is_some() != is.tls.is_some()),
            ("listen.private_tls", was.private_tls.is_some() != is.private_tls.is_some()),
            (self.of_state(&store.state), self.state != store.state),
            (self.of_registry(&store.registry), self.registry != store.registry),
            ("store.memory", self.memory != store.memory),
            ("log.format", self.log_format != settings.log_format),
        ]
        .into_iter()
        .filter_map(|(key, changed)| changed.then_some(key))
        .collect()
    }

    /// The key at which two states differ.
    const fn of_state(&self, now: &StateSettings) -> &'static str {
        match (&self.state, now) {
            (StateSettings::Embedded { .. }, StateSettings::Embedded { .. }) => "store.path",
            (StateSettings::Redis(_), StateSettings::Redis(_)) => "store.redis",
            _ => "store.state",
        }
    }

    /// As [`Self::of_state`].
    const fn of_registry(&self, now: &RegistrySettings) -> &'static str {
        match (&self.registry, now) {
            (RegistrySettings::Postgres(_), RegistrySettings::Postgres(_)) => "store.postgres",
            _ => "store.registry",
        }
    }
}
