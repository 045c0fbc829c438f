//! The body on its way to the upstream: nothing, bytes that we read or rewrote, or the client's
//! stream under a size limit and a deadline between its pieces.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sidegate_core::denial::Code;
use tokio::time::{Instant, Sleep};

use crate::wire::ClientBody;

/// A request's body.
#[derive(Default)]
pub(super) enum RequestBody {
    #[default]
    Empty,
    Full(Option<Bytes>),
    Streamed(Box<Upload>),
}

/// Why a client's body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadFault {
    TooLarge,
    TooSlow,
    Broken,
}

impl From<UploadFault> for Code {
    fn from(fault: UploadFault) -> Self {
        match fault {
            UploadFault::TooLarge => Self::PayloadTooLarge,
            UploadFault::TooSlow => Self::RequestTimeout,
            UploadFault::Broken => Self::InvalidRequest,
        }
    }
}

/// How a client's body is getting on, shared with the one who waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    fault: Cell<Option<UploadFault>>,
    /// When the upstream last took a piece; `None` before the first.
    moved: Cell<Option<Instant>>,
    /// Whether the upstream waits for the client's next piece, not the other way round.
    client_pauses: Cell<bool>,
}

impl Progress {
    pub(super) fn fault(&self) -> Option<UploadFault> {
        self.fault.get()
    }

    /// Since when the upstream has been expected to do something: take a piece, or answer. It is
    /// not to blame while the client pauses; the client's own deadline is [`Upload`]'s affair.
    pub(super) fn upstream_idle_since(&self) -> Option<Instant> {
        if self.client_pauses.get() { Some(Instant::now()) } else { self.moved.get() }
    }
}

/// A client's body as it comes.
pub(super) struct Upload {
    incoming: ClientBody,
    left: u64,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    progress: Rc<Progress>,
}

impl Upload {
    pub(super) fn new(incoming: ClientBody, limit: usize, patience: Duration) -> (Box<Self>, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        let left = u64::try_from(limit).unwrap_or(u64::MAX);
        (Box::new(Self { incoming, left, patience, timer: None, progress: Rc::clone(&progress) }), progress)
    }

    fn fail(&self, fault: UploadFault) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        self.progress.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        self.progress.client_pauses.set(polled.is_pending());
        if polled.is_ready() {
            self.progress.moved.set(Some(Instant::now()));
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.timer = None;
                // Trailers of a request are not ours to check, so they do not pass.
                let Ok(data) = frame.into_data() else { return Poll::Ready(None) };
                match self.left.checked_sub(data.len() as u64) {
                    Some(left) => self.left = left,
                    None => return self.fail(UploadFault::TooLarge),
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(_))) => self.fail(UploadFault::Broken),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let patience = self.patience;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                match timer.as_mut().poll(cx) {
                    Poll::Ready(()) => self.fail(UploadFault::TooSlow),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl std::fmt::Display for UploadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Code::from(*self).name())
    }
}

impl std::error::Error for UploadFault {}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(upload) => upload.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_none(),
            Self::Streamed(upload) => upload.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed(upload) => upload.incoming.size_hint(),
        }
    }
}
