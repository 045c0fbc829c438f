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

/// Bytes that are handed on at once: what is handed on waits out of sight until its client has room, and has `write_timeout` for
/// it.
const PIECE: usize = 16 * 1024;

/// So little may wait for its client when its stream is over for us.
const LITTLE: usize = 1024;

/// An answer's body that is watched.
pub(super) struct Watched<B: Body> {
    body: B,
    stream: Stream,
    /// What was read of it and is not handed on yet.
    rest: Bytes,
    /// Why it breaks off, for one turn in which the connection writes what came before, as far as its client has room: a
    /// reset drops what is still to be written, the answer's head as well.
    broken: Option<B::Error>,
}

impl<B: Body> Watched<B> {
    pub(super) const fn new(body: B, stream: Stream) -> Self {
        Self { body, stream, rest: Bytes::new(), broken: None }
    }
}

impl<B: Body<Data = Bytes>> Watched<B> {
    /// The first piece of a frame.
    fn in_pieces(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.piece()
            }
            Err(trailers) => trailers,
        }
    }

    /// The next piece of what was read. Behind a last one that is not little comes a single byte: it is asked for when the
    /// client has taken what was before it, and until then the stream is not over.
    fn piece(&mut self) -> Frame<Bytes> {
        let (length, is_last) = (self.rest.len(), self.body.is_end_stream());
        let most = if is_last && length > LITTLE { length - 1 } else { length };
        Frame::data(self.rest.split_to(most.min(PIECE)))
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        let mut frame = match self.rest.is_empty() {
            true => Pin::new(&mut self.body).poll_frame(cx).map_ok(|frame| self.in_pieces(frame)),
            false => Poll::Ready(Some(Ok(self.piece()))),
        };
        if let Poll::Ready(Some(Err(broken))) = frame {
            self.broken = Some(broken);
            // Behind the connection's task, which has been woken for what came before.
            cx.waker().wake_by_ref();
            frame = Poll::Pending;
        }
        // It is asked for the next piece when the client has room for it.
        self.stream.waits_since(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before anything is read.
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}
