//! What the fuzz targets check, as functions of bytes. `core/tests/corpus.rs` and `tests/it/corpus.rs` run the same over the
//! kept corpus.

pub mod checks;
pub mod config;

// The parser of the configuration stands alone within the program; all else of that would be built for nothing.
#[path = "../../src/config/layered/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "the program uses what the checks do not")]
mod layered;

#[allow(dead_code, unused_imports, unreachable_pub, reason = "the program uses what the checks do not")]
pub mod wire;
