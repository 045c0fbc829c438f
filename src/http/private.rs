//! The private listener: the customer's servers exchange credentials for tokens.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Dialect, sigmic};
use sidegate_core::message::Reply;

use super::guard::{Hosts, guard, refuse};
use super::{Peer, convert};
use crate::exchange::exchange;
use crate::forward::read;
use crate::gate::Gate;
use crate::metrics::Metrics;

/// What the routes share: the gate, and the worker's counters.
type Shared = (Arc<Gate>, Arc<Metrics>);

/// All routes of the private listener.
pub fn private_router(gate: Arc<Gate>, metrics: Arc<Metrics>) -> Router {
    let hosts: Hosts = gate.listen.hosts.clone().into();
    Router::new()
        .route(sigmic::EXCHANGE_PATH, post(sigmic_exchange).fallback(|| async { method_not_allowed() }))
        .fallback(|| async { refuse(Code::NotFound) })
        .layer(from_fn_with_state(hosts, guard))
        .with_state((gate, metrics))
}

fn method_not_allowed() -> Response {
    convert::refusal(Some(Dialect::Sigmic), &Denial::method_not_allowed("POST")).map(Body::from)
}

async fn sigmic_exchange(State((gate, metrics)): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>();
    let address = peer.map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |peer| peer.client(&gate, &parts.headers));
    respond(&gate, &metrics, &parts.headers, body, address).await.map(Body::from)
}

/// An exchange, from request to response; also for the public listener where the config says so.
pub(super) async fn respond<B>(
    gate: &Gate,
    metrics: &Metrics,
    headers: &HeaderMap,
    body: B,
    address: std::net::IpAddr,
) -> http::Response<bytes::Bytes>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match checked_exchange(gate, headers, body, address).await {
        Ok(reply) => {
            metrics.exchanges.inc();
            convert::response(reply)
        }
        Err(denial) => {
            metrics.denial(denial.code);
            tracing::info!(code = denial.code.name(), "exchange refused");
            convert::refusal(Some(Dialect::Sigmic), &denial)
        }
    }
}

async fn checked_exchange<B>(
    gate: &Gate,
    headers: &HeaderMap,
    body: B,
    address: std::net::IpAddr,
) -> Result<Reply, Denial>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !is_plain_json(headers) {
        return Err(Code::UnsupportedMediaType.into());
    }
    let body = read(body, gate.limits.exchange_body, gate.listen.body_timeout).await?;
    exchange(gate, &body, address).await
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let essence = fields.next().and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
        && fields.next().is_none()
        && !headers.contains_key(CONTENT_ENCODING)
}
