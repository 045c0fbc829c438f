//! Identity tokens: `<base64url of JSON>.<HMAC-SHA256 of that text in hexadecimal>` (contracts 3.1).
//!
//! The order of checks is that of the vendor's SDK: nothing of what a token says is read before its
//! signature is right.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::fields::{MAX_USER_ID, UserFields, said};
use super::secret::IdentityKeys;
use crate::clock::Timestamp;
use crate::context::SessionContext;
use crate::denial::{Code, Denial};
use crate::id::EndUserId;
use crate::json;
use crate::token::CLOCK_LEEWAY;

/// Bytes of the longest token that is read.
const MAX_TOKEN: usize = 8 * 1024;

/// How long a token is good if nothing is asked for.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// How long one may be good: the vendor's SDK makes no others.
const TTLS: std::ops::RangeInclusive<u64> = 60..=3_600;

/// Who a token says that a visitor is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who.
    pub user_id: EndUserId,
    /// When the token was made. If it does not say, an hour before it is over, or at the epoch if that has not come yet.
    pub issued_at: Timestamp,
    /// What else, as it is kept.
    pub fields: BTreeMap<&'static str, String>,
}

impl Identity {
    /// What templates may place of it.
    #[must_use]
    pub fn into_context(self) -> SessionContext {
        let user_id = ("user_id".to_owned(), self.user_id.as_str().to_owned());
        let fields = self.fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        SessionContext::of_user(std::iter::once(user_id).chain(fields))
    }
}

/// Why a token identifies nobody. For logs and metrics; a browser is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIdentified {
    /// The app has no secret.
    NoSecretConfigured,
    /// It is not of the shape of a token.
    Malformed,
    /// Neither secret made its signature.
    BadSignature,
    /// It has no `user_id`, or one that is none.
    MissingUserId,
    /// What it says beside is of another type.
    MalformedContext,
    /// Its time is over.
    Expired,
}

impl NotIdentified {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::NoSecretConfigured,
        Self::Malformed,
        Self::BadSignature,
        Self::MissingUserId,
        Self::MalformedContext,
        Self::Expired,
    ];

    /// The vendor's own name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSecretConfigured => "no_secret_configured",
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::MissingUserId => "missing_user_id",
            Self::MalformedContext => "malformed_context",
            Self::Expired => "expired",
        }
    }
}

/// Verifies a token.
///
/// # Errors
/// [`NotIdentified`].
pub fn verify(token: &str, keys: Option<&IdentityKeys>, now: Timestamp) -> Result<Identity, NotIdentified> {
    let keys = keys.ok_or(NotIdentified::NoSecretConfigured)?;
    if token.len() > MAX_TOKEN {
        return Err(NotIdentified::Malformed);
    }
    let (input, signature) = token.split_once('.').ok_or(NotIdentified::Malformed)?;
    if input.is_empty() || signature.contains('.') {
        return Err(NotIdentified::Malformed);
    }
    let signature = from_hex(signature).ok_or(NotIdentified::BadSignature)?;
    if !keys.verify(input, &signature) {
        return Err(NotIdentified::BadSignature);
    }
    // Canonical and without padding, or two texts would be one token.
    let payload = URL_SAFE_NO_PAD.decode(input).map_err(|_| NotIdentified::Malformed)?;
    let text = json::check_object(&payload).map_err(|_| NotIdentified::Malformed)?;
    let payload: Value = serde_json::from_str(text).map_err(|_| NotIdentified::Malformed)?;
    read(&payload, now)
}

/// The lower-case digits of 32 bytes.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn read(payload: &Value, now: Timestamp) -> Result<Identity, NotIdentified> {
    // `true`, "1", 1.0 and 1e9 are no integers.
    let integer =
        |name: &str| payload.get(name).map(|value| value.as_i64().ok_or(NotIdentified::Malformed)).transpose();
    let expires_at = integer("exp")?.ok_or(NotIdentified::Malformed)?;
    let issued_at = integer("iat")?;
    let user_id = payload.get("user_id").and_then(Value::as_str).unwrap_or_default();
    let too_long = user_id.chars().count() > MAX_USER_ID;
    if too_long || user_id.trim() != user_id {
        // Cut, or trimmed, it would be somebody else.
        return Err(NotIdentified::MissingUserId);
    }
    let user_id = EndUserId::parse(user_id).map_err(|_| NotIdentified::MissingUserId)?;
    let fields = UserFields::deserialize(payload).map_err(|_| NotIdentified::MalformedContext)?;
    if i64::try_from(now.seconds()).is_ok_and(|now| now >= expires_at) {
        return Err(NotIdentified::Expired);
    }
    let seconds = |number: i64| Timestamp::from_seconds(u64::try_from(number).unwrap_or(0));
    let issued_at = issued_at.map_or_else(|| made_at(seconds(expires_at), now), seconds);
    Ok(Identity { user_id, issued_at, fields: fields.kept().collect() })
}

/// When a token was made that does not say so: the vendor's SDK makes such, and none that is good for more than an hour.
/// One that is, by more than clocks differ, may be of any time, and is revoked by whatever is revoked at all.
fn made_at(expires_at: Timestamp, now: Timestamp) -> Timestamp {
    let made = expires_at.seconds().saturating_sub(*TTLS.end());
    Timestamp::from_seconds(if made > now.plus(CLOCK_LEEWAY).seconds() { 0 } else { made })
}

/// What a customer's server asks for in a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    user_id: Option<Value>,
    #[serde(default)]
    email: Option<Value>,
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    plan_tier: Option<Value>,
    #[serde(default)]
    audience_tag: Option<Value>,
    #[serde(default)]
    company: Option<Value>,
    #[serde(default)]
    locale: Option<Value>,
    #[serde(default)]
    ttl: Option<Value>,
}

/// What is asked for in a token, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    user_id: EndUserId,
    fields: UserFields,
    ttl: Duration,
}

/// Reads the body of a request for a token: `user_id`, the optional fields, and `ttl` in seconds.
///
/// # Errors
/// [`Code::InvalidRequest`]; as [`Asked::new`].
pub fn parse_mint(body: &[u8]) -> Result<Asked, Denial> {
    let wire: Wire = json::read_object(body).map_err(|fault| Denial::because(Code::InvalidRequest, said(&fault)))?;
    let text = |name: &str, value: Option<Value>| match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Denial::because(Code::InvalidField, format!("{name} must be a string"))),
    };
    let fields = UserFields {
        email: text("email", wire.email)?,
        name: text("name", wire.name)?,
        plan_tier: text("plan_tier", wire.plan_tier)?,
        audience_tag: text("audience_tag", wire.audience_tag)?,
        company: text("company", wire.company)?,
        locale: text("locale", wire.locale)?,
    };
    let ttl = match wire.ttl {
        None | Some(Value::Null) => DEFAULT_TTL,
        Some(value) => Duration::from_secs(value.as_u64().ok_or(Code::InvalidTtl)?),
    };
    Asked::new(&text("user_id", wire.user_id)?.unwrap_or_default(), fields, ttl)
}

impl Asked {
    /// Checks what is asked for.
    ///
    /// # Errors
    /// [`Code::MissingUserId`]; [`Code::InvalidField`] for a value that would be cut; [`Code::InvalidTtl`].
    pub fn new(user_id: &str, fields: UserFields, ttl: Duration) -> Result<Self, Denial> {
        if user_id.trim().is_empty() {
            return Err(Code::MissingUserId.into());
        }
        let invalid = |name: &str| {
            let rule = format!("{name} is too long, blank, or has control characters or spaces around it");
            Denial::because(Code::InvalidField, rule)
        };
        if user_id.chars().count() > MAX_USER_ID || user_id.trim() != user_id {
            return Err(invalid("user_id"));
        }
        let user_id = EndUserId::parse(user_id).map_err(|_| invalid("user_id"))?;
        if let Some(name) = fields.first_cut() {
            return Err(invalid(name));
        }
        if !TTLS.contains(&ttl.as_secs()) {
            return Err(Code::InvalidTtl.into());
        }
        Ok(Self { user_id, fields, ttl })
    }

    /// Whom the token is for.
    #[must_use]
    pub const fn user_id(&self) -> &EndUserId {
        &self.user_id
    }
}

/// Makes a token, and says when it ends.
///
/// # Errors
/// [`Code::Internal`] if it cannot be written, which none is.
pub fn mint(asked: &Asked, keys: &IdentityKeys, now: Timestamp) -> Result<(String, Timestamp), Denial> {
    let expires_at = Timestamp::from_seconds(now.seconds()).plus(asked.ttl);
    let mut payload: BTreeMap<&str, Value> =
        asked.fields.given().map(|(name, value)| (name, Value::from(value))).collect();
    payload.insert("user_id", asked.user_id.as_str().into());
    payload.insert("exp", expires_at.seconds().into());
    payload.insert("iat", now.seconds().into());
    Ok((signed(&payload, keys).ok_or(Code::Internal)?, expires_at))
}

/// Names in order, nothing between: the canonical form of all the vendor's generators.
fn signed(payload: &BTreeMap<&str, Value>, keys: &IdentityKeys) -> Option<String> {
    let input = URL_SAFE_NO_PAD.encode(serde_json::to_vec(payload).ok()?);
    let signature = keys.sign(&input);
    Some([input.as_str(), ".", &signature].concat())
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
