//! The body of an answer, with the record that is written when it ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::access::Record;
use crate::forward::{AnswerBody, BrokenOff, Tunnel};
use crate::overload::UnderWay;

/// The body of any answer on the public listener.
pub(super) struct Body {
    kind: AnswerBody,
    record: Box<Record>,
}

impl Body {
    pub(super) const fn new(kind: AnswerBody, record: Box<Record>) -> Self {
        Self { kind, record }
    }

    /// An answer that has no body by its request or status is whole without it.
    pub(super) const fn leave_unsent(&mut self) {
        self.record.complete();
    }

    /// Nobody is there any more to take it.
    pub(super) const fn client_left(&mut self) {
        self.record.client_left();
    }

    /// What the connection becomes behind this answer, and what counts it as under way.
    pub(super) fn take_tunnel(&mut self) -> Option<(Box<Tunnel>, Option<UnderWay>)> {
        let tunnels = matches!(self.kind, AnswerBody::Tunnel(_));
        match tunnels.then(|| std::mem::replace(&mut self.kind, AnswerBody::Full(Bytes::new()))) {
            Some(AnswerBody::Tunnel(tunnel)) => Some((tunnel, self.record.take_under_way())),
            _ => None,
        }
    }
}

/// Dropped before its end, its client has left or has been left; what the upstream still says may be wanted all the same.
impl Drop for Body {
    fn drop(&mut self) {
        let AnswerBody::Streamed(streamed) = &self.kind else { return };
        let Some(most) = streamed.reads_on() else { return };
        let kind = std::mem::replace(&mut self.kind, AnswerBody::Full(Bytes::new()));
        if let AnswerBody::Streamed(streamed) = kind {
            tokio::task::spawn_local(streamed.read_on(most));
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let frame = match &mut self.kind {
            AnswerBody::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            AnswerBody::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            AnswerBody::Streamed(streamed) => Pin::new(streamed).poll_frame(cx),
            // Why it breaks off is in the store's own log lines.
            AnswerBody::Listed(listed) => Pin::new(listed).poll_frame(cx).map_err(|_| BrokenOff::Store),
            AnswerBody::Tunnel(_) => Poll::Ready(None),
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => self.record.sent(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(reason))) => self.record.broke_off(*reason),
            Poll::Ready(None) | Poll::Pending => {}
        }
        if matches!(frame, Poll::Ready(None)) || self.is_end_stream() {
            let this = &mut *self;
            if let AnswerBody::Streamed(streamed) = &this.kind {
                this.record.ended(streamed.ended());
            }
            this.record.complete();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            AnswerBody::Full(bytes) => bytes.is_empty(),
            AnswerBody::Streamed(streamed) => streamed.is_end_stream(),
            AnswerBody::Listed(listed) => listed.is_end_stream(),
            AnswerBody::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            AnswerBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Streamed(streamed) => streamed.size_hint(),
            AnswerBody::Listed(listed) => listed.size_hint(),
            AnswerBody::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
