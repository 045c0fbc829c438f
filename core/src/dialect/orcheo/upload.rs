//! `POST /api/chatkit/upload`: a file for a message to come. The form itself is not read here.

use serde_json::Value;

use super::workflow::WorkflowId;
use crate::context::inject::parameter_names;
use crate::id::ConversationId;
use crate::json;

/// The query as the upstream gets it: bound to `workflow`, under the one name that the upstream reads,
/// whatever the page wrote; all else passes as it came.
#[must_use]
pub fn bound_query(sent: Option<&str>, workflow: &WorkflowId) -> String {
    let ours = json::folded("workflow_id");
    let pairs = sent.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut query = String::new();
    for pair in pairs.filter(|pair| parameter_names(pair).all(|name| name != ours)) {
        query.push_str(pair);
        query.push('&');
    }
    query.push_str("workflow_id=");
    query.push_str(workflow.as_str());
    query
}

/// What the answer says: the new attachment, and the answer without where the server keeps its file;
/// `None` if it is not of the documented shape.
#[must_use]
pub fn uploaded(body: &[u8]) -> Option<(ConversationId, Vec<u8>)> {
    let text = json::check_object(body).ok()?;
    let mut answer: Value = serde_json::from_str(text).ok()?;
    let id = ConversationId::parse(answer.get("id")?.as_str()?).ok()?;
    remove_storage_path(&mut answer);
    Some((id, serde_json::to_vec(&answer).ok()?))
}

/// At any depth, which [`json::check_object`] has bounded, and in any spelling.
fn remove_storage_path(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| json::folded(name) != json::folded("storage_path"));
            members.values_mut().for_each(remove_storage_path);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_storage_path),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";

    #[test]
    fn the_workflow_of_the_token_is_the_only_one_in_the_query() {
        let workflow = ID.parse().expect("a UUID");
        for (sent, kept) in [
            (None, ""),
            (Some(""), ""),
            (Some("&&"), ""),
            (Some("upload_session_id=a%20b&x"), "upload_session_id=a%20b&x&"),
            (Some("workflow_id=other&a=1&workflowId=other"), "a=1&"),
            (Some("workflow%5Fid=other&Workflow-Id=o&workflow_id%5B%5D=o&workflow_id[]=o"), ""),
            (Some("a=1;workflow_id=other&b=workflow_id"), "b=workflow_id&"),
            (Some("w%6frkflow_id&%77orkflowid=other"), ""),
        ] {
            assert_eq!(bound_query(sent, &workflow), format!("{kept}workflow_id={ID}"), "{sent:?}");
        }
    }

    #[test]
    fn an_answer_names_its_attachment_and_no_path() {
        let body = br#"{"id":"atc_1","storage_path":"/srv/a","file":{"name":"a","storagePath":"/srv/a"},"all":[{"Storage-Path":"/b","size":1}]}"#;
        let (id, kept) = uploaded(body).expect("an attachment");
        assert_eq!(id.as_str(), "atc_1");
        let kept: Value = serde_json::from_slice(&kept).expect("JSON");
        assert_eq!(kept, serde_json::json!({ "id": "atc_1", "file": { "name": "a" }, "all": [{ "size": 1 }] }));
    }

    #[test]
    fn what_is_no_such_answer_is_not_read() {
        for bad in [
            "",
            "[]",
            "\"atc_1\"",
            "{}",
            r#"{"id":7}"#,
            r#"{"id":null}"#,
            r#"{"id":""}"#,
            r#"{"id":"../x"}"#,
            r#"{"id":"a","id":"b"}"#,
            r#"{"attachment":{"id":"atc_1"}}"#,
            r#"{"id":"atc_1"} trailing"#,
        ] {
            assert_eq!(uploaded(bad.as_bytes()), None, "{bad}");
        }
    }
}
