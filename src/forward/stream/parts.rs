//! What a streamed answer is made of, and how it may break off.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::Frame;
use prometheus::IntGauge;
use sidegate_core::ending::Ending;
use sidegate_core::sse::Boundaries;
use tokio::time::Instant;

use crate::forward::head::is_event_stream;
use crate::forward::{Failure, Slot};
use crate::leash::Held;

/// What ends a stream before its upstream does.
pub(in crate::forward) struct Leash {
    /// The end of its token or session, or of what its leash lets a stream last.
    pub(in crate::forward) ends_at: Instant,
    /// Which of them.
    pub(in crate::forward) why: Ending,
    /// What admitted it, as long as that holds.
    pub(in crate::forward) held: Held,
}

/// What becomes of an upstream's silence.
#[derive(Clone, Copy, Debug)]
pub(in crate::forward) struct Pauses {
    /// After so long it is given up.
    idle: Duration,
    /// After so long, and again and again, the browser gets a comment, if that can stand there.
    pub(super) keep_alive: Option<Duration>,
    /// When both are due.
    pub(super) idle_at: Instant,
    pub(super) alive_at: Option<Instant>,
}

impl Pauses {
    pub(in crate::forward) fn new(idle: Duration, keep_alive: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { idle, keep_alive, idle_at: now + idle, alive_at: keep_alive.map(|after| now + after) }
    }

    /// It has said something.
    pub(super) fn moved(&mut self) {
        *self = Self::new(self.idle, self.keep_alive);
    }

    /// It has said something that the browser does not hear yet.
    pub(super) fn heard(&mut self) {
        self.idle_at = Instant::now() + self.idle;
    }
}

/// What is known of an answer's form.
#[derive(Clone, Copy, Debug)]
pub(in crate::forward) enum Kind {
    /// Events: it may end between two of them, with last words.
    Events(Boundaries),
    /// Events in a content coding. It may end anywhere; nothing can be said in it.
    CodedEvents,
    /// Anything else. If it is cut it must not look whole.
    Whole,
}

impl Kind {
    pub(in crate::forward) fn of(headers: &HeaderMap) -> Self {
        match (is_event_stream(headers), headers.contains_key(CONTENT_ENCODING)) {
            (true, false) => Self::Events(Boundaries::default()),
            (true, true) => Self::CodedEvents,
            (false, _) => Self::Whole,
        }
    }

    pub(super) fn pass(&mut self, frame: &Frame<Bytes>) {
        if let (Self::Events(boundaries), Some(data)) = (self, frame.data_ref()) {
            boundaries.pass(data);
        }
    }
}

/// Why a streaming answer broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenOff {
    /// By the upstream's failure.
    Upstream(Failure),
    /// The gate has ended it.
    Ended(Ending),
    /// The gate's own store did not answer.
    Store,
}

/// A place at the upstream and in the gauge of requests under way; both are given back when the
/// body ends or is dropped.
pub(in crate::forward) struct UnderWay {
    _slot: Slot,
    gauge: IntGauge,
}

impl UnderWay {
    pub(in crate::forward) fn new(slot: Slot, gauge: &IntGauge) -> Self {
        gauge.inc();
        Self { _slot: slot, gauge: gauge.clone() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Upstream(failure) => failure.error_type(),
            Self::Ended(ending) => ending.name(),
            Self::Store => "the store did not answer",
        })
    }
}

impl std::error::Error for BrokenOff {}
