//! Bytes on their way out, as few pieces and writes as it takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;

use super::Io;

/// Pieces up to this size together are copied into one: a write of one piece costs less than the
/// copy.
const JOINED: usize = 8 * 1024;

/// What is still to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox([Bytes; 3]);

impl Outbox {
    /// Adds `head`, `data` and `tail`, in this order, to an empty outbox.
    pub(crate) fn put(&mut self, mut head: Vec<u8>, data: Bytes, tail: &'static [u8]) {
        debug_assert!(self.is_empty(), "what is there goes first");
        if head.len() + data.len() + tail.len() <= JOINED {
            head.extend_from_slice(&data);
            head.extend_from_slice(tail);
            self.0[0] = head.into();
        } else {
            self.0 = [head.into(), data, Bytes::from_static(tail)];
        }
    }

    /// Adds a chunk (RFC 9112 section 7.1) behind `head`; with `last`, the end of the body as well.
    pub(crate) fn put_chunk(&mut self, mut head: Vec<u8>, data: Bytes, last: bool) {
        let tail: &[u8] = match (data.is_empty(), last) {
            (false, false) => b"\r\n",
            (false, true) => b"\r\n0\r\n\r\n",
            (true, true) => b"0\r\n\r\n",
            // A chunk without data would be the end.
            (true, false) => b"",
        };
        if !data.is_empty() {
            write_hex(&mut head, data.len());
        }
        self.put(head, data, tail);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// Forgets what is still to be written.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes until nothing is left. `begun` turns true once the socket has taken a byte.
    pub(crate) fn poll_flush(&mut self, io: &mut Io, cx: &mut Context<'_>, begun: &mut bool) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = ready!(self.poll_write(io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *begun = true;
            self.advance(written);
        }
        // TLS may still hold records that the socket did not take.
        Pin::new(io).poll_flush(cx)
    }

    fn poll_write(&self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut left = self.0.iter().filter(|piece| !piece.is_empty());
        match (left.next(), left.next()) {
            (Some(only), None) => Pin::new(io).poll_write(cx, only),
            _ => Pin::new(io).poll_write_vectored(cx, &self.0.each_ref().map(|piece| IoSlice::new(piece))),
        }
    }

    fn advance(&mut self, mut written: usize) {
        for piece in &mut self.0 {
            let here = written.min(piece.len());
            piece.advance(here);
            written -= here;
        }
        if self.is_empty() {
            // What has been sent is freed, not kept until the next piece.
            self.clear();
        }
    }
}

/// A chunk's size and line end.
fn write_hex(out: &mut Vec<u8>, size: usize) {
    use std::io::Write as _;
    // Writing into memory cannot fail.
    let _ = write!(out, "{size:x}\r\n");
}
