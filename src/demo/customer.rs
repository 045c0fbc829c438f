//! The customer's own server: it serves the chat page and, at
//! `POST /api/sigmic-chat/token`, trades the app secret for a widget token at the gate's
//! private listener. The secret stays here; the page only ever sees the token.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::{StatusCode, Uri},
    middleware,
    routing::{get, post},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    page::{self, PageHeaders},
    refusal::{self, Refusal},
};

mod exchange;

/// A token request is a few dozen bytes.
const MAX_BODY: usize = 4 * 1024;

/// What the server is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The gate's private listener.
    pub private: SocketAddr,
    /// The gate's public origin as the browser writes it, such as `http://127.0.0.1:8080`.
    pub gate_url: String,
    /// The app's public id.
    pub app_id: String,
    /// The app's secret; it goes to the gate and nowhere else.
    pub app_secret: SecretString,
    /// Who may chat.
    pub users: Vec<User>,
    /// Shown on the page: the same page somewhere else.
    pub links: Vec<Link>,
}

/// Somebody who has an account with the customer.
#[derive(Debug, Clone)]
pub struct User {
    /// `endUserId` at the gate.
    pub id: String,
    /// Goes into `env` as `TENANT`.
    pub tenant: String,
    /// Goes into `secrets` as `API_TOKEN`.
    pub api_token: SecretString,
}

impl User {
    /// The two users of the demo. Their tokens are worth nothing, so they may stand here.
    #[must_use]
    pub fn demo() -> Vec<Self> {
        vec![
            Self::new("ada", "acme", "sk-demo-ada-5f1c0b9e7a42"),
            Self::new("grace", "globex", "sk-demo-grace-b83d6e20c915"),
        ]
    }

    /// A user with this id, tenant and API token.
    #[must_use]
    pub fn new(id: &str, tenant: &str, api_token: &str) -> Self {
        Self { id: id.into(), tenant: tenant.into(), api_token: api_token.into() }
    }
}

/// A link on the page.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    /// What it says.
    pub label: String,
    /// Where it goes.
    pub href: String,
}

/// Serves until `shutdown` resolves.
///
/// # Errors
/// When the listener fails, or `gate_url` is not an http(s) URL.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    super::serve(listener, router(settings)?, shutdown).await
}

/// The server as an axum app.
///
/// # Errors
/// When `gate_url` is not an http(s) URL, since it must stand in a security policy.
pub fn router(settings: Settings) -> io::Result<Router> {
    let headers = page_headers(&settings.gate_url)?;
    let token = post(token).layer(DefaultBodyLimit::max(MAX_BODY));
    let router = Router::new()
        .route("/config.json", get(config))
        .route("/api/sigmic-chat/token", token)
        .merge(page::router())
        .fallback(refusal::not_found)
        .method_not_allowed_fallback(refusal::wrong_method)
        .layer(middleware::map_response_with_state(headers, page::harden))
        .with_state(Arc::new(settings));
    Ok(router)
}

/// Only a plain origin is let into the policy: anything else could add to it.
fn page_headers(gate_url: &str) -> io::Result<PageHeaders> {
    let uri: Option<Uri> = gate_url.parse().ok();
    let origin = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "gate_url is no http(s) URL");
    match origin {
        Some((scheme @ ("http" | "https"), host)) if host.as_str().chars().all(plain) => {
            PageHeaders::new(&format!("{scheme}://{host}")).map_err(|_| invalid())
        }
        _ => Err(invalid()),
    }
}

/// What the page must know: no secret among it.
async fn config(State(settings): State<Arc<Settings>>) -> Json<Value> {
    let users: Vec<&str> = settings.users.iter().map(|user| user.id.as_str()).collect();
    Json(json!({ "gateUrl": settings.gate_url, "users": users, "links": settings.links }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenRequest {
    user_id: String,
    /// Passed on as it is; the gate judges it. A real server would not ask the page.
    expires_in: Option<String>,
}

/// A real server would take the user from its own login session. The demo has none, so
/// the page says who it is, out of a fixed list.
async fn token(
    State(settings): State<Arc<Settings>>,
    request: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let Json(request) = request?;
    let user = settings.users.iter().find(|user| user.id == request.user_id);
    let user = user.ok_or_else(unknown_user)?;
    let token = exchange::token(&settings, user, request.expires_in.as_deref()).await?;
    Ok(Json(json!({ "token": token })))
}

fn unknown_user() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "UNKNOWN_USER", "The demo has no such user.")
}
