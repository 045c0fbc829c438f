//! Origins, lists of them, and what CORS says about them.

use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use sidegate_core::cors::{Cors, preflight};
use sidegate_core::dialect::chatbotkit::frame_ancestors;
use sidegate_core::origin::{Origin, OriginSet, OriginUnion, RequestOrigin};

/// Entries of a list.
const MOST: usize = 8;

/// See `fuzz_targets/origin.rs`. Lines: what a page sends, the field names that it asks for, and a list.
pub fn origin(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let (sent, asked) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let list: Vec<&str> = lines.take(MOST).collect();
    [sent].iter().chain(&list).for_each(|text| one(text));
    if let Ok(set) = OriginSet::parse(&list) {
        assert_eq!(set.written(), list);
        listed(&set, &list, sent);
        frame(&set, &list);
    }
    asked_for(asked);
}

/// What is an origin is one as browsers write it, and is the same when it is read again.
fn one(text: &str) {
    let Ok(origin) = text.parse::<Origin>() else { return };
    let written = origin.as_str();
    assert_eq!(written.parse::<Origin>().as_ref(), Ok(&origin), "{text:?}");
    let (scheme, authority) = written.split_once("://").expect("a scheme");
    assert!(["http", "https"].contains(&scheme), "{written}");
    let plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !b"/\\?#@<>^|%*".contains(&byte);
    assert!(!authority.is_empty() && authority.bytes().all(plain), "{written}");
    let default = if scheme == "http" { ":80" } else { ":443" };
    assert!(!authority.ends_with(default), "{written}");
    let any = OriginSet::parse(&["*"]).expect("a list");
    assert!(any.contains(written) && any.contains(text) == (text == written), "{text:?}");
}

/// Whether an entry names what was sent, found out from the parts of both.
fn names(entry: &str, sent: &str) -> bool {
    let is = |text: &str, sent: &str| text.parse::<Origin>().is_ok_and(|origin| origin.as_str() == sent);
    match (entry, entry.split_once("://*.")) {
        ("*", _) => is(sent, sent),
        ("null", _) => sent == "null",
        (_, None) => is(entry, sent),
        (_, Some((scheme, base))) => {
            let Some((begins, host)) = sent.split_once("://") else { return false };
            let Some((label, rest)) = host.split_once('.') else { return false };
            let is_label = (1..=63).contains(&label.len())
                && label.trim_matches('-') == label
                && label.bytes().all(|byte| b"abcdefghijklmnopqrstuvwxyz0123456789-".contains(&byte));
            is_label && is(&format!("{scheme}://{base}"), &format!("{begins}://{rest}"))
        }
    }
}

fn listed(set: &OriginSet, list: &[&str], sent: &str) {
    let expected = list.iter().any(|entry| names(entry, sent));
    assert_eq!(set.contains(sent), expected, "{sent:?} of {list:?}");
    let mut union = OriginUnion::default();
    union.extend(set);
    assert_eq!(union.contains(sent), expected, "{sent:?} of {list:?}");
    let mut answer = HeaderMap::new();
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Cors::decide(RequestOrigin::Sent(sent), |sent| set.contains(sent)).apply(&mut answer);
    let allowed: Vec<_> = answer.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter().collect();
    assert_eq!(allowed, if expected { vec![sent] } else { vec![] });
    assert_eq!(answer[VARY], "Origin");
}

/// One directive, in which only what is a wildcard in the list is one.
fn frame(set: &OriginSet, list: &[&str]) {
    let Some(policy) = frame_ancestors(set) else { return assert!(list.is_empty()) };
    assert!(policy.starts_with("frame-ancestors 'self'"), "{policy}");
    assert!(policy.bytes().all(|byte| byte == b' ' || (byte.is_ascii_graphic() && !b";,".contains(&byte))), "{policy}");
    let stars = list.iter().filter(|entry| **entry == "*" || entry.contains("://*.")).count();
    assert!(policy.matches('*').count() <= stars, "{policy} for {list:?}");
}

/// A preflight allows what was asked for, names of fields alone, and nothing that is denied.
fn asked_for(asked: &str) {
    let Ok(value) = HeaderValue::from_bytes(asked.as_bytes()) else { return };
    let request = HeaderMap::from_iter([(ACCESS_CONTROL_REQUEST_HEADERS, value)]);
    let reply = preflight(&request, "GET", std::time::Duration::from_secs(1), |name| name == "x-denied");
    let Some(allowed) = reply.headers.get(ACCESS_CONTROL_ALLOW_HEADERS) else { return };
    for name in allowed.to_str().expect("text").split(", ") {
        assert!(HeaderName::try_from(name).is_ok_and(|name| name != "x-denied"), "{name:?}");
        assert!(asked.split(',').any(|part| part.trim() == name), "{name:?}");
    }
}
