//! What comes on a connection of HTTP/1.1.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Uri};

use crate::wire::fields::end_of_head;
use crate::wire::framing::Framing;
use crate::wire::request_head::{RequestHead, parse};

/// As much of a connection as is read: it is read again in pieces of each size.
const MOST: usize = 2_048;

/// A request, and all of its bytes as they came.
#[derive(Debug, Default)]
struct Message {
    request: Request<()>,
    body: Vec<u8>,
    head: Vec<u8>,
    coded: Vec<u8>,
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Incomplete,
    Refused,
    Closed,
}

/// See `fuzz_targets/http1.rs`.
pub fn http1(data: &[u8]) {
    let data = &data[..data.len().min(MOST)];
    let (messages, end) = read([data]);
    for size in [1, 2, 3, 5, 7, 16, 61] {
        let (found, ended) = read(data.chunks(size));
        assert_eq!((told(&found), ended), (told(&messages), end), "in pieces of {size}");
    }
    messages.iter().for_each(is_understood);
}

/// What a connection says, as text to compare.
fn told(messages: &[Message]) -> Vec<String> {
    let one = |message: &Message| format!("{:?} {:?} {:?}", message.request, message.body, message.coded);
    messages.iter().map(one).collect()
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, End) {
    let mut connection = Connection::default();
    for piece in pieces {
        connection.buffer.extend_from_slice(piece);
        while let Some(goes_on) = connection.step() {
            if let Err(end) = goes_on {
                return (connection.messages, end);
            }
        }
    }
    (connection.messages, End::Incomplete)
}

#[derive(Default)]
struct Connection {
    buffer: Vec<u8>,
    scanned: usize,
    under_way: Option<(Message, Framing, bool)>,
    messages: Vec<Message>,
}

impl Connection {
    /// Reads on; `None` where more must come first.
    fn step(&mut self) -> Option<Result<(), End>> {
        let Some((message, framing, keep_alive)) = &mut self.under_way else { return self.head() };
        let Ok((data, used)) = framing.decode(&self.buffer) else { return Some(Err(End::Refused)) };
        message.body.extend_from_slice(&data);
        message.coded.extend(self.buffer.drain(..used));
        if !framing.is_done() {
            assert!(self.buffer.is_empty(), "what belongs to a body is taken");
            return None;
        }
        let keep_alive = *keep_alive;
        self.messages.extend(self.under_way.take().map(|(message, ..)| message));
        Some(if keep_alive { Ok(()) } else { Err(End::Closed) })
    }

    fn head(&mut self) -> Option<Result<(), End>> {
        let Some(end) = end_of_head(&self.buffer, self.scanned) else {
            self.scanned = self.buffer.len();
            return None;
        };
        self.scanned = 0;
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let Ok(RequestHead { request, framing, keep_alive }) = parse(&head) else { return Some(Err(End::Refused)) };
        self.under_way = Some((Message { request, head, ..Message::default() }, framing, keep_alive));
        Some(Ok(()))
    }
}

/// A reader that knows nothing but lines finds the same request, and its body ends where it ends.
fn is_understood(message: &Message) {
    let head = message.head.strip_suffix(b"\r\n\r\n").expect("an end");
    let mut lines = lines(head).into_iter().skip_while(|line| line.is_empty());
    let first: Vec<_> = lines.next().expect("a line").split(|byte| *byte == b' ').collect();
    let [method, target, version] = first[..] else { panic!("{message:?}") };
    assert_eq!(message.request.method().as_str().as_bytes(), method);
    assert_eq!(Uri::try_from(target).ok().as_ref(), Some(message.request.uri()));
    assert!([&b"HTTP/1.0"[..], b"HTTP/1.1"].contains(&version), "{message:?}");
    let mut fields: Vec<_> = lines.map(field).collect();
    let lengths: Vec<_> = values(&fields, CONTENT_LENGTH.as_str());
    let codings: Vec<_> = values(&fields, TRANSFER_ENCODING.as_str());
    body_is(message, &lengths, &codings);
    let mut found = named(message.request.headers());
    for list in [&mut fields, &mut found] {
        list.retain(|(name, _)| name != CONTENT_LENGTH.as_str());
        list.sort();
    }
    assert_eq!(found, fields);
}

/// Lines, each of which ended with CR LF.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if let Some((_, ended)) = lines.split_last_mut() {
        for line in ended {
            let whole = *line;
            *line = whole.strip_suffix(b"\r").expect("no bare line feed");
        }
    }
    assert!(lines.iter().all(|line| !line.contains(&b'\r')), "a bare carriage return");
    lines
}

fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
    let name = std::str::from_utf8(&line[..colon]).expect("a name");
    assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    (name.to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec())
}

fn named(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().trim_ascii().to_vec())).collect()
}

fn values(fields: &[(String, Vec<u8>)], name: &str) -> Vec<String> {
    let of_name = fields.iter().filter(|(other, _)| other == name);
    of_name.map(|(_, value)| String::from_utf8_lossy(value).to_lowercase()).collect()
}

/// The body that the fields announce, in one way alone.
fn body_is(message: &Message, lengths: &[String], codings: &[String]) {
    let Message { body, coded, .. } = message;
    if !codings.is_empty() {
        assert!(lengths.is_empty() && codings == ["chunked"], "{message:?}");
        return assert_eq!(unchunked(coded).as_ref(), Some(body), "{message:?}");
    }
    assert_eq!(body, coded);
    let length = lengths.first().map_or("0", |text| text.split(',').next().unwrap_or_default().trim());
    let mut all = lengths.iter().flat_map(|text| text.split(','));
    assert!(all.all(|text| text.trim().parse::<usize>().ok() == length.parse::<usize>().ok()), "{message:?}");
    assert!(length.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(length.parse::<usize>(), Ok(body.len()), "{message:?}");
}

/// The data of chunks that are there to the last byte, and no further.
fn unchunked(coded: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut rest) = (Vec::new(), coded);
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let size = rest[..end].split(|byte| *byte == b';').next()?.trim_ascii_end();
        let size = std::str::from_utf8(size).ok()?;
        let size =
            usize::from_str_radix(size, 16).ok().filter(|_| size.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        data.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    // Trailers, up to the first empty line.
    let end = if rest.starts_with(b"\r\n") { 2 } else { rest.windows(4).position(|end| end == b"\r\n\r\n")? + 4 };
    (end == rest.len()).then_some(data)
}
