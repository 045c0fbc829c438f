//! HTTP on our side: listeners, connections, and the services on them.

mod access;
mod admin;
mod assets;
mod body;
mod connection;
mod convert;
mod exchange;
mod guard;
mod head;
mod http1;
mod io;
mod listener;
mod openai;
mod ops;
mod peer;
mod private;
mod public;
mod request_ids;
mod server_call;
mod service;
mod session;
mod streams;
mod target;
mod tls;
mod token;
mod widget;
mod workspace;

pub use connection::{ConnectionLimits, serve};
pub use listener::{Accepted, Acceptor, Inbox, Place};
pub use ops::{Readiness, ops_router, serve_ops};
pub use peer::Peer;
pub use private::Private;
pub use public::Public;
pub use service::{Arrival, Common, Outcome, Service};
pub use tls::server_config;
