//! The record of one request: counted and logged once, when its answer has ended.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use sidegate_core::denial::Code;
use sidegate_core::dialect::Operation;
use sidegate_core::id::AppId;
use tokio::time::Instant;

use crate::forward::{BrokenOff, Failure};
use crate::metrics::{Listener, Metrics};

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
}

/// A request whose answer's head is written.
pub(super) struct Record {
    pub(super) metrics: Arc<Metrics>,
    pub(super) logged: bool,
    pub(super) listener: Listener,
    pub(super) started: Instant,
    pub(super) head: Duration,
    pub(super) method: Method,
    pub(super) status: StatusCode,
    pub(super) request_id: HeaderValue,
    pub(super) facts: Facts,
    pub(super) sent_bytes: u64,
    pub(super) complete: bool,
}

impl Record {
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    pub(super) const fn complete(&mut self) {
        self.complete = true;
    }

    /// It broke off within the body: the status is already out, so only the log can tell.
    pub(super) fn broke_off(&mut self, reason: BrokenOff) {
        if let BrokenOff::Upstream(failure) = reason {
            self.facts.failure = Some(failure);
        }
        self.complete = true;
    }

    fn count(&self) {
        if let Some(operation) = self.facts.operation {
            self.metrics.request(operation, self.status, self.head.as_secs_f64());
        }
        if let Some(code) = self.facts.code {
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

    fn log(&self) {
        tracing::info!(
            target: "access",
            request_id = self.request_id.to_str().unwrap_or_default(),
            method = self.method.as_str(),
            listener = self.listener.name(),
            route = self.facts.route.unwrap_or(NO_ROUTE),
            app = self.facts.app.as_ref().map(AppId::as_str),
            status = if self.complete { self.status.as_u16() } else { 499 },
            code = self.facts.code.map(Code::name),
            upstream_error = self.facts.failure.map(Failure::error_type),
            sent_bytes = self.sent_bytes,
            head_ms = millis(self.head),
            duration_ms = millis(self.started.elapsed()),
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.count();
        if self.logged {
            self.log();
        }
    }
}

/// Milliseconds with three places.
fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
