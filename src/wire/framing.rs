//! Where a body ends (RFC 9112 section 6.3), and its bytes up to there.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::Malformed;
use super::chunked::Chunked;

/// What of a body is still to come.
#[derive(Debug)]
pub(crate) enum Framing {
    /// So many bytes; none when the body is complete.
    Length(u64),
    /// Chunks, up to the last.
    Chunked(Chunked),
    /// Whatever comes until the upstream closes.
    UntilClose,
}

impl Default for Framing {
    fn default() -> Self {
        Self::Length(0)
    }
}

impl Framing {
    /// The framing of a request: without a word about it, it has no body.
    ///
    /// # Errors
    /// As of [`Framing::of_answer`].
    pub(super) fn of_request(version: Version, fields: &mut HeaderMap) -> Result<Self, Malformed> {
        Ok(Self::announced(version, fields)?.unwrap_or_default())
    }

    /// The framing of an answer to a request of `method`: without a word about it, it ends with the
    /// connection.
    ///
    /// # Errors
    /// [`Malformed`] where another reader of the same head could see another end: a length and a
    /// transfer coding at once, lengths that differ, a coding besides `chunked`, or any in HTTP/1.0.
    pub(crate) fn of_answer(
        method: &Method,
        version: Version,
        status: StatusCode,
        fields: &mut HeaderMap,
    ) -> Result<Self, Malformed> {
        let announced = Self::announced(version, fields)?;
        // Behind a 101 comes another protocol, whatever its head says of a body.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Self::UntilClose);
        }
        if method == Method::HEAD || is_bodiless(status) {
            return Ok(Self::default());
        }
        Ok(announced.unwrap_or(Self::UntilClose))
    }

    fn announced(version: Version, fields: &mut HeaderMap) -> Result<Option<Self>, Malformed> {
        let length = length(fields)?;
        if !fields.contains_key(TRANSFER_ENCODING) {
            return Ok(length.map(Self::Length));
        }
        if length.is_some() || version == Version::HTTP_10 || !is_chunked(fields) {
            return Err(Malformed);
        }
        Ok(Some(Self::Chunked(Chunked::default())))
    }

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// The bytes still to come, if the head told.
    pub(crate) const fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Takes this body's data from the front of `input`, without a copy where it is in one piece.
    pub(super) fn decode_shared(&mut self, input: &mut Bytes) -> Result<Bytes, Malformed> {
        if let Self::Length(left) = self {
            let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
            *left -= here as u64;
            return Ok(input.split_to(here));
        }
        let (data, used) = self.decode(input)?;
        *input = input.split_off(used);
        Ok(data)
    }

    /// The data in `input`, and how many of its bytes belong to the body.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(Bytes, usize), Malformed> {
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

/// Statuses whose answers never have a body.
pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The one length that all `Content-Length` fields agree on; afterwards the head has one of them.
fn length(fields: &mut HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    let repeated = lengths.next().is_some();
    let length = decimal(first)?;
    if repeated {
        if fields.get_all(CONTENT_LENGTH).iter().any(|field| decimal(field) != Ok(length)) {
            return Err(Malformed);
        }
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(Some(length))
}

/// Digits alone: `parse` would take a sign as well.
fn decimal(field: &HeaderValue) -> Result<u64, Malformed> {
    let digits = field.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Malformed)
}

fn is_chunked(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    first && codings.next().is_none()
}
