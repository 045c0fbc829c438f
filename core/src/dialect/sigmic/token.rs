//! Sigmic's JWT claims (seeds/003, "JWT Claims") and the forms of its `Authorization` field.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::Workspaces;
use crate::leash::{self, Leash};
use crate::token::{Claims, KeyRing};

/// The claims as they stand in the token. `appId` and `allowedOrigins` are this dialect's markers:
/// a token of another dialect lacks them and is refused.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireClaims<'a> {
    /// Widget app id.
    #[serde(rename = "appId")]
    pub app_id: Cow<'a, str>,
    /// The end user.
    pub sub: Cow<'a, str>,
    /// Origins that may use the token.
    #[serde(rename = "allowedOrigins")]
    pub allowed_origins: Cow<'a, [String]>,
    /// Present when env or secrets were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Cow<'a, str>>,
    /// What it may use, where its server asked for a leash.
    #[serde(default, skip_serializing_if = "Leash::is_endless", deserialize_with = "leash::as_object")]
    pub leash: Leash,
    /// Issued at, in seconds.
    pub iat: u64,
    /// Not before, in seconds; we write none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Expires at, in seconds.
    pub exp: u64,
}

impl TryFrom<WireClaims<'_>> for Claims {
    type Error = Denial;

    fn try_from(wire: WireClaims<'_>) -> Result<Self, Denial> {
        let invalid = |_| Denial::from(Code::InvalidToken);
        Ok(Self {
            app: wire.app_id.parse().map_err(invalid)?,
            subject: wire.sub.parse().map_err(invalid)?,
            origins: wire.allowed_origins.into_owned(),
            id: wire.jti.map(|id| id.parse()).transpose().map_err(invalid)?,
            workflow: None,
            workspaces: Workspaces::default(),
            leash: wire.leash,
            details: serde_json::Map::new(),
            issued_at: Timestamp::from_seconds(wire.iat),
            not_before: wire.nbf.map(Timestamp::from_seconds),
            expires_at: Timestamp::from_seconds(wire.exp),
        })
    }
}

/// Signs `claims` as Sigmic writes them.
///
/// # Errors
/// As [`KeyRing::sign`].
pub fn sign(keys: &KeyRing, claims: &Claims) -> Result<String, Denial> {
    keys.sign(&WireClaims {
        app_id: claims.app.as_str().into(),
        sub: claims.subject.as_str().into(),
        allowed_origins: (&*claims.origins).into(),
        jti: claims.id.as_ref().map(|id| id.as_str().into()),
        leash: claims.leash,
        iat: claims.issued_at.seconds(),
        nbf: claims.not_before.map(Timestamp::seconds),
        exp: claims.expires_at.seconds(),
    })
}

/// The widget token of a request: `Authorization: Bearer eyJ…`. API keys (`sigmic_…`, `X-API-Key`)
/// belong to servers and are not taken from browsers.
///
/// # Errors
/// [`Code::AuthRequired`] without a credential, [`Code::InvalidApiKey`] for an API key,
/// [`Code::InvalidAuthFormat`] for anything else, several fields included.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Denial> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        let code = if headers.contains_key("x-api-key") { Code::InvalidApiKey } else { Code::AuthRequired };
        return Err(code.into());
    };
    let text = field.to_str().ok().filter(|_| fields.next().is_none()).ok_or(Code::InvalidAuthFormat)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Code::InvalidAuthFormat.into());
    }
    match token.trim_start_matches(' ') {
        token if token.starts_with("eyJ") => Ok(token),
        token if token.starts_with("sigmic_") => Err(Code::InvalidApiKey.into()),
        _ => Err(Code::InvalidAuthFormat.into()),
    }
}
