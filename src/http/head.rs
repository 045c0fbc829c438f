//! Heads that can be read, but that two servers could read differently.

use http::Version;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use sidegate_core::denial::{Code, Denial};

/// Refuses a request that is not for one host.
pub(super) fn check(parts: &Parts) -> Result<(), Denial> {
    if names_one_host(parts) {
        return Ok(());
    }
    Err(Denial::because(Code::InvalidRequest, "The request must name one host"))
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
