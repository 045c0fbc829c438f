//! Tokens made by hand, good and bad, with the key of the tests or another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use sidegate::system::System;
use sidegate_core::clock::Clock as _;

use super::gate::{APP, SHOP, SIGNING_KEY};

/// The header that the gate writes.
pub const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Seconds since the epoch.
pub fn now() -> u64 {
    System.now().seconds()
}

/// Claims of ada's that the gate takes.
pub fn claims() -> Value {
    json!({ "appId": APP, "sub": "ada", "allowedOrigins": [SHOP], "iat": now(), "exp": now() + 600 })
}

/// These claims, signed as the gate signs.
pub fn token(claims: &Value) -> String {
    sign(HEADER, &claims.to_string(), SIGNING_KEY, Algorithm::HS256)
}

/// [`claims`] with some replaced; `null` leaves one out.
pub fn token_with(changes: &Value) -> String {
    let mut claims = claims();
    merge(&mut claims, changes);
    token(&claims)
}

/// As [`token_with`], of another app with a key of its own.
pub fn token_of(app: &str, key: &str, changes: &Value) -> String {
    let mut claims = claims();
    merge(&mut claims, changes);
    merge(&mut claims, &json!({ "appId": app }));
    sign(HEADER, &claims.to_string(), key, Algorithm::HS256)
}

/// Replaces members; `null` removes one.
pub fn merge(claims: &mut Value, changes: &Value) {
    let members = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        members.insert(name.clone(), value.clone());
        members.retain(|_, value| !value.is_null());
    }
}

/// A compact JWS of any header and payload.
pub fn sign(header: &str, payload: &str, key: &str, algorithm: Algorithm) -> String {
    let input = unsigned(header, payload);
    let signature = crypto::sign(input.as_bytes(), &EncodingKey::from_secret(key.as_bytes()), algorithm);
    format!("{input}.{}", signature.expect("a signature"))
}

/// The part of a JWS that is signed.
pub fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// An identity token of Chat9's, as a customer's server signs it.
pub fn identity_token(claims: &Value, secret: &str) -> String {
    let input = URL_SAFE_NO_PAD.encode(claims.to_string());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = aws_lc_rs::hmac::sign(&key, input.as_bytes());
    let digits: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{input}.{digits}")
}
