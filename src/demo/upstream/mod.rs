//! A small but real chat service that speaks the Sigmic task API, as it would stand
//! behind the gate: `POST|GET /api/v1/tasks`, `GET /api/v1/tasks/{id}`, `…/history`,
//! `…/stream` (SSE) and `POST …/messages`.
//!
//! It stands for somebody else's service, so it asks for its own service key on every
//! call, scopes tasks by the end user that the gate vouches for, and keeps everything
//! in memory within fixed bounds. Its answers tell which injected context arrived,
//! secrets as a [`fingerprint`] only.

mod body;
mod events;
mod reply;
mod routes;
mod task;
mod tasks;

use std::{future::Future, io, sync::Arc, time::Duration};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;

use super::refusal::{self, Refusal};
pub use reply::fingerprint;

/// The largest request, files included.
const MAX_BODY: usize = 25 * 1024 * 1024;

/// What the service is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What callers show as `Authorization: Bearer …`.
    pub service_key: SecretString,
    /// The present as ISO 8601, for `createdAt`. An argument, so that tests decide it.
    pub now: fn() -> String,
    /// The pause between two live events; zero is allowed.
    pub pace: Duration,
}

impl Settings {
    /// The usual demo: a reply takes about a second, so that streaming is visible.
    #[must_use]
    pub fn new(service_key: SecretString, now: fn() -> String) -> Self {
        Self { service_key, now, pace: Duration::from_millis(60) }
    }
}

/// Serves until `shutdown` resolves.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    super::serve(listener, router(settings), shutdown).await
}

/// The service as an axum app.
pub fn router(settings: Settings) -> Router {
    let service = Arc::new(Service { tasks: tasks::Tasks::default(), settings });
    Router::new()
        .route("/api/v1/tasks", post(routes::create).get(routes::list))
        .route("/api/v1/tasks/{id}", get(routes::show))
        .route("/api/v1/tasks/{id}/history", get(routes::history))
        .route("/api/v1/tasks/{id}/stream", get(routes::stream))
        .route("/api/v1/tasks/{id}/messages", post(routes::add_message))
        .fallback(refusal::not_found)
        .method_not_allowed_fallback(refusal::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&service), require_service_key))
        .with_state(service)
}

/// What every handler shares.
struct Service {
    settings: Settings,
    tasks: tasks::Tasks,
}

async fn require_service_key(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    check_key(request.headers(), &service.settings.service_key)?;
    Ok(next.run(request).await)
}

fn check_key(headers: &HeaderMap, expected: &SecretString) -> Result<(), Refusal> {
    let Some(header) = headers.get(header::AUTHORIZATION) else {
        return Err(unauthorized("AUTH_REQUIRED", "Authentication required"));
    };
    let shown = header.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default();
    // In constant time, so that it says nothing about the key itself.
    if verify_slices_are_equal(shown, expected.expose_secret().as_bytes()).is_ok() {
        Ok(())
    } else {
        Err(unauthorized("INVALID_API_KEY", "This is not the service key"))
    }
}

fn unauthorized(code: &str, message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, code, message)
}
