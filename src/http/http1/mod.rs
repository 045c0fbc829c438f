//! A client's HTTP/1.1 connection: one request after another, all in one task. Between events it
//! holds its socket and little else: what it reads into belongs to the worker, what it has written
//! is freed.

mod answer;
mod deadline;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Response, Version};
use tokio::sync::watch;

use self::answer::{Answer, End};
use self::deadline::Deadline;
use super::body::Body;
use super::service::{Service, handle, refuse_head};
use super::{ConnectionLimits, Seat};
use crate::wire::{ClientWire, Io, RequestHead, Unread};

/// For how long a client may go on sending after an answer that ends its connection: many read
/// it only when they have sent all.
const LINGER: Duration = Duration::from_secs(5);

/// A connection that is served.
struct Connection<'a> {
    wire: Rc<ClientWire>,
    limits: &'a ConnectionLimits,
    deadline: Deadline,
    draining: watch::Receiver<bool>,
}

/// What an answer must know of its request.
#[derive(Clone, Copy)]
struct Asked {
    version: Version,
    /// `HEAD` is answered without a body.
    head_only: bool,
    keep_alive: bool,
}

/// Serves a connection until it ends; gracefully once `draining` turns true.
pub(super) async fn serve<S: Service>(
    io: Io,
    limits: &ConnectionLimits,
    seat: Rc<Seat>,
    draining: watch::Receiver<bool>,
) {
    let wire = ClientWire::new(io, Rc::clone(&seat.take::<S>().0.common().scratch));
    let mut drained = draining.clone();
    // An error means that the program's other end is gone: also a reason to drain.
    let mut drained = pin!(async move { drop(drained.wait_for(|draining| *draining).await) });
    let deadline = Deadline::after(limits.head_timeout);
    let mut connection = Connection { wire, limits, deadline, draining };
    while let Some(head) = connection.head(drained.as_mut()).await {
        let end = match head {
            Ok(head) => connection.request::<S>(head, &seat).await,
            Err(Unread::Closed) => End::Broken,
            Err(Unread::Refused(fault, origin)) => {
                let asked = Asked { version: Version::HTTP_11, head_only: false, keep_alive: false };
                connection.answer(refuse_head::<S>(&seat, fault, origin.as_ref()), asked).await
            }
        };
        match end {
            End::Again => {}
            End::Close => return connection.linger().await,
            End::Broken => return,
            End::Tunnel(tunnel, _under_way) => {
                if let Some(wire) = Rc::into_inner(connection.wire) {
                    let (io, read) = wire.into_parts();
                    tunnel.carry(io, read, connection.limits.write_timeout).await;
                }
                return;
            }
        }
    }
    // It idled; if the socket does not take the farewell at once, it goes without.
    let _ = poll_fn(|cx| Poll::Ready(connection.wire.poll_shutdown(cx))).await;
}

impl Connection<'_> {
    /// The next head; `None` if none comes in time. Once draining, the time is short: what the client sent before it
    /// could know is served, and told that it was the last.
    async fn head(&mut self, mut drained: Pin<&mut impl Future<Output = ()>>) -> Option<Result<RequestHead, Unread>> {
        let mut partial = Vec::new();
        self.deadline.set_after(self.limits.head_timeout);
        let (mut told, mut leaves) = (false, false);
        poll_fn(|cx| {
            if let Poll::Ready(head) = self.wire.poll_head(&mut partial, self.limits.max_head, cx) {
                return Poll::Ready(Some(head));
            }
            // Once it is ready it must not be asked again.
            told = told || drained.as_mut().poll(cx).is_ready();
            if told && leaves != partial.is_empty() {
                leaves = partial.is_empty();
                let span = if leaves { self.limits.leave_timeout } else { self.limits.head_timeout };
                self.deadline.set_after(span);
            }
            if self.deadline.poll(cx).is_ready() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    async fn request<S: Service>(&mut self, head: RequestHead, seat: &Seat) -> End {
        let RequestHead { request, framing, keep_alive } = head;
        let asked = Asked { version: request.version(), head_only: request.method() == Method::HEAD, keep_alive };
        let request = request.map(|()| self.wire.begin_body(framing));
        // On the heap for as long as it takes to answer, not for as long as the answer streams.
        let mut handler = Box::pin(handle::<S>(seat, request));
        let response = poll_fn(|cx| match handler.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => self.wire.poll_left(cx).map(|()| None),
        });
        let Some(mut response) = response.await else { return End::Broken };
        drop(handler);
        if self.wire.has_left() {
            response.body_mut().client_left();
            return End::Broken;
        }
        self.answer(response, asked).await
    }

    async fn answer(&mut self, response: Response<Body>, mut asked: Asked) -> End {
        asked.keep_alive &= !self.limits.once && self.is_request_over() && !*self.draining.borrow();
        let mut answer = Answer::new(response, asked);
        poll_fn(|cx| answer.poll(&self.wire, &mut self.deadline, self.limits.write_timeout, cx)).await
    }

    /// Whether nothing of the request is left on the wire. A body that the upstream still takes is
    /// not ours to read over.
    fn is_request_over(&self) -> bool {
        if Rc::strong_count(&self.wire) == 1 { self.wire.skip_body() } else { self.wire.is_body_read() }
    }

    async fn linger(&self) {
        // Late or not, the connection closes now.
        let _ = tokio::time::timeout(LINGER, self.wire.linger()).await;
    }
}
