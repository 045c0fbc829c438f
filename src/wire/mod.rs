//! HTTP/1.1 as bytes (RFC 9112), for both sides of the gate: heads, the ends of bodies, and sockets
//! that are read into one buffer, so that a connection on which nothing moves owns none.

mod chunked;
mod client;
mod client_body;
#[cfg(test)]
mod corpus;
mod fields;
mod framing;
mod io;
mod outbox;
mod request_head;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use client::{ClientWire, Unread};
pub use client_body::{BrokenBody, ClientBody};
pub(crate) use fields::{end_of_head, fields, has_bare_line_ends, has_option, keeps_alive, write_field};
pub(crate) use framing::{Framing, is_bodiless};
pub(crate) use io::Ended;
pub use io::{Io, Scratch};
pub(crate) use outbox::{Outbox, head_buffer};
pub(crate) use request_head::{HeadFault, RequestHead};

/// The fields of one head.
pub(crate) const MAX_FIELDS: usize = 100;

/// Bytes that are no HTTP/1.1, or that two readers could understand in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
