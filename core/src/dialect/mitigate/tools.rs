//! Frontend tools (seeds/000, "Frontend Tools"): what a page can do for the assistant, told to the model, and what came
//! of it, told back. Both pass as they are once they are held to bounds.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::schema;
use crate::denial::{Code, Denial};

/// How many tools, and how many results, a request may have.
const MAX_COUNT: usize = 64;

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1024;

/// The longest result, in bytes. Its depth is bounded with the body's, [`crate::json::MAX_DEPTH`].
const MAX_RESULT: usize = 64 * 1024;

/// The longest id of a call, in bytes.
const MAX_CALL_ID: usize = 128;

/// As the page registers it. The callback stays in the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool<'a> {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(borrow)]
    parameters: &'a RawValue,
}

/// What a call gave: any JSON, of one tool by its name or of one call by its id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolResult<'a> {
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Checks `tools`.
///
/// # Errors
/// [`Code::InvalidTools`] with the place and the rule.
pub(super) fn check_tools(tools: &RawValue) -> Result<(), Denial> {
    let mut names = HashSet::new();
    check_each("tools", tools, |item| check_tool(item, &mut names))
}

/// Checks `tool_results`.
///
/// # Errors
/// [`Code::InvalidTools`] with the place and the rule.
pub(super) fn check_results(results: &RawValue) -> Result<(), Denial> {
    let mut calls = HashSet::new();
    check_each("tool_results", results, |item| check_result(item, &mut calls))
}

fn check_each(
    list: &str,
    value: &RawValue,
    mut check: impl FnMut(&RawValue) -> Result<(), String>,
) -> Result<(), Denial> {
    let items: Option<Vec<&RawValue>> = serde_json::from_str(value.get()).ok();
    let items = items.filter(|items| items.len() <= MAX_COUNT);
    let items = items.ok_or_else(|| invalid(format!("{list} must be a list of at most {MAX_COUNT}")))?;
    let mut places = items.into_iter().enumerate();
    places.try_for_each(|(index, item)| check(item).map_err(|rule| invalid(format!("{list}[{index}]{rule}"))))
}

/// Checks one tool beside those of these names.
fn check_tool(item: &RawValue, names: &mut HashSet<String>) -> Result<(), String> {
    let tool: Tool<'_> = object(item).ok_or(" must have a name, parameters and at most a description")?;
    if !is_name(&tool.name) {
        return Err(".name must be 1 to 64 letters, digits, '_' or '-', the first no digit or '-'".into());
    }
    if !names.insert(tool.name) {
        return Err(".name is another tool's".into());
    }
    if tool.description.is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        return Err(format!(".description must have at most {MAX_DESCRIPTION} characters"));
    }
    schema::check(tool.parameters.get()).map_err(|rule| format!(".parameters {rule}"))
}

/// Checks one result beside those of these calls.
fn check_result(item: &RawValue, calls: &mut HashSet<String>) -> Result<(), String> {
    let found: ToolResult<'_> = object(item).ok_or(" must have a result, and a tool_call_id or a name")?;
    if found.tool_call_id.is_none() && found.name.is_none() {
        return Err(" must have a tool_call_id or a name".into());
    }
    if found.name.is_some_and(|name| !is_name(&name)) {
        return Err(".name must be a tool's".into());
    }
    if let Some(id) = found.tool_call_id {
        if !is_call_id(&id) {
            return Err(".tool_call_id must be 1 to 128 bytes without space and control characters".into());
        }
        if !calls.insert(id) {
            return Err(".tool_call_id has a result already".into());
        }
    }
    if found.result.get().len() > MAX_RESULT {
        return Err(format!(".result must have at most {MAX_RESULT} bytes"));
    }
    Ok(())
}

/// An item that is an object: a list of the same values in order would pass for it otherwise.
fn object<'a, T: Deserialize<'a>>(item: &'a RawValue) -> Option<T> {
    serde_json::from_str(item.get()).ok().filter(|_| item.get().starts_with('{'))
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        && !name.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

fn is_call_id(id: &str) -> bool {
    (1..=MAX_CALL_ID).contains(&id.len()) && !id.chars().any(|letter| letter.is_control() || letter.is_whitespace())
}

fn invalid(message: String) -> Denial {
    Denial::because(Code::InvalidTools, message)
}
