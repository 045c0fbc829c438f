//! The ops listener: is the program alive, is it ready, what has it counted.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::{Map, Value, json};
use sidegate_core::denial::{Code, Denial};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::guard::{guard, refuse};
use super::io::Patient;
use crate::config::LimitsOnError;
use crate::forward::{EndpointState, Upstream};
use crate::gate::Gates;
use crate::metrics::{Metrics, scrape};
use crate::registry::Registry;
use crate::wire::Io;

/// What `/readyz` asks.
pub struct Readiness {
    /// The shared state.
    pub gates: Gates,
    /// Whether the program has been told to stop.
    pub draining: AtomicBool,
    /// All workers' counters.
    pub metrics: Vec<Arc<Metrics>>,
}

/// Connections at once: probes and scrapers are few.
const MAX_CONNECTIONS: usize = 64;

/// A descriptor that is given up for a connection of this listener when no other is left: who operates the gate must be able
/// to ask just then.
#[derive(Default)]
struct Spare(Mutex<Option<File>>);

impl Spare {
    /// Takes one again, if there is one.
    fn refill(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = File::open("/dev/null").ok();
        }
    }

    /// Whether there was one to give up.
    fn give_up(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// Serves the ops listener until the task is aborted. Who does not send a head in time, or does not take an answer, loses its
/// place to others.
pub async fn serve_ops(socket: Arc<TcpListener>, router: Router, head_timeout: Duration, write_timeout: Duration) {
    let (places, spare) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), Arc::<Spare>::default());
    spare.refill();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((connection, _)) = socket.accept().await else {
            if !spare.give_up() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                spare.refill();
            }
            continue;
        };
        let (service, spare) = (TowerToHyperService::new(router.clone()), Arc::clone(&spare));
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(head_timeout);
            // How a probe's connection ends is the probe's affair.
            let connection = Patient::new(Io::Plain(connection), write_timeout);
            let _ = server.serve_connection(TokioIo::new(connection), service).await;
            spare.refill();
            drop(place);
        });
    }
}

/// All routes of the ops listener.
pub fn ops_router(readiness: Arc<Readiness>) -> Router {
    let get_only = || async { refuse(Denial::method_not_allowed("GET, HEAD")) };
    Router::new()
        .route("/livez", get(|| async { plain("ok\n") }).fallback(get_only))
        .route("/readyz", get(readyz).fallback(get_only))
        .route("/metrics", get(metrics).fallback(get_only))
        .fallback(|| async { refuse(Code::NotFound) })
        .layer(from_fn_with_state(Arc::clone(&readiness), guarded))
        .with_state(readiness)
}

/// The hosts are those of the configuration of now.
async fn guarded(State(readiness): State<Arc<Readiness>>, request: Request, next: Next) -> Response {
    guard(&readiness.gates.load_full().listen.hosts, request, next).await
}

fn plain(text: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], text.into()).into_response()
}

/// 200 if every check passes, else 503; the body says which. A gate that is to go on without the
/// store's counters stays ready without the store.
async fn readyz(State(readiness): State<Arc<Readiness>>) -> Response {
    let gate = readiness.gates.load_full();
    let draining = readiness.draining.load(Ordering::Relaxed);
    let store = match gate.store.has_room().await {
        Ok(true) => "ok",
        Ok(false) => "full",
        Err(_) => "unavailable",
    };
    let mut checks = json!({
        "accepting": if draining { "draining" } else { "ok" },
        "store": store,
        "apps": gate.registry.load().apps().count(),
    });
    if let Some(first) = readiness.metrics.first() {
        checks["config"] = if first.is_configuration_current() { "ok" } else { "refused" }.into();
    }
    let unusable = gate.apps.unusable();
    if unusable > 0 {
        checks["apps_unusable"] = unusable.into();
    }
    let upstreams = troubled(&gate.registry.load());
    if !upstreams.is_empty() {
        checks["upstreams"] = upstreams.into();
    }
    let counters = gate.store.counters();
    if let Some(counters) = counters {
        checks["revocations"] = if gate.revoked.is_stale() { "stale" } else { "ok" }.into();
        checks["limits"] = if counters.is_counting() { "shared" } else { gate.limits_on_error.name() }.into();
    }
    // What the gate knows of the registry goes on without it, so that decides nothing.
    if gate.registry_is_apart {
        checks["registry"] = if gate.service_tokens.reach_registry() { "ok" } else { "unavailable" }.into();
    }
    let goes_on = counters.is_some() && gate.limits_on_error != LimitsOnError::Deny;
    let ready = !draining && !gate.revoked.is_stale() && (store != "unavailable" || goes_on);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": ready, "checks": checks });
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], format!("{body}\n")).into_response()
}

/// Upstreams that have addresses which do not work, and how these fare. The gate stays ready: it tells pages so in
/// words that they can read, and all replicas would leave together.
fn troubled(registry: &Registry) -> Map<String, Value> {
    let states = |upstream: &Upstream| {
        let endpoints = upstream.endpoints().iter().map(|endpoint| (endpoint.authority.to_string(), endpoint.state()));
        let bad = endpoints.filter(|(_, state)| *state != EndpointState::Healthy);
        let bad: Map<_, _> = bad.map(|(address, state)| (address, state.name().into())).collect();
        (!bad.is_empty()).then(|| (upstream.settings.name.clone(), Value::from(bad)))
    };
    registry.upstreams().iter().filter_map(|upstream| states(upstream)).collect()
}

async fn metrics(State(readiness): State<Arc<Readiness>>) -> Response {
    let gate = readiness.gates.load_full();
    let degraded = gate.store.counters().is_some_and(|counters| !counters.is_counting());
    if let Some(first) = readiness.metrics.first() {
        let registry = gate.registry.load();
        let open = registry.upstreams().iter().filter(|upstream| upstream.trades.is_open()).count();
        let endpoints = registry.upstreams().iter().flat_map(|upstream| upstream.endpoints());
        first.set_addresses(endpoints.map(|endpoint| endpoint.state()));
        first.trade_circuits_open.set(i64::try_from(open).unwrap_or(i64::MAX));
        first.limits_degraded.set(degraded.into());
        let kept = gate.assets.as_ref().map_or(0, |assets| assets.bytes());
        first.asset_bytes.set(i64::try_from(kept).unwrap_or(i64::MAX));
        first.apps_unusable.set(i64::try_from(gate.apps.unusable()).unwrap_or(i64::MAX));
    }
    let text = scrape(readiness.metrics.iter().map(AsRef::as_ref));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
