//! The record of one request: counted and logged once, when its answer has ended or its client has left.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use sidegate_core::denial::Code;
use sidegate_core::dialect::Operation;
use sidegate_core::ending::Ending;
use sidegate_core::id::AppId;
use tokio::time::Instant;

use super::service::Arrival;
use crate::forward::{BrokenOff, Failure};
use crate::metrics::{CLIENT_LEFT, Listener, Metrics};
use crate::overload::UnderWay;
use crate::store::Counts;
use crate::widgets::{Served, Widgets};

/// The route of requests that have none.
const NO_ROUTE: &str = "-";

/// What was made of a request. No query, no ids of the path, no end user: a log is read by more
/// people than a chat.
#[derive(Default)]
pub(super) struct Facts {
    /// The chat route, for the metrics.
    pub(super) operation: Option<Operation>,
    /// The route's template, for the log.
    pub(super) route: Option<&'static str>,
    pub(super) app: Option<AppId>,
    pub(super) code: Option<Code>,
    pub(super) failure: Option<Failure>,
    /// Why the gate has ended its stream.
    pub(super) ended: Option<Ending>,
    /// The widget whose use it is, and where that is counted.
    pub(super) widget: Option<(Arc<Widgets>, Arc<Served>)>,
}

/// A request, from its head to the end of its answer.
pub(super) struct Record {
    metrics: Arc<Metrics>,
    logged: bool,
    listener: Listener,
    started: Instant,
    method: Method,
    request_id: HeaderValue,
    /// The answer's status, and how long its head took; `None` until there is one.
    answered: Option<(StatusCode, Duration)>,
    facts: Facts,
    sent_bytes: u64,
    complete: bool,
    under_way: Option<UnderWay>,
}

impl Record {
    /// What counts it as under way, for a tunnel that goes on behind its answer.
    pub(super) const fn take_under_way(&mut self) -> Option<UnderWay> {
        self.under_way.take()
    }

    /// A request that has just been read.
    pub(super) fn new(
        metrics: Arc<Metrics>,
        logged: bool,
        listener: Listener,
        arrival: &Arrival,
        method: Method,
        under_way: UnderWay,
    ) -> Self {
        Self {
            metrics,
            logged,
            listener,
            started: arrival.started,
            method,
            request_id: arrival.request_id.clone(),
            answered: None,
            facts: Facts::default(),
            sent_bytes: 0,
            complete: false,
            under_way: Some(under_way),
        }
    }

    /// It has its answer's head.
    pub(super) fn answered(&mut self, status: StatusCode, facts: Facts) {
        self.answered = Some((status, self.started.elapsed()));
        self.facts = facts;
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    pub(super) const fn complete(&mut self) {
        self.complete = true;
    }

    /// Its client left within its own body: whatever is the answer to that, nobody gets it.
    pub(super) const fn client_left(&mut self) {
        self.complete = false;
        self.answered = None;
    }

    /// Why it was refused. What is refused because its client has left is not: that is the client's doing.
    fn refused(&self) -> Option<Code> {
        self.facts.code.filter(|code| self.complete || *code != Code::InvalidRequest)
    }

    /// It broke off within the body: the status is already out, so only the log can tell.
    pub(super) fn broke_off(&mut self, reason: BrokenOff) {
        match reason {
            BrokenOff::Upstream(failure) => self.facts.failure = Some(failure),
            BrokenOff::Ended(ending) => self.facts.ended = Some(ending),
            BrokenOff::Store => self.facts.code = Some(Code::StoreUnavailable),
        }
        self.complete = true;
    }

    /// The gate has ended its stream.
    pub(super) const fn ended(&mut self, ending: Option<Ending>) {
        self.facts.ended = ending;
    }

    fn count(&self) {
        if let (Some(operation), Some((_, head))) = (self.facts.operation, self.answered) {
            self.metrics.request(operation, self.status(), head.as_secs_f64());
        }
        if let Some(code) = self.refused() {
            self.metrics.denial(code);
        }
        if let Some(failure) = self.facts.failure {
            self.metrics.failure(failure);
        }
        if self.listener == Listener::Public {
            self.metrics.sent_bytes.inc_by(self.sent_bytes);
        }
        if !self.complete {
            self.metrics.client_aborts.inc();
        }
    }

    /// A widget's messages are those that its upstream has taken.
    fn count_widget(&self) {
        let Some((widgets, served)) = &self.facts.widget else { return };
        let says = matches!(self.facts.operation, Some(Operation::ChatBotKit(operation)) if operation.is_message());
        let taken = self.answered.is_some_and(|(status, _)| status.is_success());
        let counts = Counts { messages: (says && taken).into(), bytes: self.sent_bytes, ..Counts::default() };
        widgets.tally.add(&served.widget.id, counts);
    }

    /// What its client has got, or would have.
    fn status(&self) -> u16 {
        self.answered.filter(|_| self.complete).map_or(CLIENT_LEFT, |(status, _)| status.as_u16())
    }

    fn log(&self) {
        tracing::info!(
            target: "access",
            request_id = self.request_id.to_str().unwrap_or_default(),
            method = logged_method(&self.method),
            listener = self.listener.name(),
            route = self.facts.route.unwrap_or(NO_ROUTE),
            app = self.facts.app.as_ref().map(AppId::as_str),
            status = self.status(),
            code = self.refused().map(Code::name),
            ended = self.facts.ended.map(Ending::name),
            upstream_error = self.facts.failure.map(Failure::error_type),
            sent_bytes = self.sent_bytes,
            head_ms = self.answered.map(|(_, head)| millis(head)),
            duration_ms = millis(self.started.elapsed()),
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.count();
        self.count_widget();
        if self.logged {
            self.log();
        }
    }
}

/// The methods of RFC 9110 and RFC 5789. A client may make up another, of any length: that is no word for a log.
fn logged_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// Milliseconds with three places.
fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
