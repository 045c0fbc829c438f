//! What a request of the ChatKit protocol asks for, as its body says (PyPI `openai-chatkit` 1.6.5, `types.py`).

use serde::Deserialize;
use std::borrow::Cow;

use super::workflow::{Workflow, WorkflowId};
use crate::denial::{Code, Denial};
use crate::dialect::AnswerUse;
use crate::id::ConversationId;
use crate::json::{self, Change};

/// A request, read and not yet allowed: whose the conversations are must be asked.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it is.
    pub kind: Kind,
    /// The workflow that the page names, if it does; a token's own wins.
    pub unverified_workflow: Option<WorkflowId>,
    /// The thread that it is about.
    pub thread: Option<ConversationId>,
    /// The attachments that it names.
    pub attachments: Vec<ConversationId>,
    text: &'a str,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $thread:literal, $answer:ident;)+) => {
        /// The requests of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $variant,)+ }

        impl Kind {
            /// Every request, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its `type`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether it is about a thread that exists.
            #[must_use]
            pub const fn names_thread(self) -> bool {
                match self { $(Self::$variant => $thread,)+ }
            }

            /// Whether the chat service answers it with events: it says something to it.
            #[must_use]
            pub const fn has_events(self) -> bool {
                matches!(
                    self,
                    Self::ThreadsCreate
                        | Self::ThreadsAddUserMessage
                        | Self::ThreadsRetryAfterItem
                        | Self::ThreadsAddClientToolOutput
                        | Self::ThreadsAddStructuredInput
                        | Self::ThreadsCustomAction
                )
            }

            /// What becomes of its answer.
            #[must_use]
            pub const fn answer_use(self) -> AnswerUse {
                match self { $(Self::$variant => AnswerUse::$answer,)+ }
            }
        }
    };
}

kinds! {
    /// A new thread with its first message; answers with events.
    ThreadsCreate = "threads.create", false, RecordOwnerOfStream;
    /// Another message; answers with events.
    ThreadsAddUserMessage = "threads.add_user_message", true, Pass;
    /// The answer to an item anew; answers with events.
    ThreadsRetryAfterItem = "threads.retry_after_item", true, Pass;
    /// What a tool in the page gave; answers with events.
    ThreadsAddClientToolOutput = "threads.add_client_tool_output", true, Pass;
    /// What a form in the page gave; answers with events.
    ThreadsAddStructuredInput = "threads.add_structured_input", true, Pass;
    /// What a widget asks for; answers with events.
    ThreadsCustomAction = "threads.custom_action", true, Pass;
    /// The same, with one answer.
    ThreadsSyncCustomAction = "threads.sync_custom_action", true, Pass;
    /// A thread.
    ThreadsGetById = "threads.get_by_id", true, Pass;
    /// The threads of the end user.
    ThreadsList = "threads.list", false, FilterList;
    /// Another title.
    ThreadsUpdate = "threads.update", true, Pass;
    /// The end of a thread.
    ThreadsDelete = "threads.delete", true, Pass;
    /// The items of a thread.
    ItemsList = "items.list", true, Pass;
    /// What is thought of items.
    ItemsFeedback = "items.feedback", true, Pass;
    /// A place for a file.
    AttachmentsCreate = "attachments.create", false, RecordOwner;
    /// The end of a file.
    AttachmentsDelete = "attachments.delete", false, Pass;
    /// Speech as text.
    InputTranscribe = "input.transcribe", false, Pass;
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Params<'a>,
    #[serde(borrow, default, alias = "workflowId")]
    workflow_id: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    thread_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    attachment_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input: Option<&'a serde_json::value::RawValue>,
}

/// The input of a message; those of other kinds have no such member.
#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow, default)]
    attachments: Vec<Cow<'a, str>>,
}

impl<'a> Request<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`]; [`Code::InvalidWorkflow`]; [`Code::NotFound`] for ids that are none.
    pub fn parse(body: &'a [u8]) -> Result<Self, Denial> {
        let text = json::check_object(body)
            .map_err(|fault| Denial::because(Code::InvalidRequest, format!("Invalid JSON payload: {fault}.")))?;
        let invalid = || Denial::because(Code::InvalidRequest, "Invalid ChatKit payload.");
        let read: Body<'a> = serde_json::from_str(text).map_err(|_| invalid())?;
        let kind = Kind::ALL.iter().copied().find(|kind| kind.name() == read.kind).ok_or_else(invalid)?;
        let id = |text: &str| ConversationId::parse(text).map_err(|_| Denial::from(Code::NotFound));
        let thread = read.params.thread_id.as_deref().map(id).transpose()?;
        if kind.names_thread() != thread.is_some() {
            return Err(invalid());
        }
        let mut attachments = Vec::new();
        if matches!(kind, Kind::ThreadsCreate | Kind::ThreadsAddUserMessage) {
            let input = read.params.input.ok_or_else(invalid)?;
            let input: Input<'_> = serde_json::from_str(input.get()).map_err(|_| invalid())?;
            attachments = input.attachments.iter().map(|text| id(text)).collect::<Result<_, _>>()?;
        }
        if kind == Kind::AttachmentsDelete {
            attachments.push(id(read.params.attachment_id.as_deref().ok_or_else(invalid)?)?);
        }
        let unverified_workflow = read.workflow_id.as_deref().map(str::parse).transpose();
        let unverified_workflow = unverified_workflow.map_err(|_| Code::InvalidWorkflow)?;
        Ok(Self { kind, unverified_workflow, thread, attachments, text })
    }

    /// The body as the upstream gets it: bound to `workflow` under the one name that the upstream
    /// reads, whatever the page wrote; `metadata` names it, too, as the vendor's own wrapper writes it.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`].
    pub fn bound_to(&self, workflow: &Workflow) -> Result<Vec<u8>, Denial> {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let id = json_text(workflow.id.as_str());
        let (top, inner, name) =
            (path(&["workflow_id"]), path(&["metadata", "workflow_id"]), path(&["metadata", "workflow_name"]));
        let thread = path(&["params", "thread_id"]);
        let mut changes = vec![
            Change { path: &top, value: Some(id.clone()) },
            Change { path: &inner, value: Some(id) },
            Change { path: &name, value: workflow.name.as_deref().map(json_text) },
        ];
        if let Some(id) = &self.thread {
            // Said again, so that no other spelling of it stays beside it.
            changes.push(Change { path: &thread, value: Some(json_text(id.as_str())) });
        }
        json::rewrite(self.text, changes).map_err(|fault| Denial::because(Code::InvalidRequest, fault.to_string()))
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::orcheo::Access;

    const ID: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";

    fn code(body: &str) -> Option<Code> {
        Request::parse(body.as_bytes()).err().map(|denial| denial.code)
    }

    #[test]
    fn a_request_names_what_it_is_about() {
        let body = r#"{"type":"threads.add_user_message","params":{"thread_id":"thr_1","input":{"content":[],"attachments":["atc_1"]}}}"#;
        let request = Request::parse(body.as_bytes()).expect("a request");
        assert_eq!(request.kind, Kind::ThreadsAddUserMessage);
        assert_eq!(request.thread.as_ref().map(ConversationId::as_str), Some("thr_1"));
        assert_eq!(request.attachments.iter().map(ConversationId::as_str).collect::<Vec<_>>(), ["atc_1"]);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (body, expected) in [
            ("", Code::InvalidRequest),
            ("[]", Code::InvalidRequest),
            (r#"{"type":"threads.create","type":"threads.list"}"#, Code::InvalidRequest),
            (r#"{"type":"threads.explode"}"#, Code::InvalidRequest),
            (r#"{"params":{}}"#, Code::InvalidRequest),
            (r#"{"type":"threads.get_by_id","params":{}}"#, Code::InvalidRequest),
            (r#"{"type":"threads.list","params":{"thread_id":"thr_1"}}"#, Code::InvalidRequest),
            (r#"{"type":"threads.create","params":{}}"#, Code::InvalidRequest),
            (r#"{"type":"threads.get_by_id","params":{"thread_id":"../x"}}"#, Code::NotFound),
            (r#"{"type":"attachments.delete","params":{}}"#, Code::InvalidRequest),
            (r#"{"type":"threads.list","params":{},"workflow_id":"wf_123"}"#, Code::InvalidWorkflow),
            (r#"{"type":"threads.list","params":{},"workflow_id":"","workflowId":""}"#, Code::InvalidRequest),
        ] {
            assert_eq!(code(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn the_workflow_of_the_token_takes_every_place_of_the_pages() {
        let workflow = Workflow {
            id: ID.parse().expect("a UUID"),
            name: Some("A \"B\"".into()),
            version: None,
            access: Access::Token,
        };
        let other = "11111111-1111-4111-8111-111111111111";
        let body = format!(
            r#"{{"type":"threads.list","params":{{"limit":1.0}},"workflowId":"{other}","metadata":{{"a":1,"workflow_id":"{other}"}}}}"#
        );
        let bound = Request::parse(body.as_bytes()).expect("a request").bound_to(&workflow).expect("a body");
        let expected = format!(
            r#"{{"type":"threads.list","params":{{"limit":1.0}},"metadata":{{"a":1,"workflow_id":"{ID}","workflow_name":"A \"B\""}},"workflow_id":"{ID}"}}"#
        );
        assert_eq!(String::from_utf8(bound).expect("UTF-8"), expected);
    }
}
