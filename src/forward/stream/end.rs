//! How a stream ends before its upstream does: between two events, with its last words, or cut.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use sidegate_core::ending::Ending;
use tokio::time::Instant;

use super::{BrokenOff, Kind, Polled, Streamed};

/// For how long a stream that must end may finish an event that it has begun.
const UNFINISHED: Duration = Duration::from_millis(300);

impl Streamed {
    /// The last frames of a stream that must end: the rest of the event that it is in, if that comes soon, then its last
    /// words. A browser drops an event that is not whole.
    pub(super) fn poll_end(&mut self, ending: Ending, cx: &mut Context<'_>) -> Polled {
        let Kind::Events(boundaries) = self.kind else { return self.cut(ending) };
        if boundaries.is_between() {
            let words = self.leash.as_ref().map(|leash| ending.last_event(leash.held.dialect()));
            self.finish(ending);
            return Poll::Ready(words.map(|words| Ok(Frame::data(words.into()))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            // A busy stream never waits for its timer, so it looks at the clock itself.
            Poll::Ready(Some(Ok(_))) if self.is_late() => self.cut(ending),
            Poll::Ready(Some(Ok(frame))) => self.poll_rest(ending, frame, cx),
            Poll::Ready(Some(Err(_)) | None) => self.cut(ending),
            Poll::Pending => {
                ready!(self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx)));
                self.cut(ending)
            }
        }
    }

    /// As much of a frame as belongs to the event that has begun.
    pub(super) fn poll_rest(&mut self, ending: Ending, frame: Frame<Bytes>, cx: &mut Context<'_>) -> Polled {
        let (Kind::Events(boundaries), Ok(mut data)) = (&mut self.kind, frame.into_data()) else {
            return self.cut(ending);
        };
        if boundaries.is_between() {
            return self.poll_end(ending, cx);
        }
        if let Some(end) = boundaries.finish(&data) {
            data.truncate(end);
        }
        self.poll_passing(Frame::data(data), cx)
    }

    /// Ends it where it stands.
    fn cut(&mut self, ending: Ending) -> Polled {
        self.finish(ending);
        Poll::Ready(match self.kind {
            Kind::Events(_) | Kind::CodedEvents => None,
            Kind::Whole => Some(Err(BrokenOff::Ended(ending))),
        })
    }

    fn finish(&mut self, ending: Ending) {
        self.over = true;
        if let Some(leash) = &self.leash {
            leash.held.count(ending);
        }
    }

    /// Whether what the timer was set for is due.
    fn is_late(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.deadline() <= Instant::now())
    }

    /// Notes that it must end.
    pub(super) fn begin_to_end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.set_timer(Instant::now() + UNFINISHED);
    }
}
