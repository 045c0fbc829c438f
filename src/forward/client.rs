//! A worker's HTTP client: takes or opens a connection, sends, waits for the head, and repeats a
//! request once where that is provably harmless.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::Instant;

use super::answer::{Leased, UpstreamBody};
use super::connect::{Connected, connect};
use super::http1::{Answer, Http1};
use super::http2::{Http2, Stream};
use super::pool::Pool;
use super::request_body::{Progress, RequestBody};
use super::route::Route;
use super::{Endpoint, Failure, Upstream};
use crate::wire::Scratch;

/// A worker's client. Not shared between threads.
pub struct Client {
    pub(super) pool: Pool,
    /// What its connections are read into.
    pub(super) scratch: Rc<Scratch>,
}

/// A connection that a request can be sent on.
enum Connection {
    Http1(Box<Http1>),
    Http2(Stream),
}

/// An answer, and how often its request had to be repeated (0 or 1).
pub(super) struct Answered {
    pub(super) response: Response<UpstreamBody>,
    pub(super) repeated: bool,
}

impl Client {
    /// A client without connections yet, which reads into `scratch`.
    #[must_use]
    pub fn new(scratch: Rc<Scratch>) -> Self {
        Self { pool: Pool::default(), scratch }
    }

    /// Closes connections that have idled too long. Call it every second.
    pub fn sweep(&self, upstreams: &[Arc<Upstream>]) {
        for endpoint in upstreams.iter().flat_map(|upstream| upstream.endpoints()) {
            self.pool.sweep(endpoint);
        }
    }

    /// Closes the connections to those that a reload has retired. Call it before one that took a place is used.
    pub fn close_retired<'a>(&self, upstreams: impl IntoIterator<Item = &'a Arc<Upstream>>) {
        let retired = upstreams.into_iter().filter(|upstream| upstream.is_retired());
        for endpoint in retired.flat_map(|upstream| upstream.endpoints()) {
            self.pool.close(endpoint);
        }
    }

    /// Sends a request. A request whose used connection broke is repeated once on a new one if
    /// nothing of it was sent, or if it is a GET without a body (RFC 9110 section 9.2.2), of which not more than a tenth
    /// are. Nothing else is. One whose address cannot be reached goes to the next. What is left of it afterwards is
    /// nobody's.
    pub(super) async fn send(
        self: &Rc<Self>,
        route: &mut Route<'_>,
        request: &mut Request<RequestBody>,
        progress: Option<&Progress>,
    ) -> Result<Answered, Failure> {
        let mut repeated = false;
        if route.is_one_of_several() {
            request.headers_mut().insert(HOST, route.endpoint().host.clone());
        }
        if let Some(used) = self.used(route.endpoint()) {
            match self.send_on(used, route.endpoint(), request, progress).await {
                Ok(response) => return Ok(Answered { response, repeated }),
                // What was not sent is nothing twice to the upstream.
                Err((_, Some(Again::Unsent))) => {}
                Err((_, Some(Again::Repeatable))) if self.pool.may_repeat(route.endpoint()) => {}
                Err((failure, _)) => return Err(failure),
            }
            repeated = true;
        }
        // In boxes, here and below, what most requests do not need: it would make room in every one.
        let fresh = Box::pin(self.fresh(route, request.headers_mut())).await?;
        let sent = self.send_on(fresh, route.endpoint(), request, progress).await;
        let response = sent.map_err(|(failure, _)| failure)?;
        Ok(Answered { response, repeated })
    }

    /// A connection that has been used before.
    fn used(&self, endpoint: &Endpoint) -> Option<Connection> {
        let shared = self.pool.begin(endpoint).map(Connection::Http2);
        shared.or_else(|| self.pool.take(endpoint, &self.scratch).map(Connection::Http1))
    }

    /// A new connection, to the first address that can be reached; `headers` then name it.
    async fn fresh(&self, route: &mut Route<'_>, headers: &mut HeaderMap) -> Result<Connection, Failure> {
        loop {
            let failure = match self.open(route.endpoint()).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failure,
            };
            // Another address would need as much as this side has not.
            if failure == Failure::Exhausted || !route.goes_on() {
                return Err(failure);
            }
            headers.insert(HOST, route.endpoint().host.clone());
        }
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Connection, Failure> {
        let Connected { io, http2 } = connect(endpoint, false).await?;
        if http2 {
            let (connection, stream) = Http2::open(io).await?;
            self.pool.put_http2(endpoint, connection);
            return Ok(Connection::Http2(stream));
        }
        Ok(Connection::Http1(Http1::new(io)))
    }

    /// The second part of an error is for a request that may be sent once more, and is as it was.
    async fn send_on(
        self: &Rc<Self>,
        connection: Connection,
        endpoint: &Arc<Endpoint>,
        request: &mut Request<RequestBody>,
        progress: Option<&Progress>,
    ) -> Result<Response<UpstreamBody>, (Failure, Option<Again>)> {
        match connection {
            Connection::Http1(connection) => self.send_http1(connection, endpoint, request, progress).await,
            Connection::Http2(stream) => Box::pin(stream.send(endpoint, request, progress)).await,
        }
    }

    async fn send_http1(
        self: &Rc<Self>,
        mut connection: Box<Http1>,
        endpoint: &Arc<Endpoint>,
        request: &mut Request<RequestBody>,
        progress: Option<&Progress>,
    ) -> Result<Response<UpstreamBody>, (Failure, Option<Again>)> {
        // Before its body goes.
        let is_repeatable = is_repeatable(request);
        let deadline = endpoint.settings.first_byte_timeout;
        let sent = within(deadline, progress, connection.send(request, &self.scratch)).await;
        match sent.ok_or((Failure::ResponseTimeout, None))? {
            Ok(Answer { head, .. }) if head.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err((Failure::Protocol, None))
            }
            Ok(Answer { head, body }) => {
                let body = Leased::new(body, connection, Rc::clone(self), Arc::clone(endpoint));
                Ok(head.map(|()| UpstreamBody::Http1(body)))
            }
            Err(fault) if fault.unsent => Err((fault.failure, Some(Again::Unsent))),
            Err(fault) => {
                let again = fault.failure == Failure::Terminated && is_repeatable;
                Err((fault.failure, again.then_some(Again::Repeatable)))
            }
        }
    }
}

/// Why a request may be sent once more.
pub(super) enum Again {
    /// The upstream got nothing of it.
    Unsent,
    /// It may have, and does nothing more when it gets it twice.
    Repeatable,
}

/// Whether a request may be sent twice even if the upstream has seen the first.
pub(super) fn is_repeatable(request: &Request<RequestBody>) -> bool {
    request.method() == Method::GET && matches!(request.body(), RequestBody::Empty)
}

/// Waits for `work` until `deadline` after the upstream last took a piece of the body, and for as
/// long as the client pauses within it.
pub(super) async fn within<T>(
    deadline: Duration,
    progress: Option<&Progress>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut until = Instant::now() + deadline;
    loop {
        if let Ok(done) = tokio::time::timeout_at(until, work.as_mut()).await {
            return Some(done);
        }
        let due = progress.and_then(Progress::upstream_idle_since).map(|since| since + deadline);
        until = due.filter(|later| *later > until)?;
    }
}
