//! The gate's own API, on the private listener: apps, service tokens and revocations. Callers show a
//! service token; answers are JSON, refusals are problems (RFC 9457).

mod apps;
mod revocations;
mod service_tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::duration::parse_lifetime;
use sidegate_core::id::AppId;
use sidegate_core::json;
use sidegate_core::service_token::{Rights, ServiceToken};
use tower::ServiceExt as _;

use super::convert;
use super::service::{Common, Outcome};
use crate::forward::{MediaType, read};
use crate::gate::Gate;
use crate::wire::ClientBody;

/// What all of its paths begin with.
pub(super) const PREFIX: &str = "/admin/v1/";

/// Bytes of a request's body.
const MAX_BODY: usize = 64 * 1024;

/// All routes.
pub(super) fn router(gate: Arc<Gate>) -> Router {
    let wrong = |allow| move || async move { Refused(Denial::method_not_allowed(allow)) };
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
        .fallback(|| async { Refused(Code::NotFound.into()) })
        .with_state(gate)
}

/// Answers a request of [`PREFIX`].
pub(super) async fn answer(router: &Router, common: &Common, parts: Parts, body: ClientBody) -> Outcome {
    let body = match read(body, MAX_BODY, common.gate.listen.body_timeout).await {
        Ok(body) => body,
        Err(denial) => return Outcome::refused(None, &denial, Cors::Silent),
    };
    let request = Request::from_parts(parts, Body::from(body));
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(body) => Outcome::of(http::Response::from_parts(parts, body), Cors::Silent),
        Err(_) => Outcome::refused(None, &Code::Internal.into(), Cors::Silent),
    }
    .of_route(PREFIX)
}

/// A refusal as an answer.
struct Refused(Denial);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        convert::refusal(None, &self.0).map(Body::from)
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
        let mut fields = parts.headers.get_all(AUTHORIZATION).iter();
        let field = fields.next().ok_or(Code::AuthRequired)?;
        let text = field.to_str().ok().filter(|_| fields.next().is_none()).ok_or(Code::InvalidServiceToken)?;
        let (scheme, secret) = text.split_once(' ').ok_or(Code::InvalidServiceToken)?;
        let secret = secret.trim();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Code::InvalidServiceToken.into());
        }
        let token = gate.service_tokens.authenticate(&SecretString::from(secret))?;
        Ok(Self { token, gate: Arc::clone(gate) })
    }
}

/// A body that must be one strict JSON object.
struct Strict<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<Gate>> for Strict<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, gate: &Arc<Gate>) -> Result<Self, Refused> {
        let headers = request.headers();
        let absent = !headers.contains_key(CONTENT_TYPE);
        let coded = headers.contains_key(CONTENT_ENCODING);
        let json = MediaType::of(headers) == MediaType::Json;
        let body = Bytes::from_request(request, gate).await.map_err(|_| Code::InvalidRequest)?;
        let body: &[u8] = if absent && body.is_empty() { b"{}" } else { &body };
        if coded || !(json || (absent && body == b"{}")) {
            return Err(Code::UnsupportedMediaType.into());
        }
        let text = json::check_object(body).map_err(|fault| unreadable(&fault))?;
        serde_json::from_str(text).map(Self).map_err(|fault| unreadable(&rule(&fault)).into())
    }
}

fn unreadable(fault: &dyn std::fmt::Display) -> Denial {
    Denial::because(Code::InvalidRequest, format!("The body is refused: {fault}"))
}

/// What is wrong with a body. Members are named, values never: any may be a secret.
fn rule(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    let named = ["missing field", "unknown field", "must be"].iter().any(|begins| text.starts_with(begins));
    if named { text } else { format!("a value of another kind at line {} column {}", fault.line(), fault.column()) }
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

/// For how long an old secret is good beside its new one, when nothing else is asked for.
const OVERLAP: Duration = Duration::from_secs(300);

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
