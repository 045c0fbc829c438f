//! The record of one request: counted and logged once, when its answer has ended.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use prometheus::IntCounter;
use sidegate_core::denial::Code;
use sidegate_core::dialect::Operation;
use sidegate_core::id::AppId;
use tokio::time::Instant;

use crate::forward::Failure;
use crate::metrics::Metrics;

/// The route of requests that have none.
const NO_ROUTE: &str = "-";

/// What is known of a request when its answer's head is written. No query, no ids of the path, no
/// end user: a log is read by more people than a chat.
pub(super) struct Record {
    pub(super) metrics: Arc<Metrics>,
    pub(super) logged: bool,
    pub(super) started: Instant,
    pub(super) head: Duration,
    pub(super) method: Method,
    pub(super) operation: Option<Operation>,
    pub(super) app: Option<AppId>,
    pub(super) status: StatusCode,
    pub(super) code: Option<Code>,
    pub(super) failure: Option<Failure>,
    pub(super) request_id: HeaderValue,
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

    /// The upstream failed within the body: the status is already out, so only the log can tell.
    pub(super) fn broke_off(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.complete = true;
        self.metrics.failure(failure);
    }

    fn count(&self) {
        if let Some(operation) = self.operation {
            self.metrics.request(operation, self.status, self.head.as_secs_f64());
        }
        add(&self.metrics.sent_bytes, self.sent_bytes);
        if !self.complete {
            self.metrics.client_aborts.inc();
        }
    }

    fn log(&self) {
        tracing::info!(
            target: "access",
            request_id = self.request_id.to_str().unwrap_or_default(),
            method = self.method.as_str(),
            route = self.operation.map_or(NO_ROUTE, Operation::template),
            app = self.app.as_ref().map(AppId::as_str),
            status = if self.complete { self.status.as_u16() } else { 499 },
            code = self.code.map(Code::name),
            upstream_error = self.failure.map(Failure::error_type),
            sent_bytes = self.sent_bytes,
            head_ms = millis(self.head),
            duration_ms = millis(self.started.elapsed()),
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // An answer without a body is never asked for a frame.
        self.count();
        if self.logged {
            self.log();
        }
    }
}

fn add(counter: &IntCounter, amount: u64) {
    if amount > 0 {
        counter.inc_by(amount);
    }
}

/// Milliseconds with three places.
fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
