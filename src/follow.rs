//! Follows the store's registry: what another replica or a command has changed is read anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::apps::Apps;
use crate::gate::Gate;
use crate::service_tokens::ServiceTokens;
use crate::store::{Entries, Unavailable};
use crate::widgets::Widgets;

/// How often the registry is asked whether it has changed. A change reaches every replica within a
/// second: this, and the time that the store takes.
const INTERVAL: Duration = Duration::from_millis(300);

/// Keeps what is read from the registry current.
pub struct Follower {
    entries: Arc<dyn Entries>,
    service_tokens: Arc<ServiceTokens>,
    apps: Arc<Apps>,
    widgets: Arc<Widgets>,
}

impl Follower {
    /// Follows the registry of `entries`, from which these have been read.
    #[must_use]
    pub fn new(entries: Arc<dyn Entries>, gate: &Gate) -> Self {
        let (service_tokens, apps) = (Arc::clone(&gate.service_tokens), Arc::clone(&gate.apps));
        Self { entries, service_tokens, apps, widgets: Arc::clone(&gate.widgets) }
    }

    /// Reads what has changed, until the task is aborted. While the registry does not answer, all stays
    /// as it was last read.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.apps.end_secrets().await;
            let asked = Instant::now();
            let read = self.read().await;
            self.service_tokens.heard(asked, read.is_ok());
            // What is not heard of now is asked for again, from the same place.
            let _ = self.widgets.follow().await;
        }
    }

    async fn read(&self) -> Result<(), Unavailable> {
        let generation = self.entries.generation().await?;
        if self.service_tokens.generation() != generation {
            self.service_tokens.refresh().await?;
        }
        if self.apps.generation() != Some(generation) {
            self.apps.refresh().await?;
        }
        Ok(())
    }
}
