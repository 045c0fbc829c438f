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

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in of {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    /// `Length`, `Chunked` or `UntilClose`, and the length.
    fn told(framing: Result<Framing, Malformed>) -> Result<(&'static str, Option<u64>), Malformed> {
        framing.map(|framing| match framing {
            Framing::Length(length) => ("length", Some(length)),
            Framing::Chunked(_) => ("chunked", None),
            Framing::UntilClose => ("until close", None),
        })
    }

    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";

    #[test]
    fn a_request_ends_where_every_reader_sees_its_end_or_is_refused() {
        for (of, expected) in [
            (&[][..], Ok(("length", Some(0)))),
            (&[(LENGTH, "5")], Ok(("length", Some(5)))),
            (&[(LENGTH, "0005")], Ok(("length", Some(5)))),
            (&[(LENGTH, "18446744073709551615")], Ok(("length", Some(u64::MAX)))),
            (&[(LENGTH, "5"), (LENGTH, "5")], Ok(("length", Some(5)))),
            (&[(LENGTH, "5"), (LENGTH, "05")], Ok(("length", Some(5)))),
            (&[(CODING, "cHuNkEd")], Ok(("chunked", None))),
            (&[(LENGTH, "5"), (LENGTH, "6")], Err(Malformed)),
            (&[(LENGTH, "")], Err(Malformed)),
            (&[(LENGTH, "5, 5")], Err(Malformed)),
            (&[(LENGTH, "+5")], Err(Malformed)),
            (&[(LENGTH, "5 5")], Err(Malformed)),
            (&[(LENGTH, "18446744073709551616")], Err(Malformed)),
            (&[(LENGTH, "0"), (CODING, "chunked")], Err(Malformed)),
            (&[(CODING, "chunked"), (CODING, "chunked")], Err(Malformed)),
            (&[(CODING, "chunked"), (CODING, "identity")], Err(Malformed)),
            (&[(CODING, "identity")], Err(Malformed)),
            (&[(CODING, "")], Err(Malformed)),
            (&[(CODING, "gzip, chunked")], Err(Malformed)),
            (&[(CODING, "chunked;q=1")], Err(Malformed)),
        ] {
            assert_eq!(told(Framing::of_request(Version::HTTP_11, &mut fields(of))), expected, "{of:?}");
        }
        assert_eq!(told(Framing::of_request(Version::HTTP_10, &mut fields(&[(CODING, "chunked")]))), Err(Malformed));
    }

    #[test]
    fn lengths_that_agree_become_one() {
        let mut fields = fields(&[(LENGTH, "05"), (LENGTH, "5")]);
        Framing::of_request(Version::HTTP_11, &mut fields).expect("a framing");
        assert_eq!(fields.get_all(LENGTH).iter().collect::<Vec<_>>(), ["5"]);
    }

    #[test]
    fn an_answers_end_depends_on_its_status_and_on_what_was_asked() {
        for (method, status, of, expected) in [
            (Method::GET, 200, &[][..], ("until close", None)),
            (Method::GET, 200, &[(LENGTH, "5")], ("length", Some(5))),
            (Method::GET, 200, &[(CODING, "chunked")], ("chunked", None)),
            (Method::HEAD, 200, &[(LENGTH, "5")], ("length", Some(0))),
            (Method::HEAD, 200, &[(CODING, "chunked")], ("length", Some(0))),
            (Method::GET, 103, &[(LENGTH, "5")], ("length", Some(0))),
            (Method::GET, 204, &[(LENGTH, "5")], ("length", Some(0))),
            (Method::GET, 304, &[(CODING, "chunked")], ("length", Some(0))),
            (Method::GET, 101, &[(LENGTH, "0")], ("until close", None)),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let framing = Framing::of_answer(&method, Version::HTTP_11, status, &mut fields(of));
            assert_eq!(told(framing), Ok(expected), "{method} {status} {of:?}");
        }
    }

    #[test]
    fn shared_bytes_are_read_as_copied_ones_are() {
        let chunked = b"3\r\nabc\r\n0\r\n\r\nrest";
        for (mut framing, input) in
            [(Framing::Length(3), &b"abcrest"[..]), (Framing::Chunked(Chunked::default()), chunked)]
        {
            let mut shared = Bytes::from_static(input);
            assert_eq!(framing.decode_shared(&mut shared).expect("data"), "abc");
            assert_eq!((framing.is_done(), &shared[..]), (true, &b"rest"[..]));
        }
    }
}
