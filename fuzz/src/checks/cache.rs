//! For how long answers are kept, and what a stored one answers.

use std::time::Duration;

use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, RANGE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sidegate_core::cache::{CacheControl, Part, Policy, Times, Varies, is_not_modified, part};
use sidegate_core::clock::Timestamp;

/// The longest span that a directive can name, in seconds (RFC 9111 section 1.2.2).
const LONGEST: u64 = 1 << 31;

const ASKED: Timestamp = Timestamp::from_seconds(1_700_000_000);
const ANSWERED: Timestamp = Timestamp::from_seconds(1_700_000_002);

/// See `fuzz_targets/cache.rs`. Lines: the fields of an answer, an empty one, those of a request; the first byte chooses
/// the status.
pub fn cache(data: &[u8]) {
    let (first, lines) = data.split_first().unwrap_or((&0, &[][..]));
    let status = [StatusCode::OK, StatusCode::MOVED_PERMANENTLY, StatusCode::NOT_FOUND][usize::from(first % 3)];
    let mut lines = lines.split(|byte| *byte == b'\n');
    let answer = fields(lines.by_ref().take_while(|line| !line.is_empty()));
    let request = fields(lines);
    control(&answer);
    kept(status, &answer);
    condition(&request, &answer);
    [0, 1, 7, 1_000].iter().for_each(|length| range(&request, &answer, *length));
    varies(&answer);
}

fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.take(32) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    fields
}

/// A field without quotes says what stands between its commas.
fn control(answer: &HeaderMap) {
    let read = CacheControl::of(answer);
    for span in [read.max_age, read.s_maxage, read.stale_if_error, read.stale_while_revalidate].into_iter().flatten() {
        assert!(span <= Duration::from_secs(LONGEST));
    }
    let texts = answer.get_all(CACHE_CONTROL).iter().map(|value| value.to_str().unwrap_or_default().to_lowercase());
    let texts: Vec<String> = texts.collect();
    if texts.iter().any(|text| text.contains('"')) {
        return;
    }
    let says = |name: &str| {
        let names =
            texts.iter().flat_map(|text| text.split(',')).map(|part| part.split('=').next().unwrap_or_default());
        names.map(str::trim).any(|said| said == name)
    };
    let unread = answer.get_all(CACHE_CONTROL).iter().any(|value| value.to_str().is_err());
    assert_eq!(read.no_store, says("no-store") || unread);
    assert_eq!(read.private, says("private"));
    assert_eq!(read.no_cache, says("no-cache"));
    assert_eq!(read.public, says("public"));
    assert_eq!(read.max_age.is_some(), says("max-age"));
}

/// Whatever is kept gets older, and once it is stale it stays so.
fn kept(status: StatusCode, answer: &HeaderMap) {
    let control = CacheControl::of(answer);
    let times = Times { asked: ASKED, answered: ANSWERED };
    let policy = Policy::of(status, answer, times);
    assert_eq!(policy.is_none(), control.no_store || control.private);
    let Some(policy) = policy else { return };
    let strict = control.no_cache || control.must_revalidate;
    assert!(!control.no_cache || !policy.is_fresh(ANSWERED));
    let twice = policy.within(policy);
    let mut before = None;
    for later in [0, 1, 59, 3_600, 86_400, LONGEST, 2 * LONGEST] {
        let now = ANSWERED.plus(Duration::from_secs(later));
        let (age, left, fresh) = (policy.age(now), policy.left(now), policy.is_fresh(now));
        assert!(age >= Duration::from_secs(later));
        assert_eq!(fresh, left > Duration::ZERO);
        assert!(!fresh || age + left == policy.lifetime());
        let stale = [policy.may_be_used_while_asked(now), policy.may_replace_error(now, Duration::from_secs(60))];
        assert!(!strict || stale == [false, false]);
        assert!(strict || !fresh || stale == [true, true]);
        let is = (fresh, stale[0], stale[1]);
        assert!(
            before
                .replace(is)
                .is_none_or(|before: (bool, bool, bool)| is <= before && is.1 <= before.1 && is.2 <= before.2)
        );
        assert_eq!(twice.is_fresh(now), fresh);
    }
}

fn condition(request: &HeaderMap, stored: &HeaderMap) {
    let same = is_not_modified(request, stored);
    let Some(asked) = request.get(IF_NONE_MATCH) else { return };
    let (asked, tag) = (asked.as_bytes(), stored.get(ETAG).map_or(&b""[..], HeaderValue::as_bytes));
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    let is_tag = opaque.len() >= 2 && opaque.starts_with(b"\"") && opaque.ends_with(b"\"");
    let is_one = is_tag && !opaque[1..opaque.len() - 1].contains(&b'"');
    // One's own tag, weak or strong, alone in the field, is what one has.
    if is_one && (asked == opaque || asked == tag) {
        assert!(same);
    }
    let lists = request.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
    let mut possible = lists
        .map(|list| list.contains(&b'*') || (is_tag && list.windows(opaque.len().max(1)).any(|part| part == opaque)));
    assert!(!same || possible.any(|possible| possible) || !is_one);
}

/// A part is within the whole, and not empty.
fn range(request: &HeaderMap, stored: &HeaderMap, length: usize) {
    let found = part(request, stored, length);
    let asked: Vec<_> = request.get_all(RANGE).iter().collect();
    if asked.len() != 1 {
        return assert_eq!(found, Part::Whole);
    }
    let text = asked[0].to_str().unwrap_or_default();
    match found {
        Part::Whole => {}
        Part::None => assert!(text.contains('=') && !text.contains(',')),
        Part::Bytes(bytes) => {
            assert!(bytes.start < bytes.end && bytes.end <= length, "{text}: {bytes:?} of {length}");
            let (_, range) = text.split_once('=').expect("a unit");
            let (first, last) = range.trim().split_once('-').expect("a range");
            match first.parse::<usize>() {
                Ok(first) => assert_eq!(first, bytes.start, "{text}"),
                Err(_) => assert_eq!(bytes.end, length, "{text}"),
            }
            let suffix = if first.is_empty() { last.parse::<usize>().ok() } else { None };
            assert!(suffix.is_none_or(|suffix| bytes.len() == suffix.min(length)), "{text}");
        }
    }
}

fn varies(answer: &HeaderMap) {
    let differing = HeaderName::from_static("accept-encoding");
    let found = Varies::of(answer, &differing);
    let texts = || answer.get_all(VARY).iter().map(|value| value.to_str().unwrap_or("*"));
    let says = |name: &str| texts().flat_map(|text| text.split(',')).any(|part| part.trim().eq_ignore_ascii_case(name));
    let expected = match (says("*"), says("accept-encoding")) {
        (true, _) => Varies::Always,
        (false, true) => Varies::ByField,
        (false, false) => Varies::No,
    };
    assert_eq!(found, expected);
}
