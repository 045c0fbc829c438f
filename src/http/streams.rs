//! The requests of one HTTP/2 connection, so that it can be told whether it idles, or whether its
//! client has stopped reading. Flow control hides that from the socket: a client that opens no
//! window blocks no write, and an answer that waits for a window is not polled.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The requests under way on a connection.
pub(super) struct Streams {
    last: Cell<u64>,
    /// Each one, and since when its answer waits for the client to take a piece.
    open: RefCell<BTreeMap<u64, Option<Instant>>>,
    idle_since: Cell<Instant>,
}

/// How a connection is getting on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Busy,
    Idle,
    Stalled,
}

impl Streams {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { last: Cell::new(0), open: RefCell::default(), idle_since: Cell::new(Instant::now()) })
    }

    /// A request begins; it ends when what this returns is dropped.
    pub(super) fn open(self: &Rc<Self>) -> Stream {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.open.borrow_mut().insert(number, None);
        Stream { number, streams: Rc::clone(self) }
    }

    /// Idle without a request for `idle`, stalled with an answer that waited for `stalled`.
    pub(super) fn state(&self, idle: Duration, stalled: Duration) -> State {
        let open = self.open.borrow();
        if open.values().flatten().any(|since| since.elapsed() >= stalled) {
            State::Stalled
        } else if open.is_empty() && self.idle_since.get().elapsed() >= idle {
            State::Idle
        } else {
            State::Busy
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
        self.streams.open.borrow_mut().insert(self.number, since);
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

/// An answer's body that is watched.
pub(super) struct Watched<B> {
    pub(super) body: B,
    pub(super) stream: Stream,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // It is asked for the next piece when the client has room for it.
        self.stream.waits_since(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
