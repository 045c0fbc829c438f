//! Sidegate, the program: listeners, stores, upstreams and wiring around [`sidegate_core`].
//!
//! ARCHITECTURE.md has the map. Imports point one way: `cli → app → http → {exchange, admit,
//! forward} → store → core`.

pub mod admit;
pub mod app;
pub mod apps;
pub mod assemble;
pub mod assets;
pub mod authorize;
pub mod breaker;
pub mod cli;
pub mod config;
pub mod contacts;
pub mod control;
pub mod demo;
pub mod exchange;
pub mod follow;
pub mod forward;
pub mod gate;
pub mod http;
pub mod leash;
pub mod limits;
pub mod metrics;
pub mod notify;
pub mod openai;
pub mod overload;
pub(crate) mod pieces;
pub mod registry;
pub mod reload;
pub mod revocations;
pub mod rsa;
pub mod service_tokens;
pub mod sessions;
pub mod socket;
pub mod sockets;
pub mod steady;
pub mod store;
pub mod system;
pub mod telemetry;
pub mod tls;
pub mod trade;
pub mod verified;
pub mod visitor;
pub mod widgets;
pub mod wire;
pub mod worker;
