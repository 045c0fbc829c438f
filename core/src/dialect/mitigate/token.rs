//! The token that a widget chats with: a JWT of the gate's own, because the vendor documents none.

use std::borrow::Cow;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::{self, Workspaces};
use crate::leash::Leash;
use crate::session::Mode;
use crate::token::{Claims, KeyRing};

/// What `aud` says: this dialect's marker, without which a token is one of another.
pub const AUDIENCE: &str = "mitigate/chat";

/// The claims as they stand in the token.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireClaims<'a> {
    /// [`AUDIENCE`].
    pub aud: Cow<'a, str>,
    /// The workspace, which is the app.
    pub workspace_id: Cow<'a, str>,
    /// The end user.
    pub sub: Cow<'a, str>,
    /// How the end user came in.
    pub mode: Mode,
    /// Origins that may use the token.
    pub origins: Cow<'a, [String]>,
    /// The session's id.
    pub jti: Cow<'a, str>,
    /// Issued at, in seconds.
    pub iat: u64,
    /// Expires at, in seconds.
    pub exp: u64,
}

impl TryFrom<WireClaims<'_>> for Claims {
    type Error = Denial;

    fn try_from(wire: WireClaims<'_>) -> Result<Self, Denial> {
        let invalid = |_| Denial::from(Code::InvalidToken);
        if wire.aud != AUDIENCE {
            return Err(Code::InvalidToken.into());
        }
        Ok(Self {
            app: wire.workspace_id.parse().map_err(invalid)?,
            subject: wire.sub.parse().map_err(invalid)?,
            origins: wire.origins.into_owned(),
            id: Some(wire.jti.parse().map_err(invalid)?),
            workflow: None,
            workspaces: Workspaces::default(),
            leash: Leash::default(),
            details: serde_json::Map::new(),
            issued_at: Timestamp::from_seconds(wire.iat),
            not_before: None,
            expires_at: Timestamp::from_seconds(wire.exp),
        })
    }
}

/// Signs `claims` for a visitor who came in like this.
///
/// # Errors
/// [`Code::Internal`] for claims without an id, which are not made for this dialect; else as [`KeyRing::sign`].
pub fn sign(keys: &KeyRing, claims: &Claims, mode: Mode) -> Result<String, Denial> {
    let id = claims.id.as_ref().ok_or(Code::Internal)?;
    keys.sign(&WireClaims {
        aud: AUDIENCE.into(),
        workspace_id: claims.app.as_str().into(),
        sub: claims.subject.as_str().into(),
        mode,
        origins: (&*claims.origins).into(),
        jti: id.as_str().into(),
        iat: claims.issued_at.seconds(),
        exp: claims.expires_at.seconds(),
    })
}

/// The widget token of a request: `Authorization: Bearer …`, once.
///
/// # Errors
/// [`Code::AuthRequired`] without any, [`Code::InvalidAuthFormat`] for another scheme or several fields.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Denial> {
    orcheo::bearer(headers)?.ok_or_else(|| Code::AuthRequired.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::sigmic;
    use crate::token::{Algorithm, UnverifiedToken};

    fn keys() -> KeyRing {
        KeyRing::new(Algorithm::Hs256, &"0123456789abcdef0123456789abcdef".into()).expect("a key")
    }

    fn claims() -> Claims {
        Claims {
            app: "ws_1".parse().expect("an id"),
            subject: "Zoë 7".parse().expect("an id"),
            origins: vec!["https://shop.example.com".into()],
            id: Some("s1".parse().expect("an id")),
            workflow: None,
            workspaces: Workspaces::default(),
            leash: Leash::default(),
            details: serde_json::Map::new(),
            issued_at: Timestamp::from_seconds(100),
            not_before: None,
            expires_at: Timestamp::from_seconds(200),
        }
    }

    fn read(token: &str) -> Result<Claims, Denial> {
        let token = UnverifiedToken::<WireClaims<'_>>::parse(token)?;
        token.verify(keys().verifying())?.try_into()
    }

    fn good() -> Value {
        json!({ "aud": AUDIENCE, "workspace_id": "ws_1", "sub": "ada", "mode": "guest", "origins": [], "jti": "s1",
            "iat": 100, "exp": 200 })
    }

    #[test]
    fn what_is_signed_is_read() {
        for mode in Mode::ALL {
            let token = sign(&keys(), &claims(), mode).expect("a token");
            assert_eq!(read(&token).expect("claims"), claims());
            let wire = UnverifiedToken::<Value>::parse(&token).expect("a token").unverified_claims;
            assert_eq!((&wire["aud"], &wire["mode"]), (&json!(AUDIENCE), &json!(mode.name())));
        }
    }

    #[test]
    fn claims_without_an_id_are_not_signed() {
        let refused = sign(&keys(), &Claims { id: None, ..claims() }, Mode::Guest).expect_err("refused");
        assert_eq!(refused.code, Code::Internal);
    }

    #[test]
    fn each_claim_must_be_there_and_as_it_must_be() {
        assert!(read(&keys().sign(&good()).expect("a token")).is_ok());
        for (name, value) in [
            ("aud", json!("chatkit")),
            ("aud", json!([AUDIENCE])),
            ("workspace_id", json!("../ws_1")),
            ("sub", json!("")),
            ("sub", json!("a\nb")),
            ("mode", json!("admin")),
            ("origins", json!("https://shop.example.com")),
            ("jti", json!("")),
            ("jti", json!("a/b")),
            ("iat", json!(1.5)),
            ("exp", json!("200")),
        ] {
            let mut wrong = good();
            wrong[name] = value;
            assert!(read(&keys().sign(&wrong).expect("a token")).is_err(), "{wrong}");
        }
        for name in ["aud", "workspace_id", "sub", "mode", "origins", "jti", "iat", "exp"] {
            let mut less = good();
            less.as_object_mut().expect("an object").remove(name);
            assert!(read(&keys().sign(&less).expect("a token")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_token_of_one_dialect_is_none_of_another() {
        let ours = sign(&keys(), &claims(), Mode::Identified).expect("a token");
        assert!(UnverifiedToken::<sigmic::WireClaims<'_>>::parse(&ours).is_err());
        assert!(UnverifiedToken::<orcheo::WireClaims<'_>>::parse(&ours).is_err());
        let theirs = sigmic::sign(&keys(), &claims()).expect("a token");
        assert!(read(&theirs).is_err());
    }

    #[test]
    fn one_bearer_token_is_taken() {
        let code = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.extend(fields.iter().map(|field| (AUTHORIZATION, HeaderValue::from_static(field))));
            bearer(&headers).map(str::to_owned).map_err(|denial| denial.code)
        };
        assert_eq!(code(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(code(&["bearer  abc"]), Ok("abc".to_owned()));
        assert_eq!(code(&[]), Err(Code::AuthRequired));
        for bad in [&["Basic abc"][..], &["Bearer"], &["Bearer "], &["abc"], &["Bearer a", "Bearer a"]] {
            assert_eq!(code(bad), Err(Code::InvalidAuthFormat), "{bad:?}");
        }
    }
}
