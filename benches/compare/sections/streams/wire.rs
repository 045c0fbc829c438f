//! As much HTTP/1.1 as the bench's own requests and streams need: heads, chunks, and the events in them.

use crate::Result;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_SIZE_LINE_BYTES: usize = 16;

/// What an event says: which one of its stream it is, and when it was written, on the clock of this process.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(super) struct Stamp {
    pub(super) number: u32,
    pub(super) at_ns: u64,
}

impl Stamp {
    /// The event as one chunk, as long as one with a few words of an answer.
    pub(super) fn chunk(self) -> String {
        let Self { number, at_ns } = self;
        let event = format!(
            "event: content\ndata: {{\"isPartial\":true,\"text\":\"a few words of an answer\",\
             \"number\":{number},\"at_ns\":{at_ns}}}\n\n"
        );
        format!("{:x}\r\n{event}\r\n", event.len())
    }

    fn read(event: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(event)?;
        let data = text.lines().find_map(|line| line.strip_prefix("data: "));
        Ok(serde_json::from_str(data.ok_or_else(|| format!("an event without data: {text}"))?)?)
    }
}

/// Nanoseconds since `start`, for stamps.
pub(super) fn since_ns(start: Instant) -> Result<u64> {
    Ok(u64::try_from(start.elapsed().as_nanos())?)
}

/// Reads up to the empty line after a head; what follows it stays in `buffer`.
pub(super) async fn read_head(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<String> {
    loop {
        if let Some(end) = position(buffer, b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            return Ok(String::from_utf8(std::mem::replace(buffer, rest))?);
        }
        if buffer.len() > MAX_HEAD_BYTES || socket.read_buf(buffer).await? == 0 {
            return Err(format!("no whole head: {}", String::from_utf8_lossy(buffer)).into());
        }
    }
}

/// Value of a field of a head; the name in lower case.
pub(super) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Finds events in a chunked body, however a proxy has cut it into chunks and pieces.
#[derive(Default)]
pub(super) struct Decoder {
    phase: Phase,
    /// The part of a size line that has arrived.
    line: Vec<u8>,
    /// The part of an event that has arrived.
    event: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Size,
    Data(usize),
    /// Line end after a chunk's data: so many bytes are missing.
    End(usize),
}

impl Decoder {
    /// Takes one piece of the body and passes each event that it completes.
    pub(super) fn feed(&mut self, mut piece: &[u8], mut take: impl FnMut(Stamp) -> Result<()>) -> Result<()> {
        while !piece.is_empty() {
            let used = match self.phase {
                Phase::Size => self.size(piece)?,
                Phase::Data(left) => self.data(piece, left),
                Phase::End(left) => self.end(piece, left),
            };
            piece = piece.get(used..).unwrap_or_default();
            while let Some(end) = position(&self.event, b"\n\n") {
                let rest = self.event.split_off(end + 2);
                take(Stamp::read(&std::mem::replace(&mut self.event, rest))?)?;
            }
        }
        Ok(())
    }

    /// No extensions: no proxy here sends any.
    fn size(&mut self, piece: &[u8]) -> Result<usize> {
        let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |index| index + 1);
        self.line.extend(piece.iter().take(end));
        if self.line.ends_with(b"\r\n") {
            let line = std::mem::take(&mut self.line);
            let size = usize::from_str_radix(std::str::from_utf8(&line)?.trim(), 16)?;
            if size == 0 {
                return Err("the stream's body ended".into());
            }
            self.phase = Phase::Data(size);
        } else if self.line.len() > MAX_SIZE_LINE_BYTES {
            return Err("a chunk without a size".into());
        }
        Ok(end)
    }

    fn data(&mut self, piece: &[u8], left: usize) -> usize {
        let used = left.min(piece.len());
        self.event.extend(piece.iter().take(used));
        self.phase = if used == left { Phase::End(2) } else { Phase::Data(left - used) };
        used
    }

    fn end(&mut self, piece: &[u8], left: usize) -> usize {
        let used = left.min(piece.len());
        self.phase = if used == left { Phase::Size } else { Phase::End(left - used) };
        used
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
