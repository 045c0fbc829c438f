//! The public listener: what a browser asks is recognised, admitted, forwarded, and answered, with
//! the CORS fields that its origin may see on every answer, whatever it is.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use sidegate_core::clock::Timestamp;
use sidegate_core::cors::{self, Cors};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::{self, LanguagesRoute, SessionRoute};
use sidegate_core::dialect::{self, Call, Dialect, NoCall, Operation, chat9, mitigate, orcheo, sigmic};
use sidegate_core::origin::RequestOrigin;
use tokio::time::Instant;

use super::access::Facts;
use super::service::{Arrival, Common, Outcome, Service};
use super::serving::Services;
use super::{assets, conversation, convert, exchange, guard, head, languages, target, token, widget, workspace};
use crate::admit::{Admission, Asked, admit, admit_frame, admit_widget, is_frame, request_origin, unproven, widget_of};
use crate::forward::{Forward, Refused, forward, read_json};
use crate::metrics::Listener;
use crate::registry::Registered;
use crate::verified::VerifiedTokens;
use crate::visitor::{Visit, admit_visitor, place};
use crate::wire::ClientBody;

/// A request whose head has been read.
pub(super) struct Incoming<'a> {
    /// Who sends it.
    pub(super) arrival: &'a Arrival,
    /// Its head, without the prefix of an app.
    pub(super) parts: Box<Parts>,
    /// Its body, not read yet.
    pub(super) body: ClientBody,
    /// The app that its URL names.
    pub(super) named: Option<Arc<Registered>>,
}

/// The public service of one worker.
pub struct Public {
    common: Rc<Common>,
    /// The tokens that this worker has verified.
    verified: VerifiedTokens,
}

impl Service for Public {
    const LISTENER: Listener = Listener::Public;

    fn of(services: &Services) -> &Rc<Self> {
        &services.public
    }

    fn common(&self) -> &Common {
        &self.common
    }

    async fn respond(&self, arrival: &Arrival, request: Request<ClientBody>) -> Outcome {
        let (parts, body) = request.into_parts();
        // In a box, once: everything on its way would make room for it.
        self.route(arrival, Box::new(parts), body).await
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
        self.common.client.sweep(gate.assets.as_ref().and_then(|assets| assets.upstream()).as_slice());
        self.verified.sweep(&registry, gate.now());
    }

    async fn route(&self, arrival: &Arrival, mut parts: Box<Parts>, body: ClientBody) -> Outcome {
        let read = head::check(&parts).and_then(|()| target::named(&mut parts, &self.common.gate.registry.load()));
        let named = match read {
            Ok(named) => named,
            Err(denial) => {
                let dialect = self.methods(parts.uri.path()).map(|(dialect, _)| dialect);
                return Outcome::refused(dialect, &denial, self.unproven(&parts, None, dialect));
            }
        };
        if cors::is_preflight(&parts.method, &parts.headers) {
            return self.preflight(&parts, named.as_ref());
        }
        if let Err(denial) = self.common.check_load(arrival) {
            let dialect = self.methods(parts.uri.path()).map(|(dialect, _)| dialect);
            return Outcome::refused(dialect, &denial, self.unproven(&parts, named.as_ref(), dialect));
        }
        match dialect::route(&parts.method, parts.uri.path()) {
            Ok(call) => self.chat(Incoming { arrival, parts, body, named }, call).await,
            Err(NoCall::OtherMethod { dialect, allow }) => {
                let cors = self.unproven(&parts, named.as_ref(), Some(dialect));
                Outcome::refused(Some(dialect), &Denial::method_not_allowed(allow), cors)
            }
            Err(NoCall::UnknownPath) => Box::pin(self.local(Incoming { arrival, parts, body, named })).await,
        }
    }

    /// What the gate answers itself. In a box, so that it makes no room in every chat request.
    async fn local(&self, incoming: Incoming<'_>) -> Outcome {
        let path = incoming.parts.uri.path();
        if path == chat9::INIT_PATH {
            let cors = self.unproven(&incoming.parts, incoming.named.as_ref(), Some(Dialect::Chat9));
            return widget::answer(&self.common, incoming, cors).await;
        }
        if let Some((route, _)) = mitigate::WorkspaceRoute::of(path) {
            let cors = self.unproven(&incoming.parts, incoming.named.as_ref(), Some(Dialect::Mitigate));
            return workspace::answer(&self.common, incoming, route, cors).await;
        }
        if let Some(route) = SessionRoute::of(path) {
            let cors = self.unproven(&incoming.parts, incoming.named.as_ref(), Some(Dialect::ChatBotKit));
            return conversation::answer(&self.common, incoming, route, cors).await;
        }
        if let Some(route) = LanguagesRoute::of(path) {
            let cors = self.unproven(&incoming.parts, incoming.named.as_ref(), Some(Dialect::ChatBotKit));
            return languages::answer(&self.common, incoming, route, cors).await;
        }
        let route = orcheo::TokenRoute::of(path);
        let assets = assets::of(&self.common.gate, path);
        let dialect = (route.is_some() || assets.is_some()).then_some(Dialect::Orcheo);
        let cors = self.unproven(&incoming.parts, incoming.named.as_ref(), dialect);
        match (route, assets) {
            (Some(route), _) => token::answer(&self.common, incoming, route, cors).await,
            (None, Some(assets)) => assets::answer(&self.common, assets, &incoming, cors).await,
            (None, None) if self.takes_exchange(&incoming.parts) => self.exchange(incoming).await,
            (None, None) => Outcome::refused(shape_of(path), &Code::NotFound.into(), cors),
        }
    }

    /// The dialect and methods of a path, for preflights.
    fn methods(&self, path: &str) -> Option<(Dialect, &'static str)> {
        let local = || match orcheo::TokenRoute::of(path) {
            Some(_) => Some((Dialect::Orcheo, "POST")),
            None if path == chat9::INIT_PATH => Some((Dialect::Chat9, "POST")),
            None if SessionRoute::of(path).is_some() => Some((Dialect::ChatBotKit, SessionRoute::ALLOW)),
            None if LanguagesRoute::of(path).is_some() => Some((Dialect::ChatBotKit, LanguagesRoute::ALLOW)),
            None => match mitigate::WorkspaceRoute::of(path) {
                Some((route, _)) => Some((Dialect::Mitigate, route.allow())),
                None => assets::of(&self.common.gate, path).map(|_| (Dialect::Orcheo, orcheo::ASSET_METHODS)),
            },
        };
        dialect::methods(path).or_else(local)
    }

    /// What a page may read before its app is proven.
    fn unproven(&self, parts: &Parts, named: Option<&Arc<Registered>>, dialect: Option<Dialect>) -> Cors {
        unproven(&self.common.gate.registry.load(), named, dialect, request_origin(&parts.headers))
    }

    /// Answered before any token is looked at: a preflight carries none.
    fn preflight(&self, parts: &Parts, named: Option<&Arc<Registered>>) -> Outcome {
        let found = self.methods(parts.uri.path());
        let dialect = found.map(|(dialect, _)| dialect);
        let cors = self.unproven(parts, named, dialect);
        let Some((_, methods)) = found else {
            return Outcome::refused(None, &Code::NotFound.into(), cors);
        };
        if cors.origin().is_none() {
            return Outcome::refused(dialect, &Code::OriginNotAllowed.into(), cors);
        }
        let registry = self.common.gate.registry.load();
        let denied = |name: &str| is_denied_header(name) || registry.injects_header(name);
        let mut reply = cors::preflight(&parts.headers, methods, self.common.gate.cors_max_age, denied);
        cors.allow(&mut reply.headers);
        Outcome::of(convert::response(reply), Cors::Preflight)
    }

    async fn chat(&self, incoming: Incoming<'_>, call: Call) -> Outcome {
        let operation = call.operation;
        let headers = &incoming.parts.headers;
        if let Some(widget) = widget_of(operation) {
            return Box::pin(self.widget(incoming, call, widget)).await;
        }
        if is_frame(operation) {
            return Box::pin(self.framed(incoming, call)).await;
        }
        if is_visit(operation, headers) && self.common.gate.registry.load().publishes() {
            return Box::pin(self.visit(incoming, call)).await;
        }
        let (cors, admission) = admit(&self.common.gate, &self.verified, self.asked(&incoming, call)).await;
        match admission {
            Ok(admission) => self.forward(incoming, Box::new(admission), cors).await,
            Err(denial) => Outcome::refused(Some(operation.dialect()), &denial, cors).of_call(operation, None),
        }
    }

    /// A request of a session.
    async fn widget(&self, incoming: Incoming<'_>, call: Call, widget: chat9::Operation) -> Outcome {
        let operation = call.operation;
        let asked = self.asked(&incoming, call);
        let (cors, admission) = admit_widget(&self.common.gate, widget, asked, incoming.parts.uri.query()).await;
        match admission {
            Ok(admission) => self.forward(incoming, Box::new(admission), cors).await,
            Err(denial) => Outcome::refused(Some(operation.dialect()), &denial, cors).of_call(operation, None),
        }
    }

    /// What a page loads to show a widget.
    async fn framed(&self, incoming: Incoming<'_>, call: Call) -> Outcome {
        let operation = call.operation;
        let (cors, admission) =
            admit_frame(&self.common.gate, self.asked(&incoming, call), incoming.parts.uri.path()).await;
        match admission {
            Ok(admission) => self.forward(incoming, Box::new(admission), cors).await,
            Err(denial) => Outcome::refused(Some(operation.dialect()), &denial, cors).of_call(operation, None),
        }
    }

    fn asked<'a>(&self, incoming: &'a Incoming<'_>, call: Call) -> Asked<'a> {
        let headers = &incoming.parts.headers;
        let sender = incoming.arrival.sender(&self.common.gate, headers);
        Asked { call, headers, sender, named: incoming.named.as_ref() }
    }

    /// A request without a token, in a route that knows of workflows for everybody.
    async fn visit(&self, mut incoming: Incoming<'_>, call: Call) -> Outcome {
        let (gate, operation) = (&self.common.gate, call.operation);
        let dialect = Some(operation.dialect());
        let unproven = self.unproven(&incoming.parts, incoming.named.as_ref(), dialect);
        let _place = match place(gate, &incoming.parts.headers, &unproven) {
            Ok(place) => place,
            Err(denial) => return Outcome::refused(dialect, &denial, unproven).of_call(operation, None),
        };
        let body = std::mem::replace(&mut incoming.body, ClientBody::Empty);
        let read = read_json(&incoming.parts, body, gate.limits.json_body, gate.listen.body_timeout).await;
        if let Ok(read) = &read {
            incoming.body = ClientBody::Read(read.clone());
        }
        let (cors, visit) = admit_visitor(gate, &self.common.client, self.asked(&incoming, call), read).await;
        match visit {
            Ok(Visit { admission, set_cookie }) => {
                let mut outcome = self.forward(incoming, Box::new(admission), cors).await;
                outcome.response.headers_mut().extend(set_cookie.map(|cookie| (SET_COOKIE, cookie)));
                outcome
            }
            Err(Refused { denial, failure }) => {
                Outcome::refused(dialect, &denial, cors).after(failure).of_call(operation, None)
            }
        }
    }

    async fn forward(&self, incoming: Incoming<'_>, admission: Box<Admission>, cors: Cors) -> Outcome {
        let Incoming { arrival, parts, body, .. } = incoming;
        let (peer, operation) = (&arrival.peer, admission.call().operation);
        let now = self.common.gate.now();
        let ends_at = end_of(&admission, arrival.started, now);
        let request = Forward {
            client: &self.common.client,
            metrics: &self.common.metrics,
            limits: &self.common.gate.limits,
            body_timeout: self.common.gate.listen.body_timeout,
            store: &self.common.gate.store,
            now,
            forwarded: peer.forwarded(&parts.headers, parts.uri.authority().map(http::uri::Authority::as_str)),
            admission: &admission,
            request_id: arrival.request_id.clone(),
            ends_at,
            leashes: &self.common.leashes,
        };
        let outcome = match forward(&request, parts, body).await {
            Ok(response) => Outcome { response, cors, facts: Facts::default() },
            Err(Refused { denial, failure }) => {
                Outcome::refused(Some(operation.dialect()), &denial, cors).after(failure)
            }
        };
        let outcome = outcome.of_call(operation, Some(&admission.permit().app().id));
        match admission.widget() {
            Some(served) => outcome.of_widget(&self.common.gate.widgets, served),
            None => outcome,
        }
    }

    fn takes_exchange(&self, parts: &Parts) -> bool {
        self.common.gate.listen.public_exchange && parts.uri.path() == sigmic::EXCHANGE_PATH
    }

    /// The exchange of the private listener, for servers: a page has no business with it.
    async fn exchange(&self, incoming: Incoming<'_>) -> Outcome {
        let Incoming { arrival, parts, body, .. } = incoming;
        if guard::is_from_a_page(&parts.headers) {
            let refused = Outcome::refused(Some(Dialect::Sigmic), &Code::Forbidden.into(), Cors::Silent);
            return refused.of_route(sigmic::EXCHANGE_PATH);
        }
        exchange::answer(&self.common, arrival, &parts, body).await
    }
}

/// In whose words a path is refused that is none.
fn shape_of(path: &str) -> Option<Dialect> {
    chatbotkit::is_api(path).then_some(Dialect::ChatBotKit)
}

/// Whether a request comes without any token where some may.
fn is_visit(operation: Operation, headers: &HeaderMap) -> bool {
    operation == Operation::Orcheo(orcheo::Operation::Gateway) && !headers.contains_key(AUTHORIZATION)
}

/// When a stream must end: with its token, or its session. One beyond a year ends after a year.
fn end_of(admission: &Admission, started: Instant, now: Timestamp) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
    let permit = admission.permit();
    let end = match admission.session().filter(|_| !permit.app().dialect.has_tokens()) {
        // What is asked is what keeps it alive.
        Some(session) => session.ends_at(permit.app(), now),
        None => permit.claims().refused_from(),
    };
    started + end.since(now).min(YEAR)
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
