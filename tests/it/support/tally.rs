//! An upstream that costs next to nothing: it answers every request alike, and counts by a header.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"success\":true}";

type Counts = Arc<Mutex<HashMap<String, usize>>>;

/// The running service. It ends, with all its connections, when dropped.
pub struct Tally {
    address: SocketAddr,
    counts: Counts,
    acceptor: JoinHandle<()>,
}

impl Tally {
    /// Counts requests, which have no body, by the value of a header.
    pub async fn of(header: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let counts = Counts::default();
        let acceptor = tokio::spawn(accept(listener, header, Arc::clone(&counts)));
        Self { address, counts, acceptor }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often each value has come.
    pub fn counts(&self) -> HashMap<String, usize> {
        self.counts.lock().unwrap().clone()
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, header: &'static str, counts: Counts) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        connections.spawn(serve(socket, header, Arc::clone(&counts)));
        while connections.try_join_next().is_some() {}
    }
}

/// Until the gate has had enough, or is killed.
async fn serve(mut socket: TcpStream, header: &'static str, counts: Counts) {
    socket.set_nodelay(true).expect("a socket");
    let mut read = Vec::new();
    while socket.read_buf(&mut read).await.is_ok_and(|got| got > 0) {
        while let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head: Vec<u8> = read.drain(..end + 4).collect();
            *counts.lock().unwrap().entry(value_of(header, &head)).or_default() += 1;
            if socket.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

fn value_of(header: &str, head: &[u8]) -> String {
    let head = std::str::from_utf8(head).expect("text");
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let field = fields.find(|(name, _)| name.eq_ignore_ascii_case(header));
    field.unwrap_or_else(|| panic!("no {header} in {head}")).1.to_owned()
}
