//! Who may talk to the private and ops listeners: programs that know them by address or by a name
//! of theirs. A web page can reach a server on loopback, but it cannot leave out `Origin` on a
//! request that changes anything, nor choose `Host` (DNS rebinding keeps the attacker's name there).

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use sidegate_core::denial::{Code, Denial};

use super::convert;

/// The host names that are known, beside `localhost` and IP addresses.
pub(super) type Hosts = Arc<[String]>;

/// Refuses web pages and unknown hosts.
pub(super) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match check(&hosts, &request) {
        Ok(()) => next.run(request).await,
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

fn check(hosts: &[String], request: &Request) -> Result<(), Code> {
    if is_from_a_page(request.headers()) {
        return Err(Code::Forbidden);
    }
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next().map(|value| value.to_str().unwrap_or_default());
    let host = match (field, fields.next(), request.uri().authority()) {
        (Some(field), None, None) => field,
        (Some(field), None, Some(authority)) if field == authority.as_str() => field,
        // HTTP/2 says `:authority` instead.
        (None, _, Some(authority)) => authority.as_str(),
        _ => return Err(Code::InvalidRequest),
    };
    if is_known(hosts, host) { Ok(()) } else { Err(Code::MisdirectedRequest) }
}

fn is_known(hosts: &[String], host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
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
        check(&["gate.internal".into()], &request.body(Body::empty()).expect("a request"))
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
        assert_eq!(outcome(&[("host", "user@localhost/")]), Err(Code::MisdirectedRequest));
        assert_eq!(outcome(&[("host", "localhost"), ("host", "localhost")]), Err(Code::InvalidRequest));
        assert_eq!(outcome(&[]), Err(Code::InvalidRequest));
    }
}
