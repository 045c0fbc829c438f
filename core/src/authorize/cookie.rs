//! `Cookie` (RFC 6265 section 4.2.1): pairs, each `name=value`, between them `; `.

use http::HeaderMap;
use http::header::COOKIE;

use crate::denial::{Code, Denial};

/// The value of the one cookie of this name; `None` if there is none, or its value is empty.
///
/// # Errors
/// [`Code::InvalidAuthFormat`] if several have the name: who else can set cookies for the gate's host, such
/// as a neighbouring domain, would choose which of them is meant. Also if its value is no text.
pub(crate) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Denial> {
    let mut found = None;
    // HTTP/2 may cut the field into several (RFC 9113 section 8.2.3).
    for field in headers.get_all(COOKIE) {
        // Other cookies may hold anything.
        for pair in field.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let value = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            let Some(value) = value else { continue };
            let value = std::str::from_utf8(value).ok().filter(|value| value.is_ascii());
            if found.replace(value.ok_or(Code::InvalidAuthFormat)?).is_some() {
                return Err(Code::InvalidAuthFormat.into());
            }
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}
