//! What a customer's server asks for in an identity token, and what it gets: the gate's own route; the vendor has its
//! customers make theirs themselves.

use http::StatusCode;
use secrecy::SecretString;
use serde::Serialize;

use super::members::{Members, body, invalid};
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::entropy::Entropy;
use crate::id::{EndUserId, SessionId, TokenId};
use crate::message::Reply;

/// What is asked for.
#[derive(Debug)]
pub struct Asked {
    /// Who the token says that a visitor is.
    pub user_id: EndUserId,
    /// What the customer's own API knows the user by.
    pub access_token: Option<SecretString>,
}

/// Reads `{"user_id","access_token"?}`.
///
/// # Errors
/// [`Code::InvalidRequest`], also for members of other names; [`Code::MissingUserId`]; [`Code::InvalidField`].
pub fn parse_mint(bytes: &[u8]) -> Result<Asked, Denial> {
    let members = Members::of(body(bytes)?).ok_or(Code::InvalidRequest)?;
    if let Some(other) = members.other_than(&["user_id", "access_token"]) {
        return Err(invalid(format!("{other:?} is not known")));
    }
    let user_id = members.read::<String>("user_id", "a string")?.unwrap_or_default();
    if user_id.trim().is_empty() {
        return Err(Code::MissingUserId.into());
    }
    let user_id = user_id.parse().map_err(|rule| Denial::because(Code::InvalidField, format!("user_id: {rule}")))?;
    Ok(Asked { user_id, access_token: members.read("access_token", "a string")? })
}

/// A fresh `jti`: a UUID of version 4, as the documented Ruby has.
///
/// # Errors
/// [`Code::Internal`] without randomness.
pub fn new_jti(entropy: &dyn Entropy) -> Result<TokenId, Denial> {
    let id = SessionId::new(entropy).map_err(|_| Code::Internal)?;
    id.as_str().parse().map_err(|_| Code::Internal.into())
}

#[derive(Serialize)]
struct Minted<'a> {
    token: &'a str,
    expires_at: String,
}

/// `{"token","expires_at"}`, the expiry in RFC 3339 with milliseconds.
///
/// # Errors
/// [`Code::Internal`] if the expiry lies beyond the year 9999.
pub fn minted(token: &str, expires_at: Timestamp) -> Result<Reply, Denial> {
    let minted = Minted { token, expires_at: expires_at.rfc3339_millis().ok_or(Code::Internal)? };
    Ok(Reply::json(StatusCode::OK, serde_json::to_vec(&minted).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let asked = parse_mint(br#"{"user_id":"Zo\u00eb 7","access_token":"canary"}"#).expect("asked");
        assert_eq!(asked.user_id.as_str(), "Zoë 7");
        assert!(!format!("{asked:?}").contains("canary"));
        assert_eq!(asked.access_token.as_ref().map(ExposeSecret::expose_secret), Some("canary"));
        assert!(parse_mint(br#"{"user_id":"ada","access_token":null}"#).expect("asked").access_token.is_none());
        for (body, code) in [
            ("", Code::InvalidRequest),
            ("[]", Code::InvalidRequest),
            ("{}", Code::MissingUserId),
            (r#"{"user_id":" "}"#, Code::MissingUserId),
            (r#"{"user_id":7}"#, Code::InvalidRequest),
            (r#"{"user_id":"a\nb"}"#, Code::InvalidField),
            (r#"{"user_id":"ada","access_token":7}"#, Code::InvalidRequest),
            (r#"{"user_id":"ada","user_id":"bob"}"#, Code::InvalidRequest),
            (r#"{"user_id":"ada","ttl":60}"#, Code::InvalidRequest),
        ] {
            assert_eq!(parse_mint(body.as_bytes()).expect_err(body).code, code, "{body}");
        }
    }

    #[test]
    fn what_is_made_is_shown_with_its_end() {
        let reply = minted("a.b.c.d.e", Timestamp::from_seconds(1_769_860_800)).expect("a reply");
        assert_eq!(reply.body, br#"{"token":"a.b.c.d.e","expires_at":"2026-01-31T12:00:00.000Z"}"#);
        assert!(minted("a", Timestamp::from_millis(u64::MAX)).is_err());
    }
}
