//! A client's body, whichever HTTP it comes by.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::ClientWire;

/// A client's body.
pub enum ClientBody {
    /// No body.
    Empty,
    /// Read already.
    Read(Bytes),
    /// Of HTTP/1.1; read from the connection when asked for, and only then.
    Http1(Http1Body),
    /// Of HTTP/2.
    Http2(Incoming),
}

/// What is left of a body on an HTTP/1.1 connection.
pub struct Http1Body(pub(super) Rc<ClientWire>);

/// A body that is malformed or breaks off.
#[derive(Clone, Copy, Debug)]
pub struct BrokenBody;

impl std::fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body is malformed or breaks off")
    }
}

impl std::error::Error for BrokenBody {}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Read(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Read(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Http1(Http1Body(wire)) => wire.poll_body(cx).map_ok(Frame::data),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(|_| BrokenBody),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Read(bytes) => bytes.is_empty(),
            Self::Http1(Http1Body(wire)) => wire.is_body_read(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Read(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Http1(Http1Body(wire)) => wire.body_left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
