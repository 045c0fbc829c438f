//! An answer on its way out: its head, then its body as it comes, framed as the client can read it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Response, StatusCode, Version};
use http_body::Body as _;

use super::{Asked, Deadline};
use crate::forward::Tunnel;
use crate::http::body::Body;
use crate::overload::UnderWay;
use crate::wire::{ClientWire, Outbox, head_buffer, is_bodiless, write_field};

/// Bytes for which a client has `write_timeout`: an answer may be longer than it can take in that time.
const STEP: usize = 16 * 1024;

/// An answer that is being written.
pub(super) struct Answer {
    /// Dropped at its end, which counts the request and frees what it held.
    body: Option<Body>,
    tunnel: Option<(Box<Tunnel>, Option<UnderWay>)>,
    framing: Framing,
    /// The head, until it leaves together with the first of the body.
    head: Vec<u8>,
    outbox: Outbox,
    state: State,
    /// What was left to write when the client's time for it began; `None` if no write waits.
    stalled: Option<usize>,
    keep_alive: bool,
}

/// How the client learns where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    NoBody,
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Streaming,
    Ended,
    BrokenOff,
}

/// What becomes of the connection after an answer.
pub(super) enum End {
    /// It waits for another request.
    Again,
    /// The client has all; nothing more is taken.
    Close,
    /// The client has left, or must not take the answer for whole.
    Broken,
    /// It is no HTTP any more, and under way as long as it lasts.
    Tunnel(Box<Tunnel>, Option<UnderWay>),
}

impl Answer {
    pub(super) fn new(response: Response<Body>, asked: Asked) -> Self {
        let (parts, mut body) = response.into_parts();
        let framing = framing(&parts, &body, asked);
        let keep_alive = asked.keep_alive && framing != Framing::UntilClose;
        let head = write_head(&parts, framing, asked, keep_alive);
        let tunnel = body.take_tunnel();
        if framing == Framing::NoBody {
            body.leave_unsent();
        }
        let body = Some(body).filter(|_| framing != Framing::NoBody);
        let state = if body.is_none() { State::Ended } else { State::Streaming };
        Self { body, tunnel, framing, head, outbox: Outbox::default(), state, stalled: None, keep_alive }
    }

    /// Writes as fast as the client takes it, but does not wait longer than `patience` for a piece.
    pub(super) fn poll(
        &mut self,
        wire: &ClientWire,
        deadline: &mut Deadline,
        patience: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        loop {
            // TLS may still hold what the outbox does not: that goes first as well.
            let written = self.stalled.is_none() && self.outbox.is_empty();
            let waits = written && self.fill(cx).is_pending();
            match wire.poll_flush(&mut self.outbox, cx) {
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Broken),
                Poll::Pending => {
                    let left = self.outbox.left();
                    if self.stalled.is_none_or(|before| before - left >= STEP) {
                        self.stalled = Some(left);
                        deadline.set_after(patience);
                    }
                    return deadline.poll(cx).map(|()| End::Broken);
                }
            }
            if waits {
                return wire.poll_left(cx).map(|()| End::Broken);
            }
            if self.state != State::Streaming {
                if self.state == State::BrokenOff && self.framing == Framing::UntilClose {
                    wire.break_off();
                }
                return Poll::Ready(self.end());
            }
        }
    }

    /// Puts the next piece into the empty outbox, the head in front of the first.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let head = std::mem::take(&mut self.head);
        let polled = self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx));
        let waits = polled.is_pending();
        let data = match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if self.body.as_ref().is_some_and(Body::is_end_stream) {
                    self.state = State::Ended;
                }
                frame.into_data().unwrap_or_default()
            }
            Poll::Ready(None) => {
                self.state = State::Ended;
                Bytes::new()
            }
            Poll::Ready(Some(Err(_))) => {
                self.state = State::BrokenOff;
                Bytes::new()
            }
            Poll::Pending => Bytes::new(),
        };
        self.put(head, data);
        if self.state != State::Streaming {
            self.body = None;
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }

    fn put(&mut self, head: Vec<u8>, data: Bytes) {
        match &mut self.framing {
            Framing::Chunked => self.outbox.put_chunk(head, data, self.state == State::Ended),
            Framing::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    self.outbox.put(head, data, b"");
                }
                // More than was announced would be read as the next answer.
                None => self.state = State::BrokenOff,
            },
            Framing::NoBody | Framing::UntilClose => self.outbox.put(head, data, b""),
        }
    }

    fn end(&mut self) -> End {
        let short = matches!(self.framing, Framing::Length(left) if left > 0);
        match self.tunnel.take() {
            _ if short || self.state == State::BrokenOff => End::Broken,
            Some((tunnel, under_way)) => End::Tunnel(tunnel, under_way),
            None if self.keep_alive => End::Again,
            None => End::Close,
        }
    }
}

fn framing(parts: &Parts, body: &Body, asked: Asked) -> Framing {
    if asked.head_only || is_bodiless(parts.status) {
        return Framing::NoBody;
    }
    match body.size_hint().exact() {
        Some(length) => Framing::Length(length),
        None if asked.version == Version::HTTP_11 => Framing::Chunked,
        None => Framing::UntilClose,
    }
}

fn write_head(parts: &Parts, framing: Framing, asked: Asked, keep_alive: bool) -> Vec<u8> {
    let length = if let Framing::Length(length) = framing { Some(length) } else { None };
    let mut head = head_buffer(length);
    head.extend_from_slice(if asked.version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    for part in [parts.status.as_str(), " ", parts.status.canonical_reason().unwrap_or_default(), "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in &parts.headers {
        let framing = matches!(*name, CONTENT_LENGTH | TRANSFER_ENCODING) && !asked.head_only;
        if !framing && (switches || *name != CONNECTION) {
            write_field(&mut head, name.as_str(), value.as_bytes());
        }
    }
    match framing {
        Framing::Length(length) => {
            let mut digits = itoa::Buffer::new();
            write_field(&mut head, CONTENT_LENGTH.as_str(), digits.format(length).as_bytes());
        }
        Framing::Chunked => write_field(&mut head, TRANSFER_ENCODING.as_str(), b"chunked"),
        Framing::NoBody | Framing::UntilClose => {}
    }
    if !keep_alive && !switches {
        write_field(&mut head, CONNECTION.as_str(), b"close");
    }
    head.extend_from_slice(b"\r\n");
    head
}
