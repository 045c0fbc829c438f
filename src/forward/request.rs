//! From an admitted request to the browser's answer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use sidegate_core::app::Scoping;
use sidegate_core::context::template::Values;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{AnswerUse, BodyUse, sigmic};
use tokio::time::Instant;

use super::answer::UpstreamBody;
use super::client::Client;
use super::head::{Forwarded, ask_for_identity, is_stream, prepare_answer, prepare_request};
use super::request_body::{Progress, RequestBody, Upload};
use super::stream::{Streamed, UnderWay};
use super::{Failure, Upstream, websocket};
use crate::admit::Admission;
use crate::config::LimitSettings;
use crate::metrics::Metrics;
use crate::store::{Owner, Owners};

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
    /// Who created which conversation.
    pub owners: &'a dyn Owners,
    /// The proof that the request may pass.
    pub admission: &'a Admission,
    /// What the gate says of the client.
    pub forwarded: Forwarded,
    /// The request's id.
    pub request_id: HeaderValue,
    /// When the token ends.
    pub ends_at: Instant,
    /// The client's connection.
    pub connection: Connection,
}

/// What must live as long as a client's connection does. A WebSocket outlives the HTTP that it came
/// in by, and so keeps it.
pub type Connection = Rc<dyn std::any::Any>;

/// The answer's body.
pub enum AnswerBody {
    /// Read and perhaps rewritten.
    Full(Bytes),
    /// Streaming.
    Streamed(Box<Streamed>),
}

/// Why a request got no answer of its upstream.
#[derive(Debug)]
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
pub async fn forward(this: Forward<'_>, parts: Parts, body: Incoming) -> Result<Response<AnswerBody>, Refused> {
    let upstream = this.admission.upstream();
    let under_way = UnderWay::new(upstream.enter()?, &this.metrics.forwards);
    if websocket::is_upgrade(&parts) {
        return websocket::forward(this, parts, under_way).await;
    }
    this.reserve_owner().await?;
    let (mut request, progress) = this.request(parts, body).await?;
    if this.reads_answer() {
        ask_for_identity(request.headers_mut());
    }
    let sent = this.client.send(upstream, request, progress.as_deref()).await;
    // A client that sends too much or too slowly breaks the exchange itself: that is not the
    // upstream's failure.
    if let Some(fault) = progress.as_deref().and_then(Progress::fault) {
        return Err(Code::from(fault).into());
    }
    let answered = sent?;
    if answered.repeated {
        this.metrics.repeats.inc();
    }
    this.answer(answered.response, under_way).await
}

impl Forward<'_> {
    fn upstream(&self) -> &Arc<Upstream> {
        self.admission.upstream()
    }

    fn owner(&self) -> Owner<'_> {
        let claims = self.admission.permit().claims();
        Owner { app: &claims.app, end_user: &claims.subject }
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values { subject: &self.admission.permit().claims().subject, context: self.admission.context() }
    }

    /// What the gate does with the answer: nothing if the upstream keeps users apart.
    fn answer_use(&self) -> AnswerUse {
        match self.admission.permit().app().scoping {
            Scoping::Gate => self.admission.call().operation.answer_use(),
            Scoping::Upstream => AnswerUse::Pass,
        }
    }

    fn reads_answer(&self) -> bool {
        self.answer_use() != AnswerUse::Pass
    }

    /// Asks for room before a conversation is created that could not be recorded.
    async fn reserve_owner(&self) -> Result<(), Refused> {
        if self.answer_use() == AnswerUse::RecordOwner && !matches!(self.owners.has_room().await, Ok(true)) {
            return Err(Code::StoreUnavailable.into());
        }
        Ok(())
    }

    async fn request(
        &self,
        parts: Parts,
        body: Incoming,
    ) -> Result<(Request<RequestBody>, Option<Rc<Progress>>), Refused> {
        let (body, progress) = self.body(&parts, body).await?;
        let request = self.head(parts, body)?;
        Ok((request, progress))
    }

    /// The request's head as the upstream gets it.
    pub(super) fn head<B>(&self, mut parts: Parts, body: B) -> Result<Request<B>, Refused> {
        let app = self.admission.permit().app();
        let query = app.injection.apply_query(self.values(), parts.uri.query())?;
        let target = self.upstream().target(parts.uri.path(), query.as_deref()).ok_or(Code::InvalidRequest)?;
        prepare_request(&mut parts.headers, self.upstream(), self.forwarded.clone(), self.request_id.clone(), app.pass);
        app.injection.apply_headers(self.values(), &mut parts.headers)?;
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = parts.headers;
        Ok(request)
    }

    async fn body(&self, parts: &Parts, body: Incoming) -> Result<(RequestBody, Option<Rc<Progress>>), Refused> {
        let rewrites = self.admission.permit().app().injection.rewrites_body();
        let media_type = MediaType::of(parts);
        match (self.admission.call().operation.body_use(), media_type) {
            (BodyUse::None, _) if body.is_end_stream() => Ok((RequestBody::Empty, None)),
            (BodyUse::None, _) => Err(Denial::because(Code::InvalidRequest, "This route takes no body").into()),
            (BodyUse::Json | BodyUse::JsonOrForm, MediaType::Json) if rewrites => self.rewritten(parts, body).await,
            (BodyUse::Json | BodyUse::JsonOrForm, MediaType::Json) => {
                self.passed(parts, body, self.limits.json_body).await
            }
            (BodyUse::JsonOrForm, MediaType::Form) if rewrites => {
                let rule = "This app adds fields to the body, which must be application/json";
                Err(Denial::because(Code::UnsupportedMediaType, rule).into())
            }
            (BodyUse::JsonOrForm, MediaType::Form) => self.passed(parts, body, self.limits.form_body).await,
            (BodyUse::JsonOrForm, MediaType::Other) => {
                let rule = "The request body must be application/json or multipart/form-data";
                Err(Denial::because(Code::UnsupportedMediaType, rule).into())
            }
            (BodyUse::Json, MediaType::Form | MediaType::Other) => Err(Code::UnsupportedMediaType.into()),
        }
    }

    /// The body as it comes; a short one in one piece, so that it leaves together with its head.
    async fn passed(
        &self,
        parts: &Parts,
        body: Incoming,
        limit: usize,
    ) -> Result<(RequestBody, Option<Rc<Progress>>), Refused> {
        let length = announced_length(parts);
        refuse_longer(length, limit)?;
        if length.is_some_and(|length| length <= SHORT_BODY) {
            let short = read(body, limit, self.body_timeout).await?;
            return Ok((RequestBody::Full(Some(short)), None));
        }
        let (upload, progress) = Upload::new(body, limit, self.body_timeout);
        Ok((RequestBody::Streamed(upload), Some(progress)))
    }

    async fn rewritten(&self, parts: &Parts, body: Incoming) -> Result<(RequestBody, Option<Rc<Progress>>), Refused> {
        if parts.headers.contains_key(CONTENT_ENCODING) {
            return Err(Denial::because(Code::UnsupportedMediaType, "The body must have no content coding here").into());
        }
        refuse_longer(announced_length(parts), self.limits.json_body)?;
        let sent = read(body, self.limits.json_body, self.body_timeout).await?;
        let injection = &self.admission.permit().app().injection;
        let body = injection
            .apply_body(self.values(), &sent)?
            .map_err(|fault| Denial::because(Code::InvalidRequest, format!("The body is refused: {fault}")))?;
        Ok((RequestBody::Full(Some(body.into())), None))
    }

    async fn answer(
        &self,
        response: Response<UpstreamBody>,
        under_way: UnderWay,
    ) -> Result<Response<AnswerBody>, Refused> {
        let app = self.admission.permit().app();
        // The browser's credentials stop here, so a 401 is about the gate's own; a browser would
        // take it for its token's.
        if response.status() == StatusCode::UNAUTHORIZED && !app.pass.token {
            return Err(Failure::Unauthorized.into());
        }
        let answer_use = if response.status().is_success() { self.answer_use() } else { AnswerUse::Pass };
        let (mut head, body) = response.into_parts();
        let streams = answer_use == AnswerUse::Pass && is_stream(&head.headers);
        prepare_answer(&mut head.headers, app.pass, streams);
        let body = match answer_use {
            AnswerUse::Pass => {
                let idle = self.upstream().settings.idle_timeout;
                AnswerBody::Streamed(Box::new(Streamed::new(body, idle, self.ends_at, under_way)))
            }
            AnswerUse::RecordOwner => AnswerBody::Full(self.record_owner(body).await?),
            AnswerUse::FilterList => {
                keep_only_media_type(&mut head.headers);
                AnswerBody::Full(self.filter_list(body).await?)
            }
        };
        Ok(Response::from_parts(head, body))
    }

    async fn record_owner(&self, body: UpstreamBody) -> Result<Bytes, Refused> {
        let body = self.collect(body).await?;
        let conversation = sigmic::created_task(&body).ok_or(Failure::Unreadable)?;
        self.owners.record(self.owner(), &conversation).await.map_err(|_| Code::StoreUnavailable)?;
        Ok(body)
    }

    async fn filter_list(&self, body: UpstreamBody) -> Result<Bytes, Refused> {
        let body = self.collect(body).await?;
        let owned = self.owners.of(self.owner()).await.map_err(|_| Code::StoreUnavailable)?;
        let filtered = sigmic::filter_list(&body, owned.len() as u64, |id| owned.contains(id));
        Ok(filtered.ok_or(Failure::Unreadable)?.into())
    }

    async fn collect(&self, body: UpstreamBody) -> Result<Bytes, Failure> {
        body.collect(self.limits.read_answer, self.upstream().settings.idle_timeout).await
    }
}

/// The fields of a list that we cut down describe the whole of it: its length, a validator, links
/// to other pages, totals of all users.
fn keep_only_media_type(headers: &mut HeaderMap) {
    let media_type = headers.remove(CONTENT_TYPE);
    headers.clear();
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Json,
    Form,
    Other,
}

impl MediaType {
    fn of(parts: &Parts) -> Self {
        let mut fields = parts.headers.get_all(CONTENT_TYPE).iter();
        let field = fields.next().filter(|_| fields.next().is_none()).and_then(|value| value.to_str().ok());
        match field.and_then(|text| text.split(';').next()).map(str::trim) {
            Some(essence) if essence.eq_ignore_ascii_case("application/json") => Self::Json,
            Some(essence) if essence.eq_ignore_ascii_case("multipart/form-data") => Self::Form,
            _ => Self::Other,
        }
    }
}

/// Bytes of a body that is read before it is sent on: a chat message, not a file.
const SHORT_BODY: u64 = 16 * 1024;

/// The length that the head announces; hyper has checked that the body has it.
fn announced_length(parts: &Parts) -> Option<u64> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Refuses by the announced length, before anything is read or sent.
fn refuse_longer(length: Option<u64>, limit: usize) -> Result<(), Denial> {
    if length.is_some_and(|length| length > limit as u64) { Err(Code::PayloadTooLarge.into()) } else { Ok(()) }
}

/// Reads a whole body.
///
/// # Errors
/// [`Code::PayloadTooLarge`], [`Code::RequestTimeout`], [`Code::InvalidRequest`].
pub async fn read<B>(body: B, limit: usize, patience: Duration) -> Result<Bytes, Denial>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let whole = Limited::new(body, limit).collect();
    match tokio::time::timeout(patience, whole).await {
        Err(_) => Err(Code::RequestTimeout.into()),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => Err(Code::PayloadTooLarge.into()),
        Ok(Err(_)) => Err(Code::InvalidRequest.into()),
    }
}
