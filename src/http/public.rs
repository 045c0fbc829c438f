//! The public listener: what a browser asks is recognised, admitted, forwarded, and answered, with
//! the CORS fields that its origin may see on every answer, whatever it is.

use std::rc::Rc;
use std::time::Duration;

use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use http::request::Parts;
use http::{HeaderValue, Request};
use sidegate_core::clock::Timestamp;
use sidegate_core::cors::{self, Cors};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{self, Call, Dialect, NoCall, sigmic};
use sidegate_core::origin::RequestOrigin;
use tokio::time::Instant;

use super::access::Facts;
use super::service::{Arrival, Common, Outcome, Service};
use super::{convert, exchange, guard, head};
use crate::admit::{Admission, admit, request_origin};
use crate::forward::{Forward, Refused, forward};
use crate::metrics::Listener;
use crate::verified::VerifiedTokens;
use crate::wire::ClientBody;

/// The public service of one worker.
pub struct Public {
    common: Rc<Common>,
    /// The tokens that this worker has verified.
    verified: VerifiedTokens,
}

impl Service for Public {
    const LISTENER: Listener = Listener::Public;

    fn common(&self) -> &Common {
        &self.common
    }

    async fn respond(&self, arrival: &Arrival, request: Request<ClientBody>) -> Outcome {
        let (parts, body) = request.into_parts();
        self.route(arrival, parts, body).await
    }

    fn cors_of_unread(&self, unverified_origin: Option<&HeaderValue>) -> Cors {
        let origin = unverified_origin.and_then(|origin| origin.to_str().ok());
        let origin = origin.map_or(RequestOrigin::Absent, RequestOrigin::Sent);
        let registry = self.common.gate.registry.load();
        Cors::decide(origin, |origin| registry.any_allows(None, origin))
    }
}

impl Public {
    /// A public service.
    #[must_use]
    pub fn new(common: Rc<Common>) -> Self {
        Self { common, verified: VerifiedTokens::default() }
    }

    /// Forgets what is over. Called every second.
    pub fn tick(&self) {
        let gate = &self.common.gate;
        let registry = gate.registry.load();
        self.common.client.sweep(registry.upstreams());
        self.verified.sweep(&registry, gate.now());
    }

    async fn route(&self, arrival: &Arrival, parts: Parts, body: ClientBody) -> Outcome {
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
                Box::pin(self.exchange(arrival, &parts, body)).await
            }
            Err(NoCall::UnknownPath) => Outcome::refused(None, &Code::NotFound.into(), self.unproven(&parts, None)),
        }
    }

    /// What a page may read before its app is known: what any app of the route lets in.
    fn unproven(&self, parts: &Parts, dialect: Option<Dialect>) -> Cors {
        let registry = self.common.gate.registry.load();
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
        let registry = self.common.gate.registry.load();
        let denied = |name: &str| is_denied_header(name) || registry.injects_header(name);
        let mut reply = cors::preflight(&parts.headers, methods, self.common.gate.cors_max_age, denied);
        reply.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        Outcome::of(convert::response(reply), Cors::Preflight)
    }

    async fn chat(&self, arrival: &Arrival, parts: Parts, body: ClientBody, call: Call) -> Outcome {
        let peer = &arrival.peer;
        let operation = call.operation;
        let dialect = Some(operation.dialect());
        let client = peer.client(&self.common.gate, &parts.headers);
        let (cors, admission) = admit(&self.common.gate, &self.verified, call, &parts.headers, client).await;
        let admission = match admission {
            Ok(admission) => admission,
            Err(denial) => return Outcome::refused(dialect, &denial, cors).of_call(operation, None),
        };
        let ends_at = end_of(&admission, arrival.started, self.common.gate.now());
        let request = Forward {
            client: &self.common.client,
            metrics: &self.common.metrics,
            limits: &self.common.gate.limits,
            body_timeout: self.common.gate.listen.body_timeout,
            owners: &*self.common.gate.store,
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
        self.common.gate.listen.public_exchange && parts.uri.path() == sigmic::EXCHANGE_PATH
    }

    /// The exchange of the private listener, for servers: a page has no business with it.
    async fn exchange(&self, arrival: &Arrival, parts: &Parts, body: ClientBody) -> Outcome {
        if guard::is_from_a_page(&parts.headers) {
            let refused = Outcome::refused(Some(Dialect::Sigmic), &Code::Forbidden.into(), Cors::Silent);
            return refused.of_route(sigmic::EXCHANGE_PATH);
        }
        exchange::answer(&self.common, arrival, parts, body).await
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
