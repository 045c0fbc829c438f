//! HTTP/2 to an upstream: connections that requests share, each with as many streams as the upstream takes at once.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
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
use super::request_body::{GivesUp, Progress, RequestBody};
use super::{Endpoint, Failure};
use crate::wire::Io;

/// Bytes of an answer that wait here for its client, who may be slow.
const STREAM_WINDOW: u32 = 64 * 1024;

/// As much as there may be: what its streams hold is bounded by each of them, and a slow one must not stop the others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// A connection.
pub(super) struct Http2 {
    sender: http2::SendRequest<RequestBody>,
    streams: Rc<Streams>,
}

/// How many streams run on a connection, and may.
struct Streams {
    open: Cell<usize>,
    most: Cell<usize>,
}

/// A stream that a request may be sent on.
pub(super) struct Stream {
    sender: http2::SendRequest<RequestBody>,
    place: Place,
}

/// A stream's place on its connection, given back when dropped.
struct Place(Rc<Streams>);

/// An answer's body. Dropped early it resets its stream.
pub(super) struct Http2Body {
    incoming: hyper::body::Incoming,
    _place: Place,
    /// What of the request is still to come is of no use once the answer is over.
    _upload: Option<GivesUp>,
}

impl Place {
    fn take(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

impl Http2 {
    /// Opens a connection, with a first stream.
    pub(super) async fn open(io: Io) -> Result<(Self, Stream), Failure> {
        let handshake = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_ANSWER_HEAD).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(io));
        let (sender, driver) = handshake.await.map_err(|fault| Failure::from(&fault))?;
        let most = Cell::new(driver.current_max_send_streams());
        let streams = Rc::new(Streams { open: Cell::new(0), most });
        let told = Rc::clone(&streams);
        // Many requests share it, so none of them can drive it; it ends with its last sender.
        tokio::task::spawn_local(async move {
            let mut driver = pin!(driver);
            poll_fn(|cx| {
                let polled = driver.as_mut().poll(cx);
                told.most.set(driver.current_max_send_streams());
                polled
            })
            .await
        });
        let stream = Stream { sender: sender.clone(), place: Place::take(&streams) };
        Ok((Self { sender, streams }, stream))
    }

    /// Another stream, if the upstream takes one: more would wait within, and be taken for slow answers.
    pub(super) fn stream(&self) -> Option<Stream> {
        let has_room = self.streams.open.get() < self.streams.most.get();
        has_room.then(|| Stream { sender: self.sender.clone(), place: Place::take(&self.streams) })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether nothing runs on it.
    pub(super) fn idles(&self) -> bool {
        self.streams.open.get() == 0
    }
}

impl Stream {
    /// The second part of an error is for a request that may be sent once more, and is as it was.
    pub(super) async fn send(
        mut self,
        endpoint: &Endpoint,
        request: &mut Request<RequestBody>,
        progress: Option<&Rc<Progress>>,
    ) -> Result<Response<UpstreamBody>, (Failure, Option<Again>)> {
        // What is left is what may be sent once more.
        let spare = is_repeatable(request).then(|| copy(request));
        let is_repeatable = spare.is_some();
        let mut sent = std::mem::replace(request, spare.unwrap_or_default());
        let target = sent.uri().clone();
        *sent.uri_mut() = absolute(&target, endpoint).ok_or((Failure::Protocol, None))?;
        let host = sent.headers_mut().remove(HOST);
        let deadline = endpoint.settings.first_byte_timeout;
        let answer = within(deadline, progress, self.sender.try_send_request(sent)).await;
        match answer.ok_or((Failure::ResponseTimeout, None))? {
            Ok(response) => Ok(response.map(|incoming| {
                let upload = progress.map(|progress| GivesUp(Rc::clone(progress)));
                UpstreamBody::Http2(Http2Body { incoming, _place: self.place, _upload: upload })
            })),
            Err(mut fault) => {
                let failure = Failure::from(fault.error());
                let Some(unsent) = fault.take_message() else {
                    let again = is_repeatable && failure == Failure::Terminated;
                    return Err((failure, again.then_some(Again::Repeatable)));
                };
                *request = unsent;
                // The next connection may speak HTTP/1.1.
                *request.uri_mut() = target;
                request.headers_mut().extend(host.map(|host| (HOST, host)));
                Err((failure, Some(Again::Unsent)))
            }
        }
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

/// A copy of a request that has no body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = HeaderMap::clone(request.headers());
    copy
}

/// Runs a connection's tasks on this worker.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
