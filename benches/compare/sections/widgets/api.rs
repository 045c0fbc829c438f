//! Calls of the API, as a customer's server makes them.

use crate::Result;
use crate::probe::roundtrip;
use serde_json::Value;
use std::net::SocketAddr;

/// The token that may do everything.
pub(super) const BOOTSTRAP: &str = "bootstrap-of-the-comparison-bench-0123456789abcdef";
pub(super) const WIDGETS: &str = "/api/v1/integration/widget";

/// The JSON of an answer that is 200.
pub(super) fn get(address: SocketAddr, path: &str) -> Result<Value> {
    call(address, "GET", path, "")
}

/// The same of a call with a body.
pub(super) fn post(address: SocketAddr, path: &str, body: &Value) -> Result<Value> {
    call(address, "POST", path, &body.to_string())
}

fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<Value> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {BOOTSTRAP}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = roundtrip(address, &request)?;
    match reply.split_once("\r\n\r\n") {
        Some((head, json)) if head.starts_with("HTTP/1.1 200 ") => Ok(serde_json::from_str(json)?),
        _ => Err(format!("{method} {path} should answer 200 but said\n{reply}").into()),
    }
}
