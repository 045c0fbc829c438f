//! From an admitted request to the browser's answer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use secrecy::ExposeSecret as _;
use sidegate_core::app::Scoping;
use sidegate_core::authorize::Authorize;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::template::Values;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{AnswerUse, BodyUse, Dialect};
use tokio::time::Instant;

use super::client::{Answered, Client};
use super::connect::{Connected, connect};
use super::decide::Decided;
use super::head::{Forwarded, ask_for_identity, prepare_request};
use super::request_body::{Progress, RequestBody};
use super::route::Route;
use super::stream::{Streamed, UnderWay};
use super::tunnel::Tunnel;
use super::{Failure, Upstream, websocket};
use crate::admit::Admission;
use crate::config::LimitSettings;
use crate::leash::Leashes;
use crate::metrics::Metrics;
use crate::sessions::Live;
use crate::store::{Owner, Store};
use crate::wire::ClientBody;

/// What forwarding needs beside the request itself.
pub struct Forward<'a> {
    /// This worker's connections.
    pub client: &'a Rc<Client>,
    /// This worker's counters.
    pub metrics: &'a Metrics,
    /// Sizes.
    pub limits: &'a LimitSettings,
    /// How long a client may pause within its body.
    pub body_timeout: Duration,
    /// Who created which conversation; which session is open.
    pub store: &'a Arc<dyn Store>,
    /// The time.
    pub now: Timestamp,
    /// The proof that the request may pass.
    pub admission: &'a Admission,
    /// What the gate says of the client.
    pub forwarded: Forwarded,
    /// The request's id.
    pub request_id: HeaderValue,
    /// When the token ends.
    pub ends_at: Instant,
    /// This worker's streams.
    pub leashes: &'a Rc<Leashes>,
}

/// The answer's body.
pub enum AnswerBody {
    /// Read and perhaps rewritten.
    Full(Bytes),
    /// Streaming.
    Streamed(Box<Streamed>),
    /// A list of the gate's own, read as it is taken.
    Listed(axum::body::Body),
    /// None: the connection speaks another protocol from here on.
    Tunnel(Box<Tunnel>),
}

/// Why a request got no answer of its upstream.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What the client is told.
    pub denial: Denial,
    /// The upstream's part in it, for `Proxy-Status`.
    pub failure: Option<Failure>,
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self { denial, failure: None }
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        Denial::from(code).into()
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { denial: failure.into(), failure: Some(failure) }
    }
}

/// Forwards a request and hands back its answer as soon as its head is there.
///
/// # Errors
/// [`Refused`]: by our own checks on the body, or because the upstream failed.
pub async fn forward(this: &Forward<'_>, parts: Box<Parts>, body: ClientBody) -> Result<Response<AnswerBody>, Refused> {
    let (upstream, operation) = (this.admission.upstream(), this.admission.call().operation);
    if operation.may_stream() {
        this.tether_stream()?;
    }
    if operation.is_message() {
        this.check_messages()?;
    }
    let under_way = UnderWay::new(upstream.enter()?, &this.metrics.forwards);
    // Elsewhere it would be a stream that no bound counts, and an answer that nobody looks at.
    if operation.may_stream() && websocket::is_upgrade(&parts, &body) {
        // In a box, as all that few requests need: what they await would make room in every request.
        return Box::pin(websocket::forward(this, parts, under_way)).await;
    }
    // Refused at once if no address may be asked. One that would try for all asks again when its body is there: its client
    // may take its time.
    let route = Some(this.route()?).filter(|route| !route.tries());
    let Prepared { mut request, progress, answer_use, begins, says } = this.request(parts, body).await?;
    this.reserve_owner(answer_use).await?;
    if answer_use != AnswerUse::Pass {
        ask_for_identity(request.headers_mut());
    }
    let mut route = route.map_or_else(|| this.route(), Ok)?;
    if says {
        this.tether_message()?;
    }
    let sent = this.send(&mut route, &mut request, progress.as_deref()).await?;
    // A client that sends too much or too slowly breaks the exchange itself: that is not the
    // upstream's failure.
    if let Some(fault) = progress.as_deref().and_then(Progress::fault) {
        return Err(Code::from(fault).into());
    }
    route.note(sent.as_ref().map(|answered| answered.response.status()).map_err(|failure| *failure));
    let answered = sent?;
    if answered.repeated {
        this.metrics.repeats.inc();
    }
    if begins && answered.response.status().is_success() {
        Box::pin(this.begin_session()).await;
    }
    this.answer(answered.response, answer_use, under_way).await
}

/// A request as the upstream gets it.
struct Prepared {
    request: Request<RequestBody>,
    /// How far its body is, if that streams.
    progress: Option<Rc<Progress>>,
    /// What the gate does with the answer.
    answer_use: AnswerUse,
    /// Whether it is the first thing that is said in its session.
    begins: bool,
    /// Whether it counts as a message.
    says: bool,
}

impl Forward<'_> {
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        self.admission.upstream()
    }

    pub(super) fn owner(&self) -> Owner<'_> {
        let claims = self.admission.permit().claims();
        Owner { app: &claims.app, end_user: &claims.subject }
    }

    /// The way of the request, by its end user.
    fn route(&self) -> Result<Route<'_>, Refused> {
        let claims = self.admission.permit().claims();
        Route::new(self.upstream(), self.upstream().key(&claims.app, &claims.subject))
    }

    /// A connection of its own for a WebSocket, to the first address that can be reached, and the way there; `headers` then
    /// name it.
    pub(super) async fn connect(&self, headers: &mut HeaderMap) -> Result<(Connected, Route<'_>), Refused> {
        let mut route = self.route()?;
        loop {
            headers.insert(HOST, route.endpoint().host.clone());
            match connect(route.endpoint(), true).await {
                Ok(connected) => return Ok((connected, route)),
                Err(Failure::Exhausted) => return Err(Failure::Exhausted.into()),
                Err(failure) if !route.goes_on() => return Err(failure.into()),
                Err(_) => {}
            }
        }
    }

    pub(super) fn values(&self) -> Values<'_> {
        let (subject, context) = (&self.admission.permit().claims().subject, self.admission.context());
        let of_nobody = self.dialect().has_sessions() && self.admission.session().is_none();
        Values { subject, context, of_nobody }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.admission.call().operation.dialect()
    }

    /// Whether the gate keeps users apart, not the upstream.
    pub(super) fn scopes(&self) -> bool {
        self.admission.permit().app().scoping == Scoping::Gate
    }

    /// Takes a place for a stream, if its token or session has a leash.
    pub(super) fn tether_stream(&self) -> Result<(), Denial> {
        self.admission.tether().map_or(Ok(()), |tether| tether.stream())
    }

    /// Refuses a message for which there is no room, before anything is done for it.
    fn check_messages(&self) -> Result<(), Denial> {
        self.admission.tether().map_or(Ok(()), |tether| tether.check_messages())
    }

    /// Counts a message that is about to be sent, likewise.
    fn tether_message(&self) -> Result<(), Denial> {
        self.admission.tether().map_or(Ok(()), |tether| tether.say())
    }

    /// Asks for room before a conversation is created that could not be recorded.
    async fn reserve_owner(&self, answer_use: AnswerUse) -> Result<(), Refused> {
        use AnswerUse::{RecordOwner, RecordOwnerIfNamed, RecordOwnerOfStream, RecordUpload};
        let records = self.scopes()
            && matches!(answer_use, RecordOwner | RecordOwnerIfNamed | RecordOwnerOfStream | RecordUpload);
        if records && !matches!(self.store.has_room().await, Ok(true)) {
            return Err(Code::StoreUnavailable.into());
        }
        Ok(())
    }

    /// Notes that something was said in a session, once the upstream has taken it. The answer is there all the same.
    async fn begin_session(&self) {
        let Some(session) = self.admission.session() else { return };
        if session.touch(&**self.store, self.admission.permit().app(), self.now, true).await.is_err() {
            tracing::warn!("something was said in a session, and it could not be noted");
        }
    }

    /// Sends the request. An upload ends with its token, as a stream does: a client that sends a byte
    /// now and then would hold it open for ever.
    async fn send(
        &self,
        route: &mut Route<'_>,
        request: &mut Request<RequestBody>,
        upload: Option<&Progress>,
    ) -> Result<Result<Answered, Failure>, Denial> {
        let sending = self.client.send(route, request, upload);
        if upload.is_none() {
            return Ok(sending.await);
        }
        let ended = |_| Denial::because(Code::InvalidToken, "The token has expired");
        tokio::time::timeout_at(self.ends_at, sending).await.map_err(ended)
    }

    async fn request(&self, parts: Box<Parts>, body: ClientBody) -> Result<Prepared, Refused> {
        let operation = self.admission.call().operation;
        let (decided, progress) = match operation.body_use() {
            // In a box, as what it awaits would make room in every request.
            BodyUse::Decide => (Box::pin(self.decided(&parts, body)).await?, None),
            _ => {
                let (body, progress) = self.body(&parts, body).await?;
                let answer_use = operation.answer_use();
                (Decided { body, answer_use, told: None, begins: false, says: false }, progress)
            }
        };
        let Decided { body, answer_use, told, begins, says } = decided;
        // What an upload's answer tells too much is removed whoever keeps users apart; a session ends whoever
        // does.
        let reads = self.scopes() || matches!(answer_use, AnswerUse::RecordUpload | AnswerUse::WatchEnd);
        let answer_use = if reads { answer_use } else { AnswerUse::Pass };
        let mut request = self.head(parts, body)?;
        if operation.body_use() == BodyUse::Decide {
            // What the gate has written, even where nothing came.
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.headers_mut().extend(told);
        Ok(Prepared { request, progress, answer_use, begins, says: says || operation.is_message() })
    }

    /// The request's head as the upstream gets it.
    pub(super) fn head<B>(&self, mut parts: Box<Parts>, body: B) -> Result<Request<B>, Refused> {
        let app = self.admission.permit().app();
        let bound = self.bound_query(parts.uri.query())?;
        let query = app.injection.apply_query(self.values(), bound.as_deref().or(parts.uri.query()))?;
        let target = self.upstream().target(parts.uri.path(), query.as_deref()).ok_or(Code::InvalidRequest)?;
        // `Authorization` and `Cookie` have rules of their own there.
        for name in app.authorize.iter().flat_map(Authorize::headers) {
            if ![AUTHORIZATION, COOKIE].contains(name) {
                parts.headers.remove(name);
            }
        }
        prepare_request(&mut parts.headers, self.upstream(), self.forwarded.clone(), self.request_id.clone(), app.pass);
        if let Some((name, end_user)) = self.admission.naming() {
            parts.headers.insert(name, end_user.clone());
        }
        if let Some(token) = self.admission.session().and_then(Live::upstream_token) {
            let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
            parts.headers.insert(AUTHORIZATION, bearer.map_err(|_| Code::Internal)?);
        }
        app.injection.apply_headers(self.values(), &mut parts.headers)?;
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = parts.headers;
        Ok(request)
    }
}
