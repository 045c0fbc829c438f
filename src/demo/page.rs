//! The chat page: four files compiled in, and the headers that keep it to itself.

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header, header::InvalidHeaderValue},
    response::{IntoResponse, Response},
    routing::get,
};

const HTML: &str = include_str!("assets/page.html");
const SCRIPT: &str = include_str!("assets/page.js");
const STYLE: &str = include_str!("assets/page.css");
const ICON: &str = include_str!("assets/icon.svg");

/// `GET /` and what it loads.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async || asset("text/html; charset=utf-8", HTML)))
        .route("/page.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/page.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/icon.svg", get(async || asset("image/svg+xml", ICON)))
}

fn asset(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, media_type)], text)
}

/// The headers of every response, prepared once.
#[derive(Debug, Clone)]
pub(super) struct PageHeaders {
    policy: HeaderValue,
}

impl PageHeaders {
    /// The page may load its own files and speak to its own server and to `gate`.
    pub(super) fn new(gate: &str) -> Result<Self, InvalidHeaderValue> {
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self' {gate}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        Ok(Self { policy: policy.try_into()? })
    }
}

/// Puts the security headers on a response.
pub(super) async fn harden(State(page): State<PageHeaders>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, page.policy);
    // Tokens and demo pages alike: nothing here is worth a cache.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
