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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use socket2::SockRef;
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::wire::testing::{pair, reset};

    /// What arrives of these pieces, each put when the last has been written, through a socket that
    /// takes little at once.
    fn sent(pieces: &[Vec<u8>], chunked: bool) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (near, mut far) = pair().await;
            SockRef::from(&near).set_send_buffer_size(4 * 1024).expect("a small buffer");
            let writes = async {
                let mut io = Io::Plain(near);
                let mut outbox = Outbox::default();
                for (n, piece) in pieces.iter().enumerate() {
                    let (head, data) =
                        (if n == 0 { b"head;".to_vec() } else { Vec::new() }, Bytes::from(piece.clone()));
                    match chunked {
                        true => outbox.put_chunk(head, data, n + 1 == pieces.len()),
                        false => outbox.put(head, data, b""),
                    }
                    std::future::poll_fn(|cx| outbox.poll_flush(&mut io, cx, &mut false)).await.expect("written");
                    assert_eq!((outbox.is_empty(), outbox.left()), (true, 0));
                }
            };
            let mut all = Vec::new();
            let (read, ()) = tokio::join!(far.read_to_end(&mut all), writes);
            read.expect("readable");
            all
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_byte_arrives_once_and_in_order(sizes in prop::collection::vec(0_usize..60_000, 1..5), chunked: bool) {
            let pieces: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(n, size)| vec![b'a' + u8::try_from(n).unwrap_or_default(); *size]).collect();
            let all = sent(&pieces, chunked);
            let (head, mut body) = all.split_at(5);
            prop_assert_eq!(head, b"head;");
            let data = if chunked {
                let (mut decoder, mut data) = (crate::wire::chunked::Chunked::default(), bytes::BytesMut::new());
                let used = decoder.decode(body, &mut data).expect("chunks");
                prop_assert!(decoder.is_done());
                body = &body[used..];
                prop_assert!(body.is_empty());
                data.to_vec()
            } else {
                body.to_vec()
            };
            prop_assert_eq!(data, pieces.concat());
        }
    }

    #[tokio::test]
    async fn it_says_whether_the_socket_took_anything() {
        for (gone, expected) in [(false, true), (true, false)] {
            let (near, far) = pair().await;
            let _far = if gone {
                reset(far);
                None
            } else {
                Some(far)
            };
            let (mut io, mut outbox, mut begun) = (Io::Plain(near), Outbox::default(), false);
            outbox.put(b"head".to_vec(), Bytes::new(), b"");
            let flushed = std::future::poll_fn(|cx| outbox.poll_flush(&mut io, cx, &mut begun)).await;
            assert_eq!((begun, flushed.is_ok()), (expected, expected));
        }
    }
}
