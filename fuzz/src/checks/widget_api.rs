//! ChatBotKit's widgets as customers' servers set and list them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sidegate_core::clock::Timestamp;
use sidegate_core::dialect::chatbotkit::{
    Fields, ListFormat, ListQuery, Patch, Serving, Widget, csv_header, csv_row, frame_ancestors, from_document,
    json_page, jsonl_item, languages, parse_attach, sse_item, to_document,
};
use sidegate_core::id::{AppId, ObjectId};
use sidegate_core::sse;
use url::form_urlencoded;

use super::text::{is_exact, is_tag, object};

/// See `fuzz_targets/widget_api.rs`.
pub fn widget_api(data: &[u8]) {
    if let Ok(patch) = Patch::parse(data) {
        set(data, &patch);
    }
    if Patch::parse_blueprint(data).is_ok() {
        assert!(
            Patch::parse(data).is_ok()
                && !object(if data.is_empty() { b"{}" } else { data }).contains_key("blueprintId")
        );
    }
    if let Ok(kind) = parse_attach(data) {
        assert_eq!(object(data)["type"], serde_json::json!(kind));
    }
    let text = String::from_utf8_lossy(data);
    query(&text);
    let known = ["application/json", "application/jsonl", "text/csv", "text/event-stream"];
    let format = ListFormat::of(Some(&text)).content_type();
    let named = known.iter().filter(|name| text.to_ascii_lowercase().contains(*name)).count();
    assert!(format == known[0] || (named > 0 && text.to_ascii_lowercase().contains(format)));
}

/// What is set is what was sent, set again it is the same, and whatever is set can be served and listed.
fn set(body: &[u8], patch: &Patch) {
    let Ok(fields) = Fields::default().apply(patch) else { return };
    let sent = object(if body.is_empty() { b"{}" } else { body });
    let kept: Map<String, Value> = match serde_json::to_value(&fields) {
        Ok(Value::Object(kept)) => kept,
        other => panic!("{other:?}"),
    };
    for (name, value) in sent.iter().filter(|(_, value)| !value.is_null()) {
        let same = kept
            .get(name)
            .is_some_and(|kept| kept == value || kept.as_f64().is_some_and(|kept| Some(kept) == value.as_f64()));
        assert!(same, "{name}");
    }
    assert!(kept.keys().all(|name| sent.get(name).is_some_and(|value| !value.is_null())));
    assert_eq!(fields.apply(patch).as_ref(), Ok(&fields));
    assert_eq!(fields.or(&Fields::default()), fields);
    assert_eq!(Fields::default().or(&fields), fields);
    let unset = Patch::parse(&unsetting(&kept)).expect("a change");
    assert_eq!(fields.apply(&unset), Ok(Fields::default()));
    served(&fields);
    if fields.meta.as_ref().is_none_or(|meta| meta.values().all(is_exact)) {
        listed(fields);
    }
}

fn unsetting(kept: &Map<String, Value>) -> Vec<u8> {
    let nulls: Map<String, Value> = kept.keys().map(|name| (name.clone(), Value::Null)).collect();
    Value::from(nulls).to_string().into_bytes()
}

/// A list of origins that is kept can be read, and is empty only if it is empty.
fn served(fields: &Fields) {
    let serving = Serving::of(fields).expect("whatever is within the rules can be served");
    let written = fields.origin.as_deref().unwrap_or_default();
    let nothing = |letter: char| matches!(letter, ',' | ';') || letter.is_whitespace();
    assert_eq!(serving.origins.is_empty(), written.chars().all(nothing), "{written:?}");
    assert_eq!(frame_ancestors(&serving.origins).is_none(), serving.origins.is_empty());
    let hour = std::time::Duration::from_secs(3_600);
    assert!(serving.cap <= hour || fields.session_duration.unwrap_or_default() == 0);
    let spoken = languages(fields);
    assert!(spoken.len() <= 40 && spoken.iter().all(|tag| is_tag(tag)));
    for (key, value) in fields.labels() {
        assert!((1..=128).contains(&key.len()) && value.len() <= 256 && !key.contains('\0') && !value.contains('\0'));
    }
}

fn listed(fields: Fields) {
    let id = ObjectId::parse("cw1").expect("an id");
    let at = Timestamp::from_millis(1_700_000_000_000);
    let app = AppId::parse("wapp_1").expect("an id");
    let widget = Widget { id, app, created_at: at, updated_at: at, disabled: true, fields, files: BTreeMap::new() };
    let document = to_document(&widget).expect("a document");
    assert_eq!(from_document::<Widget>(&document).as_ref(), Some(&widget));
    let wire = widget.to_wire();
    let item = serde_json::to_value(wire).expect("JSON");
    let page: Value = serde_json::from_slice(&json_page(&[wire], None).body).expect("JSON");
    assert_eq!(page["items"][0], item);
    let line = jsonl_item(&wire);
    assert_eq!(line.find('\n'), Some(line.len() - 1));
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["data"], item);
    let event = sse_item(&wire);
    let (event, rest) = sse::split_event(event.as_bytes()).expect("an event");
    assert_eq!((serde_json::from_slice(&sse::data(event)).ok(), rest), (Some(item.clone()), &b""[..]));
    let (names, row) = (cells(&csv_header()), cells(&csv_row(&wire)));
    assert_eq!(names.len(), row.len());
    for (name, cell) in names.iter().zip(row) {
        is_cell(item.get(name), &cell);
    }
}

/// The cells of one row of a table (RFC 4180).
fn cells(row: &str) -> Vec<String> {
    let row = row.strip_suffix("\r\n").expect("a line's end");
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = row.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            '\r' | '\n' if !quoted => panic!("two rows: {row:?}"),
            letter => cell.push(letter),
        }
    }
    assert!(!quoted, "{row:?}");
    cells.push(cell);
    cells
}

/// A cell has the value, and nothing that a spreadsheet calculates.
fn is_cell(value: Option<&Value>, cell: &str) {
    match value {
        None => assert_eq!(cell, ""),
        Some(Value::String(text)) => {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
            assert!(cell == text || cell.strip_prefix('\'') == Some(text.as_str()), "{cell:?}");
        }
        Some(other) => assert_eq!(cell, other.to_string()),
    }
}

/// What a list is asked for is said once, and within its bounds.
fn query(text: &str) {
    let Ok(query) = ListQuery::parse(Some(text)) else { return };
    assert!((1..=100).contains(&query.take) && query.meta.len() <= 8);
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let in_brackets = name.strip_prefix("meta[").and_then(|rest| rest.strip_suffix(']'));
        let key = name.strip_prefix("meta.").or(in_brackets);
        let known = key.is_some() || ["cursor", "order", "take", "blueprintId"].contains(&&*name);
        let one = key.map_or(name.to_string(), |key| format!("meta {key}"));
        assert!(!known || !seen.contains(&one), "{one} twice");
        assert!(key.is_none_or(|key| query.meta.iter().any(|(name, wanted)| name == key && *wanted == value)));
        if name == "cursor" && !value.is_empty() {
            assert_eq!(query.cursor.as_ref().map(ObjectId::as_str), Some(&*value));
        }
        if known {
            seen.push(one);
        }
    }
}
