//! HTTP/2 to an upstream: connections that requests share, each with as many streams as the upstream takes at once.

mod body;

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::answer::UpstreamBody;
use super::client::{Again, is_repeatable, within};
use super::http1::MAX_ANSWER_HEAD;
use super::request_body::{Progress, RequestBody};
use super::{Endpoint, Failure};
use crate::wire::Io;

use self::body::{GivesUp, SentBody, Tasks};

/// Bytes of an answer that wait here for its client, who may be slow.
const STREAM_WINDOW: u32 = 64 * 1024;

/// As much as there may be: what its streams hold is bounded by each of them, and a slow one must not stop the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// What keeps a connection going.
type Driver = http2::Connection<TokioIo<Io>, SentBody, Tasks>;

/// A connection.
pub(super) struct Http2 {
    sender: http2::SendRequest<SentBody>,
    tasks: Tasks,
    /// Knows how many streams there may be; the upstream may say another number at any time. `None` when it is over:
    /// what it holds keeps the connection open.
    driver: Rc<RefCell<Option<Driver>>>,
    /// How many streams there are.
    open: Rc<Cell<usize>>,
}

/// A stream that a request may be sent on.
pub(super) struct Stream {
    sender: http2::SendRequest<SentBody>,
    tasks: Tasks,
    place: Place,
}

/// A stream's place on its connection, given back when dropped.
struct Place(Rc<Cell<usize>>);

/// An answer's body. Dropped early it resets its stream.
pub(super) struct Http2Body {
    incoming: hyper::body::Incoming,
    _place: Place,
    /// What of the request is still to come is of no use once the answer is over.
    sending: GivesUp,
}

impl Place {
    fn take(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Http2 {
    /// Opens a connection, with a first stream.
    pub(super) async fn open(io: Io) -> Result<(Self, Stream), Failure> {
        let tasks = Tasks::default();
        let handshake = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_ANSWER_HEAD).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(io));
        let (sender, driver) = handshake.await.map_err(|fault| Failure::from(&fault))?;
        let driver = Rc::new(RefCell::new(Some(driver)));
        // Many requests share it, so none of them can drive it; it ends with its last sender.
        tokio::task::spawn_local(drive(Rc::clone(&driver)));
        let connection = Self { sender, tasks, driver, open: Rc::default() };
        let stream = connection.begin();
        Ok((connection, stream))
    }

    /// Another stream, if the upstream takes one: more would wait within, and be taken for slow answers.
    pub(super) fn stream(&self) -> Option<Stream> {
        let most = self.driver.borrow().as_ref()?.current_max_send_streams();
        (self.open.get() < most).then(|| self.begin())
    }

    fn begin(&self) -> Stream {
        Stream { sender: self.sender.clone(), tasks: self.tasks.clone(), place: Place::take(&self.open) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether nothing runs on it.
    pub(super) fn idles(&self) -> bool {
        self.open.get() == 0
    }
}

/// Until the connection is over.
async fn drive(driver: Rc<RefCell<Option<Driver>>>) {
    poll_fn(|cx| {
        let mut driver = driver.borrow_mut();
        let over = driver.as_mut().is_none_or(|driver| Pin::new(driver).poll(cx).is_ready());
        if over { Poll::Ready(driver.take()) } else { Poll::Pending }
    })
    .await;
}

impl Stream {
    /// The second part of an error is for a request that may be sent once more, and is as it was.
    pub(super) async fn send(
        mut self,
        endpoint: &Endpoint,
        request: &mut Request<RequestBody>,
        progress: Option<&Progress>,
    ) -> Result<Response<UpstreamBody>, (Failure, Option<Again>)> {
        // What is left is what may be sent once more.
        let spare = spare(request);
        let has_spare = spare.is_some();
        let mut sent = std::mem::replace(request, spare.unwrap_or_default());
        let target = sent.uri().clone();
        *sent.uri_mut() = absolute(&target, endpoint).ok_or((Failure::Protocol, None))?;
        let host = sent.headers_mut().remove(HOST);
        let (head, body) = sent.into_parts();
        let (body, sending) = SentBody::new(body, &self.tasks);
        let deadline = endpoint.settings.first_byte_timeout;
        let answer = self.sender.try_send_request(Request::from_parts(head, body));
        match within(deadline, progress, answer).await.ok_or((Failure::ResponseTimeout, None))? {
            Ok(response) => {
                Ok(response.map(|incoming| UpstreamBody::Http2(Http2Body { incoming, _place: self.place, sending })))
            }
            Err(mut fault) => {
                let failure = Failure::from(fault.error());
                let Some(unsent) = fault.take_message() else {
                    let again = has_spare.then(|| again(fault.error(), request)).flatten();
                    return Err((failure, again));
                };
                *request = unsent.map(|sent| sent.body);
                // The next connection may speak HTTP/1.1.
                *request.uri_mut() = target;
                request.headers_mut().extend(host.map(|host| (HOST, host)));
                Err((failure, Some(Again::Unsent)))
            }
        }
    }
}

impl Http2Body {
    /// Whether all of the request is out, as far as its client has a part in that.
    pub(super) fn is_request_sent(&self) -> bool {
        self.sending.is_over()
    }
}

impl Body for Http2Body {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        Pin::new(&mut self.incoming).poll_frame(cx).map_err(|_| Failure::Incomplete)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The target as HTTP/2 says it: with scheme and authority.
fn absolute(target: &Uri, endpoint: &Endpoint) -> Option<Uri> {
    let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(endpoint.authority.clone());
    uri.path_and_query(target.path_and_query()?.clone()).build().ok()
}

/// A copy of a request whose body is at hand.
fn spare(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = match request.body() {
        RequestBody::Empty => RequestBody::Empty,
        RequestBody::Full(bytes) => RequestBody::Full(bytes.clone()),
        RequestBody::Streamed(_) => return None,
    };
    let mut spare = Request::new(body);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = HeaderMap::clone(request.headers());
    Some(spare)
}

/// Whether a request that was sent may be sent once more. A stream that was refused is as if it had never been
/// (RFC 9113 section 8.7); so it is with one too many before the upstream has said how many it takes.
fn again(fault: &hyper::Error, request: &Request<RequestBody>) -> Option<Again> {
    let cause = fault.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    let refused = |cause: &h2::Error| cause.is_remote() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
    let broken = || is_repeatable(request) && Failure::from(fault) == Failure::Terminated;
    (cause.is_some_and(refused) || broken()).then_some(Again::Repeatable)
}
