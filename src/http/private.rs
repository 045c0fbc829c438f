//! The private listener: the customer's servers exchange credentials for tokens.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::Body as _;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Dialect, sigmic};
use sidegate_core::message::Reply;
use tokio::time::Instant;

use super::access::{Facts, Record};
use super::guard::{Hosts, guard, refuse};
use super::request_ids::{RequestIds, X_REQUEST_ID};
use super::{Peer, convert};
use crate::exchange::exchange;
use crate::forward::{MediaType, read};
use crate::gate::Gate;
use crate::metrics::{Listener, Metrics};

/// What the routes share.
#[derive(Clone)]
pub struct Private {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// This worker's counters.
    pub metrics: Arc<Metrics>,
    /// This worker's request ids.
    pub request_ids: Arc<RequestIds>,
}

/// All routes of the private listener.
pub fn private_router(private: Private) -> Router {
    let hosts: Hosts = private.gate.listen.hosts.clone().into();
    Router::new()
        .route(sigmic::EXCHANGE_PATH, post(sigmic_exchange).fallback(|| async { method_not_allowed() }))
        .fallback(|| async { refuse(Code::NotFound) })
        .layer(from_fn_with_state(hosts, guard))
        .layer(from_fn_with_state(private.clone(), record))
        .with_state(private)
}

/// Gives each request its id, and its line in the log.
async fn record(State(private): State<Private>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let known = request.uri().path() == sigmic::EXCHANGE_PATH;
    let mut response = next.run(request).await;
    let request_id = private.request_ids.next();
    response.headers_mut().insert(X_REQUEST_ID, request_id.clone());
    let route = known.then_some(sigmic::EXCHANGE_PATH);
    drop(Record {
        metrics: private.metrics,
        logged: private.gate.access_log,
        listener: Listener::Private,
        started,
        head: started.elapsed(),
        method,
        status: response.status(),
        request_id,
        facts: Facts { route, code: convert::code(&response), ..Facts::default() },
        sent_bytes: response.body().size_hint().lower(),
        complete: true,
    });
    response
}

fn method_not_allowed() -> Response {
    convert::refusal(Some(Dialect::Sigmic), &Denial::method_not_allowed("POST")).map(Body::from)
}

async fn sigmic_exchange(State(Private { gate, metrics, .. }): State<Private>, request: Request) -> Response {
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
    B: http_body::Body<Data = bytes::Bytes>,
{
    match checked_exchange(gate, headers, body, address).await {
        Ok(reply) => {
            metrics.exchanges.inc();
            convert::response(reply)
        }
        Err(denial) => convert::refusal(Some(Dialect::Sigmic), &denial),
    }
}

async fn checked_exchange<B>(
    gate: &Gate,
    headers: &HeaderMap,
    body: B,
    address: std::net::IpAddr,
) -> Result<Reply, Denial>
where
    B: http_body::Body<Data = bytes::Bytes>,
{
    if MediaType::of(headers) != MediaType::Json || headers.contains_key(CONTENT_ENCODING) {
        return Err(Code::UnsupportedMediaType.into());
    }
    let body = read(body, gate.limits.exchange_body, gate.listen.body_timeout).await?;
    exchange(gate, &body, address).await
}
