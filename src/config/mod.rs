//! Configuration: as written (the layered tree of [`layered`]) and as meant ([`Settings`]).
//!
//! Defaults are the commented file `config/default.toml`, which is compiled in.

mod app;
mod assets;
mod authorize;
mod chat9;
mod chatbotkit;
mod files;
mod kept;
pub mod layered;
mod leash;
mod limits;
mod listen;
mod load;
mod mitigate;
mod openai;
mod orcheo;
mod postgres;
mod redis;
mod settings;
mod store;
mod supervisor;
mod token;
mod trade;
mod upstream;

pub use assets::AssetSettings;
pub use files::Files;
pub use kept::{Written, read_kept};
pub use listen::{ListenSettings, TlsFiles};
pub use load::{Input, Loaded, Read, is_secret_key, load, print, read, read_file, read_secret};
pub use mitigate::workspace_fingerprints;
pub use postgres::{PostgresAddress, PostgresSettings};
pub use redis::{RedisAddress, RedisSettings};
pub use settings::{ConfiguredApp, KeyUses, LimitSettings, LogFormat, Settings};
pub use store::{LimitsOnError, RegistrySettings, StateSettings, StoreSettings};
pub use supervisor::{HandedSockets, Supervisor};
pub use token::TokenOf;
pub use upstream::{HealthRule, MAX_URLS, Protocol, Service, UpstreamSettings};
