//! An event stream that may say that its session has ended: the session is closed before that frame passes,
//! so that whoever reads it finds the session closed.

use std::task::{Context, Poll};

use bytes::Bytes;
use sidegate_core::dialect::chat9::Ended;

use crate::sessions::Closing;

/// What looks through a stream.
pub(super) struct Watch {
    ended: Ended,
    state: State,
}

enum State {
    /// It has not ended.
    Open(Closing),
    /// It is being closed; the frame that says so waits.
    Closing(Closing, Bytes),
    /// It was closed.
    Closed,
}

impl Watch {
    pub(super) fn new(closing: Closing) -> Self {
        Self { ended: Ended::default(), state: State::Open(closing) }
    }

    /// Looks at a frame that has come; whether it may pass now. If not, [`Self::poll_held`] hands it back.
    pub(super) fn passes(&mut self, frame: &Bytes) -> bool {
        if !matches!(self.state, State::Open(_)) || !self.ended.reads(frame) {
            return true;
        }
        if let State::Open(closing) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Closing(closing, frame.clone());
        }
        false
    }

    /// Whether a frame waits.
    pub(super) const fn holds(&self) -> bool {
        matches!(self.state, State::Closing(..))
    }

    /// The frame that waits, as soon as the session is closed; `None` if none waits. One that cannot be closed
    /// is a matter for those who run the gate: the visitor has the whole answer all the same.
    pub(super) fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let State::Closing(closing, frame) = &mut self.state else { return Poll::Ready(None) };
        let closed = std::task::ready!(closing.as_mut().poll(cx));
        if closed.is_err() {
            tracing::warn!("a chat has ended, and its session could not be closed");
        }
        let frame = std::mem::take(frame);
        self.state = State::Closed;
        Poll::Ready(Some(frame))
    }
}
