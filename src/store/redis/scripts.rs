//! The Lua scripts; each runs as a whole, before any other command of anyone.

use redis::Script;

/// All scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) add_uses: Script,
    pub(super) count: Script,
    pub(super) own: Script,
    pub(super) replace: Script,
    pub(super) revoke: Script,
    pub(super) revoked: Script,
    pub(super) sweep: Script,
    pub(super) write_entry: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            add_uses: Script::new(include_str!("scripts/add_uses.lua")),
            count: Script::new(include_str!("scripts/count.lua")),
            own: Script::new(include_str!("scripts/own.lua")),
            replace: Script::new(include_str!("scripts/replace.lua")),
            revoke: Script::new(include_str!("scripts/revoke.lua")),
            revoked: Script::new(include_str!("scripts/revoked.lua")),
            sweep: Script::new(include_str!("scripts/sweep.lua")),
            write_entry: Script::new(include_str!("scripts/write_entry.lua")),
        }
    }
}
