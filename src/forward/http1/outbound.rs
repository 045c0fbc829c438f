//! A request on its way out: its head, then its body, as fast as the socket takes them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::{Method, Request};
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::head::{self, RequestFraming};
use crate::forward::request_body::{RequestBody, Upload, UploadFault};

/// Bodies up to this size are copied behind their head: one write of one piece costs less than the
/// copy.
const JOINED_BODY: usize = 8 * 1024;

/// What is still to be sent.
#[derive(Default)]
pub(super) struct Outbound {
    head: Bytes,
    body: Bytes,
    upload: Option<Box<Upload>>,
    chunked: bool,
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
        let mut head = head::write(request, framing);
        let (mut body, mut upload) = (Bytes::new(), None);
        match std::mem::replace(request.body_mut(), RequestBody::Empty) {
            RequestBody::Empty => {}
            RequestBody::Full(bytes) => {
                body = bytes.clone().unwrap_or_default();
                *request.body_mut() = RequestBody::Full(bytes);
            }
            RequestBody::Streamed(streamed) => upload = Some(streamed),
        }
        if body.len() <= JOINED_BODY {
            head.extend_from_slice(&body);
            body.clear();
        }
        let chunked = framing == RequestFraming::Chunked;
        Self { head: head.into(), body, upload, chunked, begun: false, state: State::Sending }
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
    pub(super) fn drive<W: AsyncWrite + Unpin>(&mut self, io: &mut W, cx: &mut Context<'_>) -> State {
        while self.state == State::Sending {
            match self.poll_flush(io, cx) {
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

    /// Frees what is not going to be sent.
    fn stop(&mut self, state: State) {
        (self.head, self.body, self.upload, self.state) = (Bytes::new(), Bytes::new(), None, state);
    }

    fn poll_flush<W: AsyncWrite + Unpin>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !(self.head.is_empty() && self.body.is_empty()) {
            let written = match (self.head.is_empty(), self.body.is_empty()) {
                (false, true) => Pin::new(&mut *io).poll_write(cx, &self.head),
                (true, _) => Pin::new(&mut *io).poll_write(cx, &self.body),
                (false, false) => {
                    Pin::new(&mut *io).poll_write_vectored(cx, &[IoSlice::new(&self.head), IoSlice::new(&self.body)])
                }
            };
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun = true;
            let of_head = written.min(self.head.len());
            self.head.advance(of_head);
            self.body.advance(written - of_head);
        }
        Pin::new(io).poll_flush(cx)
    }

    /// The next piece of a body that streams.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadFault>> {
        let Some(upload) = &mut self.upload else {
            self.stop(State::Sent);
            return Poll::Ready(Ok(()));
        };
        let piece = match ready!(upload.poll_frame(cx)) {
            Some(frame) => frame?.into_data().unwrap_or_default(),
            None => {
                self.upload = None;
                self.head = Bytes::from_static(if self.chunked { b"0\r\n\r\n" } else { b"" });
                return Poll::Ready(Ok(()));
            }
        };
        // An empty chunk would be the last.
        if self.chunked && !piece.is_empty() {
            self.head = format!("{:x}\r\n", piece.len()).into();
            let mut chunk = Vec::with_capacity(piece.len() + 2);
            chunk.extend_from_slice(&piece);
            chunk.extend_from_slice(b"\r\n");
            self.body = chunk.into();
        } else {
            self.body = piece;
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
