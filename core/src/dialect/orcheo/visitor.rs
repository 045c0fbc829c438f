//! Visitors without a token: what tells one from another, and what the upstream is told of them.

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::authorize::cookie;
use crate::denial::{Code, Denial};
use crate::entropy::{self, Entropy};
use crate::id::{AppId, EndUserId};

/// What a page of 0.39 sends of its own making, and what the upstream gets in its place.
pub const X_ORCHEO_VISITOR_ID: HeaderName = HeaderName::from_static("x-orcheo-visitor-id");

/// What the upstream takes for who somebody is.
pub const X_ORCHEO_OAUTH_SUBJECT: HeaderName = HeaderName::from_static("x-orcheo-oauth-subject");

/// The gate's cookie for visitors. No other host can set one of this name (RFC 6265bis section 4.1.3.2).
const COOKIE: &str = "__Host-sidegate-visitor";

/// A visitor whom nobody knows.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// What tells one from another. Of what the browser has, only the gate can make it.
    pub end_user: EndUserId,
    /// To be set with the answer, if it is a new one.
    pub set_cookie: Option<HeaderValue>,
}

/// Finds out who comes back, by the page's `X-Orcheo-Visitor-Id` (8 to 128 letters, digits, `_` or `-`), else by the
/// gate's cookie; if `sets_cookies`, a visitor with neither is a new one.
///
/// # Errors
/// [`Code::MissingVisitor`] for a visitor without either, or an id of another shape.
pub fn visitor(app: &AppId, headers: &HeaderMap, sets_cookies: bool, entropy: &dyn Entropy) -> Result<Visitor, Denial> {
    let mut fields = headers.get_all(&X_ORCHEO_VISITOR_ID).iter();
    if let Some(field) = fields.next() {
        let id = field.to_str().ok().filter(|id| fields.next().is_none() && is_visitor_id(id));
        let id = id.ok_or(Code::MissingVisitor)?;
        return Ok(Visitor { end_user: end_user(app, "header", id)?, set_cookie: None });
    }
    if !sets_cookies {
        return Err(Code::MissingVisitor.into());
    }
    // One that somebody else seems to have set as well is as good as none.
    if let Some(id) = cookie::one(headers, COOKIE).ok().flatten().filter(|id| is_visitor_id(id) && id.len() == 64) {
        return Ok(Visitor { end_user: end_user(app, "cookie", id)?, set_cookie: None });
    }
    let id = entropy::hex(&entropy::bytes::<32>(entropy).map_err(|_| Code::Internal)?);
    let field = format!("{COOKIE}={id}; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=None; Partitioned");
    let set_cookie = HeaderValue::try_from(field).map_err(|_| Code::Internal)?;
    Ok(Visitor { end_user: end_user(app, "cookie", &id)?, set_cookie: Some(set_cookie) })
}

fn is_visitor_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (8..=128).contains(&text.len()) && text.bytes().all(plain)
}

/// `visitor-` and 128 bits of a hash: whoever sees it, in a log of the upstream for example, cannot come back by it.
/// Another app makes another one of the same visitor, and a page cannot name one that came by a cookie.
fn end_user(app: &AppId, kind: &str, id: &str) -> Result<EndUserId, Denial> {
    let text = format!("sidegate visitor\0{}\0{kind}\0{id}", app.as_str());
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let half = hash.as_ref().get(..16).unwrap_or_default();
    format!("visitor-{}", entropy::hex(half)).parse().map_err(|_| Code::Internal.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::EntropyUnavailable;

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
            bytes.fill(7);
            Ok(())
        }
    }

    fn of(app: &str, fields: &[(&'static str, &str)], sets_cookies: bool) -> Result<Visitor, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        visitor(&app.parse().expect("an id"), &headers, sets_cookies, &Sevens).map_err(|denial| denial.code)
    }

    #[test]
    fn a_visitor_is_known_again_by_the_same_app_and_by_no_other() {
        let header = [("x-orcheo-visitor-id", "visitor_1")];
        let one = of("a", &header, false).expect("a visitor");
        assert!(one.end_user.as_str().starts_with("visitor-") && one.end_user.as_str().len() == 40);
        assert_eq!(of("a", &header, true).expect("a visitor").end_user, one.end_user);
        assert_ne!(of("b", &header, false).expect("a visitor").end_user, one.end_user);
        let new = of("a", &[], true).expect("a new one");
        let cookie = new.set_cookie.expect("a cookie").to_str().expect("text").to_owned();
        for attribute in ["; Path=/", "; HttpOnly", "; Secure", "; SameSite=None", "; Partitioned"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let pair = cookie.split(';').next().expect("a pair").to_owned();
        let back = of("a", &[("cookie", &pair)], true).expect("a visitor");
        assert_eq!((back.end_user.clone(), back.set_cookie), (new.end_user, None));
        // A page that learns the value could not name that visitor in its header.
        let value = pair.split('=').nth(1).expect("a value");
        assert_ne!(of("a", &[("x-orcheo-visitor-id", value)], true).expect("a visitor").end_user, back.end_user);
    }

    #[test]
    fn who_shows_nothing_or_nonsense_is_nobody() {
        assert_eq!(of("a", &[], false).expect_err("refused"), Code::MissingVisitor);
        for bad in ["", "short", "with space", "a/b/c/d/e/f", &"x".repeat(129)] {
            assert_eq!(of("a", &[("x-orcheo-visitor-id", bad)], true).expect_err(bad), Code::MissingVisitor);
        }
        let twice = [("x-orcheo-visitor-id", "visitor_1"), ("x-orcheo-visitor-id", "visitor_2")];
        assert_eq!(of("a", &twice, true).expect_err("twice"), Code::MissingVisitor);
        for bad in ["__Host-sidegate-visitor=short", "__Host-sidegate-visitor=a; __Host-sidegate-visitor=b"] {
            assert!(of("a", &[("cookie", bad)], true).expect("a new one").set_cookie.is_some(), "{bad}");
        }
    }
}
