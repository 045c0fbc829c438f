//! Follows the store's registry: what another replica or a command has changed is read anew.

use std::time::Duration;

use tokio::time::Instant;

use crate::gate::{Gate, Gates};
use crate::store::Unavailable;

/// How often a store is asked for what others have changed. It reaches every replica within a second: this, and the
/// time that the store takes. Each kind of change is followed by a task of its own: one that has to wait holds up no other.
pub const INTERVAL: Duration = Duration::from_millis(300);

/// Reads what has changed, until the task is aborted. While the registry does not answer, all stays as it was last read.
pub async fn follow(gates: Gates) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let gate = gates.load_full();
        gate.apps.end_secrets().await;
        let asked = Instant::now();
        let read = read(&gate).await;
        gate.service_tokens.heard(asked, read.is_ok());
        // What is not heard of now is asked for again, from the same place.
        let _ = gate.widgets.follow().await;
    }
}

async fn read(gate: &Gate) -> Result<(), Unavailable> {
    let generation = gate.entries.generation().await?;
    if gate.service_tokens.generation() != generation {
        gate.service_tokens.refresh().await?;
    }
    if gate.apps.generation() != Some(generation) {
        gate.apps.refresh().await?;
    }
    Ok(())
}
