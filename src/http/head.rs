//! Heads that can be read, but that two servers could read differently.

use http::Version;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use sidegate_core::denial::{Code, Denial};

/// Refuses a request that is not for one host.
pub(super) fn check(parts: &Parts) -> Result<(), Denial> {
    match host(parts) {
        Some(_) => Ok(()),
        None => Err(Denial::because(Code::InvalidRequest, "The request must name one host")),
    }
}

/// The host that a request is for. One valid `Host` that the target does not contradict (RFC 9112
/// section 3.2); HTTP/2 may name the host in the target alone (RFC 9113 section 8.3.1).
pub(super) fn host(parts: &Parts) -> Option<Authority> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let target = parts.uri.authority();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).ok()?;
            Some(host).filter(|host| is_host(host) && target.is_none_or(|target| target == host))
        }
        (None, _) => target.filter(|target| parts.version >= Version::HTTP_2 && is_host(target)).cloned(),
        (Some(_), Some(_)) => None,
    }
}

/// A host and perhaps a port; no user, and no name behind the brackets of an address, which `host` would leave out.
fn is_host(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
}
