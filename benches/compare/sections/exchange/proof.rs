//! Before the load: does a server refuse a wrong secret, and sign the claims that were asked for?

use super::SECRET;
use crate::Result;
use crate::lab::{Lab, Proxy};
use crate::probe::roundtrip;
use crate::rows::Row;
use crate::token::{APP, END_USER, KEY, ORIGIN};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use sidegate_core::clock::Timestamp;
use std::net::SocketAddr;

pub(in crate::sections) const PATH: &str = "/api/v1/auth/token";
const LIFETIME_SECONDS: u64 = 3600;

pub(super) fn check(row: &Row, proxy: &Proxy, _: &Lab) -> Result<()> {
    let body = row.value("body");
    let asked = refuses(proxy.address, &body.replace(SECRET, "wsec_of_somebody_else"))
        .and_then(|()| refuses(proxy.address, &body.replace(APP, "wapp_other")))
        .and_then(|()| signs(proxy.address, body));
    asked.map_err(|error| format!("{}: {error}", row.name).into())
}

fn refuses(address: SocketAddr, body: &str) -> Result<()> {
    let refusal = ask(address, body, 401)?;
    let code = &refusal["error"]["code"];
    if code == "INVALID_CREDENTIALS" { Ok(()) } else { Err(format!("refused with {refusal}").into()) }
}

/// Claims and answer are as they should be, and nothing else is among them.
fn signs(address: SocketAddr, body: &str) -> Result<()> {
    let answer = ask(address, body, 200)?;
    let token = answer["data"]["token"].as_str().ok_or_else(|| format!("no token in {answer}"))?;
    // Checks the signature and that the token is not over.
    let key = DecodingKey::from_secret(KEY.as_bytes());
    let claims = decode::<Value>(token, &key, &Validation::new(Algorithm::HS256))?.claims;
    let issued_at = claims["iat"].as_u64().unwrap_or_default();
    let expires_at = issued_at + LIFETIME_SECONDS;
    let mut expected =
        json!({ "appId": APP, "sub": END_USER, "allowedOrigins": [ORIGIN], "iat": issued_at, "exp": expires_at });
    if body.contains("\"env\"") {
        expected["jti"] = claims["jti"].as_str().filter(|id| id.len() == 32).into();
    }
    let data = json!({ "token": token, "expiresAt": Timestamp::from_seconds(expires_at).rfc3339_millis() });
    let good = claims == expected && answer == json!({ "success": true, "data": data });
    if good { Ok(()) } else { Err(format!("answered {answer} with {claims} instead of {expected}").into()) }
}

/// The JSON of an answer that has the expected status.
pub(in crate::sections) fn ask(address: SocketAddr, body: &str, status: u16) -> Result<Value> {
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = roundtrip(address, &request)?;
    match reply.split_once("\r\n\r\n") {
        Some((head, json)) if head.starts_with(&format!("HTTP/1.1 {status} ")) => Ok(serde_json::from_str(json)?),
        _ => Err(format!("POST {PATH} should answer {status} but said\n{reply}").into()),
    }
}
