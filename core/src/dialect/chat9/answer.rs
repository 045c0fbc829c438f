//! What Chat9 answers: sessions, and refusals in the shapes of its framework.

use http::StatusCode;
use serde::Serialize;

use super::body::MAX_MESSAGE;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::id::SessionId;
use crate::message::Reply;
use crate::rate::Rate;
use crate::session::Mode;

#[derive(Serialize)]
struct Refused<T> {
    detail: T,
}

#[derive(Serialize)]
struct Detail<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_chars: Option<usize>,
}

/// One of the list for a body or query that is not as it should be.
#[derive(Serialize)]
struct Fault<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    loc: [&'static str; 1],
    msg: &'a str,
    /// Never what was sent: it may be a secret in the wrong place.
    input: (),
}

#[derive(Serialize)]
struct Limited {
    error: String,
}

/// `{"detail":…}`: a list for what cannot be read, a text or `{"code","message"}` for the rest; over a
/// limit `{"error":"Rate limit exceeded: 10 per 1 minute"}`.
#[must_use]
pub fn refusal(denial: &Denial) -> Reply {
    let message = &*denial.message;
    let (status, body) = match denial.code {
        Code::InvalidRequest | Code::UnsupportedMediaType => {
            let fault = Fault { kind: "value_error", loc: ["body"], msg: message, input: () };
            (StatusCode::UNPROCESSABLE_ENTITY, serde_json::to_vec(&Refused { detail: [fault] }))
        }
        Code::BotNotFound | Code::TranscriptNotFound | Code::NotFound | Code::MethodNotAllowed => {
            (denial.code.status(), serde_json::to_vec(&Refused { detail: message }))
        }
        // The vendor's own status of a rotation without anything to rotate.
        Code::IdentityNotConfigured => (StatusCode::BAD_REQUEST, serde_json::to_vec(&Refused { detail: message })),
        Code::Conflict => (denial.code.status(), serde_json::to_vec(&Refused { detail: message })),
        Code::RateLimited => {
            let error = denial.rate.map_or_else(|| "Rate limit exceeded".to_owned(), exceeded);
            (denial.code.status(), serde_json::to_vec(&Limited { error }))
        }
        code => {
            let ours = || format!("sidegate.{}", code.name().to_ascii_lowercase());
            let name = vendor_name(code).map_or_else(ours, str::to_owned);
            let max_chars = (code == Code::MessageTooLong).then_some(MAX_MESSAGE);
            (code.status(), serde_json::to_vec(&Refused { detail: Detail { code: &name, message, max_chars } }))
        }
    };
    // Texts and numbers can always be written.
    let mut reply = Reply::refusal(denial, "application/json", body.unwrap_or_default());
    reply.status = status;
    reply
}

/// The vendor's own code of a refusal; `None` for what only the gate refuses.
const fn vendor_name(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::SessionInvalid => "session_invalid",
        Code::SessionNotFound => "session_not_found",
        Code::SessionClosed => "session_closed",
        Code::SessionForbidden => "session_forbidden",
        Code::MessageRequired => "message_required",
        Code::MessageTooLong => "message_too_long",
        _ => return None,
    })
}

/// As the vendor's limiter says it.
fn exceeded(rate: Rate) -> String {
    let unit = match rate.period.as_secs() {
        1 => "second",
        60 => "minute",
        _ => "hour",
    };
    format!("Rate limit exceeded: {} per 1 {unit}", rate.count)
}

/// `{"session_id","mode"}`.
#[must_use]
pub fn opened(session: &SessionId, mode: Mode) -> Reply {
    // Neither holds anything that JSON escapes.
    let body = format!(r#"{{"session_id":"{}","mode":"{}"}}"#, session.as_str(), mode.name());
    Reply::json(StatusCode::OK, body.into_bytes())
}

/// `{"identity_token","expires_at"}`, the expiry in RFC 3339 with milliseconds.
///
/// # Errors
/// [`Code::Internal`] if the expiry lies beyond the year 9999.
pub fn identity_token(token: &str, expires_at: Timestamp) -> Result<Reply, Denial> {
    let expires_at = expires_at.rfc3339_millis().ok_or(Code::Internal)?;
    // Base64url, a dot and digits hold nothing that JSON escapes.
    let body = format!(r#"{{"identity_token":"{token}","expires_at":"{expires_at}"}}"#);
    Ok(Reply::json(StatusCode::OK, body.into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::denial::UsedUp;

    fn said(denial: &Denial) -> (u16, String) {
        let reply = refusal(denial);
        (reply.status.as_u16(), String::from_utf8(reply.body).expect("UTF-8"))
    }

    #[test]
    fn refusals_have_the_vendors_shapes() {
        for (code, status, body) in [
            (Code::BotNotFound, 404, r#"{"detail":"Bot not found"}"#),
            (Code::TranscriptNotFound, 404, r#"{"detail":"Session not found"}"#),
            (Code::SessionInvalid, 422, r#"{"detail":{"code":"session_invalid","message":"Invalid session_id"}}"#),
            (Code::SessionNotFound, 409, r#"{"detail":{"code":"session_not_found","message":"Session not found"}}"#),
            (
                Code::MessageTooLong,
                413,
                r#"{"detail":{"code":"message_too_long","message":"The message is too long","max_chars":1000}}"#,
            ),
            (
                Code::InvalidRequest,
                422,
                r#"{"detail":[{"type":"value_error","loc":["body"],"msg":"The request could not be read","input":null}]}"#,
            ),
            (
                Code::OriginNotAllowed,
                403,
                r#"{"detail":{"code":"sidegate.origin_not_allowed","message":"This origin is not allowed"}}"#,
            ),
        ] {
            assert_eq!(said(&code.into()), (status, body.to_owned()), "{code}");
        }
    }

    #[test]
    fn over_a_limit_the_limit_is_told() {
        for (rate, text) in
            [("10/m per address", "10 per 1 minute"), ("5/s", "5 per 1 second"), ("7/h", "7 per 1 hour")]
        {
            let rate = rate.parse().expect("a rate");
            let denial = Denial::rate_limited(UsedUp::App, rate, Duration::from_millis(1_500));
            assert_eq!(said(&denial), (429, format!(r#"{{"error":"Rate limit exceeded: {text}"}}"#)));
            assert_eq!(refusal(&denial).headers["retry-after"], "2");
        }
    }

    #[test]
    fn a_session_is_answered_as_documented() {
        let id = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";
        let reply = opened(&id.parse().expect("an id"), Mode::Identified);
        assert_eq!(reply.body, format!(r#"{{"session_id":"{id}","mode":"identified"}}"#).as_bytes());
        assert_eq!(reply.headers["cache-control"], "no-store");
    }
}
