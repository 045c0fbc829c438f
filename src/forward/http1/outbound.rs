//! A request on its way out: its head, then its body, as fast as the socket takes them.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Request};
use http_body::Body as _;

use super::head::{self, RequestFraming};
use crate::forward::request_body::{RequestBody, Upload, UploadFault};
use crate::wire::{Io, Outbox};

/// What is still to be sent.
#[derive(Default)]
pub(super) struct Outbound {
    outbox: Outbox,
    upload: Option<Box<Upload>>,
    /// The bytes still to be streamed; `None` for chunks.
    left: Option<u64>,
    /// Whether the socket has taken any of it.
    begun: bool,
    state: State,
}

/// How far sending has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Sending,
    Sent,
    /// The upstream takes no more; it may have answered all the same.
    Refused,
    /// The client's body did not come to its end.
    ClientFailed,
}

impl Outbound {
    /// Begins a request. A body that streams moves out of it, the rest stays, so that it can be
    /// sent once more.
    pub(super) fn begin(request: &mut Request<RequestBody>) -> Self {
        let framing = framing(request);
        let head = head::write(request, framing);
        let (mut body, mut upload) = (Bytes::new(), None);
        match std::mem::replace(request.body_mut(), RequestBody::Empty) {
            RequestBody::Empty => {}
            RequestBody::Full(bytes) => {
                body = bytes.clone().unwrap_or_default();
                *request.body_mut() = RequestBody::Full(bytes);
            }
            RequestBody::Streamed(streamed) => upload = Some(streamed),
        }
        let mut outbox = Outbox::default();
        outbox.put(head, body, b"");
        let left = match framing {
            RequestFraming::NoBody => Some(0),
            RequestFraming::Length(length) => Some(length),
            RequestFraming::Chunked => None,
        };
        Self { outbox, upload, left, begun: false, state: State::Sending }
    }

    /// Gives a body that has not begun to stream back to its request.
    pub(super) fn give_back(&mut self, request: &mut Request<RequestBody>) {
        if let Some(upload) = self.upload.take() {
            *request.body_mut() = RequestBody::Streamed(upload);
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Whether the socket has taken any of it.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Sends as much as can be sent now.
    pub(super) fn drive(&mut self, io: &mut Io, cx: &mut Context<'_>) -> State {
        while self.state == State::Sending {
            match self.outbox.poll_flush(io, cx, &mut self.begun) {
                Poll::Pending => break,
                Poll::Ready(Err(_)) => self.stop(State::Refused),
                Poll::Ready(Ok(())) => match self.poll_upload(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => self.stop(State::ClientFailed),
                },
            }
        }
        self.state
    }

    /// Frees what is not going to be sent. An upload of which the socket took nothing is kept: it
    /// may be sent once more.
    fn stop(&mut self, state: State) {
        self.outbox.clear();
        self.state = state;
        if self.begun {
            self.upload = None;
        }
    }

    /// The next piece of a body that streams.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadFault>> {
        let Some(upload) = &mut self.upload else {
            self.stop(State::Sent);
            return Poll::Ready(Ok(()));
        };
        let piece = ready!(upload.poll_frame(cx)).transpose()?;
        let last = piece.is_none();
        let piece = piece.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
        if last {
            self.upload = None;
        }
        match &mut self.left {
            None => self.outbox.put_chunk(Vec::new(), piece, last),
            Some(left) => {
                // More or less than the head says would move the place where the next request begins.
                let rest = left.checked_sub(piece.len() as u64).filter(|rest| *rest == 0 || !last);
                *left = rest.ok_or(UploadFault::Broken)?;
                self.outbox.put(Vec::new(), piece, b"");
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// RFC 9112 section 6: a length where it is known, also of an empty body where a method has one.
fn framing(request: &Request<RequestBody>) -> RequestFraming {
    let bodiless = !matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    match request.body().size_hint().exact() {
        Some(0) if bodiless => RequestFraming::NoBody,
        Some(length) => RequestFraming::Length(length),
        None => RequestFraming::Chunked,
    }
}
