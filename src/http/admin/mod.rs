//! The gate's own API, on the private listener: apps, service tokens and revocations. Callers show a
//! service token; answers are JSON, refusals are problems (RFC 9457). Service tokens are there a second
//! time, in Orcheo's words, and identity secrets in Chat9's. Beside it stand the tokens that are made for
//! customers' servers.

mod apps;
mod calls;
mod chat9;
mod chatbotkit;
mod mint;
mod orcheo;
mod revocations;
mod service_tokens;
mod shape;

pub(super) use chatbotkit::{account, passed, run_as};
pub(super) use shape::Shape;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http_body::Body as _;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chat9::KYC_PATH;
use sidegate_core::dialect::orcheo::bearer;
use sidegate_core::dialect::orcheo::service_tokens::SERVICE_TOKENS_PATH;
use sidegate_core::duration::parse_lifetime;
use sidegate_core::id::AppId;
use sidegate_core::json;
use sidegate_core::service_token::{OVERLAP, Rights, ServiceToken};
use tower::ServiceExt as _;

use super::service::{Common, Outcome};
use crate::forward::AnswerBody;
use crate::forward::{MediaType, read};
use crate::gate::Gate;
use crate::wire::ClientBody;

/// All routes.
pub(super) fn router(gate: Arc<Gate>) -> Router {
    let (apps, tokens) = ("/admin/v1/apps", "/admin/v1/service-tokens");
    Router::new()
        .route(apps, get(apps::list).post(apps::create).fallback(wrong("GET, POST")))
        .route(&format!("{apps}/{{id}}"), get(apps::show).put(apps::update).fallback(wrong("GET, PUT")))
        .route(&format!("{apps}/{{id}}/disable"), post(apps::disable).fallback(wrong("POST")))
        .route(&format!("{apps}/{{id}}/enable"), post(apps::enable).fallback(wrong("POST")))
        .route(&format!("{apps}/{{id}}/rotate-secret"), post(apps::rotate_secret).fallback(wrong("POST")))
        .route(&format!("{apps}/{{id}}/rotate-key"), post(apps::rotate_key).fallback(wrong("POST")))
        .route(tokens, get(service_tokens::list).post(service_tokens::create).fallback(wrong("GET, POST")))
        .route(
            &format!("{tokens}/{{id}}"),
            get(service_tokens::show).delete(service_tokens::revoke).fallback(wrong("GET, DELETE")),
        )
        .route(&format!("{tokens}/{{id}}/rotate"), post(service_tokens::rotate).fallback(wrong("POST")))
        .route("/admin/v1/revocations", post(revocations::revoke).fallback(wrong("POST")))
        .route("/v1/apps/{app}/identity-tokens", post(mint::identity_token).fallback(wrong("POST")))
        .route("/v1/apps/{app}/jwe-tokens", post(mint::jwe_token).fallback(wrong("POST")))
        .route("/admin/v1/openapi/chatbotkit.json", get(chatbotkit::openapi).fallback(wrong("GET")))
        .merge(orcheos())
        .merge(chat9s())
        .merge(chatbotkit::router())
        .fallback(|| async { Refused(Code::NotFound.into()) })
        .with_state(gate)
}

fn chat9s() -> Router<Arc<Gate>> {
    Router::new()
        .route(&format!("{KYC_PATH}/secret"), post(chat9::generate).fallback(wrong("POST")))
        .route(&format!("{KYC_PATH}/rotate"), post(chat9::rotate).fallback(wrong("POST")))
        .route(&format!("{KYC_PATH}/status"), get(chat9::status).fallback(wrong("GET")))
}

fn orcheos() -> Router<Arc<Gate>> {
    let tokens = SERVICE_TOKENS_PATH;
    Router::new()
        .route(tokens, get(orcheo::list).post(orcheo::create).fallback(wrong("GET, POST")))
        .route(&format!("{tokens}/{{id}}"), get(orcheo::show).delete(orcheo::revoke).fallback(wrong("GET, DELETE")))
        .route(&format!("{tokens}/{{id}}/rotate"), post(orcheo::rotate).fallback(wrong("POST")))
}

/// Answers other methods.
fn wrong(allow: &'static str) -> impl Fn() -> Ready<Refused> + Clone + Send + Sync + 'static {
    move || ready(Refused(Denial::method_not_allowed(allow)))
}

/// Answers a request to one of the APIs.
pub(super) async fn answer(shape: Shape, router: &Router, common: &Common, parts: Parts, body: ClientBody) -> Outcome {
    let answered = match read(body, shape.max_body(), common.gate.listen.body_timeout).await {
        Ok(body) => routed(router, Request::from_parts(parts, Body::from(body))).await,
        Err(denial) => Err(denial),
    };
    let response = answered.unwrap_or_else(|denial| shape.refusal(&denial).map(AnswerBody::Full));
    Outcome::with_body(response, Cors::Silent).of_route(shape.route())
}

/// The answer to a request, or why there is none. A list that goes on is read as it is taken.
async fn routed(router: &Router, request: Request) -> Result<http::Response<AnswerBody>, Denial> {
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (mut parts, body) = response.into_parts();
    if let Some(Refused(denial)) = parts.extensions.remove() {
        return Err(denial);
    }
    let body = match body.size_hint().exact() {
        Some(_) => AnswerBody::Full(axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Code::Internal)?),
        None => AnswerBody::Listed(body),
    };
    Ok(http::Response::from_parts(parts, body))
}

/// A refusal, until it is known in whose words.
#[derive(Clone)]
struct Refused(Denial);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl<E: Into<Denial>> From<E> for Refused {
    fn from(fault: E) -> Self {
        Self(fault.into())
    }
}

/// Who calls: the service token that was shown.
struct Caller {
    token: Arc<ServiceToken>,
    gate: Arc<Gate>,
}

impl Caller {
    /// Refuses unless the token holds this scope, for this app or for all.
    fn may(&self, scope: &str, app: Option<&AppId>) -> Result<(), Denial> {
        self.token.allows(scope, app, self.gate.now())
    }

    /// Refuses unless the token holds these rights itself.
    fn governs(&self, rights: Rights<'_>) -> Result<(), Denial> {
        self.token.governs(rights, self.gate.now())
    }
}

impl FromRequestParts<Arc<Gate>> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, gate: &Arc<Gate>) -> Result<Self, Refused> {
        const RULE: &str = "Authorization must be `Bearer` and a service token";
        let shown = bearer(&parts.headers).map_err(|denial| Denial::because(denial.code, RULE))?;
        let secret = shown.ok_or(Code::AuthRequired)?;
        let token = gate.service_tokens.authenticate(&SecretString::from(secret))?;
        Ok(Self { token, gate: Arc::clone(gate) })
    }
}

/// A body that says it is JSON; an empty one asks for nothing in particular.
struct JsonBody(Bytes);

impl FromRequest<Arc<Gate>> for JsonBody {
    type Rejection = Refused;

    async fn from_request(request: Request, gate: &Arc<Gate>) -> Result<Self, Refused> {
        let headers = request.headers();
        let coded = headers.contains_key(CONTENT_ENCODING);
        let json = MediaType::of(headers) == MediaType::Json;
        let body = Bytes::from_request(request, gate).await.map_err(|_| Code::InvalidRequest)?;
        // Some clients name a type for what they do not send.
        match body.is_empty() {
            true => Ok(Self(Bytes::from_static(b"{}"))),
            false if json && !coded => Ok(Self(body)),
            false => Err(Code::UnsupportedMediaType.into()),
        }
    }
}

/// A body that must be one strict JSON object.
struct Strict<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<Gate>> for Strict<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, gate: &Arc<Gate>) -> Result<Self, Refused> {
        let JsonBody(body) = JsonBody::from_request(request, gate).await?;
        let unreadable = |fault| Denial::because(Code::InvalidRequest, format!("The body is refused: {fault}"));
        Ok(Self(json::read_object(&body).map_err(unreadable)?))
    }
}

/// A JSON answer that no cache may keep.
fn answered(status: StatusCode, body: &impl Serialize) -> Result<Response, Refused> {
    let body = serde_json::to_vec(body).map_err(|_| Code::Internal)?;
    Ok((status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response())
}

/// A body that says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn overlap(text: Option<String>) -> Result<Duration, Denial> {
    match text.as_deref() {
        Some("0s") => Ok(Duration::ZERO),
        _ => Ok(lifetime("overlap", text)?.unwrap_or(OVERLAP)),
    }
}

fn lifetime(member: &str, text: Option<String>) -> Result<Option<Duration>, Denial> {
    let parsed = text.map(|text| parse_lifetime(&text)).transpose();
    parsed.map_err(|rule| Denial::because(Code::InvalidRequest, format!("{member} {rule}")))
}

type Answered = Result<Response, Refused>;
type TheGate = State<Arc<Gate>>;
