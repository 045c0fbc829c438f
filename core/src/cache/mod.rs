//! HTTP caching as a shared cache does it (RFC 9111, RFC 5861), and what it answers from a stored
//! whole: conditional and range requests (RFC 9110 sections 13 and 14). Pure: the time is an argument.

mod condition;
mod control;
mod policy;

pub use condition::{Part, is_not_modified, part};
pub use control::CacheControl;
pub use policy::{Policy, Times};

use http::header::VARY;
use http::{HeaderMap, HeaderName};

use crate::clock::Timestamp;

/// What of a request chooses among the answers of one target, by the answer's `Vary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// Nothing that differs between our requests.
    No,
    /// The one field that does.
    ByField,
    /// Something that no request says (`*`): the answer is for one request alone.
    Always,
}

impl Varies {
    /// Of an answer to requests that differ in the field `differing` alone.
    #[must_use]
    pub fn of(answer: &HeaderMap, differing: &HeaderName) -> Self {
        let mut found = Self::No;
        for value in answer.get_all(VARY) {
            // What cannot be read could be anything.
            let Ok(list) = value.to_str() else { return Self::Always };
            for name in list.split(',').map(str::trim) {
                match name {
                    "*" => return Self::Always,
                    name if name.eq_ignore_ascii_case(differing.as_str()) => found = Self::ByField,
                    _ => {}
                }
            }
        }
        found
    }
}

/// A date of HTTP in any of its three forms (RFC 9110 section 5.6.7). None lies before 1970.
fn date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_seconds(since.as_secs()))
}

/// The date in a field that stands there once; `None` also if it is no date.
fn date_of(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    date(only.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    fn varies(values: &[&'static str]) -> Varies {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(VARY, http::HeaderValue::from_static(value));
        }
        Varies::of(&headers, &ACCEPT)
    }

    #[test]
    fn vary_names_what_chooses() {
        assert_eq!(varies(&[]), Varies::No);
        assert_eq!(varies(&["Accept-Encoding, Origin"]), Varies::No);
        assert_eq!(varies(&["Origin", "accept-encoding, ACCEPT"]), Varies::ByField);
        assert_eq!(varies(&["Accept", " * "]), Varies::Always);
    }

    #[test]
    fn dates_have_three_forms() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(date(text), Some(Timestamp::from_seconds(784_111_777)), "{text}");
        }
        for text in ["0", "-1", "", "tomorrow", "Sun, 06 Nov 1994"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
