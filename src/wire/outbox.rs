//! Bytes on their way out, as few pieces and writes as it takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;

use super::Io;

/// Room for a usual head.
const HEAD_ROOM: usize = 768;

/// Pieces up to this size together are copied into one: a write of one piece costs less than the
/// copy.
const JOINED: usize = 8 * 1024;

/// What is still to be written: three pieces, in this order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    head: Vec<u8>,
    /// How much of the head has been written.
    written: usize,
    data: Bytes,
    tail: &'static [u8],
}

/// A buffer for a head that `data` bytes will follow in the same piece, if they may.
pub(crate) fn head_buffer(data: Option<u64>) -> Vec<u8> {
    let data = data.and_then(|data| usize::try_from(data).ok()).filter(|data| *data <= JOINED);
    Vec::with_capacity(HEAD_ROOM + data.unwrap_or_default())
}

impl Outbox {
    /// Adds `head`, `data` and `tail`, in this order, to an empty outbox.
    pub(crate) fn put(&mut self, mut head: Vec<u8>, data: Bytes, tail: &'static [u8]) {
        debug_assert!(self.is_empty(), "what is there goes first");
        if head.len() + data.len() + tail.len() <= JOINED {
            head.extend_from_slice(&data);
            head.extend_from_slice(tail);
            self.head = head;
        } else {
            *self = Self { head, written: 0, data, tail };
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
        self.written == self.head.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// The bytes still to be written.
    pub(crate) fn left(&self) -> usize {
        self.head.len() - self.written + self.data.len() + self.tail.len()
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
        let head = &self.head[self.written..];
        if self.data.is_empty() && self.tail.is_empty() {
            return Pin::new(io).poll_write(cx, head);
        }
        Pin::new(io).poll_write_vectored(cx, &[head, &self.data, self.tail].map(IoSlice::new))
    }

    fn advance(&mut self, written: usize) {
        let of_head = written.min(self.head.len() - self.written);
        let of_data = (written - of_head).min(self.data.len());
        self.written += of_head;
        self.data.advance(of_data);
        self.tail = &self.tail[written - of_head - of_data..];
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
