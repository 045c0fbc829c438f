//! The requests of one HTTP/2 connection, so that it can be told whether it idles, or whether its
//! client has stopped reading. Flow control hides that from the socket: a client that opens no
//! window blocks no write, and an answer that waits for a window is not polled.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::pieces::Pieces;

/// The requests under way on a connection.
pub(super) struct Streams {
    last: Cell<u64>,
    open: RefCell<BTreeMap<u64, Open>>,
    idle_since: Cell<Instant>,
}

#[derive(Default)]
struct Open {
    /// Since when its answer waits for the client to take a piece.
    waits_since: Option<Instant>,
    /// What writes its answer.
    task: Option<AbortHandle>,
}

/// How a connection is getting on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Busy,
    Idle,
}

impl Streams {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { last: Cell::new(0), open: RefCell::default(), idle_since: Cell::new(Instant::now()) })
    }

    /// A request begins; it ends when what this returns is dropped.
    pub(super) fn open(self: &Rc<Self>) -> Stream {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.open.borrow_mut().insert(number, Open::default());
        Stream { number, streams: Rc::clone(self) }
    }

    /// Resets the streams whose answers have waited for `patience`; the others are not to suffer.
    pub(super) fn reset_stalled(&self, patience: Duration) {
        for open in self.open.borrow().values() {
            if let (Some(since), Some(task)) = (open.waits_since, &open.task)
                && since.elapsed() >= patience
            {
                task.abort();
            }
        }
    }

    /// Idle without a request for `idle`.
    pub(super) fn state(&self, idle: Duration) -> State {
        let idles = self.open.borrow().is_empty() && self.idle_since.get().elapsed() >= idle;
        if idles { State::Idle } else { State::Busy }
    }
}

/// Runs a connection's streams on this worker. hyper hands a stream over right after its service
/// has been called, so it is the one opened last.
#[derive(Clone)]
pub(super) struct StreamExecutor(pub(super) Rc<Streams>);

impl<F: Future<Output = ()> + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let task = tokio::task::spawn_local(stream).abort_handle();
        if let Some(open) = self.0.open.borrow_mut().get_mut(&self.0.last.get()) {
            open.task.get_or_insert(task);
        }
    }
}

/// A request under way.
pub(super) struct Stream {
    number: u64,
    streams: Rc<Streams>,
}

impl Stream {
    fn waits_since(&self, since: Option<Instant>) {
        if let Some(open) = self.streams.open.borrow_mut().get_mut(&self.number) {
            open.waits_since = since;
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.streams.open.borrow_mut();
        open.remove(&self.number);
        if open.is_empty() {
            self.streams.idle_since.set(Instant::now());
        }
    }
}

/// An answer's body that is watched: its client has `write_timeout` for each piece.
pub(super) struct Watched<B: Body> {
    body: B,
    stream: Stream,
    pieces: Pieces,
    /// Why it breaks off, for one turn in which the connection writes what came before, as far as its client has room: a
    /// reset drops what is still to be written, the answer's head as well.
    broken: Option<B::Error>,
}

impl<B: Body> Watched<B> {
    pub(super) fn new(body: B, stream: Stream) -> Self {
        Self { body, stream, pieces: Pieces::default(), broken: None }
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if let Some(broken) = this.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        let mut frame = this.pieces.poll_frame(&mut this.body, cx);
        if let Poll::Ready(Some(Err(broken))) = frame {
            this.broken = Some(broken);
            // Behind the connection's task, which has been woken for what came before.
            cx.waker().wake_by_ref();
            frame = Poll::Pending;
        }
        // It is asked for the next piece when the client has room for it.
        this.stream.waits_since(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint(&self.body)
    }
}
