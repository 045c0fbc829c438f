//! An answer's body on its way to the browser: ends when what admitted it does, and when the upstream goes quiet for too
//! long.

mod end;
mod naming;
mod parts;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sidegate_core::ending::Ending;
use tokio::time::{Instant, Sleep};

pub(super) use self::naming::{Naming, Recorder};
pub use self::parts::BrokenOff;
pub(super) use self::parts::{Kind, Leash, Pauses, UnderWay};
use super::Failure;
use super::answer::UpstreamBody;
use super::watch::Watch;
use crate::leash::Tether;

/// A comment (HTML standard, section 9.2.7, advises one every 15 seconds or so), and a blank line: nothing is dispatched.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// What a stream of events gets when the gate begins to drain: it goes on, but will not for long.
const DRAINING: &[u8] = b": sidegate draining\n\n";

/// A body that streams from an upstream.
pub struct Streamed {
    /// What was read of it already; empty when it was sent on.
    first: Bytes,
    body: UpstreamBody,
    kind: Kind,
    pauses: Pauses,
    /// What ends answers of unknown length, which may go on for ever.
    leash: Option<Leash>,
    /// Why it must end.
    ending: Option<Ending>,
    /// Whether nothing more is said.
    over: bool,
    /// For how long it is read on when its browser has left.
    reads_on: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether data moved since the timer was set.
    moved: bool,
    /// What holds its beginning back until its conversation has an owner.
    naming: Option<Box<Naming>>,
    /// What looks for the end of a session in it.
    watch: Option<Box<Watch>>,
    /// What counts its bytes, under its leash.
    tether: Option<Arc<Tether>>,
    _under_way: UnderWay,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BrokenOff>>>;

impl Streamed {
    /// `first` is what was read of it before.
    pub(super) fn new(
        first: Bytes,
        body: UpstreamBody,
        kind: Kind,
        pauses: Pauses,
        leash: Option<Leash>,
        under_way: UnderWay,
    ) -> Self {
        Self {
            first,
            body,
            kind,
            pauses,
            leash,
            ending: None,
            over: false,
            reads_on: None,
            timer: None,
            moved: false,
            naming: None,
            watch: None,
            tether: None,
            _under_way: under_way,
        }
    }

    /// The same, read on for so long when nobody takes it any more.
    pub(super) const fn read_on_for(mut self, most: Option<Duration>) -> Self {
        self.reads_on = most;
        self
    }

    /// For how long it is to be read on now that nobody takes it any more: the upstream works for it, and may count what
    /// is read. Not while its client is still to send some of the request: its connection would go on out of sight.
    #[must_use]
    pub fn reads_on(&self) -> Option<Duration> {
        self.reads_on.filter(|_| !self.over && !self.is_end_stream() && self.body.is_request_sent())
    }

    /// Reads it to its end, but not longer than that. What ends it for browsers ends this as well.
    pub async fn read_on(mut self: Box<Self>, most: Duration) {
        let read =
            async { while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {} };
        // Late or not, it is over now.
        let _ = tokio::time::timeout(most, read).await;
    }

    /// The same, whose bytes are counted.
    pub(super) fn tethered(mut self, tether: Option<&Arc<Tether>>) -> Self {
        self.tether = tether.cloned();
        self
    }

    /// The same, with somebody who looks at what passes.
    pub(super) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// Why the gate has ended it, if it has.
    #[must_use]
    pub const fn ended(&self) -> Option<Ending> {
        if self.over { self.ending } else { None }
    }

    /// A frame that has come, unless it must wait for its session to be closed.
    fn poll_passing(&mut self, frame: Frame<Bytes>, cx: &mut Context<'_>) -> Polled {
        self.moved = true;
        if let (Some(watch), Some(data)) = (&mut self.watch, frame.data_ref())
            && !watch.passes(data)
        {
            if let Some(leash) = &self.leash {
                leash.held.closes_session();
            }
            return watch.poll_held(cx).map(|held| held.map(|data| Ok(Frame::data(data))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Waits, but not beyond the end of what admitted it or of patience; speaks up in between.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Polled {
        self.set_timer_if_moved();
        loop {
            ready!(self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx)));
            if let Some(ending) = self.is_over() {
                self.begin_to_end(ending);
                return self.poll_end(ending, cx);
            }
            let now = Instant::now();
            if now >= self.pauses.idle_at {
                self.over = true;
                return Poll::Ready(Some(Err(BrokenOff::Upstream(Failure::Incomplete))));
            }
            // What the gate says itself is no sign of life of the upstream's.
            self.pauses.alive_at = self.pauses.keep_alive.map(|after| now + after);
            self.set_timer(self.due_at());
            if matches!(self.kind, Kind::Events(boundaries) if boundaries.is_between()) {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(KEEP_ALIVE)))));
            }
        }
    }

    fn set_timer_if_moved(&mut self) {
        let is_heard = self.naming.as_mut().is_some_and(|naming| naming.has_moved());
        if std::mem::take(&mut self.moved) || self.timer.is_none() {
            self.pauses.moved();
        } else if is_heard {
            self.pauses.heard();
        } else {
            return;
        }
        self.set_timer(self.due_at());
    }

    /// When something is due if nothing moves.
    fn due_at(&self) -> Instant {
        let ends_at = self.leash.as_ref().map(|leash| leash.ends_at);
        [ends_at, self.pauses.alive_at].into_iter().flatten().fold(self.pauses.idle_at, Instant::min)
    }

    fn set_timer(&mut self, at: Instant) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    fn is_over(&self) -> Option<Ending> {
        self.leash.as_ref().filter(|leash| Instant::now() >= leash.ends_at).map(|leash| leash.why)
    }

    /// Whether it must end, by what has become of what admitted it.
    fn poll_leash(&mut self, cx: &mut Context<'_>) {
        if self.ending.is_some() {
            return;
        }
        if self.leash.is_some() && self.tether.as_ref().is_some_and(|tether| tether.has_no_bytes()) {
            self.begin_to_end(Ending::BytesUsedUp);
        } else if let Some(Poll::Ready(ending)) = self.leash.as_ref().map(|leash| leash.held.poll_ending(cx)) {
            self.begin_to_end(ending);
        }
    }

    /// That the gate drains, once, where a comment may stand.
    fn news(&mut self) -> Option<Frame<Bytes>> {
        let held = &self.leash.as_ref()?.held;
        let may_stand = held.has_news() && matches!(self.kind, Kind::Events(boundaries) if boundaries.is_between());
        may_stand.then(|| {
            held.heard_news();
            Frame::data(Bytes::from_static(DRAINING))
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        if !self.first.is_empty() {
            let first = Frame::data(std::mem::take(&mut self.first));
            self.kind.pass(&first);
            self.moved = true;
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(watch) = &mut self.watch
            && let Some(held) = ready!(watch.poll_held(cx))
        {
            return Poll::Ready(Some(Ok(Frame::data(held))));
        }
        if self.over {
            return Poll::Ready(None);
        }
        self.poll_leash(cx);
        if let Some(ending) = self.ending {
            return self.poll_end(ending, cx);
        }
        if let Some(comment) = self.news() {
            return Poll::Ready(Some(Ok(comment)));
        }
        match self.poll_named(cx) {
            Poll::Ready(Ok(())) if self.first.is_empty() => {}
            Poll::Ready(Ok(())) => return self.poll_next(cx),
            Poll::Ready(Err(reason)) => {
                self.over = true;
                return Poll::Ready(Some(Err(reason)));
            }
            Poll::Pending => return self.poll_timer(cx),
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            // A busy stream never waits for its timer, so it looks at the clock itself.
            Poll::Ready(Some(Ok(frame))) => match self.is_over() {
                Some(ending) => {
                    self.begin_to_end(ending);
                    self.poll_rest(ending, frame, cx)
                }
                None => {
                    self.kind.pass(&frame);
                    self.poll_passing(frame, cx)
                }
            },
            Poll::Ready(Some(Err(_))) => {
                self.over = true;
                Poll::Ready(Some(Err(BrokenOff::Upstream(Failure::Incomplete))))
            }
            Poll::Ready(None) => {
                self.over = true;
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_timer(cx),
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let polled = self.poll_next(cx);
        if let (Some(tether), Poll::Ready(Some(Ok(frame)))) = (&self.tether, &polled) {
            tether.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let is_read =
            self.first.is_empty() && self.naming.is_none() && self.watch.as_ref().is_none_or(|watch| !watch.holds());
        is_read && (self.over || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // Where some of it was read before, its length was not known: events are read, not files. Nor is it known what
        // the gate adds.
        let is_known = self.first.is_empty() && self.naming.is_none() && self.leash.is_none();
        if is_known { self.body.size_hint() } else { SizeHint::default() }
    }
}
