//! `Cache-Control` of an answer (RFC 9111 section 5.2.2, RFC 5861).

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The longest span that a directive can name (RFC 9111 section 1.2.2).
const LONGEST: u64 = 1 << 31;

/// What an answer says about its storing. Directives are compared without case; of those that this
/// does not know none loosens a rule. `no-cache` and `private` count whole also where they name fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Not to be stored.
    pub no_store: bool,
    /// Not to be stored by a shared cache.
    pub private: bool,
    /// Not to be used without asking.
    pub no_cache: bool,
    /// Not to be used stale, whatever happens: `must-revalidate`, `proxy-revalidate`, or `s-maxage`,
    /// which says the same to a shared cache (RFC 9111 section 5.2.2.10).
    pub must_revalidate: bool,
    /// To be stored although something else speaks against it.
    pub public: bool,
    /// Fresh for so long.
    pub max_age: Option<Duration>,
    /// Fresh for so long in a shared cache; goes before `max_age`.
    pub s_maxage: Option<Duration>,
    /// To be used for so long beyond its time if asking fails.
    pub stale_if_error: Option<Duration>,
    /// To be used for so long beyond its time while it is asked for.
    pub stale_while_revalidate: Option<Duration>,
}

impl CacheControl {
    /// Of an answer's fields. A span that is no number, or stands there twice with different values, is
    /// none at all: zero.
    #[must_use]
    pub fn of(answer: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in answer.get_all(CACHE_CONTROL) {
            match value.to_str() {
                Ok(text) => split(text).for_each(|(name, argument)| control.take(name, argument)),
                // What cannot be read may forbid it.
                Err(_) => control.no_store = true,
            }
        }
        control
    }

    fn take(&mut self, name: &str, argument: Option<&str>) {
        match &*name.to_ascii_lowercase() {
            "no-store" => self.no_store = true,
            "private" => self.private = true,
            "no-cache" => self.no_cache = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "public" => self.public = true,
            "max-age" => put(&mut self.max_age, argument),
            "s-maxage" => {
                self.must_revalidate = true;
                put(&mut self.s_maxage, argument);
            }
            "stale-if-error" => put(&mut self.stale_if_error, argument),
            "stale-while-revalidate" => put(&mut self.stale_while_revalidate, argument),
            _ => {}
        }
    }
}

fn put(slot: &mut Option<Duration>, argument: Option<&str>) {
    let span = seconds(argument.unwrap_or_default());
    *slot = Some(if slot.is_some_and(|before| before != span) { Duration::ZERO } else { span });
}

/// Digits alone; more than fit are the longest span.
fn seconds(text: &str) -> Duration {
    let digits = text.trim_matches('"');
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::ZERO;
    }
    Duration::from_secs(digits.parse().unwrap_or(LONGEST).min(LONGEST))
}

/// The directives of a field with their arguments; a comma within quotes separates nothing.
fn split(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |character| {
        let separates = character == ',' && !quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        separates
    });
    parts.map(|part| match part.split_once('=') {
        Some((name, argument)) => (name.trim(), Some(argument.trim())),
        None => (part.trim(), None),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> CacheControl {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
        }
        CacheControl::of(&headers)
    }

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn directives_are_found_in_any_case_and_in_several_fields() {
        let found = of(&["Public, MAX-AGE=60 ", "stale-if-error = \"120\", immutable"]);
        let expected =
            CacheControl { public: true, max_age: secs(60), stale_if_error: secs(120), ..CacheControl::default() };
        assert_eq!(found, expected);
        assert!(of(&["No-Store"]).no_store && of(&["PRIVATE"]).private && of(&["no-Cache"]).no_cache);
    }

    #[test]
    fn quotes_hide_commas_and_field_lists_count_whole() {
        let found = of(&["private=\"x, max-age=9\", max-age=1"]);
        assert_eq!((found.private, found.max_age), (true, secs(1)));
        let found = of(&["ext=\"a\\\", no-store\", max-age=2"]);
        assert_eq!((found.no_store, found.max_age), (false, secs(2)));
    }

    #[test]
    fn a_span_that_is_unclear_is_none() {
        for text in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=1, max-age=2", "max-age=a"] {
            assert_eq!(of(&[text]).max_age, secs(0), "{text}");
        }
        assert_eq!(of(&["max-age=99999999999999999999999"]).max_age, secs(LONGEST));
        assert_eq!(of(&["max-age=5, max-age=5"]).max_age, secs(5));
    }

    #[test]
    fn what_a_shared_cache_is_told_forbids_stale_use() {
        for text in ["must-revalidate", "proxy-revalidate", "s-maxage=1"] {
            assert!(of(&[text]).must_revalidate, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_forbid_storing() {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_CONTROL, HeaderValue::from_bytes(b"max-age=1, \xff").expect("a value"));
        assert!(CacheControl::of(&headers).no_store);
    }
}
