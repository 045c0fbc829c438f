//! Metrics: one table. Each worker counts in a set of its own, so that counting shares no cache
//! line; a scrape adds the sets up. Labels come from closed enums, never from a request.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use prometheus::core::Collector;
use prometheus::proto::{self, Metric, MetricFamily, MetricType};
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use sidegate_core::clock::Timestamp;
use sidegate_core::denial::Code;
use sidegate_core::dialect::Operation;
use sidegate_core::dialect::chat9::NotIdentified;
use sidegate_core::dialect::mitigate::Reason;
use sidegate_core::ending::Ending;
use sidegate_core::session::Mode;

use crate::forward::{EndpointState, Failure};
use crate::overload;

/// Seconds; chat answers begin between a millisecond and half a minute.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Status classes, `1xx` to `5xx`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Which listener a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// For browsers.
    Public,
    /// For the customer's servers.
    Private,
}

impl Listener {
    /// Its label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// What became of a request for an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetResult {
    /// It was kept, and fresh.
    Hit,
    /// It came with another request for it that was under way.
    Shared,
    /// It was fetched.
    Miss,
    /// It was kept, and still is what the CDN has.
    Revalidated,
    /// It was kept, and used beyond its time.
    Stale,
    /// It may not be kept, and was fetched for this request alone.
    Passed,
    /// The CDN has no such asset.
    Missing,
    /// It was not asked for: a path that could lead elsewhere, or another method.
    Refused,
    /// It could not be fetched.
    Failed,
}

impl AssetResult {
    /// Every result, in the order of the enum, with its label.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Hit, "hit"),
        (Self::Shared, "shared"),
        (Self::Miss, "miss"),
        (Self::Revalidated, "revalidated"),
        (Self::Stale, "stale"),
        (Self::Passed, "passed"),
        (Self::Missing, "missing"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
    ];
}

/// One worker's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Vec<[IntCounter; 5]>,
    head_seconds: Vec<Histogram>,
    denials: Vec<IntCounter>,
    failures: Vec<IntCounter>,
    connections: [IntGauge; 2],
    assets: [IntCounter; 9],
    streams_ended: [IntCounter; Ending::ALL.len()],
    /// Requests under way to an upstream, streams included.
    pub forwards: IntGauge,
    /// Tokens handed out.
    pub exchanges: IntCounter,
    sessions: [IntCounter; 4],
    identities: IntCounterVec,
    trades: [IntCounter; 3],
    /// Set likewise: upstreams that are left alone because they made no tokens.
    pub trade_circuits_open: IntGauge,
    addresses: [IntGauge; 3],
    shed: [IntCounter; 3],
    /// Requests repeated on another connection because the first one had gone stale.
    pub repeats: IntCounter,
    /// Bytes of answer bodies sent to browsers.
    pub sent_bytes: IntCounter,
    /// Requests whose client left before the answer's end.
    pub client_aborts: IntCounter,
    /// By whether the new configuration came into force.
    config_reloads: [IntCounter; 2],
    config_current: IntGauge,
    config_read_at: Gauge,
    /// Set at a scrape, in the metrics of one worker: it is true of all.
    pub limits_degraded: IntGauge,
    /// Set likewise.
    pub apps_unusable: IntGauge,
    /// Set likewise.
    pub asset_bytes: IntGauge,
}

/// What came of a request for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOutcome {
    /// A new one, of somebody who is vouched for.
    Identified,
    /// A new one, of somebody who has filled in a form.
    Guest,
    /// A new one, of somebody whom nobody knows.
    Anonymous,
    /// That of before.
    Resumed,
}

impl SessionOutcome {
    /// A new one.
    #[must_use]
    pub const fn of(mode: Mode) -> Self {
        match mode {
            Mode::Identified => Self::Identified,
            Mode::Guest => Self::Guest,
            Mode::Anonymous => Self::Anonymous,
        }
    }
}

/// What came of a request for a token that an upstream makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeOutcome {
    /// The upstream made one.
    Fetched,
    /// One was at hand, or being fetched.
    Reused,
    /// There is none.
    Failed,
}

/// A metric's name and help.
type Named = (&'static str, &'static str);

const REQUESTS: Named = ("sidegate_requests_total", "Chat requests, by route and status class.");
const HEAD_SECONDS: Named = ("sidegate_head_seconds", "Seconds from a request's head to its answer's head, by route.");
const DENIALS: Named = ("sidegate_denials_total", "Requests that the gate refused, by code.");
const FAILURES: Named = (
    "sidegate_upstream_failures_total",
    "Failed exchanges with an upstream, by the error type of Proxy-Status (RFC 9209).",
);
const CONNECTIONS: Named = ("sidegate_connections", "Open client connections, by listener.");
const FORWARDS: Named = ("sidegate_forwards", "Requests under way to an upstream, streams included.");
const STREAMS_ENDED: Named = ("sidegate_streams_ended_total", "Streams that the gate has ended, by reason.");
const EXCHANGES: Named = ("sidegate_exchanges_total", "Tokens handed out.");
const SESSIONS: Named = ("sidegate_sessions_total", "Chat sessions that were opened or resumed, by outcome.");
const IDENTITIES: Named = ("sidegate_identity_tokens_total", "Identity tokens that were shown, by outcome.");
const TRADES: Named = ("sidegate_trades_total", "Tokens of upstreams that were asked for, by outcome.");
const TRADE_CIRCUITS_OPEN: Named =
    ("sidegate_trade_circuits_open", "Upstreams that are not asked for tokens for a while, because they failed.");
const ADDRESSES: Named = ("sidegate_upstream_addresses", "Addresses of all upstreams, by how they fare.");
const REPEATS: Named = ("sidegate_upstream_repeats_total", "Requests repeated on another upstream connection.");
const SHED: Named = ("sidegate_shed_total", "Requests refused because there was too much to do, by reason.");
const SENT_BYTES: Named = ("sidegate_sent_bytes_total", "Bytes of answer bodies sent on the public listener.");
const LIMITS_DEGRADED: Named =
    ("sidegate_limits_degraded", "1 while the store that counts limits for all replicas does not, else 0.");
const APPS_UNUSABLE: Named = ("sidegate_apps_unusable", "Apps of the registry that are to be served and cannot be.");
const ASSETS: Named = ("sidegate_asset_requests_total", "Requests for ChatKit's assets, by what became of them.");
const ASSET_BYTES: Named = ("sidegate_asset_cache_bytes", "Bytes of assets that are kept.");
const CONFIG_RELOADS: Named =
    ("sidegate_config_reloads_total", "Configurations that were read anew, by what became of them.");
const CONFIG_CURRENT: Named =
    ("sidegate_config_current", "1 if the configuration that was read last is in force, 0 if it was refused.");
const CONFIG_READ_AT: Named =
    ("sidegate_config_read_timestamp_seconds", "When the configuration in force was read, in seconds since 1970.");
const CLIENT_ABORTS: Named = ("sidegate_client_aborts_total", "Requests whose client left before the answer's end.");

impl Metrics {
    /// Registers the table.
    ///
    /// # Errors
    /// If two metrics have one name: a fault of the table.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = counters(&registry, REQUESTS, &["route", "method", "status"])?;
        let options = HistogramOpts::new(HEAD_SECONDS.0, HEAD_SECONDS.1).buckets(BUCKETS.to_vec());
        let heads = register(&registry, HistogramVec::new(options, &["route", "method"])?)?;
        let denials = counters(&registry, DENIALS, &["code"])?;
        let failures = counters(&registry, FAILURES, &["error"])?;
        let sessions = counters(&registry, SESSIONS, &["outcome"])?;
        let identities = counters(&registry, IDENTITIES, &["outcome"])?;
        let reasons = NotIdentified::ALL.map(NotIdentified::name).into_iter();
        for outcome in
            reasons.chain(Reason::ALL.iter().map(|reason| reason.name())).chain(["replayed", "revoked", "verified"])
        {
            identities.with_label_values(&[outcome]);
        }
        let shed = counters(&registry, SHED, &["reason"])?;
        let trades = counters(&registry, TRADES, &["outcome"])?;
        let endings = counters(&registry, STREAMS_ENDED, &["reason"])?;
        let reloads = counters(&registry, CONFIG_RELOADS, &["result"])?;
        let connections = IntGaugeVec::new(Opts::new(CONNECTIONS.0, CONNECTIONS.1), &["listener"])?;
        let connections = register(&registry, connections)?;
        let assets = counters(&registry, ASSETS, &["result"])?;
        let addresses = IntGaugeVec::new(Opts::new(ADDRESSES.0, ADDRESSES.1), &["state"])?;
        let addresses = register(&registry, addresses)?;
        let route = |operation: Operation| [operation.template(), operation.method()];
        let classes = |operation| {
            let [template, method] = route(operation);
            CLASSES.map(|class| requests.with_label_values(&[template, method, class]))
        };
        let listeners = [Listener::Public, Listener::Private];
        Ok(Self {
            requests: Operation::all().map(classes).collect(),
            head_seconds: Operation::all().map(|operation| heads.with_label_values(&route(operation))).collect(),
            denials: Code::ALL.iter().map(|code| denials.with_label_values(&[code.name()])).collect(),
            failures: Failure::ALL.iter().map(|failure| failures.with_label_values(&[failure.error_type()])).collect(),
            connections: listeners.map(|listener| connections.with_label_values(&[listener.name()])),
            assets: AssetResult::ALL.map(|(_, label)| assets.with_label_values(&[label])),
            streams_ended: Ending::ALL.map(|ending| endings.with_label_values(&[ending.name()])),
            forwards: register(&registry, IntGauge::new(FORWARDS.0, FORWARDS.1)?)?,
            exchanges: counter(&registry, EXCHANGES)?,
            sessions: ["identified", "guest", "anonymous", "resumed"]
                .map(|outcome| sessions.with_label_values(&[outcome])),
            identities,
            trades: ["fetched", "reused", "failed"].map(|outcome| trades.with_label_values(&[outcome])),
            trade_circuits_open: register(&registry, IntGauge::new(TRADE_CIRCUITS_OPEN.0, TRADE_CIRCUITS_OPEN.1)?)?,
            addresses: EndpointState::ALL.map(|(_, label)| addresses.with_label_values(&[label])),
            repeats: counter(&registry, REPEATS)?,
            shed: overload::Reason::ALL.map(|(_, label)| shed.with_label_values(&[label])),
            sent_bytes: counter(&registry, SENT_BYTES)?,
            client_aborts: counter(&registry, CLIENT_ABORTS)?,
            asset_bytes: register(&registry, IntGauge::new(ASSET_BYTES.0, ASSET_BYTES.1)?)?,
            apps_unusable: register(&registry, IntGauge::new(APPS_UNUSABLE.0, APPS_UNUSABLE.1)?)?,
            config_reloads: ["refused", "applied"].map(|result| reloads.with_label_values(&[result])),
            config_current: register(&registry, IntGauge::new(CONFIG_CURRENT.0, CONFIG_CURRENT.1)?)?,
            config_read_at: register(&registry, Gauge::new(CONFIG_READ_AT.0, CONFIG_READ_AT.1)?)?,
            limits_degraded: register(&registry, IntGauge::new(LIMITS_DEGRADED.0, LIMITS_DEGRADED.1)?)?,
            registry,
        })
    }

    /// Counts an answered chat request.
    pub fn request(&self, operation: Operation, status: StatusCode, head_seconds: f64) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.requests[operation.index()][class].inc();
        self.head_seconds[operation.index()].observe(head_seconds);
    }

    /// Counts a refusal.
    pub fn denial(&self, code: Code) {
        self.denials[code as usize].inc();
    }

    /// Counts a stream that the gate has ended.
    pub fn stream_ended(&self, ending: Ending) {
        self.streams_ended[ending as usize].inc();
    }

    /// Counts a session.
    pub fn session(&self, outcome: SessionOutcome) {
        self.sessions[outcome as usize].inc();
    }

    /// Counts an identity token that was shown: `verified`, `replayed`, or the name of why it identifies nobody.
    pub fn identity(&self, outcome: &'static str) {
        self.identities.with_label_values(&[outcome]).inc();
    }

    /// Counts a token that an upstream makes.
    pub fn trade(&self, outcome: TradeOutcome) {
        self.trades[outcome as usize].inc();
    }

    /// Counts an upstream's failure.
    pub fn failure(&self, failure: Failure) {
        self.failures[failure as usize].inc();
    }

    /// Counts a configuration that was read anew. In the metrics of one worker: it is true of all.
    pub fn reloaded(&self, applied: bool, now: Timestamp) {
        self.config_reloads[usize::from(applied)].inc();
        if applied { self.configured(now) } else { self.config_current.set(0) }
    }

    /// The configuration that was read last is in force. In the metrics of one worker, likewise.
    pub fn configured(&self, now: Timestamp) {
        self.config_current.set(1);
        self.config_read_at.set(Duration::from_millis(now.millis()).as_secs_f64());
    }

    /// Whether the configuration that was read last is in force.
    #[must_use]
    pub fn is_configuration_current(&self) -> bool {
        self.config_current.get() != 0
    }

    /// Says how many addresses of upstreams fare how. Set at a scrape, in the metrics of one worker.
    pub fn set_addresses(&self, endpoints: impl Iterator<Item = EndpointState>) {
        let mut counts = [0; 3];
        endpoints.for_each(|state| counts[state as usize] += 1);
        self.addresses.iter().zip(counts).for_each(|(gauge, count)| gauge.set(count));
    }

    /// Counts a request that is refused because there is too much to do.
    pub fn shed(&self, reason: overload::Reason) {
        self.shed[reason as usize].inc();
    }

    /// Counts a request for an asset.
    pub fn asset(&self, result: AssetResult) {
        self.assets[result as usize].inc();
    }

    /// The gauge of open connections of a listener.
    #[must_use]
    pub const fn connections(&self, listener: Listener) -> &IntGauge {
        match listener {
            Listener::Public => &self.connections[0],
            Listener::Private => &self.connections[1],
        }
    }
}

fn counters(registry: &Registry, (name, help): Named, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn counter(registry: &Registry, (name, help): Named) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::new(name, help)?)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// The sum of all workers' metrics in Prometheus' text format.
#[must_use]
pub fn scrape<'a>(workers: impl Iterator<Item = &'a Metrics>) -> String {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for worker in workers {
        for family in worker.registry.gather() {
            match families.get_mut(family.name()) {
                Some(sum) => add_family(sum, &family),
                None => drop(families.insert(family.name().to_owned(), family)),
            }
        }
    }
    let mut text = Vec::new();
    let families: Vec<_> = families.into_values().collect();
    // Writing to memory fails only for a family without metrics, which the table has none of.
    let _ = TextEncoder::new().encode(&families, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Adds metric by metric: all workers register one table, so both are in the same order.
fn add_family(sum: &mut MetricFamily, family: &MetricFamily) {
    let kind = family.get_field_type();
    let pairs = sum.get_metric().iter().zip(family.get_metric());
    let metrics = pairs.map(|(one, other)| add_metric(kind, one, other)).collect();
    sum.set_metric(metrics);
}

fn add_metric(kind: MetricType, one: &Metric, other: &Metric) -> Metric {
    let mut sum = one.clone();
    match kind {
        MetricType::COUNTER => {
            let mut counter = one.get_counter().clone();
            counter.set_value(one.get_counter().get_value() + other.get_counter().get_value());
            sum.set_counter(counter);
        }
        MetricType::GAUGE => {
            let mut gauge = one.get_gauge().clone();
            gauge.set_value(one.get_gauge().get_value() + other.get_gauge().get_value());
            sum.set_gauge(gauge);
        }
        MetricType::HISTOGRAM => sum.set_histogram(add_histogram(one.get_histogram(), other.get_histogram())),
        // The table has none of these.
        MetricType::SUMMARY | MetricType::UNTYPED => {}
    }
    sum
}

fn add_histogram(one: &proto::Histogram, other: &proto::Histogram) -> proto::Histogram {
    let mut sum = one.clone();
    sum.set_sample_count(one.get_sample_count() + other.get_sample_count());
    sum.set_sample_sum(one.get_sample_sum() + other.get_sample_sum());
    let buckets = one.get_bucket().iter().zip(other.get_bucket()).map(|(one, other)| {
        let mut bucket = one.clone();
        bucket.set_cumulative_count(one.cumulative_count() + other.cumulative_count());
        bucket
    });
    sum.set_bucket(buckets.collect());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_adds_the_workers_up() {
        let workers = [Metrics::new().expect("a table"), Metrics::new().expect("a table")];
        let operation = Operation::all().next().expect("an operation");
        for worker in &workers {
            worker.request(operation, StatusCode::OK, 0.002);
            worker.denial(Code::InvalidToken);
            worker.connections(Listener::Public).inc();
        }
        let text = scrape(workers.iter());
        assert!(text.contains("sidegate_denials_total{code=\"INVALID_TOKEN\"} 2"), "{text}");
        assert!(text.contains("sidegate_connections{listener=\"public\"} 2"), "{text}");
        assert!(text.contains("le=\"0.0025\"} 2"), "{text}");
        assert!(
            text.contains("sidegate_requests_total{method=\"POST\",route=\"/api/v1/tasks\",status=\"2xx\"} 2"),
            "{text}"
        );
    }
}
