//! Where an answer's body ends (RFC 9112 section 6.3), and its bytes up to there.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};

use super::Malformed;
use super::chunked::Chunked;

/// What of a body is still to come.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many bytes; none when the body is complete.
    Length(u64),
    /// Chunks, up to the last.
    Chunked(Chunked),
    /// Whatever comes until the upstream closes.
    UntilClose,
}

impl Framing {
    /// The framing of an answer to a request of `method`.
    ///
    /// # Errors
    /// [`Malformed`] where another reader of the same head could see another end: a length and a
    /// transfer coding at once, lengths that differ, a coding besides `chunked`, or any in HTTP/1.0.
    pub(super) fn of(method: &Method, version: Version, response: &mut Response<()>) -> Result<Self, Malformed> {
        let status = response.status();
        let headers = response.headers_mut();
        let length = length(headers)?;
        let coded = headers.contains_key(TRANSFER_ENCODING);
        if coded && (length.is_some() || version == Version::HTTP_10 || !is_chunked(headers)) {
            return Err(Malformed);
        }
        if method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Self::Length(0));
        }
        Ok(match length {
            Some(length) => Self::Length(length),
            None if coded => Self::Chunked(Chunked::default()),
            None => Self::UntilClose,
        })
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// The bytes still to come, if the head told.
    pub(super) const fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// The data in `input`, and how many of its bytes belong to the body.
    pub(super) fn decode(&mut self, input: &[u8]) -> Result<(Bytes, usize), Malformed> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= here as u64;
                Ok((Bytes::copy_from_slice(&input[..here]), here))
            }
            Self::Chunked(chunked) => {
                let mut data = BytesMut::with_capacity(input.len());
                let used = chunked.decode(input, &mut data)?;
                Ok((data.freeze(), used))
            }
            Self::UntilClose => Ok((Bytes::copy_from_slice(input), input.len())),
        }
    }
}

/// The one length that all `Content-Length` fields agree on; afterwards the head has one of them.
fn length(headers: &mut HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut fields = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = fields.next() else { return Ok(None) };
    let repeated = fields.next().is_some();
    let length = decimal(first)?;
    if repeated {
        if headers.get_all(CONTENT_LENGTH).iter().any(|field| decimal(field) != Ok(length)) {
            return Err(Malformed);
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(Some(length))
}

/// Digits alone: `parse` would take a sign as well.
fn decimal(field: &HeaderValue) -> Result<u64, Malformed> {
    let digits = field.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Malformed)
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(TRANSFER_ENCODING).iter();
    let first = fields.next().is_some_and(|field| field.as_bytes().eq_ignore_ascii_case(b"chunked"));
    first && fields.next().is_none()
}
