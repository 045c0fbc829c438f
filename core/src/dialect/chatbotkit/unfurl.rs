//! Previews of links: which pages may be looked at on behalf of a stranger.

use std::net::IpAddr;

use url::{Host, Url};

use crate::address::is_public;
use crate::denial::{Code, Denial};
use crate::dialect::mitigate::members::{Members, body, invalid};

/// The longest address of a page.
const MAX_URL: usize = 2_048;

/// Where a page is that somebody wants a preview of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address of the public internet.
    Address(IpAddr),
    /// At this host and port, whose addresses must be looked up and be public.
    Name(String, u16),
}

/// Reads which page a preview is asked of: `{"url"}`.
///
/// # Errors
/// [`Code::InvalidRequest`] if it is no page of the public web: another scheme, a user in it, an address of somebody's
/// own network.
pub fn preview_of(bytes: &[u8]) -> Result<Place, Denial> {
    const RULE: &str = "url must be the http or https address of a public page";
    let members = Members::of(body(bytes)?).ok_or(Code::InvalidRequest)?;
    let text: Option<String> = members.read("url", RULE)?;
    let text = text.filter(|text| text.len() <= MAX_URL).ok_or_else(|| invalid(RULE))?;
    place(&text).ok_or_else(|| invalid(RULE))
}

fn place(text: &str) -> Option<Place> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let public = |address: IpAddr| is_public(address).then_some(Place::Address(address));
    match url.host().filter(|_| is_web)? {
        Host::Ipv4(address) => public(address.into()),
        Host::Ipv6(address) => public(address.into()),
        // A name of one label is one of somebody's own network.
        Host::Domain(name) if name.trim_end_matches('.').contains('.') => {
            Some(Place::Name(name.to_owned(), url.port_or_known_default()?))
        }
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Place, Code> {
        let body = serde_json::json!({ "url": url }).to_string();
        preview_of(body.as_bytes()).map_err(|denial| denial.code)
    }

    #[test]
    fn pages_of_the_public_web_are_looked_at() {
        assert_eq!(read("https://example.com/a?b#c"), Ok(Place::Name("example.com".into(), 443)));
        assert_eq!(read("http://example.com:8080"), Ok(Place::Name("example.com".into(), 8080)));
        assert_eq!(read("https://1.1.1.1/"), Ok(Place::Address("1.1.1.1".parse().expect("an address"))));
    }

    #[test]
    fn nothing_else_is() {
        for url in [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "gopher://example.com",
            "javascript:alert(1)",
            "http://",
            "http://localhost",
            "http://intranet/",
            "http://localhost./",
            "http://127.0.0.1",
            "http://127.1",
            "http://0x7f.1",
            "http://2130706433",
            "http://0177.0.0.1",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]",
            "http://[::ffff:169.254.169.254]",
            "http://[fd00:ec2::254]",
            "http://user@example.com",
            "http://user:secret@example.com",
        ] {
            assert_eq!(read(url), Err(Code::InvalidRequest), "{url}");
        }
        assert_eq!(read(&format!("https://example.com/{}", "a".repeat(2_048))), Err(Code::InvalidRequest));
        for body in [r#"{}"#, r#"{"url":1}"#, r#"{"url":"https://a.b","url":"http://127.0.0.1"}"#, "[]", ""] {
            assert!(preview_of(body.as_bytes()).is_err(), "{body}");
        }
    }
}
