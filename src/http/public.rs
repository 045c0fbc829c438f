//! The public listener: what a browser asks is recognised, admitted, forwarded, and answered, with
//! the CORS fields that its origin may see on every answer, whatever it is.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, DATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use sidegate_core::clock::Timestamp;
use sidegate_core::cors::{self, Cors};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{self, Call, Dialect, NoCall, Operation, sigmic};
use sidegate_core::id::AppId;
use sidegate_core::origin::RequestOrigin;
use tokio::time::Instant;

use super::access::{Facts, Record};
use super::body::Body;
use super::request_ids::{RequestIds, X_REQUEST_ID};
use super::{Peer, convert, guard, head, private};
use crate::admit::{Admission, admit, request_origin};
use crate::forward::{AnswerBody, Client, Failure, Forward, Refused, forward};
use crate::gate::Gate;
use crate::metrics::{Listener, Metrics};
use crate::verified::VerifiedTokens;
use crate::wire::{ClientBody, HeadFault, Scratch};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The public service of one worker.
pub struct Public {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// This worker's counters.
    pub metrics: Arc<Metrics>,
    /// This worker's upstream connections.
    pub client: Rc<Client>,
    /// The tokens that this worker has verified.
    pub verified: VerifiedTokens,
    /// What this worker's connections are read into.
    pub scratch: Rc<Scratch>,
    /// This worker's request ids.
    pub request_ids: Arc<RequestIds>,
    /// The value of `Date`, as of the last [`Public::tick`].
    pub date: RefCell<HeaderValue>,
}

/// A request on its way in: whose, and under which id.
struct Arrival {
    peer: Rc<Peer>,
    started: Instant,
    request_id: HeaderValue,
}

/// An answer on its way out, with what its record will say.
struct Outcome {
    response: Response<AnswerBody>,
    cors: Cors,
    facts: Facts,
}

impl Outcome {
    fn of(response: Response<Bytes>, cors: Cors) -> Self {
        let facts = Facts { code: convert::code(&response), ..Facts::default() };
        Self { response: response.map(AnswerBody::Full), cors, facts }
    }

    fn refused(dialect: Option<Dialect>, denial: &Denial, cors: Cors) -> Self {
        Self::of(convert::refusal(dialect, denial), cors)
    }

    /// What failed, if the upstream did.
    fn after(mut self, failure: Option<Failure>) -> Self {
        if let Some(failure) = failure {
            let field = HeaderValue::from_static(failure.proxy_status());
            self.response.headers_mut().insert(PROXY_STATUS, field);
        }
        self.facts.failure = failure;
        self
    }

    /// The chat route and the app that it was for.
    fn of_call(mut self, operation: Operation, app: Option<&AppId>) -> Self {
        self.facts.operation = Some(operation);
        self.facts.route = Some(operation.template());
        self.facts.app = app.cloned();
        self
    }

    /// The local route that it was for.
    fn of_route(mut self, route: &'static str) -> Self {
        self.facts.route = Some(route);
        self
    }
}

impl Public {
    /// Answers one request.
    pub async fn handle(self: Rc<Self>, peer: Rc<Peer>, request: Request<ClientBody>) -> Response<Body> {
        let arrival = Arrival { peer, started: Instant::now(), request_id: self.request_ids.next() };
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        let outcome = self.respond(&arrival, parts, body).await;
        self.finish(outcome, arrival.request_id, method, arrival.started)
    }

    /// Answers a head that was not read. What of it is known may be wrong, so it chooses nothing but
    /// whether its page may read the refusal.
    pub(super) fn refuse_head(&self, fault: HeadFault, origin: Option<&HeaderValue>) -> Response<Body> {
        let code = match fault {
            HeadFault::Malformed => Code::InvalidRequest,
            HeadFault::TooLarge => Code::HeadTooLarge,
            HeadFault::TargetTooLong => Code::TargetTooLong,
        };
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let origin = origin.map_or(RequestOrigin::Absent, RequestOrigin::Sent);
        let registry = self.gate.registry.load();
        let cors = Cors::decide(origin, |origin| registry.any_allows(None, origin));
        let outcome = Outcome::refused(None, &code.into(), cors);
        self.finish(outcome, self.request_ids.next(), Method::default(), Instant::now())
    }

    /// The answer with what every answer has, and its record.
    fn finish(&self, outcome: Outcome, request_id: HeaderValue, method: Method, started: Instant) -> Response<Body> {
        let Outcome { mut response, cors, facts } = outcome;
        let headers = response.headers_mut();
        cors.apply(headers);
        headers.insert(X_REQUEST_ID, request_id.clone());
        headers.entry(DATE).or_insert_with(|| self.date.borrow().clone());
        let record = Record {
            metrics: Arc::clone(&self.metrics),
            logged: self.gate.access_log,
            listener: Listener::Public,
            started,
            head: started.elapsed(),
            method,
            status: response.status(),
            request_id,
            facts,
            sent_bytes: 0,
            complete: is_empty(response.body()),
        };
        response.map(|body| Body::new(body, record))
    }

    /// Sets the date of answers to the time now, and forgets what is over. Called every second.
    pub fn tick(&self) {
        let (registry, now) = (self.gate.registry.load(), self.gate.now());
        self.client.sweep(registry.upstreams());
        self.verified.sweep(&registry, now);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now.seconds()));
        self.date.replace(HeaderValue::try_from(date).unwrap_or(HeaderValue::from_static("")));
    }

    async fn respond(&self, arrival: &Arrival, parts: Parts, body: ClientBody) -> Outcome {
        if let Err(denial) = head::check(&parts) {
            let dialect = dialect::methods(parts.uri.path()).map(|(dialect, _)| dialect);
            return Outcome::refused(dialect, &denial, self.unproven(&parts, dialect));
        }
        if cors::is_preflight(&parts.method, &parts.headers) {
            return self.preflight(&parts);
        }
        match dialect::route(&parts.method, parts.uri.path()) {
            Ok(call) => self.chat(arrival, parts, body, call).await,
            Err(NoCall::OtherMethod { dialect, allow }) => {
                let cors = self.unproven(&parts, Some(dialect));
                Outcome::refused(Some(dialect), &Denial::method_not_allowed(allow), cors)
            }
            Err(NoCall::UnknownPath) if self.takes_exchange(&parts) => {
                Box::pin(self.exchange(&arrival.peer, &parts, body)).await
            }
            Err(NoCall::UnknownPath) => Outcome::refused(None, &Code::NotFound.into(), self.unproven(&parts, None)),
        }
    }

    /// What a page may read before its app is known: what any app of the route lets in.
    fn unproven(&self, parts: &Parts, dialect: Option<Dialect>) -> Cors {
        let registry = self.gate.registry.load();
        Cors::decide(request_origin(&parts.headers), |origin| registry.any_allows(dialect, origin))
    }

    /// Answered before any token is looked at: a preflight carries none.
    fn preflight(&self, parts: &Parts) -> Outcome {
        let found = dialect::methods(parts.uri.path());
        let dialect = found.map(|(dialect, _)| dialect);
        let cors = self.unproven(parts, dialect);
        let Some((_, methods)) = found else {
            return Outcome::refused(None, &Code::NotFound.into(), cors);
        };
        let Cors::Allowed(origin) = cors else {
            return Outcome::refused(dialect, &Code::OriginNotAllowed.into(), cors);
        };
        let registry = self.gate.registry.load();
        let denied = |name: &str| is_denied_header(name) || registry.injects_header(name);
        let mut reply = cors::preflight(&parts.headers, methods, self.gate.cors_max_age, denied);
        reply.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        Outcome::of(convert::response(reply), Cors::Preflight)
    }

    async fn chat(&self, arrival: &Arrival, parts: Parts, body: ClientBody, call: Call) -> Outcome {
        let peer = &arrival.peer;
        let operation = call.operation;
        let dialect = Some(operation.dialect());
        let client = peer.client(&self.gate, &parts.headers);
        let (cors, admission) = admit(&self.gate, &self.verified, call, &parts.headers, client).await;
        let admission = match admission {
            Ok(admission) => admission,
            Err(denial) => return Outcome::refused(dialect, &denial, cors).of_call(operation, None),
        };
        let ends_at = end_of(&admission, arrival.started, self.gate.now());
        let request = Forward {
            client: &self.client,
            metrics: &self.metrics,
            limits: &self.gate.limits,
            body_timeout: self.gate.listen.body_timeout,
            owners: &*self.gate.owners,
            forwarded: peer.forwarded(&parts.headers, parts.uri.authority().map(http::uri::Authority::as_str)),
            admission: &admission,
            request_id: arrival.request_id.clone(),
            ends_at,
        };
        let outcome = match forward(request, parts, body).await {
            Ok(response) => Outcome { response, cors, facts: Facts::default() },
            Err(Refused { denial, failure }) => Outcome::refused(dialect, &denial, cors).after(failure),
        };
        outcome.of_call(operation, Some(&admission.permit().app().id))
    }

    fn takes_exchange(&self, parts: &Parts) -> bool {
        self.gate.listen.public_exchange && parts.uri.path() == sigmic::EXCHANGE_PATH
    }

    /// The exchange of the private listener, for servers: a page has no business with it.
    async fn exchange(&self, peer: &Peer, parts: &Parts, body: ClientBody) -> Outcome {
        let refused = |denial: Denial| Outcome::refused(Some(Dialect::Sigmic), &denial, Cors::Silent);
        let outcome = if guard::is_from_a_page(&parts.headers) {
            refused(Code::Forbidden.into())
        } else if parts.method != Method::POST {
            refused(Denial::method_not_allowed("POST"))
        } else {
            let address = peer.client(&self.gate, &parts.headers);
            let response = private::respond(&self.gate, &self.metrics, &parts.headers, body, address).await;
            Outcome::of(response, Cors::Silent)
        };
        outcome.of_route(sigmic::EXCHANGE_PATH)
    }
}

/// An answer without a body is never asked for a frame, so it is complete from the start.
fn is_empty(body: &AnswerBody) -> bool {
    match body {
        AnswerBody::Full(bytes) => bytes.is_empty(),
        AnswerBody::Streamed(streamed) => streamed.is_end_stream(),
        AnswerBody::Tunnel(_) => true,
    }
}

/// When a stream must end: with its token. A token beyond a year ends after a year.
fn end_of(admission: &Admission, started: Instant, now: Timestamp) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
    started + admission.permit().claims().refused_from().since(now).min(YEAR)
}

/// Header names that no page is given leave to send: credentials that stop at the gate, and fields
/// that are the gate's.
fn is_denied_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(&*name, "cookie" | "host" | "forwarded" | "x-api-key" | "x-real-ip" | "x-request-id")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-sidegate-")
        || name.starts_with("proxy-")
}
