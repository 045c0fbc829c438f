//! Heads, edited in place: what of a request passes to the upstream, and of its answer to the
//! browser.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, FORWARDED,
    HOST, ORIGIN, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use sidegate_core::app::Pass;

use super::Upstream;

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What `Connection` does not take out: without these the body would be another one, or nobody's, and the gate has judged the
/// request by them.
const END_TO_END: [HeaderName; 6] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, AUTHORIZATION, COOKIE, ORIGIN];

/// What the gate says of the client, in fields that are its own.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// `X-Forwarded-For`: the addresses on the way, as far as they are believed.
    pub addresses: HeaderValue,
    /// `X-Forwarded-Proto`.
    pub scheme: HeaderValue,
    /// `X-Forwarded-Host`.
    pub host: Option<HeaderValue>,
    /// Whether a trusted proxy sent the request, so that its `Forwarded` passes.
    pub trusted: bool,
}

/// Prepares a request's fields for the upstream; injection comes after and has the last word.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    upstream: &Upstream,
    forwarded: Forwarded,
    request_id: HeaderValue,
    pass: Pass,
) {
    remove_named_by_connection(headers);
    let kept_forwarded = if forwarded.trusted { headers.get(FORWARDED).cloned() } else { None };
    remove_all(headers, |name| is_hop_by_hop(name) || is_stripped(name, pass));
    headers.insert(HOST, upstream.host().clone());
    headers.insert(X_FORWARDED_FOR, forwarded.addresses);
    headers.insert(X_FORWARDED_PROTO, forwarded.scheme);
    if let Some(host) = forwarded.host {
        headers.insert(X_FORWARDED_HOST, host);
    }
    if let Some(value) = kept_forwarded {
        headers.insert(FORWARDED, value);
    }
    headers.insert(X_REQUEST_ID, request_id);
    headers.append(VIA, HeaderValue::from_static("1.1 sidegate"));
    for (name, value) in &upstream.settings.headers {
        headers.insert(name, value.clone());
    }
}

/// An answer that we read must come as it is.
pub(super) fn ask_for_identity(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Fields of a client that never pass: credentials that are not the upstream's business, fields
/// that we own, framing (written anew), fields from which frameworks take another method,
/// path or client address, past our choice of routes, and names with `_`, which many servers read
/// as `-` and so as a field of ours.
fn is_stripped(name: &HeaderName, pass: Pass) -> bool {
    match name.as_str() {
        "authorization" => !pass.token,
        "cookie" => !pass.cookies,
        "cf-connecting-ip"
        | "content-length"
        | "expect"
        | "forwarded"
        | "proxy-authorization"
        | "fastly-client-ip"
        | "remote-user"
        | "true-client-ip"
        | "x-api-key"
        | "x-client-ip"
        | "x-cluster-client-ip"
        | "x-remote-user"
        | "x-http-method"
        | "x-http-method-override"
        | "x-method-override"
        | "x-real-ip"
        | "x-request-id"
        | "x-rewrite-url" => true,
        name => {
            // Orcheo takes `X-Orcheo-OAuth-Subject` for who somebody is.
            ["x-forwarded-", "x-orcheo-", "x-original-", "x-sidegate-"].iter().any(|ours| name.starts_with(ours))
                || name.contains('_')
        }
    }
}

/// Prepares an answer's fields for the browser; CORS comes after.
pub(super) fn prepare_answer(headers: &mut HeaderMap, pass: Pass, streams: bool) {
    remove_named_by_connection(headers);
    remove_all(headers, |name| match name.as_str() {
        "set-cookie" => !pass.set_cookie,
        // The first leads browsers past the gate, the rest command proxies in front of it.
        "alt-svc" | "proxy-authenticate" | "x-request-id" => true,
        text => is_hop_by_hop(name) || text.starts_with("x-accel-"),
    });
    if streams {
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
}

/// Whether an answer streams: an event stream, or of unknown length.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    is_event_stream(headers) || !headers.contains_key(CONTENT_LENGTH)
}

/// Whether an answer is an event stream (HTML standard, section 9.2), whatever its parameters.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

/// Whether an answer is a page; one that says nothing may be taken for such.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    let written = |kind: &[u8]| kind.trim_ascii_start().to_ascii_lowercase();
    let pages: [&[u8]; 2] = [b"text/html", b"application/xhtml"];
    headers.get(CONTENT_TYPE).is_none_or(|kind| pages.iter().any(|page| written(kind.as_bytes()).starts_with(page)))
}

/// Whether a field is for one hop only (RFC 9110 section 7.6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | PROXY_AUTHORIZATION | TE | TRAILER | TRANSFER_ENCODING | UPGRADE)
        || matches!(name.as_str(), "close" | "keep-alive" | "proxy-connection")
}

/// Removes the fields that `Connection` makes fields of one hop.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Removes every field whose name passes the test.
pub(super) fn remove_all(headers: &mut HeaderMap, test: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| test(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ALT_SVC, EXPECT, PROXY_AUTHENTICATE, SET_COOKIE};

    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn fields_of_one_hop_go_also_those_that_connection_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret"),
            ("connection", "keep-alive"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("close", "x"),
            ("accept", "*/*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_named_by_connection(&mut headers);
        remove_all(&mut headers, is_hop_by_hop);
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn an_event_stream_is_one_however_its_type_is_written() {
        for (kind, is_one) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ;charset=UTF-8", true),
            ("text/event-streamx", false),
            ("text/event", false),
            ("application/json; x=text/event-stream", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_event_stream(&headers), is_one, "{kind}");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
    }

    #[test]
    fn credentials_and_our_own_fields_are_stripped() {
        let stripped = [
            "authorization",
            "cookie",
            "x-api-key",
            "x-forwarded-for",
            "x-forwarded-anything",
            "x_tenant",
            "x-request-id",
            "forwarded",
            "x-real-ip",
            "x-sidegate-app",
            "x-orcheo-oauth-subject",
        ];
        for name in stripped {
            assert!(is_stripped(&HeaderName::from_static(name), Pass::default()), "{name}");
        }
        for name in ["accept", "content-type", "origin", "traceparent", "user-agent"] {
            assert!(!is_stripped(&HeaderName::from_static(name), Pass::default()), "{name}");
        }
        let pass = Pass { cookies: true, token: true, set_cookie: false };
        assert!(!is_stripped(&COOKIE, pass) && !is_stripped(&AUTHORIZATION, pass));
    }

    #[test]
    fn an_answer_cannot_set_cookies_or_command_proxies() {
        let mut headers = HeaderMap::new();
        for name in [SET_COOKIE, ALT_SVC, PROXY_AUTHENTICATE, HeaderName::from_static("x-accel-redirect"), EXPECT] {
            headers.append(name, HeaderValue::from_static("x"));
        }
        prepare_answer(&mut headers, Pass::default(), true);
        assert_eq!(names(&headers), ["expect", "x-accel-buffering"]);
    }
}
