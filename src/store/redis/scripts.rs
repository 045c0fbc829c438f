//! The Lua scripts; each runs as a whole, before any other command of anyone.

use redis::Script;

/// All scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) add_usage: Script,
    pub(super) add_uses: Script,
    pub(super) changed_objects: Script,
    pub(super) close_session: Script,
    pub(super) count: Script,
    pub(super) count_session: Script,
    pub(super) marked_since: Script,
    pub(super) open_session: Script,
    pub(super) own: Script,
    pub(super) remove_object: Script,
    pub(super) replace: Script,
    pub(super) revoke: Script,
    pub(super) sweep: Script,
    pub(super) touch_session: Script,
    pub(super) write_entry: Script,
    pub(super) write_object: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            add_usage: Script::new(include_str!("scripts/add_usage.lua")),
            add_uses: Script::new(include_str!("scripts/add_uses.lua")),
            changed_objects: Script::new(include_str!("scripts/changed_objects.lua")),
            close_session: Script::new(include_str!("scripts/close_session.lua")),
            count: Script::new(include_str!("scripts/count.lua")),
            count_session: Script::new(include_str!("scripts/count_session.lua")),
            marked_since: Script::new(include_str!("scripts/marked_since.lua")),
            open_session: Script::new(include_str!("scripts/open_session.lua")),
            own: Script::new(include_str!("scripts/own.lua")),
            remove_object: Script::new(include_str!("scripts/remove_object.lua")),
            replace: Script::new(include_str!("scripts/replace.lua")),
            revoke: Script::new(include_str!("scripts/revoke.lua")),
            sweep: Script::new(include_str!("scripts/sweep.lua")),
            touch_session: Script::new(include_str!("scripts/touch_session.lua")),
            write_entry: Script::new(include_str!("scripts/write_entry.lua")),
            write_object: Script::new(include_str!("scripts/write_object.lua")),
        }
    }
}
