//! What Mitigate answers: refusals, and the gate's own answer to a visitor who comes in.

use http::StatusCode;
use serde::Serialize;

use crate::denial::{Code, Denial};
use crate::id::TokenId;
use crate::message::Reply;
use crate::policy::Issued;
use crate::session::Mode;

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
    /// The vendor has none; ours is stable where its message is not.
    code: &'a str,
}

/// `{"error","code"}` (ai-platform-docs.mitigate.dev, api/create-chat).
#[must_use]
pub fn refusal(denial: &Denial) -> Reply {
    let refused = Refused { error: &denial.message, code: denial.code.name() };
    // Two strings can always be written.
    Reply::refusal(denial, "application/json", serde_json::to_vec(&refused).unwrap_or_default())
}

#[derive(Serialize)]
struct Session<'a> {
    token: &'a str,
    expires_at: String,
    mode: Mode,
    session_id: &'a TokenId,
}

/// `{"token","expires_at","mode","session_id"}`, the expiry in RFC 3339 with milliseconds.
///
/// # Errors
/// [`Code::Internal`] if the expiry lies beyond the year 9999.
pub fn issued(issued: &Issued, mode: Mode, session_id: &TokenId) -> Result<Reply, Denial> {
    let expires_at = issued.expires_at.rfc3339_millis().ok_or(Code::Internal)?;
    let session = Session { token: &issued.token, expires_at, mode, session_id };
    Ok(Reply::json(StatusCode::OK, serde_json::to_vec(&session).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn text(reply: &Reply) -> &str {
        std::str::from_utf8(&reply.body).expect("UTF-8")
    }

    #[test]
    fn a_visitor_who_comes_in_is_told_how_and_until_when() {
        let token = Issued { token: "eyJ".into(), expires_at: Timestamp::from_seconds(1_769_860_800) };
        let reply = issued(&token, Mode::Guest, &"s1".parse().expect("an id")).expect("a reply");
        let told = r#"{"token":"eyJ","expires_at":"2026-01-31T12:00:00.000Z","mode":"guest","session_id":"s1"}"#;
        assert_eq!(text(&reply), told);
        assert_eq!(reply.headers["cache-control"], "no-store");
        let never = Issued { token: "eyJ".into(), expires_at: Timestamp::from_millis(u64::MAX) };
        assert!(issued(&never, Mode::Guest, &"s1".parse().expect("an id")).is_err());
    }

    #[test]
    fn a_refusal_says_why_in_the_vendors_shape() {
        let reply = refusal(&Denial::because(Code::InvalidGuest, "say \"name\""));
        assert_eq!(text(&reply), r#"{"error":"say \"name\"","code":"INVALID_GUEST"}"#);
        assert_eq!(
            (reply.status, &reply.headers["content-type"]),
            (StatusCode::BAD_REQUEST, &"application/json".parse().expect("a value"))
        );
        let reply = refusal(&Code::AuthRequired.into());
        assert_eq!(text(&reply), r#"{"error":"Authentication required","code":"AUTH_REQUIRED"}"#);
        assert_eq!(reply.headers["www-authenticate"], "Bearer realm=\"sidegate\"");
    }
}
