//! Requests written byte by byte, for heads that no client library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gate::{Gate, PATIENCE, SHOP};

/// A plain connection.
pub struct Raw {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// An answer, read without interpretation.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    /// Status line and fields.
    pub head: String,
    pub body: String,
}

impl Raw {
    pub async fn connect(to: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(to).await.expect("a connection"), unread: Vec::new() }
    }

    /// As [`Self::connect`]; `None` if nobody listens.
    pub async fn try_connect(to: SocketAddr) -> Option<Self> {
        Some(Self { socket: TcpStream::connect(to).await.ok()?, unread: Vec::new() })
    }

    /// Sends these bytes. A peer that has turned away before it read them all is no failure.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = tokio::time::timeout(PATIENCE, self.socket.write_all(bytes.as_ref())).await;
        let _ = sent.expect("taken or refused in time");
    }

    /// The next answer; its body by `Content-Length`, or until the connection ends.
    pub async fn answer(&mut self) -> RawAnswer {
        self.answer_or_end().await.expect("an answer before the connection's end")
    }

    /// As [`Self::answer`]; `None` if the connection ends without one.
    pub async fn answer_or_end(&mut self) -> Option<RawAnswer> {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.expect("an answer in time")
    }

    async fn read_answer(&mut self) -> Option<RawAnswer> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head = text(self.unread.drain(..end).collect());
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = field(&head, "content-length").map(|length| length.parse().expect("a length"));
        let length: usize = if (100..200).contains(&status) { 0 } else { length.unwrap_or(usize::MAX) };
        while self.unread.len() < length && self.fill().await {}
        let body = text(self.unread.drain(..length.min(self.unread.len())).collect());
        Some(RawAnswer { status, head, body })
    }

    /// Until the peer has closed; everything that came before is handed back.
    pub async fn closed(&mut self) -> String {
        let all = async { while self.fill().await {} };
        tokio::time::timeout(PATIENCE, all).await.expect("closed in time");
        text(std::mem::take(&mut self.unread))
    }

    /// `false` at the end of the connection, however it came.
    async fn fill(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = self.socket.read(&mut bytes).await.unwrap_or(0);
        self.unread.extend_from_slice(&bytes[..read]);
        read > 0
    }
}

impl RawAnswer {
    /// A field's value; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// Sends a whole request on a connection of its own; its first answer.
pub async fn ask(gate: &Gate, request: impl AsRef<[u8]>) -> RawAnswer {
    let mut raw = Raw::connect(gate.public).await;
    raw.send(request).await;
    raw.answer().await
}

/// The fields of a page's request, as lines: host, token and origin.
pub fn page(gate: &Gate, token: &str) -> String {
    format!("Host: {}\r\nAuthorization: Bearer {token}\r\nOrigin: {SHOP}\r\n", gate.public)
}
