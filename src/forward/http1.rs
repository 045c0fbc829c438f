//! One HTTP/1.1 connection to an upstream, driven by whoever uses it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::connect::UpstreamIo;
use super::request_body::RequestBody;

/// A connection with its driver: nothing moves on it unless somebody polls.
pub(super) struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    driver: http1::Connection<TokioIo<UpstreamIo>, RequestBody>,
    closed: bool,
    /// When it last went idle; `None` before its first request.
    idle_since: Option<Instant>,
}

/// A request that failed: why, and the request itself if nothing of it was sent.
pub(super) type Unsent = TrySendError<Request<RequestBody>>;

impl Http1 {
    /// Speaks HTTP/1.1 on a fresh socket.
    pub(super) async fn handshake(io: UpstreamIo, max_head: usize) -> hyper::Result<Box<Self>> {
        let (sender, driver) = http1::Builder::new().max_buf_size(max_head).handshake(TokioIo::new(io)).await?;
        Ok(Box::new(Self { sender, driver, closed: false, idle_since: None }))
    }

    /// Since when it idles; `None` if no request has used it.
    pub(super) const fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    /// Sends a request and waits for the answer's head, moving bytes meanwhile.
    pub(super) async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, Unsent> {
        let Self { sender, driver, closed, .. } = self;
        let mut answer = pin!(sender.try_send_request(request));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            drive(driver, closed, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Moves bytes in both directions as far as they go.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, &mut self.closed, cx);
    }

    /// Whether another request can be sent now. Looks at the socket, so a close that has arrived
    /// is seen.
    pub(super) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        !self.closed && self.sender.is_ready()
    }

    pub(super) fn set_idle(&mut self) {
        self.idle_since = Some(Instant::now());
    }
}

fn drive(driver: &mut http1::Connection<TokioIo<UpstreamIo>, RequestBody>, closed: &mut bool, cx: &mut Context<'_>) {
    // What went wrong reaches the sender or the body; here it only ends the driving.
    if !*closed && Pin::new(driver).poll(cx).is_ready() {
        *closed = true;
    }
}
