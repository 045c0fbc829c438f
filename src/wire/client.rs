//! A client's connection: heads and bodies are read from it, answers written to it, by the one task
//! that serves it. The body under way shares it, so that it is read only as fast as it is wanted.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderValue, Version};
use tokio::io::AsyncWrite as _;

use super::client_body::Http1Body;
use super::request_head::{self, HeadFault, RequestHead};
use super::{BrokenBody, ClientBody, Framing, Io, Outbox, Scratch, end_of_head};
use crate::socket;

/// Bytes of requests that a client sends before it has the answer to the last one. Looked for only
/// to notice when it leaves; more of them wait in the kernel.
const MAX_AHEAD: usize = 16 * 1024;

/// Empty lines in front of a head. A client may send one or two behind a body (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: usize = 4;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A client's connection.
pub(crate) struct ClientWire {
    scratch: Rc<Scratch>,
    state: RefCell<State>,
}

struct State {
    io: Io,
    /// What was read and not yet used.
    inbound: Bytes,
    /// The body under way.
    framing: Framing,
    /// The client waits for leave to send its body (RFC 9110 section 10.1.1).
    wants_continue: bool,
    interim: Outbox,
    /// Waits for the end of the body, to look out for the client's leaving from then on.
    waits: Option<Waker>,
    /// Whether the client has left within a body.
    left: bool,
}

/// A head that is not served.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The client left.
    Closed,
    /// It is refused; the `Origin` that it seems to have may be told why.
    Refused(HeadFault, Option<HeaderValue>),
}

impl ClientWire {
    pub(crate) fn new(io: Io, scratch: Rc<Scratch>) -> Rc<Self> {
        let (inbound, framing, interim) = (Bytes::new(), Framing::default(), Outbox::default());
        let state = State { io, inbound, framing, wants_continue: false, interim, waits: None, left: false };
        Rc::new(Self { scratch, state: RefCell::new(state) })
    }

    /// The next head; `partial` keeps what has come of it.
    pub(crate) fn poll_head(
        &self,
        partial: &mut Vec<u8>,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RequestHead, Unread>> {
        let State { io, inbound, framing, wants_continue, .. } = &mut *self.state.borrow_mut();
        let mut scanned = partial.len();
        partial.append(&mut std::mem::take(inbound).into());
        loop {
            match partial.chunks_exact(2).take_while(|line| line == b"\r\n").take(MAX_EMPTY_LINES + 1).count() {
                0 => {}
                lines @ 1..=MAX_EMPTY_LINES => {
                    partial.drain(..2 * lines);
                    scanned = 0;
                }
                _ => return Poll::Ready(Err(Unread::Refused(HeadFault::Malformed, None))),
            }
            if let Some(end) = end_of_head(partial, scanned).filter(|end| *end <= max) {
                *inbound = Bytes::copy_from_slice(&partial[end..]);
                let head = request_head::parse(&partial[..end]).map_err(|why| Unread::Refused(why, origin(partial)))?;
                *framing = Framing::default();
                *wants_continue = expects_continue(&head);
                return Poll::Ready(Ok(head));
            }
            if partial.len() > max {
                return Poll::Ready(Err(Unread::Refused(HeadFault::TooLarge, origin(partial))));
            }
            scanned = partial.len();
            if ready!(self.scratch.poll_read(io, cx, |bytes| partial.extend_from_slice(bytes))).is_err() {
                return Poll::Ready(Err(Unread::Closed));
            }
        }
    }

    /// Begins the body of a request whose head has been read.
    pub(crate) fn begin_body(self: &Rc<Self>, framing: Framing) -> ClientBody {
        if framing.is_done() {
            return ClientBody::Empty;
        }
        self.state.borrow_mut().framing = framing;
        ClientBody::Http1(Http1Body(Rc::clone(self)))
    }

    /// The next piece of the body; `None` at its end.
    pub(super) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenBody>>> {
        let mut state = self.state.borrow_mut();
        let piece = state.poll_piece(&self.scratch, cx);
        let State { framing, waits, .. } = &mut *state;
        if let Some(waits) = waits.take_if(|_| framing.is_done()) {
            waits.wake();
        }
        piece
    }

    pub(super) fn body_left(&self) -> Option<u64> {
        self.state.borrow().framing.left()
    }

    /// Whether the last byte of the body has been handed on.
    pub(crate) fn is_body_read(&self) -> bool {
        self.state.borrow().framing.is_done()
    }

    /// Whether the client has left before the end of its body.
    pub(crate) fn has_left(&self) -> bool {
        self.state.borrow().left
    }

    /// Reads over what has arrived of a body that nobody wanted. Whether that was all of it: then
    /// the connection can be used again.
    pub(crate) fn skip_body(&self) -> bool {
        let State { inbound, framing, .. } = &mut *self.state.borrow_mut();
        while !framing.is_done() && !inbound.is_empty() {
            if framing.decode_shared(inbound).is_err() {
                return false;
            }
        }
        framing.is_done()
    }

    /// Ready when the client has left. Reads ahead for that, but not into a body under way: another
    /// task may be reading it, so its end wakes this one.
    pub(crate) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let State { io, inbound, framing, waits, .. } = &mut *self.state.borrow_mut();
        if !framing.is_done() {
            match waits {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waits = Some(cx.waker().clone()),
            }
        }
        while framing.is_done() && inbound.len() < MAX_AHEAD {
            let append = |bytes: &[u8]| {
                let mut both = BytesMut::from(&inbound[..]);
                both.extend_from_slice(bytes);
                *inbound = both.freeze();
            };
            if ready!(self.scratch.poll_read(io, cx, append)).is_err() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Writes what is in `outbox`, which is of the final answer.
    pub(crate) fn poll_flush(&self, outbox: &mut Outbox, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let State { io, wants_continue, interim, .. } = &mut *self.state.borrow_mut();
        // Leave to send the body would stand in the middle of the answer.
        *wants_continue = false;
        if !interim.is_empty() {
            ready!(interim.poll_flush(io, cx, &mut false))?;
        }
        outbox.poll_flush(io, cx, &mut false)
    }

    /// Says that nothing more will come: with TLS, a client could not tell otherwise.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.state.borrow_mut().io).poll_shutdown(cx)
    }

    /// Reads and drops what the client still sends, after it has been told that nothing more is
    /// taken: closed at once, the answer could be lost with the connection (RFC 9112 section 9.6).
    pub(crate) async fn linger(&self) {
        let read = |cx: &mut Context<'_>| self.scratch.poll_read(&mut self.state.borrow_mut().io, cx, |_| ());
        if poll_fn(|cx| self.poll_shutdown(cx)).await.is_ok() {
            while poll_fn(read).await.is_ok() {}
        }
    }

    /// What was sent is not all, though it has no other end than the connection's.
    pub(crate) fn break_off(&self) {
        socket::reset_at_close(self.state.borrow().io.tcp());
    }

    /// The socket, and what was read from it and not yet used.
    pub(crate) fn into_parts(self) -> (Io, Bytes) {
        let State { io, inbound, .. } = self.state.into_inner();
        (io, inbound)
    }
}

impl State {
    /// The next piece of the body; `None` at its end.
    fn poll_piece(&mut self, scratch: &Scratch, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenBody>>> {
        let Self { io, inbound, framing, wants_continue, interim, left, .. } = self;
        let broken = Poll::Ready(Some(Err(BrokenBody)));
        while !framing.is_done() {
            if !inbound.is_empty() {
                *wants_continue = false;
                match framing.decode_shared(inbound) {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_) => return broken,
                }
            }
            if std::mem::take(wants_continue) {
                interim.put(CONTINUE.to_vec(), Bytes::new(), b"");
            }
            if ready!(interim.poll_flush(io, cx, &mut false)).is_err() {
                *left = true;
                return broken;
            }
            let read = |bytes: &[u8]| *inbound = Bytes::copy_from_slice(bytes);
            if ready!(scratch.poll_read(io, cx, read)).is_err() {
                *left = true;
                return broken;
            }
        }
        Poll::Ready(None)
    }
}

fn expects_continue(head: &RequestHead) -> bool {
    let expectation = head.request.headers().get(EXPECT);
    head.request.version() == Version::HTTP_11
        && expectation.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The `Origin` of a head that was not read, so that the page may read why.
fn origin(head: &[u8]) -> Option<HeaderValue> {
    const NAME: &[u8] = b"origin:";
    let mut lines = head.split(|byte| *byte == b'\n').skip(1);
    let line = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    HeaderValue::from_bytes(line[NAME.len()..].trim_ascii()).ok()
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
