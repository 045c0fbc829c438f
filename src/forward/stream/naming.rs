//! A stream that begins with the creation of a conversation: nothing of it passes until that has its owner, so that whoever
//! reads the id may use it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use sidegate_core::dialect::orcheo::{self, Beginning};
use sidegate_core::id::ConversationId;
use tokio::time::Instant;

use super::{BrokenOff, Streamed};
use crate::forward::Failure;
use crate::forward::answer::UpstreamBody;
use crate::store::Unavailable;

/// Notes whose a conversation is.
pub(in crate::forward) type Recorder = Box<dyn Fn(ConversationId) -> Recording>;
type Recording = Pin<Box<dyn Future<Output = Result<(), Unavailable>>>>;

/// What reads a stream up to the event that names its conversation.
pub(in crate::forward) struct Naming {
    read: BytesMut,
    /// It may not be longer.
    most: usize,
    /// Whether more was read since somebody asked.
    moved: bool,
    recorder: Recorder,
    /// That of the conversation, once it has its name.
    recording: Option<Recording>,
}

impl Naming {
    pub(in crate::forward) fn new(most: usize, recorder: Recorder) -> Self {
        Self { read: BytesMut::new(), most, moved: false, recorder, recording: None }
    }

    /// What was read, once it may pass: the conversation has its owner, or the stream has ended without one, as after an
    /// error.
    fn poll(&mut self, body: &mut UpstreamBody, cx: &mut Context<'_>) -> Poll<Result<Bytes, BrokenOff>> {
        loop {
            if let Some(recording) = &mut self.recording {
                let recorded = ready!(recording.as_mut().poll(cx));
                return Poll::Ready(recorded.map(|()| self.take()).map_err(|_| BrokenOff::Store));
            }
            let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)) else { return Poll::Ready(Ok(self.take())) };
            let data = frame.map_err(BrokenOff::Upstream)?.into_data().unwrap_or_default();
            if self.read.len() + data.len() > self.most {
                return Poll::Ready(Err(BrokenOff::Upstream(Failure::TooLarge)));
            }
            self.read.extend_from_slice(&data);
            self.moved = true;
            match orcheo::beginning(&self.read) {
                Beginning::Incomplete => {}
                Beginning::None => return Poll::Ready(Err(BrokenOff::Upstream(Failure::Unreadable))),
                Beginning::Created(thread) => self.recording = Some((self.recorder)(thread)),
            }
        }
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.read).freeze()
    }

    /// Whether the upstream has said something since this was last asked.
    pub(super) const fn has_moved(&mut self) -> bool {
        std::mem::replace(&mut self.moved, false)
    }
}

impl Streamed {
    /// The same, of which nothing passes before its conversation has an owner.
    pub(in crate::forward) fn naming(mut self, naming: Naming) -> Self {
        self.naming = Some(Box::new(naming));
        self
    }

    /// Until something of it can be passed on: its beginning, a comment that says that it lives, or its last words.
    ///
    /// # Errors
    /// Why it never will.
    pub(in crate::forward) async fn begun(&mut self) -> Result<(), BrokenOff> {
        std::future::poll_fn(|cx| self.poll_begun(cx)).await
    }

    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokenOff>> {
        self.poll_leash(cx);
        if self.ending.is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.poll_named(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.set_timer_if_moved();
        ready!(self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx)));
        let is_idle = Instant::now() >= self.pauses.idle_at;
        Poll::Ready(if is_idle { Err(BrokenOff::Upstream(Failure::Incomplete)) } else { Ok(()) })
    }

    /// Until nothing holds its beginning back, which is then its first frame.
    pub(super) fn poll_named(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokenOff>> {
        if let Some(naming) = &mut self.naming {
            self.first = ready!(naming.poll(&mut self.body, cx))?;
            self.naming = None;
        }
        Poll::Ready(Ok(()))
    }
}
