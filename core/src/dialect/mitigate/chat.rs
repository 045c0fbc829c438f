//! `POST /api/v1/chats` (ai-platform-docs.mitigate.dev, api/create-chat), as a browser may ask for it: as itself, in
//! its workspace, with the answer to itself.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::members::{Members, body, invalid};
use super::tools;
use crate::denial::{Code, Denial};
use crate::id::{AppId, ConversationId, EndUserId};
use crate::json::{self, Change};

/// How many tags, and how many attachments, a request may have.
const MAX_ITEMS: usize = 64;

/// Members that pass as they came, in their documented spelling alone.
const PASSED: [&str; 6] = ["prompt", "title", "tags", "attachments", "tools", "tool_results"];

/// A request that may go upstream once `chat_id` is known to be the caller's.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// The chat that it goes on with. Whose it is must be asked; without one a new chat begins.
    pub chat_id: Option<ConversationId>,
    /// The body, bound to the token's end user and workspace.
    pub body: Vec<u8>,
}

/// Checks a body and binds it: `user_id` and `workspace_id` become those of the token, whatever the page wrote, and no
/// other spelling of a documented member stays. Everything else keeps its bytes.
///
/// # Errors
/// [`Code::InvalidRequest`] with the rule; [`Code::AsyncNotAllowed`] for an answer to elsewhere;
/// [`Code::InvalidTools`]; [`Code::NotFound`] for a `chat_id` that is none.
pub fn check(bytes: &[u8], workspace_id: &AppId, user_id: &EndUserId) -> Result<Checked, Denial> {
    let text = body(bytes)?;
    let members = Members::of(text).ok_or(Code::InvalidRequest)?;
    check_answer(&members)?;
    check_members(&members)?;
    let chat_id = members.read::<String>("chat_id", "a string")?;
    let chat_id = chat_id.map(|id| ConversationId::parse(&id)).transpose().map_err(|_| Code::NotFound)?;
    let body = bound(text, &members, chat_id.as_ref(), workspace_id, user_id)?;
    Ok(Checked { chat_id, body })
}

/// A browser gets its answer at once. `response_url` would make the upstream call a place of the browser's choice.
fn check_answer(members: &Members<'_>) -> Result<(), Denial> {
    let at_once = match members.raw("response_type") {
        Some(kind) => kind.get() == r#""immediate""#,
        None => !members.names_like("response_type"),
    };
    if at_once && !members.names_like("response_url") { Ok(()) } else { Err(Code::AsyncNotAllowed.into()) }
}

fn check_members(members: &Members<'_>) -> Result<(), Denial> {
    let prompt: Option<String> = members.read("prompt", "a string")?;
    if prompt.is_none_or(|prompt| prompt.trim().is_empty()) {
        return Err(invalid("prompt is required"));
    }
    members.read::<String>("title", "a string")?;
    let tags: Option<Vec<String>> = members.read("tags", "a list of strings")?;
    let attachments: Option<Vec<Box<RawValue>>> = members.read("attachments", "a list")?;
    for (name, count) in [("tags", tags.map(|tags| tags.len())), ("attachments", attachments.map(|items| items.len()))]
    {
        if count.is_some_and(|count| count > MAX_ITEMS) {
            return Err(invalid(format!("{name} must have at most {MAX_ITEMS} items")));
        }
    }
    members.raw("tools").map_or(Ok(()), tools::check_tools)?;
    members.raw("tool_results").map_or(Ok(()), tools::check_results)
}

fn bound(
    text: &str,
    members: &Members<'_>,
    chat_id: Option<&ConversationId>,
    workspace_id: &AppId,
    user_id: &EndUserId,
) -> Result<Vec<u8>, Denial> {
    let as_it_came = |name| members.raw(name).map(|value| value.get().to_owned());
    let ours = [
        ("user_id", Some(json_text(user_id.as_str()))),
        ("workspace_id", Some(json_text(workspace_id.as_str()))),
        ("chat_id", chat_id.map(|id| json_text(id.as_str()))),
        ("response_type", as_it_came("response_type")),
        ("response_url", None),
    ];
    // Set to themselves, so that no other spelling of them stays beside.
    let all = ours.into_iter().chain(PASSED.map(|name| (name, as_it_came(name))));
    let all: Vec<_> = all.map(|(name, value)| ([name.to_owned()], value)).collect();
    let changes = all.iter().map(|(path, value)| Change { path, value: value.clone() }).collect();
    json::rewrite(text, changes).map_err(|fault| invalid(fault.to_string()))
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The chat that an answer names, so that its owner can be recorded: `{"response","chat_id"?}`. `None` without one that
/// could be asked for again.
#[must_use]
pub fn created_chat(body: &[u8]) -> Option<ConversationId> {
    #[derive(Deserialize)]
    struct Answer {
        chat_id: String,
    }
    let answer: Answer = json::read_object(body).ok()?;
    answer.chat_id.parse().ok()
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
