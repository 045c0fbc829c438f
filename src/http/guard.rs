//! Who may talk to the private and ops listeners: programs that know them by address or by a name
//! of theirs. A web page can reach a server on loopback, but it cannot leave out `Origin` on a
//! request that changes anything, nor choose `Host` (DNS rebinding keeps the attacker's name there).

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::ORIGIN;
use http::request::Parts;
use sidegate_core::denial::{Code, Denial};

use super::{convert, head};

/// Refuses web pages, and hosts that are not among those known: beside `hosts`, `localhost` and IP addresses.
pub(super) async fn guard(hosts: &[String], request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match check(hosts, &parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(code) => refuse(code),
    }
}

/// A refusal outside any dialect.
pub(super) fn refuse(denial: impl Into<Denial>) -> Response {
    convert::refusal(None, &denial.into()).map(Body::from)
}

/// Whether a browser sent it for a page: it has `Origin`, or the Fetch standard's metadata.
pub(super) fn is_from_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Whether a program that knows us by one of `hosts` sent it.
pub(super) fn check(hosts: &[String], parts: &Parts) -> Result<(), Code> {
    if is_from_a_page(&parts.headers) {
        return Err(Code::Forbidden);
    }
    let host = head::host(parts).ok_or(Code::InvalidRequest)?;
    if is_known(hosts, host.host()) { Ok(()) } else { Err(Code::MisdirectedRequest) }
}

fn is_known(hosts: &[String], name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(headers: &[(&str, &str)]) -> Result<(), Code> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&["gate.internal".into()], &request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn programs_that_know_the_address_pass() {
        for host in ["127.0.0.1:8081", "localhost", "LOCALHOST:1", "[::1]:8081", "gate.internal:8081", "10.0.0.7"] {
            assert_eq!(outcome(&[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn pages_and_rebound_names_do_not() {
        assert_eq!(outcome(&[("host", "localhost"), ("origin", "http://localhost")]), Err(Code::Forbidden));
        assert_eq!(outcome(&[("host", "localhost"), ("origin", "null")]), Err(Code::Forbidden));
        assert_eq!(outcome(&[("host", "localhost"), ("sec-fetch-site", "cross-site")]), Err(Code::Forbidden));
        assert_eq!(outcome(&[("host", "evil.example")]), Err(Code::MisdirectedRequest));
        assert_eq!(outcome(&[("host", "localhost.evil.example")]), Err(Code::MisdirectedRequest));
        assert_eq!(outcome(&[("host", "user@localhost")]), Err(Code::InvalidRequest));
        assert_eq!(outcome(&[("host", "[::1].evil.example")]), Err(Code::InvalidRequest));
        assert_eq!(outcome(&[("host", "localhost"), ("host", "localhost")]), Err(Code::InvalidRequest));
        assert_eq!(outcome(&[]), Err(Code::InvalidRequest));
    }
}
