//! An answer's body on its way from the upstream, and its connection on its way to the pool.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::client::Client;
use super::http1::{Http1, Incoming};
use super::http2::Http2Body;
use super::{Endpoint, Failure};

/// An answer's body.
pub(super) enum UpstreamBody {
    Http1(Leased),
    Http2(Http2Body),
}

/// A body with its connection, which it drives, and gives back at the end. Dropped early it closes
/// the connection, which tells the upstream at once that nobody listens.
pub(super) struct Leased {
    incoming: Incoming,
    lease: Option<Lease>,
}

struct Lease {
    connection: Box<Http1>,
    client: Rc<Client>,
    endpoint: Arc<Endpoint>,
}

impl Leased {
    pub(super) fn new(incoming: Incoming, connection: Box<Http1>, client: Rc<Client>, endpoint: Arc<Endpoint>) -> Self {
        let mut body = Self { incoming, lease: Some(Lease { connection, client, endpoint }) };
        body.give_back_if_read();
        body
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let Some(lease) = &mut self.lease else {
            return Poll::Ready(self.incoming.take_first().map(Ok));
        };
        let piece = lease.connection.poll_body(&mut self.incoming, &lease.client.scratch, cx);
        match piece {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(_))) => self.give_back_if_read(),
            // The last chunk may come alone; an end that is the connection's leaves nothing to reuse.
            Poll::Ready(None) => {
                self.give_back_if_read();
                self.lease = None;
            }
            Poll::Ready(Some(Err(_))) => self.lease = None,
        }
        piece
    }

    /// The last bytes need no connection any more: it serves others while they are sent on.
    fn give_back_if_read(&mut self) {
        if self.incoming.is_read()
            && let Some(mut lease) = self.lease.take()
            && lease.connection.is_ready(&lease.client.scratch)
        {
            lease.client.pool.put(&lease.endpoint, lease.connection);
        }
    }
}

impl UpstreamBody {
    /// Whether nothing of the request is still to come from its client.
    pub(super) fn is_request_sent(&self) -> bool {
        match self {
            Self::Http1(body) => body.lease.as_ref().is_none_or(|lease| lease.connection.is_sent()),
            Self::Http2(body) => body.is_request_sent(),
        }
    }

    /// The whole body, if it was announced and has come together with its head.
    pub(super) fn take_whole(&mut self) -> Option<Bytes> {
        match self {
            Self::Http1(Leased { incoming, lease: None }) if incoming.left().is_some() => {
                Some(incoming.take_first().unwrap_or_default())
            }
            Self::Http1(_) | Self::Http2(_) => None,
        }
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// [`Failure::TooLarge`] above `limit` bytes; [`Failure::Incomplete`] if it breaks off or
    /// pauses for longer than `idle`.
    pub(super) async fn collect(mut self, limit: usize, idle: std::time::Duration) -> Result<Bytes, Failure> {
        self.read_until(limit, idle, |_| false).await
    }

    /// Reads until `enough` says so of what was read, or to the end.
    ///
    /// # Errors
    /// As [`Self::collect`].
    pub(super) async fn read_until(
        &mut self,
        limit: usize,
        idle: std::time::Duration,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Bytes, Failure> {
        let mut whole = BytesMut::new();
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx));
            match tokio::time::timeout(idle, frame).await {
                Ok(None) => return Ok(whole.freeze()),
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    if whole.len() + data.len() > limit {
                        return Err(Failure::TooLarge);
                    }
                    whole.extend_from_slice(&data);
                    if enough(&whole) {
                        return Ok(whole.freeze());
                    }
                }
                Ok(Some(Err(_))) | Err(_) => return Err(Failure::Incomplete),
            }
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.get_mut() {
            Self::Http1(body) => body.poll_next(cx).map_ok(Frame::data),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.incoming.is_done(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.incoming.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
