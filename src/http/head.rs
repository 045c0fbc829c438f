//! Heads that hyper takes and two servers could read differently.

use http::Version;
use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use sidegate_core::denial::{Code, Denial};

/// Refuses what is not plain: a request is for one host, and framed by its length or by chunks.
pub(super) fn check(parts: &Parts) -> Result<(), Denial> {
    if !names_one_host(parts) {
        return Err(Denial::because(Code::InvalidRequest, "The request must name one host"));
    }
    if !is_framed_plainly(parts) {
        return Err(Denial::because(Code::InvalidRequest, "The only transfer coding taken here is chunked, once"));
    }
    Ok(())
}

/// One valid `Host` that the target does not contradict (RFC 9112 section 3.2); HTTP/2 may name the
/// host in the target alone (RFC 9113 section 8.3.1).
fn names_one_host(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let target = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            is_host(host.as_bytes()) && target.is_none_or(|it| it.eq_ignore_ascii_case(host.as_bytes()))
        }
        (None, _) => parts.version >= Version::HTTP_2 && target.is_some_and(is_host),
        (Some(_), Some(_)) => false,
    }
}

/// A host and perhaps a port; no user, path or list.
fn is_host(text: &[u8]) -> bool {
    !text.contains(&b'@') && Authority::try_from(text).is_ok()
}

/// hyper decodes the chunks and passes what was coded below them, without its name (RFC 9112
/// section 6.1).
fn is_framed_plainly(parts: &Parts) -> bool {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
