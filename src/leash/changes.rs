//! Word that something has changed by which streams are admitted.

use tokio::sync::watch;

/// Told by whatever admits; heard by each worker. Clones tell the same workers.
#[derive(Clone, Debug, Default)]
pub struct Changes(watch::Sender<()>);

impl Changes {
    /// Something has changed. Tell it when it is in force: who hears of it looks at once.
    pub fn tell(&self) {
        self.0.send_replace(());
    }

    /// Hears of changes from now on; those that nobody waited for are heard of as one.
    #[must_use]
    pub fn hear(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
