//! One keep-alive connection of the loads that this program makes itself: it asks, and reads the whole answer.

use crate::lab::Lab;
use crate::probe::CHAT_PATH;
use crate::token;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An open connection and the one request that it repeats.
pub(crate) struct Connection {
    request: Arc<str>,
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The usual chat request, as wrk sends it.
pub(crate) fn chat_request(lab: &Lab, address: SocketAddr) -> Arc<str> {
    let (token, origin, body) = (&lab.token, token::ORIGIN, &lab.request_body);
    let length = body.len();
    format!(
        "POST {CHAT_PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {token}\r\nOrigin: {origin}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into()
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, request: Arc<str>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { request, stream, buffer: Vec::new() })
    }

    /// Another request from now on.
    pub(crate) fn repeat(&mut self, request: Arc<str>) {
        self.request = request;
    }

    /// One request and its whole answer; fails unless that is 200.
    pub(crate) async fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.buffer.clear();
        while !is_whole(&self.buffer)? {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// Whether an answer has arrived.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let Some(head_length) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let head = String::from_utf8_lossy(&answer[..head_length]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) if head.starts_with("http/1.1 200 ") => Ok(answer.len() >= head_length + 4 + length),
        _ => Err(io::Error::other(format!("the answer is not 200 with Content-Length: {head}"))),
    }
}
