//! Metrics: one table. Each worker counts in a set of its own, so that counting shares no cache
//! line; a scrape adds the sets up. Labels come from closed enums, never from a request.

mod kinds;
mod scrape;
mod table;

pub use kinds::{AssetResult, Listener, SessionOutcome, TradeOutcome};
pub use scrape::scrape;

use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};
use sidegate_core::clock::Timestamp;
use sidegate_core::denial::Code;
use sidegate_core::dialect::Operation;
use sidegate_core::dialect::chat9::NotIdentified;
use sidegate_core::dialect::mitigate::Reason;
use sidegate_core::ending::Ending;

use self::table::{
    ADDRESSES, APPS_UNUSABLE, ASSET_BYTES, ASSETS, CLIENT_ABORTS, CONFIG_CURRENT, CONFIG_READ_AT, CONFIG_RELOADS,
    CONNECTIONS, DENIALS, EXCHANGES, FAILURES, FORWARDS, HEAD_SECONDS, IDENTITIES, LIMITS_DEGRADED, REPEATS, REQUESTS,
    SENT_BYTES, SESSIONS, SHED, STATUSES, STREAMS_ENDED, TRADE_CIRCUITS_OPEN, TRADES, counter, counters, float_gauge,
    gauge, gauges, histograms,
};
use crate::forward::{EndpointState, Failure};
use crate::overload;

/// The status of a request whose client left before the answer's end, in the log and the metrics alone.
pub const CLIENT_LEFT: u16 = 499;

/// One worker's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Vec<[IntCounter; STATUSES.len()]>,
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
    /// Set at a scrape, in the metrics of one worker, as what is said to be set likewise: it is true of all. Upstreams that
    /// are left alone because they made no tokens.
    pub trade_circuits_open: IntGauge,
    /// Set likewise: addresses of upstreams, by state.
    addresses: [IntGauge; 3],
    /// Requests that were refused because there was too much to do, by reason.
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
    /// Set likewise.
    pub limits_degraded: IntGauge,
    /// Set likewise.
    pub apps_unusable: IntGauge,
    /// Set likewise.
    pub asset_bytes: IntGauge,
}

impl Metrics {
    /// Registers the table.
    ///
    /// # Errors
    /// If two metrics have one name: a fault of the table.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = counters(&registry, REQUESTS, &["route", "method", "status"])?;
        let heads = histograms(&registry, HEAD_SECONDS, &["route", "method"])?;
        let denials = counters(&registry, DENIALS, &["code"])?;
        let failures = counters(&registry, FAILURES, &["error"])?;
        let sessions = counters(&registry, SESSIONS, &["outcome"])?;
        let identities = counters(&registry, IDENTITIES, &["outcome"])?;
        identity_outcomes().for_each(|outcome| drop(identities.with_label_values(&[outcome])));
        let shed = counters(&registry, SHED, &["reason"])?;
        let trades = counters(&registry, TRADES, &["outcome"])?;
        let endings = counters(&registry, STREAMS_ENDED, &["reason"])?;
        let reloads = counters(&registry, CONFIG_RELOADS, &["result"])?;
        let connections = gauges(&registry, CONNECTIONS, &["listener"])?;
        let assets = counters(&registry, ASSETS, &["result"])?;
        let addresses = gauges(&registry, ADDRESSES, &["state"])?;
        let route = |operation: Operation| [operation.template(), operation.method()];
        let classes = |operation| {
            let [template, method] = route(operation);
            STATUSES.map(|status| requests.with_label_values(&[template, method, status]))
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
            forwards: gauge(&registry, FORWARDS)?,
            exchanges: counter(&registry, EXCHANGES)?,
            sessions: ["identified", "guest", "anonymous", "resumed"]
                .map(|outcome| sessions.with_label_values(&[outcome])),
            identities,
            trades: ["fetched", "reused", "failed"].map(|outcome| trades.with_label_values(&[outcome])),
            trade_circuits_open: gauge(&registry, TRADE_CIRCUITS_OPEN)?,
            addresses: EndpointState::ALL.map(|state| addresses.with_label_values(&[state.name()])),
            repeats: counter(&registry, REPEATS)?,
            shed: overload::Reason::ALL.map(|(_, label)| shed.with_label_values(&[label])),
            sent_bytes: counter(&registry, SENT_BYTES)?,
            client_aborts: counter(&registry, CLIENT_ABORTS)?,
            asset_bytes: gauge(&registry, ASSET_BYTES)?,
            apps_unusable: gauge(&registry, APPS_UNUSABLE)?,
            config_reloads: ["refused", "applied"].map(|result| reloads.with_label_values(&[result])),
            config_current: gauge(&registry, CONFIG_CURRENT)?,
            config_read_at: float_gauge(&registry, CONFIG_READ_AT)?,
            limits_degraded: gauge(&registry, LIMITS_DEGRADED)?,
            registry,
        })
    }

    /// Counts an answered chat request; with [`CLIENT_LEFT`] if its client left before the answer's end.
    pub fn request(&self, operation: Operation, status: u16, head_seconds: f64) {
        let place = if status == CLIENT_LEFT { STATUSES.len() } else { usize::from(status / 100).clamp(1, 5) };
        self.requests[operation.index()][place - 1].inc();
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

/// All that a scrape tells of from the start.
fn identity_outcomes() -> impl Iterator<Item = &'static str> {
    let of_chat9 = NotIdentified::ALL.map(NotIdentified::name).into_iter();
    let of_mitigate = Reason::ALL.iter().map(|reason| reason.name());
    of_chat9.chain(of_mitigate).chain(["replayed", "revoked", "verified"])
}
