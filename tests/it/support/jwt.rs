//! Tokens read and written by hand, apart from the code under test.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::forge;
pub use super::forge::now;
use super::gate::{APP, SHOP};

/// `{"typ":"JWT","alg":"HS256"}` in base64url has other bytes: this is the header that we write.
pub const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// A token's claims; fails if `key` did not sign it.
pub fn claims(token: &str, key: &str) -> Value {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let read = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(key.as_bytes()), &rules);
    read.expect("signed with this key").claims
}

/// A token with these claims.
pub fn sign(claims: &Value, key: &str) -> String {
    forge::sign(forge::HEADER, &claims.to_string(), key, Algorithm::HS256)
}

/// Claims of the default app that end `seconds` from now, or ended so long ago.
pub fn claims_ending_in(seconds: i64) -> Value {
    let now = i64::try_from(now()).expect("in range");
    json!({ "appId": APP, "sub": "user-1", "allowedOrigins": [SHOP], "iat": now.min(now + seconds) - 1, "exp": now + seconds })
}
