//! A request's body on its way over HTTP/2, in a task of hyper's that nobody else can end: it waits for room in the
//! stream's window without another look at the body.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::AbortHandle;

use crate::forward::request_body::{RequestBody, UploadFault};
use crate::pieces::Pieces;

/// The task that sends a body, once there is one.
type Sending = Rc<Cell<Option<AbortHandle>>>;

/// A body, and where its task is to be known.
pub(super) struct SentBody {
    pub(super) body: RequestBody,
    pieces: Pieces,
    /// Until it is first asked for data.
    unasked: Option<(Tasks, Sending)>,
}

/// Ends what of a request is still to be sent when dropped: its stream is reset, and the client's body let go of.
pub(super) struct GivesUp(Sending);

/// Runs a connection's tasks on this worker.
#[derive(Clone, Default)]
pub(super) struct Tasks {
    /// Whose body has just been asked for the first time: hyper does so before it makes the task that goes on with it.
    next: Rc<Cell<Option<Sending>>>,
}

impl SentBody {
    pub(super) fn new(body: RequestBody, tasks: &Tasks) -> (Self, GivesUp) {
        let sending = Sending::default();
        (
            Self { body, pieces: Pieces::default(), unasked: Some((tasks.clone(), Rc::clone(&sending))) },
            GivesUp(sending),
        )
    }
}

impl GivesUp {
    /// Whether there is nothing left to give up.
    pub(super) fn is_over(&self) -> bool {
        let task = self.0.take();
        let is_over = task.as_ref().is_none_or(AbortHandle::is_finished);
        self.0.set(task);
        is_over
    }
}

impl Drop for GivesUp {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let task = tokio::task::spawn_local(task);
        if let Some(sending) = self.next.take() {
            sending.set(Some(task.abort_handle()));
        }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let this = &mut *self;
        if let Some((tasks, sending)) = this.unasked.take() {
            tasks.next.set(Some(sending));
        }
        this.pieces.poll_frame(&mut this.body, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint(&self.body)
    }
}
