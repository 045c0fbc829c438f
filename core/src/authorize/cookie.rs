//! `Cookie` (RFC 6265 section 4.2.1): pairs, each `name=value`, between them `; `.

use http::HeaderMap;
use http::header::COOKIE;

use crate::denial::{Code, Denial};

/// The value of the one cookie of this name; `None` if there is none, or its value is empty.
///
/// # Errors
/// [`Code::InvalidAuthFormat`] if several have the name: who else can set cookies for the gate's host, such
/// as a neighbouring domain, would choose which of them is meant. Also if a field is no text.
pub(crate) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Denial> {
    let mut found = None;
    // HTTP/2 may cut the field into several (RFC 9113 section 8.2.3).
    for field in headers.get_all(COOKIE) {
        let pairs = field.to_str().map_err(|_| Code::InvalidAuthFormat)?.split(';');
        for (key, value) in pairs.filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('=')) {
            if key == name && found.replace(value).is_some() {
                return Err(Code::InvalidAuthFormat.into());
            }
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}
