//! Sessions: what pages and customers' servers ask for, and what they are answered.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::Failure;
use super::{meta, phone, rules};
use crate::denial::{Code, Denial};
use crate::dialect::mitigate::is_email;
use crate::dialect::mitigate::members::{Members, body, invalid};
use crate::id::{ConversationId, ObjectId};
use crate::message::Reply;
use crate::policy::Issued;

/// How long a session may be asked to last, in seconds (seeds/001, "Duration Management").
const DURATIONS: std::ops::RangeInclusive<u64> = 1_800..=86_400;

/// Messages that may be sent along, each of which the bot answers, and their bytes, one by one and together.
const MOST_MESSAGES: usize = 5;
const MAX_TEXT: usize = 16 * 1024;
const MAX_TEXTS: usize = 64 * 1024;

/// The longest name of a visitor, in bytes.
const MAX_NAME: usize = 256;

/// What is asked for.
#[derive(Clone, Default, PartialEq)]
pub struct Asked {
    /// How long it shall last.
    pub duration: Option<Duration>,
    /// Who the visitor says to be.
    pub contact: Option<Contact>,
    /// What the conversation begins with.
    pub messages: Vec<Message>,
    /// What is noted beside the conversation.
    pub meta: Option<Map<String, Value>>,
    /// The conversation that it goes on with, which must be the caller's; the gate's own.
    pub conversation: Option<ConversationId>,
}

/// What pages note stays out of logs.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("duration", &self.duration).finish_non_exhaustive()
    }
}

impl Asked {
    /// How long the session lasts: as asked, but no longer than `cap`, which may be shorter than what can be asked for. In
    /// whole seconds, as its token says it.
    #[must_use]
    pub fn length(&self, cap: Duration) -> Duration {
        let length = self.duration.unwrap_or(cap).min(cap);
        Duration::from_secs(length.as_secs() + u64::from(length.subsec_nanos() > 0))
    }

    /// How long a session of a bot or a conversation lasts: an hour unless it is asked for more or less.
    #[must_use]
    pub fn length_of_api(&self) -> Duration {
        self.duration.unwrap_or(Duration::from_secs(3_600))
    }
}

/// Who a visitor says to be; nobody has checked it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The email address, as typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The telephone number in the form of E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// Personal data stay out of logs.
impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(…)")
    }
}

impl Contact {
    /// Whether the visitor can be reached: others are not kept.
    #[must_use]
    pub const fn is_reachable(&self) -> bool {
        self.email.is_some() || self.phone.is_some()
    }
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// The bot.
    Bot,
    /// The visitor.
    User,
}

/// A message of a conversation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who wrote it.
    #[serde(rename = "type")]
    pub author: Author,
    /// What.
    pub text: String,
}

/// What people write stays out of logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, …)", self.author)
    }
}

/// Reads what a page asks for (`POST …/integration/widget/{id}/session/create`). `null` counts as absent.
///
/// # Errors
/// [`Code::InvalidRequest`], naming each member that is not as it must be.
pub fn parse_session(bytes: &[u8]) -> Result<Asked, Denial> {
    parse(bytes, &["durationInSeconds", "contact", "messages", "meta", "conversationId"], &[Author::User])
}

/// Reads what a customer's server asks for (`POST …/bot/{id}/session/create`), who may speak for the bot as well.
///
/// # Errors
/// As [`parse_session`].
pub fn parse_bot_session(bytes: &[u8]) -> Result<Asked, Denial> {
    parse(bytes, &["durationInSeconds", "messages", "meta"], &[Author::User, Author::Bot])
}

/// Reads what a customer's server asks for (`POST …/conversation/{id}/session/create`).
///
/// # Errors
/// As [`parse_session`].
pub fn parse_conversation_session(bytes: &[u8]) -> Result<Asked, Denial> {
    parse(bytes, &["durationInSeconds"], &[])
}

/// The conversation that a page asks to go on with, whatever else stands in its request: where the vendor keeps the widgets, that
/// is the vendor's to read.
///
/// # Errors
/// [`Code::InvalidRequest`] for what is no object, and for an id that is none.
pub fn named_conversation(bytes: &[u8]) -> Result<Option<ConversationId>, Denial> {
    let named = members(bytes)?.raw("conversationId").map(conversation).transpose();
    named.map_err(|rule| invalid(format!("conversationId {rule}")))
}

fn members(bytes: &[u8]) -> Result<Members<'_>, Denial> {
    let text = if bytes.is_empty() { "{}" } else { body(bytes)? };
    Members::of(text).ok_or_else(|| Code::InvalidRequest.into())
}

fn parse(bytes: &[u8], known: &[&str], authors: &[Author]) -> Result<Asked, Denial> {
    let members = members(bytes)?;
    let mut faults = Vec::new();
    let asked = Asked {
        duration: sift(&members, "durationInSeconds", &mut faults, duration),
        contact: sift(&members, "contact", &mut faults, contact),
        messages: sift(&members, "messages", &mut faults, |raw| messages(raw, authors)).unwrap_or_default(),
        meta: sift(&members, "meta", &mut faults, |raw| meta::read(raw).map_err(Cow::from)),
        conversation: sift(&members, "conversationId", &mut faults, conversation),
    };
    faults.extend(rules::unknown(members.names(), |name| known.contains(&name)));
    if faults.is_empty() { Ok(asked) } else { Err(invalid(faults.join("; "))) }
}

fn sift<T>(
    members: &Members<'_>,
    name: &str,
    faults: &mut Vec<String>,
    read: impl FnOnce(&RawValue) -> Result<T, Cow<'static, str>>,
) -> Option<T> {
    read(members.raw(name)?).map_err(|rule| faults.push(format!("{name} {rule}"))).ok()
}

fn duration(raw: &RawValue) -> Result<Duration, Cow<'static, str>> {
    let seconds = rules::integer(raw).filter(|seconds| DURATIONS.contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "must be an integer from 1800 to 86400".into())
}

fn conversation(raw: &RawValue) -> Result<ConversationId, Cow<'static, str>> {
    serde_json::from_str(raw.get()).map_err(|_| "must be a conversation's id".into())
}

fn contact(raw: &RawValue) -> Result<Contact, Cow<'static, str>> {
    let members = Members::of(raw.get()).filter(|_| raw.get().starts_with('{')).ok_or("must be an object")?;
    if let Some(fault) = rules::unknown(members.names(), |name| matches!(name, "name" | "email" | "phone")) {
        return Err(format!("must have name, email and phone alone: {fault}").into());
    }
    let text = |name| members.read::<String>(name, "").ok().map(|text| text.map(|text| text.trim().to_owned()));
    let name = text("name").filter(|name| name.as_deref().is_none_or(is_name));
    let email = text("email").filter(|email| email.as_deref().is_none_or(is_email));
    let phone = text("phone").and_then(|phone| phone.map_or(Some(None), |phone| phone::e164(&phone).map(Some)));
    Ok(Contact {
        name: name.ok_or("must have a name of 1 to 256 bytes without control characters, or none")?,
        email: email.ok_or("must have a valid email address, or none")?,
        phone: phone.ok_or("must have a valid phone number, or none")?,
    })
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn messages(raw: &RawValue, authors: &[Author]) -> Result<Vec<Message>, Cow<'static, str>> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| "must be a list")?;
    if items.len() > MOST_MESSAGES {
        return Err(format!("must have at most {MOST_MESSAGES} items").into());
    }
    let read = |(index, item): (usize, &&RawValue)| message(item, authors).map_err(|rule| format!("[{index}] {rule}"));
    let messages = items.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    if messages.iter().map(|message| message.text.len()).sum::<usize>() > MAX_TEXTS {
        return Err(format!("must have at most {MAX_TEXTS} bytes of text together").into());
    }
    Ok(messages)
}

fn message(item: &RawValue, authors: &[Author]) -> Result<Message, Cow<'static, str>> {
    // A list of the same values in order would pass for an object otherwise.
    let read = serde_json::from_str(item.get()).ok().filter(|_| item.get().starts_with('{'));
    let message: Message = read.ok_or("must be an object with type and text")?;
    if !authors.contains(&message.author) {
        return Err(
            if authors.len() > 1 { "must be of type \"user\" or \"bot\"" } else { "must be of type \"user\"" }.into()
        );
    }
    if !(1..=MAX_TEXT).contains(&message.text.len()) {
        return Err(format!("must have a text of 1 to {MAX_TEXT} bytes").into());
    }
    Ok(message)
}

/// What is kept beside a conversation that a page has begun: what it says, under what it may not say.
#[must_use]
pub fn stored_meta(caller: Option<Map<String, Value>>, widget: &ObjectId) -> Map<String, Value> {
    let mut meta = caller.unwrap_or_default();
    meta.insert("app".into(), "widget".into());
    meta.insert("widget".into(), json!({ "integrationId": widget }));
    // Older texts of the vendor's call it so.
    meta.insert("widgetIntegrationId".into(), widget.as_str().into());
    meta
}

/// What a page is answered that has opened a session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    /// The widget, or the bot.
    pub id: &'a str,
    /// The conversation.
    pub conversation_id: &'a ConversationId,
    /// What was said in it until now.
    pub messages: &'a [Message],
    /// Why the bot has not answered the messages that were sent along; the gate's own. The session stands all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WithToken<'a, T> {
    #[serde(flatten)]
    answer: T,
    token: &'a str,
    expires_at: u64,
}

impl Answer<'_> {
    /// `{"id","conversationId","messages","token","expiresAt"}`, the expiry in milliseconds.
    #[must_use]
    pub fn reply(&self, issued: &Issued) -> Reply {
        with_token(self, issued)
    }
}

fn with_token(answer: impl Serialize, issued: &Issued) -> Reply {
    let whole = WithToken { answer, token: &issued.token, expires_at: issued.expires_at.millis() };
    // Texts and numbers can always be written.
    Reply::json(StatusCode::OK, serde_json::to_vec(&whole).unwrap_or_default())
}

/// What a customer's server is answered that has opened a session with a bot; without `messages` if there are none, and
/// with why they were not answered.
#[must_use]
pub fn bot_answer(
    bot: &str,
    conversation: &ConversationId,
    (messages, error): (&[Message], Option<Failure<'_>>),
    issued: &Issued,
) -> Reply {
    let mut answer = json!({ "id": bot, "conversationId": conversation });
    if !messages.is_empty() {
        answer["messages"] = json!(messages);
    }
    if let Some(error) = error {
        answer["error"] = json!(error);
    }
    with_token(answer, issued)
}

/// What a customer's server is answered that has opened a session of a conversation.
#[must_use]
pub fn conversation_answer(conversation: &ConversationId, issued: &Issued) -> Reply {
    with_token(json!({ "id": conversation }), issued)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
