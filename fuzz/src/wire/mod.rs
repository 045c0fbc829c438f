//! The reading of HTTP/1.1: what `src/wire/` has of heads and bodies, without sockets.

#[path = "../../../src/wire/chunked.rs"]
mod chunked;
#[path = "../../../src/wire/fields.rs"]
mod fields;
#[path = "../../../src/wire/framing.rs"]
mod framing;
pub mod http1;
#[path = "../../../src/wire/request_head.rs"]
mod request_head;

use fields::{fields, keeps_alive};
use framing::Framing;

/// As in `src/wire/mod.rs`.
pub(crate) const MAX_FIELDS: usize = 100;

/// As in `src/wire/mod.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
