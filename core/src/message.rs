//! Plain answers: what a check or a dialect wants said, before anything touches a socket.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::denial::Denial;

/// A complete answer. One function of the program turns it into bytes on a socket.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The header fields, without framing and CORS.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON answer that no cache may keep: tokens and refusals are for one caller, once.
    #[must_use]
    pub fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self::of(status, HeaderValue::from_static("application/json"), body)
    }

    /// A refusal with the fields that any dialect's refusal has (`Retry-After`, `Allow`,
    /// `WWW-Authenticate`), around the dialect's own body.
    #[must_use]
    pub fn refusal(denial: &Denial, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut reply = Self::of(denial.code.status(), HeaderValue::from_static(content_type), body);
        if let Some(wait) = denial.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            if let Ok(seconds) = HeaderValue::try_from(seconds.to_string()) {
                reply.headers.insert(RETRY_AFTER, seconds);
            }
        }
        if let Some(allow) = denial.allow {
            reply.headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if denial.code.status() == StatusCode::UNAUTHORIZED {
            reply.headers.insert(WWW_AUTHENTICATE, challenge(denial));
        }
        reply
    }

    fn of(status: StatusCode, content_type: HeaderValue, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self { status, headers, body }
    }
}

/// RFC 6750 section 3: no `error` where no token was shown.
fn challenge(denial: &Denial) -> HeaderValue {
    use crate::denial::Code;
    HeaderValue::from_static(match denial.code {
        Code::InvalidToken | Code::InvalidClaims | Code::InvalidServiceToken => {
            "Bearer realm=\"sidegate\", error=\"invalid_token\""
        }
        Code::InvalidAuthFormat => "Bearer realm=\"sidegate\", error=\"invalid_request\"",
        _ => "Bearer realm=\"sidegate\"",
    })
}
