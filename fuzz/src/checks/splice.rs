//! JSON that is read strictly, and changed in place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sidegate_core::json::{Change, MAX_DEPTH, check, check_object, rewrite};

use super::text::{folded, is_exact};

/// Changes that are made at once.
const MOST: usize = 6;

/// How deep a change may be, names and value: what is made of it is read again by a reader that goes 128 deep.
const DEEPEST: usize = 32;

/// A change as the input has it.
type Asked = (Vec<String>, Option<Value>);

/// See `fuzz_targets/json.rs`. Parts between zeros: a body, then changes, each `name/name=JSON` or, to remove, `name/name`.
pub fn json(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let body = parts.next().unwrap_or_default();
    assert_eq!(check(body).is_ok(), is_strict(body), "{}", String::from_utf8_lossy(body));
    let is_object = matches!(serde_json::from_slice(body), Ok(Value::Object(_)));
    assert_eq!(check_object(body).is_ok(), is_strict(body) && is_object);
    let changes: Vec<Asked> = parts.take(MOST).filter_map(asked).collect();
    if let Ok(body) = check_object(body) {
        changed(body, &changes);
    }
}

/// Whether bytes are one JSON value without duplicates and not too deep. Walks over the text where ours has serde visit.
fn is_strict(body: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(body).ok().filter(|text| serde_json::from_str::<Value>(text).is_ok()) else {
        return false;
    };
    // For each open container the names in it; `None` for a list.
    let mut open: Vec<Option<BTreeSet<String>>> = Vec::new();
    let (mut at, mut names_next) = (0, false);
    while let Some(letter) = text[at..].chars().next() {
        let length = if letter == '"' { string(&text[at..]) } else { letter.len_utf8() };
        match letter {
            '{' => open.push(Some(BTreeSet::new())),
            '[' => open.push(None),
            '}' | ']' => drop(open.pop()),
            '"' if names_next => {
                let name: String = serde_json::from_str(&text[at..at + length]).expect("a string");
                if open.last_mut().is_some_and(|names| names.as_mut().is_some_and(|names| !names.insert(name))) {
                    return false;
                }
            }
            _ => {}
        }
        names_next = match letter {
            '{' => true,
            ',' => open.last().is_some_and(Option::is_some),
            letter => names_next && letter.is_ascii_whitespace(),
        };
        if open.len() > MAX_DEPTH {
            return false;
        }
        at += length;
    }
    true
}

/// Bytes of the string at the beginning, with its quotes.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

fn asked(part: &[u8]) -> Option<Asked> {
    let text = std::str::from_utf8(part).ok()?;
    let (path, value) = text.split_once('=').map_or((text, None), |(path, value)| (path, Some(value)));
    let value = value.map(serde_json::from_str::<Value>).transpose().ok()?;
    // What is read of a fraction and written again may be its neighbour.
    let is_good = value.as_ref().is_none_or(is_exact);
    let path: Vec<_> = path.split('/').map(str::to_owned).collect();
    let deep = path.len() + value.as_ref().map_or(0, depth);
    (is_good && deep <= DEEPEST).then_some((path, value))
}

fn changed(body: &str, changes: &[Asked]) {
    let apply = |body: &str| {
        let change = |(path, value): &'_ Asked| (path.clone(), value.as_ref().map(Value::to_string));
        let owned: Vec<_> = changes.iter().map(change).collect();
        let list = owned.iter().map(|(path, value)| Change { path, value: value.clone() }).collect();
        String::from_utf8(rewrite(body, list).expect("rewritten")).expect("text")
    };
    let goes = apply(body);
    let text = check_object(goes.as_bytes());
    let read: Map<String, Value> = serde_json::from_str(&goes).expect("JSON");
    let came: Map<String, Value> = serde_json::from_str(body).expect("JSON");
    let list: Vec<_> = changes.iter().map(|(path, value)| (&**path, value)).collect();
    let model = model(&came, &list);
    assert_eq!(read, model, "{body}");
    // Values of ours may nest deeper than a client may.
    assert!(text.is_ok() || depth(&Value::Object(model)) > MAX_DEPTH, "{goes}");
    assert_eq!(apply(&goes), goes, "{body}");
    untouched(body, &goes, changes);
}

/// Where, and what is set there.
type Placed<'a> = (&'a [String], &'a Option<Value>);

/// What is to come of it, on values.
fn model(came: &Map<String, Value>, changes: &[Placed]) -> Map<String, Value> {
    let first = |path: &[String]| path.first().expect("a name").clone();
    let names: BTreeSet<String> = changes.iter().map(|(path, _)| first(path)).collect();
    let owned: BTreeSet<String> = names.iter().map(|name| folded(name)).collect();
    let mut goes: Map<String, Value> = came.clone();
    goes.retain(|name, _| !owned.contains(&folded(name)));
    for name in names {
        let mine = changes.iter().filter(|(path, _)| path[0] == name);
        let (here, below): (Vec<Placed>, Vec<Placed>) = mine.partition(|(path, _)| path.len() == 1);
        if let Some(value) = here.iter().filter_map(|(_, value)| value.as_ref()).next_back() {
            goes.insert(name, value.clone());
            continue;
        }
        let old = came.get(&name).and_then(Value::as_object).filter(|_| here.is_empty());
        if old.is_none() && below.iter().all(|(_, value)| value.is_none()) {
            continue;
        }
        let below: Vec<Placed> = below.into_iter().map(|(path, value)| (&path[1..], value)).collect();
        let old = old.cloned().unwrap_or_default();
        goes.insert(name, Value::Object(model(&old, &below)));
    }
    goes
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// What is nobody's but the client's is there byte for byte.
fn untouched(came: &str, goes: &str, changes: &[Asked]) {
    let read = |text: &'_ str| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text).expect("JSON");
    let (came, goes) = (read(came), read(goes));
    for (name, value) in came {
        if changes.iter().all(|(path, _)| folded(&path[0]) != folded(&name)) {
            assert_eq!(goes[&name].get(), value.get(), "{name}");
        }
    }
}
