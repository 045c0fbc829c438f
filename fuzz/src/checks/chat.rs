//! Chat requests of Mitigate.

use serde_json::{Map, Value};
use sidegate_core::dialect::mitigate::{check, created_chat};
use sidegate_core::id::{AppId, EndUserId};

use super::text::{assert_one_spelling, object};

/// What is documented, so that no other spelling of it may pass.
const NAMES: [&str; 11] = [
    "user_id",
    "workspace_id",
    "chat_id",
    "response_type",
    "response_url",
    "prompt",
    "title",
    "tags",
    "attachments",
    "tools",
    "tool_results",
];

/// The most items of each list.
const MOST: usize = 64;

/// See `fuzz_targets/chat.rs`.
pub fn chat(data: &[u8]) {
    let _ = created_chat(data);
    let workspace = AppId::parse("ws_1").expect("an id");
    // Whatever an id may have that JSON must not take as it stands.
    let user = EndUserId::parse(r#"ada "the first"\ \u0000 Ā"#).expect("an id");
    let Ok(checked) = check(data, &workspace, &user) else { return };
    let goes = object(&checked.body);
    bound(&goes, &workspace, &user);
    let chat_id = goes.get("chat_id").and_then(Value::as_str);
    assert_eq!(chat_id, checked.chat_id.as_ref().map(|id| id.as_str()));
    passed(&object(data), &goes);
    let again = check(&checked.body, &workspace, &user).expect("what was taken is taken again");
    assert_eq!(again, checked);
}

fn bound(goes: &Map<String, Value>, workspace: &AppId, user: &EndUserId) {
    assert_eq!(goes["user_id"], user.as_str());
    assert_eq!(goes["workspace_id"], workspace.as_str());
    assert!(goes.get("response_type").is_none_or(|kind| kind == "immediate"));
    assert!(!goes.contains_key("response_url"));
    for name in NAMES {
        assert_one_spelling(goes, name);
    }
}

/// Checks that the rest goes as it came, and is within its bounds.
fn passed(came: &Map<String, Value>, goes: &Map<String, Value>) {
    assert!(goes["prompt"].as_str().is_some_and(|prompt| !prompt.trim().is_empty()));
    for name in ["tags", "attachments", "tools", "tool_results"] {
        assert!(goes.get(name).and_then(Value::as_array).is_none_or(|items| items.len() <= MOST), "{name}");
    }
    for (name, value) in goes.iter().filter(|(name, _)| !["user_id", "workspace_id"].contains(&name.as_str())) {
        assert_eq!(came.get(name), Some(value), "{name}");
    }
}
