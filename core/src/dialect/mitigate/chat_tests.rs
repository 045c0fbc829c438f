//! Bodies of chats, good and refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn outcome(body: &[u8]) -> Result<Checked, Denial> {
    check(body, &"ws_1".parse().expect("an id"), &"ada \"7\"".parse().expect("an id"))
}

fn bound_text(body: &str) -> String {
    let checked = outcome(body.as_bytes()).unwrap_or_else(|denial| panic!("{body}: {}", denial.message));
    String::from_utf8(checked.body).expect("UTF-8")
}

const OURS: &str = r#""user_id":"ada \"7\"","workspace_id":"ws_1""#;

fn with(member: &str, value: &Value) -> Result<Checked, Denial> {
    outcome(json!({ "prompt": "hi", member: value }).to_string().as_bytes())
}

fn said(member: &str, value: &Value) -> String {
    let denial = with(member, value).expect_err("refused");
    assert_eq!(denial.code, Code::InvalidTools, "{}", denial.message);
    denial.message.into_owned()
}

#[test]
fn the_user_and_the_workspace_are_the_tokens() {
    assert_eq!(bound_text(r#"{"prompt":"hi"}"#), format!(r#"{{"prompt":"hi",{OURS}}}"#));
    let sent = r#"{"user_id":"mallory","prompt":"h\u00e9y","userId":"m","USER_ID":"m","user-id":"m","workspace_id":7,"workspaceId":"w","x":1.50}"#;
    let passed = r#"{"user_id":"ada \"7\"","prompt":"h\u00e9y","workspace_id":"ws_1","x":1.50}"#;
    assert_eq!(bound_text(sent), passed);
    assert_eq!(bound_text(r#"{"prompt":"hi","\u0075ser_id":"m"}"#), format!(r#"{{"prompt":"hi",{OURS}}}"#));
}

#[test]
fn no_other_spelling_of_a_documented_member_stays() {
    for spelling in
        ["Prompt", "chatId", "CHAT_ID", "Title", "TAGS", "Attachments", "Tools", "toolResults", "tool-results"]
    {
        let sent = format!(r#"{{"prompt":"hi","{spelling}":["other"]}}"#);
        assert_eq!(bound_text(&sent), format!(r#"{{"prompt":"hi",{OURS}}}"#));
    }
}

#[test]
fn what_is_documented_passes_as_it_came() {
    let sent = r#"{"prompt":"hi","chat_id":"c-1","title":"A","tags":["x", "y"],"attachments":[{"id":1.0}],"response_type":"immediate","tools":[{"name":"addToCart","description":"Add","parameters":{"type":"object","properties":{}}}],"tool_results":[{"tool_call_id":"call_1","name":"addToCart","result":{"added":true}},{"name":"x","result":null}]}"#;
    let checked = outcome(sent.as_bytes()).expect("a chat");
    assert_eq!(checked.chat_id.map(|id| id.as_str().to_owned()).as_deref(), Some("c-1"));
    let expected = format!("{},{OURS}}}", &sent[..sent.len() - 1]);
    assert_eq!(String::from_utf8(checked.body).expect("UTF-8"), expected);
}

#[test]
fn null_is_absent() {
    let sent = r#"{"prompt":"hi","chat_id":null,"title":null,"tags":null,"attachments":null,"tools":null,"tool_results":null,"response_type":null,"response_url":null,"user_id":null}"#;
    let checked = outcome(sent.as_bytes()).expect("a chat");
    assert_eq!(checked.chat_id, None);
    let expected = r#"{"prompt":"hi","user_id":"ada \"7\"","workspace_id":"ws_1"}"#;
    assert_eq!(String::from_utf8(checked.body).expect("UTF-8"), expected);
}

#[derive(serde::Deserialize)]
struct Row {
    name: String,
    body: String,
    code: String,
}

#[test]
fn bodies_that_a_browser_may_not_send_are_refused() {
    let rows = include_str!("../../../../tests/fixtures/mitigate/chats_refused.json");
    for Row { name, body, code } in serde_json::from_str::<Vec<Row>>(rows).expect("rows") {
        let denial = outcome(body.as_bytes()).expect_err(&name);
        assert_eq!(denial.code.name(), code, "{name}: {}", denial.message);
    }
    assert!(outcome(b"{\"prompt\":\"\xff\"}").is_err());
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "parameters": { "type": "object" } })
}

#[test]
fn tools_are_bounded_in_count_names_and_size() {
    let many = |count: usize| Value::from((0..count).map(|index| tool(&format!("t{index}"))).collect::<Vec<_>>());
    assert!(with("tools", &many(64)).is_ok() && with("tools", &many(0)).is_ok());
    assert_eq!(said("tools", &many(65)), "tools must be a list of at most 64");
    for good in ["a", "_", "addToCart", "get-price_2", &"x".repeat(64)] {
        assert!(with("tools", &json!([tool(good)])).is_ok(), "{good}");
    }
    for bad in ["", "2a", "-a", "a b", "a.b", "é", "a\0", &"x".repeat(65)] {
        let told = "tools[1].name must be 1 to 64 letters, digits, '_' or '-', the first no digit or '-'";
        assert_eq!(said("tools", &json!([tool("ok"), tool(bad)])), told, "{bad}");
    }
    assert_eq!(said("tools", &json!([tool("a"), tool("b"), tool("a")])), "tools[2].name is another tool's");
    let described =
        |length| json!([{ "name": "a", "description": "ā".repeat(length), "parameters": { "type": "object" } }]);
    assert!(with("tools", &described(1024)).is_ok());
    assert_eq!(said("tools", &described(1025)), "tools[0].description must have at most 1024 characters");
}

#[test]
fn a_tool_is_an_object_of_three_members_with_a_schema() {
    let told = "tools[0] must have a name, parameters and at most a description";
    for bad in [
        json!("addToCart"),
        json!(null),
        json!(["a", "b", { "type": "object" }]),
        json!({ "name": "a" }),
        json!({ "parameters": { "type": "object" } }),
        json!({ "name": 7, "parameters": { "type": "object" } }),
        json!({ "name": "a", "description": 7, "parameters": { "type": "object" } }),
        json!({ "name": "a", "parameters": { "type": "object" }, "callback": "x" }),
    ] {
        assert_eq!(said("tools", &json!([bad])), told, "{bad}");
    }
    assert_eq!(said("tools", &json!({ "a": tool("a") })), "tools must be a list of at most 64");
    let odd = json!([{ "name": "a", "parameters": { "type": "object", "properties": { "x": { "type": "any" } } } }]);
    assert_eq!(said("tools", &odd), "tools[0].parameters must be JSON Schema: type is not as it must be");
}

#[test]
fn results_are_any_json_within_bounds() {
    for good in [json!(null), json!(false), json!("x"), json!([]), json!({ "added": true, "sku": "A" })] {
        assert!(with("tool_results", &json!([{ "name": "a", "result": good }])).is_ok(), "{good}");
    }
    let many = |count: usize| {
        Value::from(
            (0..count).map(|index| json!({ "tool_call_id": format!("c{index}"), "result": 1 })).collect::<Vec<_>>(),
        )
    };
    assert!(with("tool_results", &many(64)).is_ok());
    assert_eq!(said("tool_results", &many(65)), "tool_results must be a list of at most 64");
    let long = |length: usize| json!([{ "name": "a", "result": "x".repeat(length - 2) }]);
    assert!(with("tool_results", &long(65_536)).is_ok());
    assert_eq!(said("tool_results", &long(65_537)), "tool_results[0].result must have at most 65536 bytes");
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    // The body, the list and the item are three.
    assert!(with("tool_results", &json!([{ "name": "a", "result": deep(29) }])).is_ok());
    let denial = with("tool_results", &json!([{ "name": "a", "result": deep(30) }])).expect_err("too deep");
    assert_eq!(denial.code, Code::InvalidRequest);
}

#[test]
fn a_result_says_what_it_is_of() {
    for (bad, told) in [
        (json!({ "result": 1 }), " must have a tool_call_id or a name"),
        (json!({ "name": "a" }), " must have a result, and a tool_call_id or a name"),
        (json!({ "name": "a", "result": 1, "x": 1 }), " must have a result, and a tool_call_id or a name"),
        (json!(["c1", "a", 1]), " must have a result, and a tool_call_id or a name"),
        (json!({ "name": "a b", "result": 1 }), ".name must be a tool's"),
        (
            json!({ "tool_call_id": "", "result": 1 }),
            ".tool_call_id must be 1 to 128 bytes without space and control characters",
        ),
        (
            json!({ "tool_call_id": "a b", "result": 1 }),
            ".tool_call_id must be 1 to 128 bytes without space and control characters",
        ),
        (json!({ "tool_call_id": "c0", "result": 1 }), ".tool_call_id has a result already"),
    ] {
        let results = json!([{ "tool_call_id": "c0", "result": 0 }, bad]);
        assert_eq!(said("tool_results", &results), format!("tool_results[1]{told}"), "{results}");
    }
}

#[test]
fn an_answer_may_name_a_new_chat() {
    let named = |body: &str| created_chat(body.as_bytes()).map(|id| id.as_str().to_owned());
    assert_eq!(named(r#"{"response":"hi","chat_id":"c-1"}"#).as_deref(), Some("c-1"));
    for none in [
        r#"{"response":"hi"}"#,
        r#"{"chat_id":null}"#,
        r#"{"chat_id":7}"#,
        r#"{"chat_id":""}"#,
        r#"{"chat_id":"../x"}"#,
        r#"{"chat_id":"a","chat_id":"b"}"#,
        r#"["c-1"]"#,
        "",
    ] {
        assert_eq!(named(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = outcome(&bytes);
        let _ = created_chat(&bytes);
    }

    #[test]
    fn whatever_is_sent_the_identity_is_the_tokens(
        name in "(user_?id|USER-ID|userId|workspace_?Id|chat_id|tools|x)",
        value in r#"("m"|7|null|\{"user_id":"m"\}|\[\])"#,
    ) {
        if let Ok(checked) = outcome(format!(r#"{{"prompt":"hi","{name}":{value}}}"#).as_bytes()) {
            let read: Value = serde_json::from_slice(&checked.body).expect("JSON");
            prop_assert_eq!(read["user_id"].as_str(), Some("ada \"7\""));
            prop_assert_eq!(read["workspace_id"].as_str(), Some("ws_1"));
            let ids = read.as_object().expect("an object").keys().filter(|name| json::folded(name).ends_with("id"));
            prop_assert_eq!(ids.count(), 2 + usize::from(checked.chat_id.is_some()));
        }
    }
}
