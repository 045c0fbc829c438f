//! HTTP/1.1 to an upstream (RFC 9112): one connection, driven by whoever uses it. It owns no buffer
//! while nothing moves: bytes are read into one that all connections of a worker share.

mod head;
mod outbound;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use self::head::AnswerHead;
use self::outbound::{Outbound, State};
use super::Failure;
use super::request_body::RequestBody;
use crate::wire::{self, Ended, Framing, Io, Malformed, Scratch};

/// The longest head of an answer, those of interim answers (1xx) included.
pub(super) const MAX_ANSWER_HEAD: usize = 64 * 1024;

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Protocol
    }
}

/// A connection. Nothing moves on it unless somebody polls.
pub(super) struct Http1 {
    io: Io,
    outbound: Outbound,
    /// Whether another request may follow, as far as is known.
    reusable: bool,
}

/// A request that got no answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    /// Whether the upstream cannot have seen any of it.
    pub(super) unsent: bool,
}

/// What has come of an answer's head, behind interim answers that are over.
#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    /// Where the head begins that is not complete.
    begin: usize,
}

/// An answer's head, and the state of its body.
pub(super) struct Answer {
    pub(super) head: Response<()>,
    pub(super) body: Incoming,
}

/// An answer's body, as far as it has come.
pub(super) struct Incoming {
    framing: Framing,
    /// Data that came together with the head.
    first: Bytes,
}

impl Http1 {
    pub(super) fn new(io: Io) -> Box<Self> {
        Box::new(Self { io, outbound: Outbound::default(), reusable: true })
    }

    /// Sends a request and waits for the answer's head, moving bytes meanwhile. What streams of the
    /// body goes on being sent while the answer's body is read.
    pub(super) async fn send(
        &mut self,
        request: &mut Request<RequestBody>,
        scratch: &Scratch,
    ) -> Result<Answer, Unanswered> {
        self.outbound = Outbound::begin(request);
        let mut partial = Partial::default();
        let answer = poll_fn(|cx| self.poll_answer(request.method(), &mut partial, scratch, cx)).await;
        answer.map_err(|failure| {
            let unsent = failure == Failure::Terminated && !self.outbound.has_begun();
            if unsent {
                self.outbound.give_back(request);
            }
            Unanswered { failure, unsent }
        })
    }

    fn poll_answer(
        &mut self,
        method: &Method,
        partial: &mut Partial,
        scratch: &Scratch,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        if self.outbound.drive(&mut self.io, cx) == State::ClientFailed {
            return Poll::Ready(Err(Failure::Terminated));
        }
        loop {
            let scanned = partial.bytes.len();
            let read = |read: &[u8]| partial.bytes.extend_from_slice(read);
            if ready!(scratch.poll_read(&mut self.io, cx, read)).is_err() {
                return Poll::Ready(Err(Failure::Terminated));
            }
            if let Some(answer) = self.answer(method, partial, scanned).transpose() {
                return Poll::Ready(answer);
            }
        }
    }

    /// The final answer, if it is complete; interim ones (RFC 9110 section 15.2) are passed over.
    fn answer(&mut self, method: &Method, partial: &mut Partial, scanned: usize) -> Result<Option<Answer>, Failure> {
        let Partial { bytes, begin } = partial;
        while let Some(end) = wire::end_of_head(&bytes[*begin..], scanned.saturating_sub(*begin)) {
            let (head, rest) = bytes[*begin..].split_at(end);
            if *begin + end > MAX_ANSWER_HEAD {
                return Err(Failure::Protocol);
            }
            let AnswerHead { response, mut framing, keep_alive } = head::parse(head, method)?;
            if response.status().is_informational() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                *begin += end;
                continue;
            }
            let (first, used) = framing.decode(rest)?;
            self.reusable = keep_alive && used == rest.len();
            return Ok(Some(Answer { head: response, body: Incoming { framing, first } }));
        }
        let begins_well = bytes[*begin..].iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
        if begins_well && bytes.len() <= MAX_ANSWER_HEAD { Ok(None) } else { Err(Failure::Protocol) }
    }

    /// The next piece of an answer's body; `None` at its end.
    pub(super) fn poll_body(
        &mut self,
        body: &mut Incoming,
        scratch: &Scratch,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        let failed = Poll::Ready(Some(Err(Failure::Incomplete)));
        if self.outbound.drive(&mut self.io, cx) == State::ClientFailed {
            return failed;
        }
        while body.first.is_empty() && !body.framing.is_done() {
            let Self { io, reusable, .. } = self;
            let decode = |read: &[u8]| {
                let (data, used) = body.framing.decode(read)?;
                *reusable &= used == read.len();
                Ok::<_, Malformed>(data)
            };
            match ready!(scratch.poll_read(io, cx, decode)) {
                Ok(Ok(data)) => body.first = data,
                Err(Ended::Closed) if matches!(body.framing, Framing::UntilClose) => return Poll::Ready(None),
                Ok(Err(Malformed)) | Err(Ended::Closed | Ended::Broken) => return failed,
            }
        }
        let data = std::mem::take(&mut body.first);
        Poll::Ready(if data.is_empty() { None } else { Some(Ok(data)) })
    }

    /// Whether all of the request is out.
    pub(super) fn is_sent(&self) -> bool {
        self.outbound.state() == State::Sent
    }

    /// Whether another request can be sent now. Looks at the socket, so a close that has arrived is
    /// seen; bytes that nobody asked for are as bad.
    pub(super) fn is_ready(&mut self, scratch: &Scratch) -> bool {
        if !self.is_sent() || !self.reusable {
            return false;
        }
        // A task that has used up its budget would see nothing on any socket.
        let look = poll_fn(|cx| Poll::Ready(scratch.poll_read(&mut self.io, cx, |_| ()).is_pending()));
        let look = pin!(tokio::task::unconstrained(look));
        look.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(true)
    }

    /// The socket, for another protocol (RFC 9110 section 7.8); `None` if the request is not out yet.
    pub(super) fn into_io(self) -> Option<Io> {
        let is_sent = self.is_sent();
        Some(self.io).filter(|_| is_sent)
    }
}

impl Incoming {
    pub(super) fn is_done(&self) -> bool {
        self.first.is_empty() && self.framing.is_done()
    }

    /// The bytes to come, if the head told.
    pub(super) fn left(&self) -> Option<u64> {
        self.framing.left().map(|left| left + self.first.len() as u64)
    }

    /// Whether its last byte has been read, if not handed on.
    pub(super) fn is_read(&self) -> bool {
        self.framing.is_done()
    }

    /// Data that came together with the head.
    pub(super) fn into_first(self) -> Bytes {
        self.first
    }

    /// Data that was read and not yet handed on.
    pub(super) fn take_first(&mut self) -> Option<Bytes> {
        Some(std::mem::take(&mut self.first)).filter(|data| !data.is_empty())
    }
}

#[cfg(test)]
mod tests;
