//! Forwarding: an admitted request goes to its upstream, and the answer streams back.
//!
//! One request, one task: the upstream connection is driven by whoever waits for it, first the
//! request, then the answer's body, and goes back to its worker's pool when the body ends. No
//! channel and no other task stand between the two sockets.

mod answer;
mod body;
mod call;
mod check;
mod client;
mod connect;
mod decide;
mod endpoint;
mod failure;
mod form;
mod head;
mod http1;
mod http2;
mod pool;
mod reply;
mod request;
mod request_body;
mod route;
mod stream;
mod tunnel;
mod upstream;
mod watch;
mod websocket;

pub use body::{MediaType, announced_length, read, read_json, read_json_or_none};
pub use call::{Call, picked};
pub use check::watch;
pub use client::Client;
pub use connect::TlsConfigs;
pub use endpoint::{Endpoint, EndpointState};
pub use failure::Failure;
pub use head::Forwarded;
pub use request::{AnswerBody, Forward, Refused, forward};
pub use stream::{BrokenOff, Streamed};
pub use tunnel::Tunnel;
pub use upstream::{Slot, Upstream};
