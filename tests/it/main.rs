//! The integration tests: the running program on free ports, a file per endpoint or concern.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no public interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test says so by panicking")]

mod exchange;
mod support;
mod upstream;
