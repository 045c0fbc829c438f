//! What the service answers: a fixed text that says which injected context it saw.
//!
//! The text goes to the browser, so a secret is never quoted. It appears as its name and
//! a *fingerprint*, the first 8 hex digits of the SHA-256 of the value: enough to tell
//! that the right one arrived. (32 bits of a hash give nothing away about a random
//! secret; they would about a PIN, which is why real services should not do this.)

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, HeaderName};
use serde_json::Value;
use sidegate_core::entropy::hex;

/// The header that names the end user; the gate owns it.
pub(super) const END_USER: &str = "x-end-user";

/// Headers whose values are no secrets. All others are fingerprinted.
const SHOWN: [&str; 2] = ["x-tenant", END_USER];

/// Headers that say something about the hop, not about the user.
const PLUMBING: [&str; 4] = ["x-real-ip", "x-request-id", "x-forwarded-", "x-accel-"];

/// How many facts, and how much of each value or message, a reply holds.
const MAX_FACTS: usize = 24;
const MAX_QUOTE: usize = 200;

/// The first 8 hex digits of the value's SHA-256.
#[must_use]
pub fn fingerprint(value: &[u8]) -> String {
    hex(&digest(&SHA256, value).as_ref()[..4])
}

/// The answer to `message`, given the context of the request that brought it.
pub(super) fn text(message: &str, context: &[String]) -> String {
    let said = format!("You said: {}", quote(message));
    if context.is_empty() {
        return format!("{said}\nNo context was injected.");
    }
    format!("{said}\n{}", context.join("\n"))
}

/// What the headers and the `mcp_servers` of a request body tell, one line each.
pub(super) fn context(headers: &HeaderMap, mcp_servers: Option<&Value>) -> Vec<String> {
    let mut facts: Vec<String> = header_facts(headers).chain(mcp_facts(mcp_servers)).collect();
    facts.truncate(MAX_FACTS);
    facts
}

fn header_facts(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let mut injected: Vec<_> = headers.iter().filter(|(name, _)| is_context(name)).collect();
    // Sorted, so that the same request always gets the same answer.
    injected.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    injected.into_iter().map(|(name, value)| fact(name, value.as_bytes()))
}

fn is_context(name: &HeaderName) -> bool {
    let name = name.as_str();
    let plumbing = PLUMBING.iter().any(|prefix| name.starts_with(prefix));
    name == "authorization" || (name.starts_with("x-") && !plumbing)
}

fn fact(name: &HeaderName, value: &[u8]) -> String {
    let print = fingerprint(value);
    if SHOWN.contains(&name.as_str()) {
        let shown = String::from_utf8_lossy(value);
        return format!("{}: {} ({print})", title_case(name.as_str()), quote(&shown));
    }
    format!("{} ({print})", title_case(name.as_str()))
}

fn mcp_facts(servers: Option<&Value>) -> impl Iterator<Item = String> {
    let servers = servers.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    servers.iter().enumerate().flat_map(|(index, server)| {
        let headers = server.get("headers").and_then(Value::as_object);
        headers.into_iter().flatten().map(move |(name, value)| {
            // A value that is not a string is fingerprinted as its JSON text.
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let print = fingerprint(text.as_bytes());
            format!("mcp_servers[{index}] {} ({print})", quote(name))
        })
    })
}

/// `x-api-token` as people write it: `X-Api-Token`.
fn title_case(name: &str) -> String {
    let words: Vec<String> = name.split('-').map(capitalised).collect();
    words.join("-")
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// At most [`MAX_QUOTE`] characters, on one line.
fn quote(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut quoted: String = printable.take(MAX_QUOTE).collect();
    if text.chars().nth(MAX_QUOTE).is_some() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let entry = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(entry).collect()
    }

    #[test]
    fn a_public_header_is_shown_and_a_secret_one_is_fingerprinted() {
        let headers = headers(&[
            ("x-tenant", "acme"),
            ("x-api-token", "sk-hidden"),
            ("authorization", "Bearer key"),
            ("x-request-id", "17"),
            ("accept", "*/*"),
        ]);
        let text = text("hi", &context(&headers, None));
        let expected = format!(
            "You said: hi\nAuthorization ({})\nX-Api-Token ({})\nX-Tenant: acme ({})",
            fingerprint(b"Bearer key"),
            fingerprint(b"sk-hidden"),
            fingerprint(b"acme"),
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn mcp_headers_are_fingerprinted() {
        let servers = json!([{ "name": "db", "headers": { "Authorization": "Bearer sk-hidden" } }]);
        let facts = context(&HeaderMap::new(), Some(&servers));
        let print = fingerprint(b"Bearer sk-hidden");
        assert_eq!(facts, [format!("mcp_servers[0] Authorization ({print})")]);
    }

    #[test]
    fn the_fingerprint_is_the_start_of_the_sha_256() {
        assert_eq!(fingerprint(b"abc"), "ba7816bf");
    }

    #[test]
    fn a_long_message_is_cut_and_kept_on_one_line() {
        assert_eq!(quote("a\nb"), "a b");
        assert_eq!(quote(&"é".repeat(201)).chars().count(), 201);
    }
}
