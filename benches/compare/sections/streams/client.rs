//! The browsers: requests through the proxy, and streams that are read until the run ends.

use super::tally::Tally;
use super::wire::{Decoder, field, read_head};
use crate::{Result, token};
use serde_json::Value;
use socket2::SockRef;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

const TASKS_PATH: &str = "/api/v1/tasks";
/// More than an event and what frames it.
const READ_BYTES: usize = 1024;

/// Where the streams lead and what they show.
pub(super) struct Clients {
    pub(super) address: SocketAddr,
    pub(super) token: String,
    /// Whether the proxy promises to check tokens and to answer CORS.
    pub(super) gate: bool,
    pub(super) tally: Rc<Tally>,
}

impl Clients {
    /// Creates a task and returns the path of its stream.
    pub(super) async fn create_task(&self) -> Result<String> {
        let body = r#"{"message":"Hello"}"#;
        let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let request = self.request("POST", TASKS_PATH, token::ORIGIN, &self.token, &fields) + body;
        let (head, mut socket, mut answer) = self.ask(&request).await?;
        expect(&head, 200)?;
        let length: usize = field(&head, "content-length").ok_or("a task without a length")?.parse()?;
        while answer.len() < length && socket.read_buf(&mut answer).await? > 0 {}
        let task: Value = serde_json::from_slice(&answer)?;
        let id = task["data"]["id"].as_str().ok_or_else(|| format!("no task id in {task}"))?;
        Ok(format!("{TASKS_PATH}/{id}/stream"))
    }

    /// A gate must refuse a stream whose token is forged, over or missing, and one of another origin.
    pub(super) async fn prove_gate(&self, path: &str) -> Result<()> {
        let refused = [
            (401, token::ORIGIN, token::forged()?),
            (401, token::ORIGIN, token::expired()?),
            (401, token::ORIGIN, String::new()),
            (403, "https://shop.example.com.evil.example", self.token.clone()),
        ];
        for (status, origin, token) in refused {
            let (head, ..) = self.ask(&self.request("GET", path, origin, &token, "")).await?;
            expect(&head, status)?;
        }
        Ok(())
    }

    /// Opens a stream; returns when its first event is here. A task of its own reads the others.
    pub(super) async fn open(&self, path: &str) -> Result<()> {
        let request = self.request("GET", path, token::ORIGIN, &self.token, "Accept: text/event-stream\r\n");
        let (head, socket, rest) = self.ask(&request).await?;
        expect(&head, 200)?;
        let cors = field(&head, "access-control-allow-origin") == Some(token::ORIGIN);
        if field(&head, "content-type") != Some("text/event-stream") || cors != self.gate {
            return Err(format!("not the answer of a stream: {head}").into());
        }
        let mut stream = Stream { socket, decoder: Decoder::default(), events: 0, tally: Rc::clone(&self.tally) };
        stream.take(&rest)?;
        while stream.events == 0 {
            stream.read().await?;
        }
        drop(spawn_local(stream.run()));
        Ok(())
    }

    fn request(&self, method: &str, path: &str, origin: &str, token: &str, fields: &str) -> String {
        let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\n{bearer}{fields}\r\n", self.address)
    }

    /// The answer's head, and what has come after it.
    async fn ask(&self, request: &str) -> Result<(String, TcpStream, Vec<u8>)> {
        let mut socket = TcpStream::connect(self.address).await?;
        // Closed at once at the end of the run: thousands of ports in TIME_WAIT would be missing in the next.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        socket.set_nodelay(true)?;
        socket.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::new();
        let head = read_head(&mut socket, &mut buffer).await?;
        Ok((head, socket, buffer))
    }
}

/// An open stream.
struct Stream {
    socket: TcpStream,
    decoder: Decoder,
    events: u32,
    tally: Rc<Tally>,
}

impl Stream {
    /// Reads until the run is over; a stream that ends earlier voids it.
    async fn run(mut self) {
        loop {
            if let Err(error) = self.read().await {
                return self.tally.fail(format!("a stream after {} events: {error}", self.events));
            }
        }
    }

    async fn read(&mut self) -> Result<()> {
        self.socket.readable().await?;
        let mut piece = [0; READ_BYTES];
        match self.socket.try_read(&mut piece) {
            Ok(0) => Err("ended".into()),
            Ok(length) => self.take(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<()> {
        let Self { decoder, events, tally, .. } = self;
        decoder.feed(piece, |stamp| {
            if stamp.number != *events {
                return Err(format!("event {events} is missing, {} came", stamp.number).into());
            }
            *events += 1;
            tally.arrived(stamp)
        })
    }
}

fn expect(head: &str, status: u16) -> Result<()> {
    if head.starts_with(&format!("HTTP/1.1 {status} ")) {
        return Ok(());
    }
    Err(format!("should answer {status} but said {head}").into())
}
