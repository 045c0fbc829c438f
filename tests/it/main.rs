//! The integration tests: the running program on free ports, a file per endpoint or concern.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no public interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test says so by panicking")]
#![allow(clippy::print_stdout, reason = "names the case at hand; shown when it fails")]

mod admin;
mod admission;
mod algorithms;
mod browser;
mod cli;
mod config;
mod config_mistakes;
mod config_postgres;
mod config_redis;
mod cors;
mod crosscheck;
mod deadlines;
mod demo;
mod docs;
mod exchange;
mod exchange_limits;
mod exchange_setup;
mod heads;
mod http2;
mod injection;
mod injection_body;
mod instructions;
mod lifecycle;
mod limits;
mod ops;
mod origin;
mod pooling;
mod preflight;
mod private;
mod scoping;
mod secrets;
mod secrets_in_config;
mod shared_limits;
mod shared_outage;
mod shared_registry;
mod shared_state;
mod signing_keys;
mod single_use;
mod store;
mod store_commands;
mod streaming;
mod stripping;
mod support;
mod tls;
mod tokens;
mod upload;
mod upstream;
mod upstream_answers;
mod upstream_failure;
mod upstream_http2;
mod websocket;
mod wire_client;
mod wire_duplex;
