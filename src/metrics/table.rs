//! The table: what each metric is called, what it says, and how it is registered.

use prometheus::core::Collector;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Seconds; chat answers begin between a millisecond and half a minute.
pub(super) const BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Status classes, `1xx` to `5xx`, and the status of requests whose client left.
pub(super) const STATUSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "499"];

/// A metric's name and help.
pub(super) type Named = (&'static str, &'static str);

pub(super) const REQUESTS: Named = ("sidegate_requests_total", "Chat requests, by route and status class.");
pub(super) const HEAD_SECONDS: Named =
    ("sidegate_head_seconds", "Seconds from a request's head to its answer's head, by route.");
pub(super) const DENIALS: Named = ("sidegate_denials_total", "Requests that the gate refused, by code.");
pub(super) const FAILURES: Named = (
    "sidegate_upstream_failures_total",
    "Failed exchanges with an upstream, by the error type of Proxy-Status (RFC 9209).",
);
pub(super) const CONNECTIONS: Named = ("sidegate_connections", "Open client connections, by listener.");
pub(super) const FORWARDS: Named = ("sidegate_forwards", "Requests under way to an upstream, streams included.");
pub(super) const STREAMS_ENDED: Named = ("sidegate_streams_ended_total", "Streams that the gate has ended, by reason.");
pub(super) const EXCHANGES: Named = ("sidegate_exchanges_total", "Tokens handed out.");
pub(super) const SESSIONS: Named =
    ("sidegate_sessions_total", "Chat sessions that were opened or resumed, by outcome.");
pub(super) const IDENTITIES: Named = ("sidegate_identity_tokens_total", "Identity tokens that were shown, by outcome.");
pub(super) const TRADES: Named = ("sidegate_trades_total", "Tokens of upstreams that were asked for, by outcome.");
pub(super) const TRADE_CIRCUITS_OPEN: Named =
    ("sidegate_trade_circuits_open", "Upstreams that are not asked for tokens for a while, because they failed.");
pub(super) const ADDRESSES: Named = ("sidegate_upstream_addresses", "Addresses of all upstreams, by how they fare.");
pub(super) const REPEATS: Named =
    ("sidegate_upstream_repeats_total", "Requests repeated on another upstream connection.");
pub(super) const SHED: Named = ("sidegate_shed_total", "Requests refused because there was too much to do, by reason.");
pub(super) const SENT_BYTES: Named =
    ("sidegate_sent_bytes_total", "Bytes of answer bodies sent on the public listener.");
pub(super) const LIMITS_DEGRADED: Named =
    ("sidegate_limits_degraded", "1 while the store that counts limits for all replicas does not, else 0.");
pub(super) const APPS_UNUSABLE: Named =
    ("sidegate_apps_unusable", "Apps of the registry that are to be served and cannot be.");
pub(super) const ASSETS: Named =
    ("sidegate_asset_requests_total", "Requests for ChatKit's assets, by what became of them.");
pub(super) const ASSET_BYTES: Named = ("sidegate_asset_cache_bytes", "Bytes of assets that are kept.");
pub(super) const CONFIG_RELOADS: Named =
    ("sidegate_config_reloads_total", "Configurations that were read anew, by what became of them.");
pub(super) const CONFIG_CURRENT: Named =
    ("sidegate_config_current", "1 if the configuration that was read last is in force, 0 if it was refused.");
pub(super) const CONFIG_READ_AT: Named =
    ("sidegate_config_read_timestamp_seconds", "When the configuration in force was read, in seconds since 1970.");
pub(super) const CLIENT_ABORTS: Named =
    ("sidegate_client_aborts_total", "Requests whose client left before the answer's end.");

pub(super) fn counters(registry: &Registry, (name, help): Named, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn counter(registry: &Registry, (name, help): Named) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::new(name, help)?)
}

pub(super) fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn histograms(
    registry: &Registry,
    (name, help): Named,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    register(registry, HistogramVec::new(options, labels)?)
}

pub(super) fn gauges(registry: &Registry, (name, help): Named, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn gauge(registry: &Registry, (name, help): Named) -> prometheus::Result<IntGauge> {
    register(registry, IntGauge::new(name, help)?)
}

pub(super) fn float_gauge(registry: &Registry, (name, help): Named) -> prometheus::Result<Gauge> {
    register(registry, Gauge::new(name, help)?)
}
