//! The chat service of the streams: it creates tasks, opens event streams, and writes into them when told to.

use super::tally::Tally;
use super::wire::{field, read_head};
use crate::{Result, token};
use socket2::SockRef;
use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// Thousands of connections come within a second.
const BACKLOG: u32 = 4096;

/// Open streams, in the order in which they came.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    shared: Rc<Shared>,
}

struct Shared {
    tally: Rc<Tally>,
    /// Whether the proxy promises to check tokens and to inject.
    gate: bool,
    streams: RefCell<Vec<Stream>>,
    tasks: RefCell<u32>,
}

struct Stream {
    socket: std::net::TcpStream,
    events: u32,
}

impl Upstream {
    /// Listens on a free port; must run in a `LocalSet`.
    pub(super) fn start(tally: Rc<Tally>, gate: bool) -> Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let shared = Rc::new(Shared { tally, gate, streams: RefCell::default(), tasks: RefCell::default() });
        spawn_local(accept(listener, Rc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// Streams that are open on this side.
    pub(super) fn open(&self) -> usize {
        self.shared.streams.borrow().len()
    }

    /// Writes an event into the next stream of the circle.
    pub(super) fn send(&self, turn: usize) -> Result<()> {
        let mut streams = self.shared.streams.borrow_mut();
        let next = turn.checked_rem(streams.len()).and_then(|index| streams.get_mut(index));
        next.ok_or("no streams")?.send(&self.shared.tally)
    }
}

impl Stream {
    fn send(&mut self, tally: &Tally) -> Result<()> {
        let chunk = tally.stamp(self.events)?.chunk();
        self.events += 1;
        // A socket that takes no event at once is stuck: the last one was seconds ago.
        match self.socket.write(chunk.as_bytes()) {
            Ok(written) if written == chunk.len() => Ok(()),
            other => Err(format!("the upstream cannot write an event: {other:?}").into()),
        }
    }
}

async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(spawn_local(serve(socket, Rc::clone(&shared)))),
            Err(error) => return shared.tally.fail(format!("the upstream cannot accept: {error}")),
        }
    }
}

async fn serve(socket: TcpStream, shared: Rc<Shared>) {
    if let Err(error) = answer(socket, &shared).await {
        shared.tally.fail(format!("upstream: {error}"));
    }
}

/// One request for each connection; the streams stay open.
async fn answer(mut socket: TcpStream, shared: &Shared) -> Result<()> {
    let mut buffer = Vec::new();
    let head = read_head(&mut socket, &mut buffer).await?;
    if head.starts_with("POST /api/v1/tasks HTTP/1.1\r\n") {
        let length: usize = field(&head, "content-length").ok_or("a request without a length")?.parse()?;
        while buffer.len() < length && socket.read_buf(&mut buffer).await? > 0 {}
        socket.write_all(shared.created().as_bytes()).await?;
        return Ok(());
    }
    if !head.starts_with("GET /api/v1/tasks/task_") {
        return Err(format!("unexpected request: {head}").into());
    }
    if shared.gate {
        injected(&head)?;
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                  Transfer-Encoding: chunked\r\n\r\n";
    socket.write_all(answer.as_bytes()).await?;
    // Closed at once at the end of the run: thousands of ports in TIME_WAIT would be missing in the next.
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    socket.set_nodelay(true)?;
    // Written to when due, never waited for: the runtime need not watch it.
    let mut stream = Stream { socket: socket.into_std()?, events: 0 };
    stream.send(&shared.tally)?;
    shared.streams.borrow_mut().push(stream);
    Ok(())
}

impl Shared {
    fn created(&self) -> String {
        let mut tasks = self.tasks.borrow_mut();
        *tasks += 1;
        let body = format!(r#"{{"success":true,"data":{{"id":"task_{tasks}","status":"pending"}}}}"#);
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// The gate's work has been done on this stream's request.
fn injected(head: &str) -> Result<()> {
    let right = field(head, "x-end-user") == Some(token::END_USER)
        && field(head, "x-app") == Some(token::APP)
        && field(head, "x-tenant") == Some("bench")
        && field(head, "authorization").is_none();
    if right { Ok(()) } else { Err(format!("a gate should inject and strip, but sent {head}").into()) }
}
