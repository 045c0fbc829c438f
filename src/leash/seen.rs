//! By what streams are admitted, as it was last seen: two looks are compared by identity.

use std::sync::Arc;

use sidegate_core::revocation::RevocationList;

use crate::gate::Gate;
use crate::registry::Registry;

/// What was seen. It is kept, so that nothing new can stand at the same place in memory.
pub(super) struct Seen {
    revoked: Arc<RevocationList>,
    registry: Arc<Registry>,
    widgets: u64,
    closings: u64,
}

impl Seen {
    /// As it is now.
    pub(super) fn now(gate: &Gate) -> Self {
        Self {
            revoked: gate.revoked.list(),
            registry: gate.registry.load_full(),
            widgets: gate.widgets.changes(),
            closings: gate.closings.count(),
        }
    }

    pub(super) fn is_same(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.revoked, &before.revoked)
            && Arc::ptr_eq(&self.registry, &before.registry)
            && self.widgets == before.widgets
            && self.closings == before.closings
    }
}
