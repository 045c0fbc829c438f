//! An upstream that does to a connection what a test has written down, byte by byte, and is well the next time.

use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What is done to a connection, one after the other. Behind the last step it is closed.
#[derive(Clone)]
pub enum Step {
    /// Reads a request's head, and a body of known length.
    Read,
    /// Reads until the bytes `SETTINGS` of HTTP/2 and the first request are surely there: a HEADERS frame.
    ReadHeaders,
    Say(Vec<u8>),
    /// Until the other side has read what was said.
    Taken,
    /// Until the other side has had enough.
    Silence,
    /// No more will be said; the rest is still read, until the other side has had enough.
    HalfClose,
    /// A TCP reset.
    Reset,
    /// These bytes again and again, until the other side has had enough.
    Repeat(Vec<u8>),
}

/// `Say`.
pub fn say(text: &str) -> Step {
    Step::Say(text.as_bytes().to_vec())
}

/// The running upstream. It ends, with all its connections, when dropped.
pub struct Scripted {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<VecDeque<Vec<Step>>>,
    heads: Mutex<Vec<String>>,
}

/// What it says when it is well, to whatever it is asked.
const WELL: &str = "{\"success\":true,\"data\":{\"id\":\"task_9\"}}";

impl Scripted {
    /// These scripts are for the first connections, one each; the others are well.
    pub async fn start(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), scripts).await.expect("a port")
    }

    /// The same at an address; `None` if that is taken.
    pub async fn at(address: SocketAddr, scripts: impl IntoIterator<Item = Vec<Step>>) -> Option<Self> {
        let listener = TcpListener::bind(address).await.ok()?;
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { scripts: Mutex::new(scripts.into_iter().collect()), ..Shared::default() });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Some(Self { address, shared, acceptor })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads that it has read, of all connections.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        let script = shared.scripts.lock().unwrap().pop_front();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            match script {
                Some(steps) => play(socket, steps, &shared).await,
                None => be_well(socket, &shared).await,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn be_well(mut socket: TcpStream, shared: &Shared) {
    while read(&mut socket, shared).await.is_some() {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", WELL.len());
        let _ = socket.write_all(format!("{head}\r\n\r\n{WELL}").as_bytes()).await;
    }
}

async fn play(mut socket: TcpStream, steps: Vec<Step>, shared: &Shared) {
    socket.set_nodelay(true).expect("a socket");
    for step in steps {
        match step {
            Step::Read => {
                let _ = read(&mut socket, shared).await;
            }
            Step::ReadHeaders => read_headers(&mut socket, shared).await,
            // The other side may turn away in disgust.
            Step::Say(bytes) => {
                let _ = socket.write_all(&bytes).await;
            }
            Step::Taken => acknowledged(&socket).await,
            Step::Silence => drain(&mut socket).await,
            Step::HalfClose => {
                let _ = SockRef::from(&socket).shutdown(Shutdown::Write);
                drain(&mut socket).await;
            }
            Step::Reset => {
                // A reset may undo what was said before: wait until the other side has taken it.
                acknowledged(&socket).await;
                let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                return;
            }
            Step::Repeat(bytes) => while socket.write_all(&bytes).await.is_ok() {},
        }
    }
}

/// Until the other side's program has read all that was said: then its kernel has nothing left for it, which this machine's
/// table of sockets tells.
async fn acknowledged(socket: &TcpStream) {
    let (own, other) = (socket.local_addr().expect("an address"), socket.peer_addr().expect("an address"));
    let ends = format!("0100007F:{:04X} 0100007F:{:04X} ", other.port(), own.port());
    let is_read = || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of sockets");
        // Behind the state: bytes to send and bytes to read.
        let line = table.lines().find_map(|line| line.split_once(&ends).map(|(_, rest)| rest.to_owned()));
        line.is_none_or(|rest| rest.split([' ', ':']).nth(2) == Some("00000000"))
    };
    while !is_read() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn drain(socket: &mut TcpStream) {
    let mut bytes = [0; 4096];
    while socket.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}

/// A head and its body; `None` if the other side has had enough before.
async fn read(socket: &mut TcpStream, shared: &Shared) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        (socket.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    shared.heads.lock().unwrap().push(head);
    while bytes.len() < end + length.unwrap_or(0) {
        (socket.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    Some(())
}

/// The preface of HTTP/2, and frames up to the first HEADERS.
async fn read_headers(socket: &mut TcpStream, shared: &Shared) {
    const PREFACE: usize = 24;
    let mut bytes = Vec::new();
    loop {
        let mut at = PREFACE;
        while let Some(&[a, b, c, kind, ..]) = bytes.get(at..at + 9).and_then(|frame| frame.first_chunk::<9>()) {
            if kind == 1 {
                shared.heads.lock().unwrap().push("HEADERS".to_owned());
                return;
            }
            at += 9 + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c);
        }
        if !socket.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
}
