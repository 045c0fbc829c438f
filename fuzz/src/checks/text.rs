//! What several checks ask of texts.

use serde_json::{Map, Value};
use sidegate_core::json;

/// Text that may stand in a header or in what a person reads: not empty, nothing around it, no control characters.
pub(super) fn assert_plain(text: &str, most: usize) {
    assert!(!text.is_empty() && text.trim() == text, "blank, or space around: {text:?}");
    assert!(!text.chars().any(char::is_control), "a control character: {text:?}");
    assert!(text.chars().count() <= most, "longer than {most}: {text:?}");
}

/// The members of a body that must be one strict object.
pub(super) fn object(body: &[u8]) -> Map<String, Value> {
    let text = json::check_object(body).expect("a strict object");
    serde_json::from_str(text).expect("an object")
}

/// A name as the most lenient reader knows it.
pub(super) fn folded(name: &str) -> String {
    name.replace(['_', '-'], "").to_uppercase().to_lowercase()
}

/// Checks that no other spelling of `name` stands there.
pub(super) fn assert_one_spelling(members: &Map<String, Value>, name: &str) {
    let other = members.keys().find(|other| *other != name && folded(other) == folded(name));
    assert_eq!(other, None, "{name} by another name");
}

/// Whether a text has the letters and the length of a language tag.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() <= 35
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
