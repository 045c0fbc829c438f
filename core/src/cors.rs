//! The Fetch standard's CORS protocol, as one value: what to say about an origin.
//!
//! Whatever an upstream says about CORS is replaced; every answer of the gate passes here.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::message::Reply;
use crate::origin::RequestOrigin;

/// Response fields that a page's JavaScript may read, beside the CORS-safelisted ones.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, Proxy-Status, Content-Disposition, Location, ETag, X-Failure-Code, Idempotency-Replayed",
);

const ACCESS_CONTROL_ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The response fields of the CORS protocol; all are ours, so an upstream's are removed.
const OWNED: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_ALLOW_PRIVATE_NETWORK,
];

/// What the answer to one request says about its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// The page may read the answer.
    Allowed(HeaderValue),
    /// It may, also if cookies went with the request: its app is named by the URL, so its list is known.
    WithCredentials(HeaderValue),
    /// It may not, or there is no page: no allow header at all.
    Silent,
    /// The answer is a preflight's, which says everything itself.
    Preflight,
}

impl Cors {
    /// Allows the origin that was sent if `allowed` says so.
    pub fn decide(origin: RequestOrigin<'_>, allowed: impl FnOnce(&str) -> bool) -> Self {
        match origin {
            RequestOrigin::Sent(text) if allowed(text) => {
                HeaderValue::from_str(text).map_or(Self::Silent, Self::Allowed)
            }
            _ => Self::Silent,
        }
    }

    /// Puts the decision on an answer, in place of whatever CORS fields it had.
    pub fn apply(&self, headers: &mut HeaderMap) {
        if *self == Self::Preflight {
            return;
        }
        // Most answers have none of them.
        if headers.keys().any(|name| name.as_str().starts_with("access-control-")) {
            for name in OWNED {
                headers.remove(name);
            }
        }
        vary_on_origin(headers);
        self.allow(headers);
        if self.origin().is_some() {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// Puts the fields that allow on an answer, a preflight's included.
    pub fn allow(&self, headers: &mut HeaderMap) {
        if let Some(origin) = self.origin() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        if matches!(self, Self::WithCredentials(_)) {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The origin that may read the answer.
    #[must_use]
    pub const fn origin(&self) -> Option<&HeaderValue> {
        match self {
            Self::Allowed(origin) | Self::WithCredentials(origin) => Some(origin),
            Self::Silent | Self::Preflight => None,
        }
    }

    /// The same, for a request whose cookies may have gone with it.
    #[must_use]
    pub fn with_credentials(self) -> Self {
        match self {
            Self::Allowed(origin) => Self::WithCredentials(origin),
            other => other,
        }
    }
}

/// Adds `Origin` to `Vary` unless it is there.
fn vary_on_origin(headers: &mut HeaderMap) {
    let named = headers.get_all(VARY).iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',').any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("origin"))
        })
    });
    if !named {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// Whether this is a CORS preflight (Fetch standard, "CORS-preflight request").
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of an allowed origin: 204, the route's methods, the header names that
/// were asked for less those that `denied` names, and how long a browser may remember it. [`Cors::allow`]
/// adds the origin.
#[must_use]
pub fn preflight(
    request: &HeaderMap,
    methods: &'static str,
    max_age: Duration,
    denied: impl Fn(&str) -> bool,
) -> Reply {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(
        VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(max_age.as_secs()));
    if let Some(names) = allowed_names(request, denied) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    Reply { status: StatusCode::NO_CONTENT, headers, body: Vec::new() }
}

fn allowed_names(request: &HeaderMap, denied: impl Fn(&str) -> bool) -> Option<HeaderValue> {
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS)?.to_str().ok()?;
    let names: Vec<&str> = asked
        .split(',')
        .map(str::trim)
        .filter(|name| HeaderName::try_from(*name).is_ok_and(|name| !denied(name.as_str())))
        .collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: &'static str) -> Cors {
        Cors::decide(RequestOrigin::Sent(origin), |_| true)
    }

    #[test]
    fn an_upstreams_own_cors_fields_are_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        Cors::Silent.apply(&mut headers);
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        let vary: Vec<_> = headers.get_all(VARY).iter().collect();
        assert_eq!(vary, ["Accept-Encoding", "Origin"]);
    }

    #[test]
    fn vary_is_not_said_twice() {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static("accept, origin"));
        allowed("https://a.example").apply(&mut headers);
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
    }

    #[test]
    fn denied_and_malformed_names_are_left_out_of_a_preflight() {
        let mut request = HeaderMap::new();
        request.insert(
            ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::from_static("authorization, cookie, content-type, b@d name,"),
        );
        let reply = preflight(&request, "GET, POST", Duration::from_secs(600), |name| name == "cookie");
        assert_eq!(reply.headers[ACCESS_CONTROL_ALLOW_HEADERS], "authorization, content-type");
        assert_eq!(reply.headers[ACCESS_CONTROL_MAX_AGE], "600");
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
    }
}
