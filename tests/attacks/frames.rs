//! HTTP/2 frame by frame (RFC 9113), for what no client library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::gate::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Of `DATA` and `HEADERS`.
pub const END_STREAM: u8 = 1;
/// Of `SETTINGS` and `PING`.
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// One setting.
pub fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// Fields, each as a literal that no table keeps (RFC 7541 section 6.2.2).
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name.as_ref());
        text(&mut block, value.as_ref());
    }
    block
}

/// A field that the table keeps, which is its newest entry from then on (section 6.2.1).
pub fn kept(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x40];
    text(&mut block, name.as_bytes());
    text(&mut block, value.as_bytes());
    block
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    // An integer with a prefix of seven bits (section 5.1).
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).expect("small"));
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128 + 128).expect("small"));
            rest /= 128;
        }
        block.push(u8::try_from(rest).expect("small"));
    }
    block.extend(text);
}

/// A connection.
pub struct Frames {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Outcome {
    /// A status.
    Answer(u16),
    /// It was reset.
    Reset,
    /// The connection ended.
    Gone,
}

impl Frames {
    /// A connection on which both sides have said hello.
    pub async fn open(to: SocketAddr) -> Self {
        Self::with(to, &[]).await
    }

    /// With these settings.
    pub async fn with(to: SocketAddr, settings: &[u8]) -> Self {
        let socket = TcpStream::connect(to).await.expect("a connection");
        socket.set_nodelay(true).expect("an option");
        let mut frames = Self { socket, unread: Vec::new() };
        assert!(frames.send([PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await);
        while frames.next().await.expect("the gate's settings").kind != SETTINGS {}
        assert!(frames.send(frame(SETTINGS, ACK, 0, &[])).await);
        frames
    }

    /// Whether the peer took all of this.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next frame; `None` at the connection's end.
    pub async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("a frame in time")
    }

    /// As [`Self::next`], for as long as it takes.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut wanted = 9;
        loop {
            if self.unread.len() >= 9 {
                let length = u32::from_be_bytes([0, self.unread[0], self.unread[1], self.unread[2]]);
                wanted = 9 + usize::try_from(length).expect("a length");
            }
            if self.unread.len() >= wanted {
                break;
            }
            if !self.socket.read_buf(&mut self.unread).await.is_ok_and(|got| got > 0) {
                return None;
            }
        }
        let payload = self.unread[9..wanted].to_vec();
        let stream = u32::from_be_bytes(self.unread[5..9].try_into().expect("four bytes"));
        let frame = Frame { kind: self.unread[3], flags: self.unread[4], stream, payload };
        self.unread.drain(..wanted);
        Some(frame)
    }

    /// What becomes of a stream; pings on the way are answered.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(next) = self.next().await {
            match next.kind {
                HEADERS if next.stream == stream => return Outcome::Answer(status(&next.payload)),
                RST_STREAM if next.stream == stream => return Outcome::Reset,
                // Of a stream that it did not see.
                GOAWAY if next.payload[..4] < stream.to_be_bytes()[..] => return Outcome::Gone,
                PING if next.flags & ACK == 0 => {
                    self.send(frame(PING, ACK, 0, &next.payload)).await;
                }
                _ => {}
            }
        }
        Outcome::Gone
    }

    /// Until the peer has closed; the frames that came before.
    pub async fn closed(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(next) = self.next().await {
            frames.push(next);
        }
        frames
    }

    /// The socket, to write to while somebody reads from it.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }
}

/// The status in the first block of a connection, where it stands first.
pub fn status(block: &[u8]) -> u16 {
    let first = block.iter().position(|byte| byte & 0xe0 != 0x20).expect("a field");
    match block[first] {
        indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        0x08 | 0x18 | 0x48 if block[first + 1] < 0x80 => {
            let digits = &block[first + 2..first + 2 + usize::from(block[first + 1])];
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).expect("a status")
        }
        0x08 | 0x18 | 0x48 => {
            let length = usize::from(block[first + 1] & 0x7f);
            let coded = &block[first + 2..first + 2 + length];
            (100..600).find(|status| coded_digits(*status) == coded).expect("a status")
        }
        other => panic!("no status begins with {other:#x}"),
    }
}

/// A status as HPACK's Huffman code has it (RFC 7541 appendix B): five bits for 0 to 2, six for the other digits.
fn coded_digits(status: u16) -> Vec<u8> {
    let (mut bits, mut count) = (0_u32, 0);
    for digit in status.to_string().bytes().map(|digit| u32::from(digit - b'0')) {
        let (code, width) = if digit < 3 { (digit, 5) } else { (digit + 22, 6) };
        bits = bits << width | code;
        count += width;
    }
    while count % 8 != 0 {
        bits = bits << 1 | 1;
        count += 1;
    }
    let bytes = bits.to_be_bytes();
    bytes[4 - count / 8..].to_vec()
}
