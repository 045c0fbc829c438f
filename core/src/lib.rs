//! The decisions of Sidegate, pure and synchronous.
//!
//! Two use cases hang on this crate. **exchange**: a [`credential::AppCredential`] becomes a
//! [`policy::Grant`] and a signed token. **admit**: a token and an `Origin` become a
//! [`policy::Permit`], or a [`denial::Denial`]. Nothing here opens a socket, reads a clock, draws
//! a random number or reads a configuration file: time and randomness are arguments.

pub mod address;
pub mod app;
pub mod authorize;
pub mod cache;
pub mod clock;
pub mod context;
pub mod cors;
pub mod credential;
pub mod denial;
pub mod dialect;
pub mod duration;
pub mod ending;
pub mod entropy;
pub mod id;
pub mod json;
pub mod leash;
pub mod message;
pub mod origin;
pub mod policy;
pub mod problem;
pub mod rate;
pub mod revocation;
pub mod secret;
pub mod service_token;
pub mod session;
pub mod sse;
pub mod token;
pub mod websocket;
