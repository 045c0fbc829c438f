//! `meta`: what customers write beside a widget or a conversation, in JSON of their own.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Bounds, as the rule says them.
const MAX_BYTES: usize = 8 * 1024;
const MAX_MEMBERS: usize = 32;
const MAX_DEPTH: usize = 8;

/// The longest key and value that lists can be narrowed by.
pub(super) const MAX_LABEL: (usize, usize) = (128, 256);

/// Reads it.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn read(raw: &RawValue) -> Result<Map<String, Value>, &'static str> {
    let text = raw.get();
    if !text.starts_with('{') {
        return Err("must be an object");
    }
    if text.len() > MAX_BYTES {
        return Err("must have at most 8192 bytes");
    }
    let Ok(members) = serde_json::from_str::<Map<String, Value>>(text) else { return Err("must be an object") };
    if members.len() > MAX_MEMBERS {
        return Err("must have at most 32 members");
    }
    if members.values().map(depth).max().unwrap_or_default() >= MAX_DEPTH {
        return Err("must be at most 8 deep");
    }
    Ok(members)
}

/// How deep a value nests; what was read has bounds of its own.
fn depth(value: &Value) -> usize {
    let inner = |values: &mut dyn Iterator<Item = &Value>| 1 + values.map(depth).max().unwrap_or_default();
    match value {
        Value::Array(items) => inner(&mut items.iter()),
        Value::Object(members) => inner(&mut members.values()),
        _ => 0,
    }
}

/// The members by which lists can be narrowed: those with a text, a number or a boolean, as text. What is longer than a
/// filter may be is none, nor what has a NUL, which not every store takes.
pub(super) fn labels(meta: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let all = meta.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?)));
    all.filter(|(key, value)| is_label(key, value)).collect()
}

/// Whether something can be found by this.
pub(super) fn is_label(key: &str, value: &str) -> bool {
    (1..=MAX_LABEL.0).contains(&key.len()) && value.len() <= MAX_LABEL.1 && !key.contains('\0') && !value.contains('\0')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(value: &Value) -> Option<&'static str> {
        read(&serde_json::value::to_raw_value(value).expect("JSON")).err()
    }

    #[test]
    fn it_is_an_object_within_bounds() {
        let deep = |levels: usize| json!({ "a": (1..levels).fold(json!(1), |inner, _| json!([inner])) });
        let many = |count: usize| Value::from_iter((0..count).map(|index| (index.to_string(), json!(null))));
        let long = |length: usize| json!({ "a": "x".repeat(length - r#"{"a":""}"#.len()) });
        for good in [json!({}), json!({ "a": { "b": [1, null, "x", true] } }), deep(8), many(32), long(8192)] {
            assert_eq!(rule(&good), None, "{good}");
        }
        for (bad, says) in [
            (json!([]), "must be an object"),
            (json!("x"), "must be an object"),
            (deep(9), "must be at most 8 deep"),
            (many(33), "must have at most 32 members"),
            (long(8193), "must have at most 8192 bytes"),
        ] {
            assert_eq!(rule(&bad), Some(says), "{bad}");
        }
    }

    #[test]
    fn what_is_one_short_value_is_a_label() {
        let meta = json!({ "a": "x", "b": 1.5, "c": true, "d": null, "e": [], "f": {}, "g": "", "h": "x".repeat(257),
            "i": "\0", "": "x", ("k".repeat(129)): 1 });
        let Value::Object(meta) = meta else { panic!("an object") };
        let labels = labels(&meta);
        let labels: Vec<_> = labels.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(labels, [("a", "x"), ("b", "1.5"), ("c", "true"), ("g", "")]);
    }
}
