//! An answer's body on its way to the browser: ends with its token, and when the upstream goes
//! quiet for too long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prometheus::IntGauge;
use tokio::time::{Instant, Sleep};

use super::answer::UpstreamBody;
use super::watch::Watch;
use super::{Failure, Slot};

/// A body that streams from an upstream.
pub struct Streamed {
    /// What was read of it already; empty when it was sent on.
    first: Bytes,
    body: UpstreamBody,
    idle: Duration,
    /// The token's end, for answers of unknown length: those may go on for ever.
    ends_at: Option<Instant>,
    /// Whether it is an event stream, which may end anywhere. Any other answer that is cut must not
    /// look whole.
    events: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether data moved since the timer was set.
    moved: bool,
    /// What looks for the end of a session in it.
    watch: Option<Box<Watch>>,
    _under_way: UnderWay,
}

/// Why a streaming answer broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenOff {
    /// By the upstream's failure.
    Upstream(Failure),
    /// Its token ended.
    WithToken,
    /// The gate's own store did not answer.
    Store,
}

/// A place at the upstream and in the gauge of requests under way; both are given back when the
/// body ends or is dropped.
pub(super) struct UnderWay {
    _slot: Slot,
    gauge: IntGauge,
}

impl UnderWay {
    pub(super) fn new(slot: Slot, gauge: &IntGauge) -> Self {
        gauge.inc();
        Self { _slot: slot, gauge: gauge.clone() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl Streamed {
    pub(super) fn new(
        first: Bytes,
        body: UpstreamBody,
        events: bool,
        idle: Duration,
        ends_at: Instant,
        under_way: UnderWay,
    ) -> Self {
        let endless = body.size_hint().exact().is_none();
        let ends_at = endless.then_some(ends_at);
        Self { first, body, idle, ends_at, events, timer: None, moved: false, watch: None, _under_way: under_way }
    }

    /// The same, with somebody who looks at what passes.
    pub(super) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// A frame that has come, unless it must wait for its session to be closed.
    fn poll_passing(
        &mut self,
        frame: Frame<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.moved = true;
        if let (Some(watch), Some(data)) = (&mut self.watch, frame.data_ref())
            && !watch.passes(data)
        {
            return watch.poll_held(cx).map(|held| held.map(|data| Ok(Frame::data(data))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// The last frame of a stream whose token has ended.
    fn end(&self) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Poll::Ready(if self.events { None } else { Some(Err(BrokenOff::WithToken)) })
    }

    /// Waits, but not beyond the end of the token or of patience.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let (idle, ends_at) = (self.idle, self.ends_at);
        let wake_at = || {
            let quiet_at = Instant::now() + idle;
            ends_at.map_or(quiet_at, |ends_at| ends_at.min(quiet_at))
        };
        let moved = std::mem::take(&mut self.moved);
        let timer = match &mut self.timer {
            Some(timer) => {
                if moved {
                    timer.as_mut().reset(wake_at());
                }
                timer
            }
            None => self.timer.insert(Box::pin(tokio::time::sleep_until(wake_at()))),
        };
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if self.is_over() => self.end(),
            Poll::Ready(()) => Poll::Ready(Some(Err(BrokenOff::Upstream(Failure::Incomplete)))),
        }
    }

    fn is_over(&self) -> bool {
        self.ends_at.is_some_and(|ends_at| Instant::now() >= ends_at)
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        if let Some(watch) = &mut self.watch
            && let Some(held) = std::task::ready!(watch.poll_held(cx))
        {
            return Poll::Ready(Some(Ok(Frame::data(held))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            // A busy stream never waits for its timer, so it looks at the clock itself.
            Poll::Ready(Some(Ok(_))) if self.is_over() => self.end(),
            Poll::Ready(Some(Ok(frame))) => self.poll_passing(frame, cx),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(BrokenOff::Upstream(Failure::Incomplete)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.poll_timer(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.watch.as_ref().is_none_or(|watch| !watch.holds()) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Where some of it was read before, its length was not known: events are read, not files.
        if self.first.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Upstream(failure) => failure.error_type(),
            Self::WithToken => "the token has ended",
            Self::Store => "the store did not answer",
        })
    }
}

impl std::error::Error for BrokenOff {}
