//! The widget token that the load carries, and those that a gate must refuse.

use crate::Result;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The page that chats.
pub(crate) const ORIGIN: &str = "https://shop.example.com";
/// Shared by every row that verifies; HS256 uses its bytes as they stand.
pub(crate) const KEY: &str = "5e1d9a7c04b34f6f8a2d61b7c93e50f21b6c8d7e9f0a1b2c3d4e5f60718293a4";
/// The end user in the token, who must reach the upstream as `X-End-User`.
pub(crate) const END_USER: &str = "user_1";
/// The app in the token, which must reach the upstream as `X-App`.
pub(crate) const APP: &str = "wapp_bench";

const LIFETIME_SECONDS: i64 = 3600;

/// What a gate must take, and what it must refuse.
pub(crate) struct Tokens {
    pub(crate) valid: String,
    pub(crate) refused: Vec<String>,
}

impl Tokens {
    /// With HS256 and the shared key.
    pub(crate) fn usual() -> Result<Self> {
        Ok(Self { valid: valid()?, refused: vec![forged()?, expired()?] })
    }
}

/// A good token, valid for an hour.
pub(crate) fn valid() -> Result<String> {
    hs256(&good_claims()?, KEY)
}

/// Right key, but over for an hour.
pub(crate) fn expired() -> Result<String> {
    hs256(&expired_claims()?, KEY)
}

/// In date, but signed by someone else.
pub(crate) fn forged() -> Result<String> {
    hs256(&good_claims()?, "00000000000000000000000000000000")
}

/// Of a token that was issued an hour ago and is valid for another.
pub(crate) fn good_claims() -> Result<Value> {
    claims(LIFETIME_SECONDS)
}

/// The same, but over for an hour.
pub(crate) fn expired_claims() -> Result<Value> {
    claims(-LIFETIME_SECONDS)
}

/// Signs with any text as the key.
pub(crate) fn hs256(claims: &Value, key: &str) -> Result<String> {
    Ok(encode(&Header::default(), claims, &EncodingKey::from_secret(key.as_bytes()))?)
}

fn claims(lifetime_seconds: i64) -> Result<Value> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    Ok(json!({
        "appId": APP,
        "sub": END_USER,
        "allowedOrigins": [ORIGIN],
        "iat": now - LIFETIME_SECONDS,
        "exp": now + lifetime_seconds,
    }))
}
