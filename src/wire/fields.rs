//! What the heads of requests and answers have in common: their end, and their fields.

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use httparse::Header;
use memchr::{memchr_iter, memmem};

use super::Malformed;

/// Where the head in `bytes` ends, looking at those after `scanned` and the few before that could
/// belong to the end. Asked first, so that a head is parsed once, however many pieces it comes in.
pub(crate) fn end_of_head(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    let find = |mark: &[u8]| memmem::find(&bytes[from..], mark).map(|at| from + at + mark.len());
    // A head with bare LFs is complete as well, so that it is refused and not waited for.
    find(b"\n\r\n").or_else(|| find(b"\n\n"))
}

/// Whether a line of the head ends with a bare LF. RFC 9112 section 2.2 lets a recipient take it for a
/// line's end; whoever else reads the bytes may not. (A CR that stands alone is refused by httparse.)
pub(crate) fn has_bare_line_ends(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// The fields that httparse found in `head`; their values share its allocation.
pub(crate) fn fields(head: &Bytes, parsed: &[Header<'_>]) -> Result<HeaderMap, Malformed> {
    // Room for what will be added on the way.
    let mut fields = HeaderMap::with_capacity(parsed.len() + 8);
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let value = if field.value.is_empty() { Bytes::new() } else { head.slice_ref(field.value) };
        fields.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Malformed)?);
    }
    Ok(fields)
}

/// Whether another message may follow on the connection (RFC 9112 section 9.3).
pub(crate) fn keeps_alive(version: Version, fields: &HeaderMap) -> bool {
    !has_option(fields, "close") && (version == Version::HTTP_11 || has_option(fields, "keep-alive"))
}

/// Whether `Connection` has an option (RFC 9110 section 7.6.1).
pub(crate) fn has_option(fields: &HeaderMap, option: &str) -> bool {
    let values = fields.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).any(|token| token.trim().eq_ignore_ascii_case(option))
}

/// Writes one field's line.
pub(crate) fn write_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_end_is_found_however_the_head_is_cut(
            bytes in prop::collection::vec(prop::sample::select(b"\r\na".to_vec()), 0..40),
            step in 1_usize..10,
        ) {
            let whole = bytes.windows(3).position(|window| window == b"\n\r\n").map(|at| at + 3);
            let mut scanned = 0;
            let mut found = None;
            while found.is_none() && scanned < bytes.len() {
                let here = (scanned + step).min(bytes.len());
                found = end_of_head(&bytes[..here], scanned);
                scanned = here;
            }
            // Bare line ends may be found first: that head is refused.
            let bare = bytes.windows(2).position(|window| window == b"\n\n").map(|at| at + 2);
            match found {
                None => prop_assert_eq!((whole, bare), (None, None)),
                end if end == whole => {}
                end => prop_assert!(end == bare && has_bare_line_ends(&bytes[..end.unwrap_or_default()])),
            }
        }
    }

    #[test]
    fn bare_line_ends_are_seen_wherever_they_are() {
        for head in ["\n", "a\n", "GET / HTTP/1.1\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\n\r\n", "a\r\n\n"] {
            assert!(has_bare_line_ends(head.as_bytes()), "{head:?}");
        }
        assert!(!has_bare_line_ends(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    }

    #[test]
    fn a_connection_is_kept_as_its_version_and_fields_say() {
        for (version, connection, kept) in [
            (Version::HTTP_11, &[][..], true),
            (Version::HTTP_11, &["close"], false),
            (Version::HTTP_11, &["keep-alive, CLOSE"], false),
            (Version::HTTP_11, &["x", "\tClose "], false),
            (Version::HTTP_11, &["closed"], true),
            (Version::HTTP_10, &[], false),
            (Version::HTTP_10, &["Keep-Alive"], true),
            (Version::HTTP_10, &["keep-alive", "close"], false),
        ] {
            let values = connection.iter().map(|value| (CONNECTION, HeaderValue::from_static(value)));
            assert_eq!(keeps_alive(version, &HeaderMap::from_iter(values)), kept, "{version:?} {connection:?}");
        }
    }
}
