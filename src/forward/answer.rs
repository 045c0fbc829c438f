//! An answer's body on its way from the upstream, and its connection on its way to the pool.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::client::Client;
use super::http1::Http1;
use super::{Failure, Upstream};

/// An answer's body. Over HTTP/1.1 it drives its connection, and gives it back at the end; dropped
/// early it closes the connection, which tells the upstream at once that nobody listens.
pub(super) struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

struct Lease {
    connection: Box<Http1>,
    client: Rc<Client>,
    upstream: Arc<Upstream>,
}

impl UpstreamBody {
    pub(super) fn http1(
        incoming: Incoming,
        connection: Box<Http1>,
        client: Rc<Client>,
        upstream: Arc<Upstream>,
    ) -> Self {
        let mut body = Self { incoming, lease: Some(Lease { connection, client, upstream }) };
        if body.incoming.is_end_stream() {
            body.give_back(&mut Context::from_waker(std::task::Waker::noop()));
        }
        body
    }

    /// HTTP/2 streams end by themselves; the connection is shared.
    pub(super) const fn http2(incoming: Incoming) -> Self {
        Self { incoming, lease: None }
    }

    fn give_back(&mut self, cx: &mut Context<'_>) {
        if let Some(mut lease) = self.lease.take()
            && lease.connection.is_ready(cx)
        {
            lease.client.pool.put(&lease.upstream, lease.connection);
        }
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// [`Failure::TooLarge`] above `limit` bytes; [`Failure::Incomplete`] if it breaks off or
    /// pauses for longer than `idle`.
    pub(super) async fn collect(mut self, limit: usize, idle: std::time::Duration) -> Result<Bytes, Failure> {
        let mut whole = BytesMut::new();
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx));
            match tokio::time::timeout(idle, frame).await {
                Ok(None) => return Ok(whole.freeze()),
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    if whole.len() + data.len() > limit {
                        return Err(Failure::TooLarge);
                    }
                    whole.extend_from_slice(&data);
                }
                Ok(Some(Err(_))) | Err(_) => return Err(Failure::Incomplete),
            }
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let mut frame = Pin::new(&mut self.incoming).poll_frame(cx);
        if frame.is_pending()
            && let Some(lease) = &mut self.lease
        {
            lease.connection.drive(cx);
            frame = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        if matches!(frame, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.give_back(cx);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
