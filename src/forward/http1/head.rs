//! Heads as bytes: a request's is written, an answer's is read.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};

use crate::wire::{self, Framing, MAX_FIELDS, Malformed, head_buffer, write_field};

/// How a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFraming {
    NoBody,
    Length(u64),
    Chunked,
}

/// A request's head (RFC 9112 sections 2 and 3), `Host` first.
pub(super) fn write<B>(request: &Request<B>, framing: RequestFraming) -> Vec<u8> {
    let length = if let RequestFraming::Length(length) = framing { Some(length) } else { None };
    let mut head = head_buffer(length);
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
            write_field(&mut head, CONTENT_LENGTH.as_str(), itoa::Buffer::new().format(length).as_bytes());
        }
        RequestFraming::Chunked => write_field(&mut head, TRANSFER_ENCODING.as_str(), b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection can be used again after the body.
    pub(super) keep_alive: bool,
}

/// Reads a complete head.
///
/// # Errors
/// [`Malformed`]: no HTTP/1 head, too many fields, or an end of its body that could be read in two
/// ways.
pub(super) fn parse(head: &[u8], method: &Method) -> Result<AnswerHead, Malformed> {
    // httparse would take empty lines in front of it, and a bare LF within a field's value for the next field.
    if !head.starts_with(b"HTTP/1.") || wire::has_bare_line_ends(head) {
        return Err(Malformed);
    }
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
    let mut fields = wire::fields(&head, parsed.headers)?;
    let framing = Framing::of_answer(method, version, response.status(), &mut fields)?;
    let keep_alive = wire::keeps_alive(version, &fields) && !is_self_contradictory(response.status(), &fields);
    *response.headers_mut() = fields;
    Ok(AnswerHead { response, framing, keep_alive })
}

/// A 204 that announces a body (RFC 9110 section 8.6 forbids it) may well send one, which would be
/// taken for the next answer.
fn is_self_contradictory(status: StatusCode, fields: &HeaderMap) -> bool {
    let announces =
        || fields.contains_key(TRANSFER_ENCODING) || fields.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    status == StatusCode::NO_CONTENT && announces()
}
