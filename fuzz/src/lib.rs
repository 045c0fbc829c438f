//! What the fuzz targets check, as functions of bytes. `core/tests/corpus.rs` runs the same over the kept corpus.

pub mod checks;
