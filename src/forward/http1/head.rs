//! Heads as bytes: a request's is written, an answer's is read.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};
use memchr::memmem;

use super::Malformed;
use super::framing::Framing;

/// Fields of an answer's head.
const MAX_FIELDS: usize = 100;

/// How a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFraming {
    NoBody,
    Length(u64),
    Chunked,
}

/// A request's head (RFC 9112 sections 2 and 3), `Host` first.
pub(super) fn write<B>(request: &Request<B>, framing: RequestFraming) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    for part in [request.method().as_str(), " ", target, " HTTP/1.1\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    if let Some(host) = request.headers().get(HOST) {
        write_field(&mut head, HOST.as_str(), host.as_bytes());
    }
    for (name, value) in request.headers() {
        if !matches!(*name, HOST | CONTENT_LENGTH | TRANSFER_ENCODING) {
            write_field(&mut head, name.as_str(), value.as_bytes());
        }
    }
    match framing {
        RequestFraming::NoBody => {}
        RequestFraming::Length(length) => {
            write_field(&mut head, CONTENT_LENGTH.as_str(), length.to_string().as_bytes());
        }
        RequestFraming::Chunked => write_field(&mut head, TRANSFER_ENCODING.as_str(), b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn write_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection can be used again after the body.
    pub(super) keep_alive: bool,
}

/// Where the head in `bytes` ends, looking at those after `scanned` and the few before that could
/// belong to the end. Asked first, so that a head is parsed once, however many pieces it comes in.
pub(super) fn end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let find = |mark: &[u8]| memmem::find(&bytes[from..], mark).map(|at| from + at + mark.len());
    // A head with bare LFs is complete as well, so that it is refused and not waited for.
    find(b"\n\r\n").or_else(|| find(b"\n\n"))
}

/// Reads a complete head.
///
/// # Errors
/// [`Malformed`]: no HTTP/1 head, too many fields, or an end of its body that could be read in two
/// ways.
pub(super) fn parse(head: &[u8], method: &Method) -> Result<AnswerHead, Malformed> {
    // The values of all fields share this one allocation.
    let head = Bytes::copy_from_slice(head);
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, &head, &mut fields);
    if status != Ok(Status::Complete(head.len())) {
        return Err(Malformed);
    }
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut response = Response::new(());
    *response.status_mut() = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
    *response.headers_mut() = headers(&head, parsed.headers)?;
    let framing = Framing::of(method, version, &mut response)?;
    let keep_alive = keeps_alive(version, response.headers());
    Ok(AnswerHead { response, framing, keep_alive })
}

fn headers(head: &Bytes, fields: &[Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).map_err(|_| Malformed)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|list| list.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    !says("close") && (version == Version::HTTP_11 || says("keep-alive"))
}
