//! What a stored whole answers to a request for less: nothing new (RFC 9110 section 13), or a part
//! (section 14).

use std::ops::Range;
use std::time::Duration;

use http::header::{DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue};

use super::date_of;

/// Whether the client has what is stored: by `If-None-Match`, or, without it, by `If-Modified-Since`.
/// `If-Match` and `If-Unmodified-Since` are for the origin alone (RFC 9111 section 4.3.2).
#[must_use]
pub fn is_not_modified(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let tag = stored.get(ETAG).and_then(|tag| EntityTag::parse(tag.as_bytes())).map(|(tag, _)| tag);
        return request.get_all(IF_NONE_MATCH).iter().any(|list| names(list.as_bytes(), tag));
    }
    match (date_of(request, &IF_MODIFIED_SINCE), date_of(stored, &LAST_MODIFIED)) {
        (Some(since), Some(changed)) => changed <= since,
        _ => false,
    }
}

/// Which part of a stored whole answers a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: no part is asked for, several are, or of something else than is stored.
    Whole,
    /// These bytes, one at least.
    Bytes(Range<usize>),
    /// There are no such bytes.
    None,
}

/// Reads `Range` and `If-Range` against a stored whole of `length` bytes.
#[must_use]
pub fn part(request: &HeaderMap, stored: &HeaderMap, length: usize) -> Part {
    let mut ranges = request.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Part::Whole };
    if request.get(IF_RANGE).is_some_and(|condition| !is_same(condition, stored)) {
        return Part::Whole;
    }
    range.to_str().ok().and_then(|range| one_range(range, length)).unwrap_or(Part::Whole)
}

/// `bytes=1-2`, `bytes=1-` or `bytes=-2`; `None` for anything else.
fn one_range(text: &str, length: usize) -> Option<Part> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let bytes = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(suffix)) => length.saturating_sub(suffix)..length,
        (Some(first), None) => first..length,
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), Some(last)) => first..last.saturating_add(1).min(length),
    };
    Some(if bytes.is_empty() { Part::None } else { Part::Bytes(bytes) })
}

/// Digits, or none; the outer `None` for anything else.
fn number(text: &str) -> Option<Option<usize>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(Some(digits.parse().unwrap_or(usize::MAX))),
        _ => None,
    }
}

/// Whether `If-Range` names what is stored, by a validator that is strong (RFC 9110 section 13.1.5).
fn is_same(condition: &HeaderValue, stored: &HeaderMap) -> bool {
    if let Some((asked, _)) = EntityTag::parse(condition.as_bytes()) {
        let stored = stored.get(ETAG).and_then(|tag| EntityTag::parse(tag.as_bytes())).map(|(tag, _)| tag);
        return stored.is_some_and(|stored| !asked.weak && stored == asked);
    }
    let (Some(changed), Some(dated)) = (date_of(stored, &LAST_MODIFIED), date_of(stored, &DATE)) else { return false };
    stored.get(LAST_MODIFIED) == Some(condition) && dated.since(changed) >= Duration::from_secs(1)
}

/// RFC 9110 section 8.8.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag at the beginning, and what follows.
    fn parse(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = text.strip_prefix(b"W/").map_or((false, text), |quoted| (true, quoted));
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| *byte == b'"')?;
        Some((Self { weak, opaque: &inner[..end] }, &inner[end + 1..]))
    }
}

/// Whether a list has this tag, compared weakly, or is `*`.
fn names(list: &[u8], tag: Option<EntityTag<'_>>) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while !rest.is_empty() {
        let Some((listed, after)) = EntityTag::parse(rest) else { return false };
        if tag.is_some_and(|tag| tag.opaque == listed.opaque) {
            return true;
        }
        let after = after.trim_ascii_start();
        if !(after.is_empty() || after.starts_with(b",")) {
            return false;
        }
        let next = after.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t')).unwrap_or(after.len());
        rest = &after[next..];
    }
    false
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn fields(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn tags_are_compared_weakly_and_go_before_dates() {
        let stored = fields(&[(ETAG, "\"a,b\""), (LAST_MODIFIED, CHANGED)]);
        for (list, expected) in [
            ("\"a,b\"", true),
            ("W/\"a,b\"", true),
            ("\"x\" , ,W/\"y\",\"a,b\"", true),
            ("*", true),
            ("\"a\"", false),
            ("a,b", false),
            ("\"x\" \"a,b\"", false),
            ("", false),
            ("\"a,b", false),
        ] {
            assert_eq!(is_not_modified(&fields(&[(IF_NONE_MATCH, list)]), &stored), expected, "{list}");
        }
        let both = fields(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, CHANGED)]);
        assert!(!is_not_modified(&both, &stored));
        assert!(!is_not_modified(&fields(&[(IF_NONE_MATCH, "\"x\"")]), &HeaderMap::new()));
    }

    #[test]
    fn without_a_tag_the_date_of_change_decides() {
        let stored = fields(&[(LAST_MODIFIED, CHANGED)]);
        for (since, expected) in [
            (CHANGED, true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", true),
            ("Sun, 06 Nov 1994 08:49:36 GMT", false),
            ("x", false),
        ] {
            assert_eq!(is_not_modified(&fields(&[(IF_MODIFIED_SINCE, since)]), &stored), expected, "{since}");
        }
        assert!(!is_not_modified(&fields(&[(IF_MODIFIED_SINCE, CHANGED)]), &HeaderMap::new()));
        assert!(!is_not_modified(&HeaderMap::new(), &stored));
    }

    #[test]
    fn one_range_of_bytes_is_cut_out() {
        for (range, expected) in [
            ("bytes=0-0", Part::Bytes(0..1)),
            ("bytes=2-4", Part::Bytes(2..5)),
            ("Bytes=7-", Part::Bytes(7..10)),
            ("bytes=7-99999999999999999999999", Part::Bytes(7..10)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-30", Part::Bytes(0..10)),
            ("bytes=10-", Part::None),
            ("bytes=10-12", Part::None),
            ("bytes=-0", Part::None),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=4-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes", Part::Whole),
        ] {
            assert_eq!(part(&fields(&[(RANGE, range)]), &HeaderMap::new(), 10), expected, "{range}");
        }
        assert_eq!(part(&fields(&[(RANGE, "bytes=0-")]), &HeaderMap::new(), 0), Part::None);
        assert_eq!(part(&HeaderMap::new(), &HeaderMap::new(), 10), Part::Whole);
    }

    #[test]
    fn a_part_of_something_else_is_the_whole() {
        let stored = fields(&[(ETAG, "\"a\""), (LAST_MODIFIED, CHANGED), (DATE, "Sun, 06 Nov 1994 08:49:38 GMT")]);
        let weak = fields(&[(ETAG, "W/\"a\""), (LAST_MODIFIED, CHANGED), (DATE, CHANGED)]);
        for (condition, stored, expected) in [
            ("\"a\"", &stored, Part::Bytes(1..3)),
            ("\"b\"", &stored, Part::Whole),
            ("W/\"a\"", &stored, Part::Whole),
            ("W/\"a\"", &weak, Part::Whole),
            ("\"a\"", &weak, Part::Whole),
            (CHANGED, &stored, Part::Bytes(1..3)),
            (CHANGED, &weak, Part::Whole),
            ("Sun, 06 Nov 1994 08:49:38 GMT", &stored, Part::Whole),
            ("a", &stored, Part::Whole),
        ] {
            let request = fields(&[(RANGE, "bytes=1-2"), (IF_RANGE, condition)]);
            assert_eq!(part(&request, stored, 10), expected, "{condition}");
        }
    }
}
