//! Backups: a store as JSON lines, from any engine and into any.
//!
//! A header, a line for each entry, and a last line that says how many there were. Contexts and apps
//! stay sealed: a backup is worth nothing without the seal keys, but it names end users.

mod entry;
mod export;
mod import;
mod lines;

pub use export::{ExportError, Exported, export};
pub use import::{ImportError, Imported, import};
