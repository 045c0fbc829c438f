//! What the upstream does with a request, as plain data.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::{Semaphore, mpsc, watch};

use super::handles::{ReadHandle, Release, StreamHandle};

/// One way to deal with a request. A clone shares its handles.
#[derive(Clone)]
pub struct Behaviour {
    pub(super) reading: Reading,
    pub(super) doing: Doing,
}

/// How the request body is read before anything is done.
#[derive(Clone)]
pub(super) enum Reading {
    All,
    /// One permit for each frame.
    Permitted(Arc<Semaphore>),
}

#[derive(Clone)]
pub(super) enum Doing {
    Sigmic,
    Answer(Reply),
    Hold(watch::Receiver<bool>, Reply),
    Script(Reply, Script),
    WebSocket,
    Reset,
    Raw(Bytes),
}

/// Where a script comes from; the first request takes it.
pub(super) type Script = Arc<Mutex<Option<mpsc::UnboundedReceiver<Step>>>>;

/// A step of a scripted body.
pub(super) enum Step {
    Chunk(Bytes),
    End,
    Abort,
    Reset,
}

/// A response head with a fixed body.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        Self { status, headers: HeaderMap::new(), body: body.into() }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).header("content-type", "application/json")
    }

    /// Adds a header; a name may occur more than once.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }
}

impl Behaviour {
    fn new(doing: Doing) -> Self {
        Self { reading: Reading::All, doing }
    }

    /// The default: enough of Sigmic's task API, and a WebSocket echo when asked to upgrade.
    pub fn sigmic() -> Self {
        Self::new(Doing::Sigmic)
    }

    pub fn answer(reply: Reply) -> Self {
        Self::new(Doing::Answer(reply))
    }

    /// Gives not even a response head until released.
    pub fn held(reply: Reply) -> (Self, Release) {
        let (sender, released) = watch::channel(false);
        (Self::new(Doing::Hold(released, reply)), Release(sender))
    }

    /// Sends the head of `reply` at once, then what the handle says (its body is ignored).
    pub fn stream(head: Reply) -> (Self, StreamHandle) {
        let (sender, steps) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(Some(steps)));
        (Self::new(Doing::Script(head, script)), StreamHandle(sender))
    }

    /// [`Behaviour::stream`] as server-sent events.
    pub fn sse() -> (Self, StreamHandle) {
        let head = Reply::new(200, "").header("content-type", "text/event-stream");
        Self::stream(head.header("cache-control", "no-cache"))
    }

    /// An RFC 6455 handshake, then every message comes back.
    pub fn websocket() -> Self {
        Self::new(Doing::WebSocket)
    }

    /// Resets the TCP connection instead of answering.
    pub fn reset() -> Self {
        Self::new(Doing::Reset)
    }

    /// Closes the connection instead of answering, as a keep-alive timeout would that
    /// crosses the request on its way.
    pub fn close() -> Self {
        Self::garbage("")
    }

    /// Sends these bytes instead of a response, then closes. Plain TCP only.
    pub fn garbage(bytes: impl Into<Bytes>) -> Self {
        Self::new(Doing::Raw(bytes.into()))
    }

    /// Sends a well-formed response whose head is about `size` bytes, in many headers.
    pub fn huge_head(size: usize) -> Self {
        let line = |n| format!("X-Filler-{n}: {}\r\n", "x".repeat(1000));
        let filler: String = (0..size.div_ceil(1000)).map(line).collect();
        Self::garbage(format!("HTTP/1.1 200 OK\r\n{filler}Content-Length: 0\r\n\r\n"))
    }

    /// Reads the request body only as the handle allows, and acts after its end.
    pub fn reading_by_hand(mut self) -> (Self, ReadHandle) {
        let permits = Arc::new(Semaphore::new(0));
        self.reading = Reading::Permitted(Arc::clone(&permits));
        (self, ReadHandle(permits))
    }
}
