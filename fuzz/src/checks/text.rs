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
    let letters = name.chars().filter(|letter| !"_-".contains(*letter));
    letters.flat_map(|letter| letter.to_uppercase().flat_map(char::to_lowercase)).collect()
}

/// Checks that no other spelling of `name` stands there.
pub(super) fn assert_one_spelling(members: &Map<String, Value>, name: &str) {
    let other = members.keys().find(|other| *other != name && folded(other) == folded(name));
    assert_eq!(other, None, "{name} by another name");
}

/// Whether a value is the same when it is written and read again: a fraction may become its neighbour.
pub(super) fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        _ => true,
    }
}

/// Whether a text has the letters and the length of a language tag.
pub(super) fn is_tag(text: &str) -> bool {
    text.len() <= 35
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Nothing that could end an address or begin another one, and a domain that could be one.
pub(super) fn is_email(email: &str) -> bool {
    let special = |letter: char| r#" "(),:;<>[\]"#.contains(letter) || !letter.is_ascii_graphic();
    let Some((local, domain)) = email.split_once('@') else { return false };
    !email.contains(special)
        && !local.is_empty()
        && !domain.contains('@')
        && domain.split('.').all(|label| (1..=63).contains(&label.len()) && label.trim_matches('-') == label)
}
