//! What goes wrong around the gate: upstreams that fail at every phase, resources that run out, and `make soak`, which mixes
//! all of it for as long as you like. docs/reliability.md says what each fault does.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no public interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test says so by panicking")]
#![allow(clippy::print_stdout, reason = "names the case at hand; shown when it fails, or asked for")]

mod own;
mod soak;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the integration tests, which use the rest")]
mod support;
mod upstream;
