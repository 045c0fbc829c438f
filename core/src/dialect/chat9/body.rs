//! The bodies of a session's requests: messages, and calls for a human.

use serde::Deserialize;
use serde_json::Value;

use super::fields::{self, said};
use super::priority::Trigger;
use crate::denial::{Code, Denial};
use crate::json::{self, Change};

/// Characters of a message.
pub const MAX_MESSAGE: usize = 1_000;

/// Characters of what a visitor adds for the human.
const MAX_NOTE: usize = 2_000;

/// What the gate says of a session and its visitor; a browser's own copies never pass.
pub const OWNED_FIELDS: &[&str] = &[
    "bot_id",
    "session_id",
    "user_id",
    "email",
    "name",
    "plan_tier",
    "audience_tag",
    "company",
    "user_context",
    "user_hints",
    "identity_token",
];

/// A message, as the upstream gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The body.
    pub body: Vec<u8>,
    /// Whether it is more than an empty turn.
    pub says_something: bool,
}

#[derive(Deserialize)]
struct MessageWire {
    #[serde(default)]
    message: Value,
    #[serde(default)]
    locale: Value,
}

impl Message {
    /// Reads the body of a message. An empty one asks for the greeting, and is for a conversation that
    /// has not `started`.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`], [`Code::MessageTooLong`], [`Code::MessageRequired`].
    pub fn parse(body: &[u8], started: bool) -> Result<Self, Denial> {
        let (text, wire): (_, MessageWire) = read(body)?;
        let message = optional("message", &wire.message)?.unwrap_or_default();
        if message.chars().count() > MAX_MESSAGE {
            return Err(Code::MessageTooLong.into());
        }
        let says_something = !message.trim().is_empty();
        if started && !says_something {
            return Err(Code::MessageRequired.into());
        }
        Ok(Self { body: with_locale(text, &wire.locale)?, says_something })
    }
}

/// A call for a human, as the upstream gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct Escalation {
    /// The body.
    pub body: Vec<u8>,
    /// Why.
    pub trigger: Trigger,
}

#[derive(Deserialize)]
struct EscalationWire {
    #[serde(default)]
    user_note: Value,
    #[serde(default)]
    trigger: Value,
    #[serde(default)]
    locale: Value,
}

impl Escalation {
    /// Reads the body of a call for a human.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`].
    pub fn parse(body: &[u8]) -> Result<Self, Denial> {
        let (text, wire): (_, EscalationWire) = read(body)?;
        if optional("user_note", &wire.user_note)?.is_some_and(|note| note.chars().count() > MAX_NOTE) {
            return Err(Denial::because(Code::InvalidRequest, "user_note may have 2000 characters"));
        }
        let trigger = match optional("trigger", &wire.trigger)? {
            None | Some("user_request") => Trigger::UserRequest,
            Some("answer_rejected") => Trigger::AnswerRejected,
            Some(_) => {
                let rule = "trigger must be \"user_request\" or \"answer_rejected\"";
                return Err(Denial::because(Code::InvalidRequest, rule));
            }
        };
        Ok(Self { body: with_locale(text, &wire.locale)?, trigger })
    }
}

/// A body that is one strict object, or nothing at all.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(&'a str, T), Denial> {
    let refused = |fault| Denial::because(Code::InvalidRequest, said(&fault));
    let text = json::check_object(if body.is_empty() { b"{}" } else { body }).map_err(refused)?;
    let wire = serde_json::from_str(text).map_err(|_| Code::InvalidRequest)?;
    Ok((text, wire))
}

fn optional<'a>(name: &str, value: &'a Value) -> Result<Option<&'a str>, Denial> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(Denial::because(Code::InvalidRequest, format!("{name} must be a string"))),
    }
}

/// The body; without a `locale` that is no tag.
fn with_locale(text: &str, locale: &Value) -> Result<Vec<u8>, Denial> {
    let is_tag = optional("locale", locale)?.is_some_and(|text| fields::locale(text).is_some());
    if is_tag {
        return Ok(text.into());
    }
    let path = ["locale".to_owned()];
    let changes = vec![Change { path: &path, value: None }];
    json::rewrite(text, changes).map_err(|fault| Denial::because(Code::InvalidRequest, said(&fault)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str, started: bool) -> Result<String, Code> {
        let message = Message::parse(body.as_bytes(), started).map_err(|denial| denial.code)?;
        Ok(String::from_utf8(message.body).expect("UTF-8"))
    }

    #[test]
    fn a_message_passes_with_a_locale_that_is_one() {
        let body = r#"{"message":"h\u00e9","locale":"en-US","n":1.0}"#;
        assert_eq!(message(body, true).as_deref(), Ok(body));
        assert_eq!(message(r#"{"message":"hi","locale":"x y"}"#, true).as_deref(), Ok(r#"{"message":"hi"}"#));
    }

    #[test]
    fn an_empty_turn_is_for_the_beginning() {
        for empty in ["", "{}", r#"{"message":null}"#, r#"{"message":""}"#, r#"{"message":" \n"}"#] {
            assert!(message(empty, false).is_ok(), "{empty}");
            assert_eq!(message(empty, true), Err(Code::MessageRequired), "{empty}");
        }
    }

    #[test]
    fn a_message_is_bounded_in_characters() {
        let of = |count: usize| format!(r#"{{"message":"{}"}}"#, "é".repeat(count));
        assert!(message(&of(1_000), true).is_ok());
        assert_eq!(message(&of(1_001), true), Err(Code::MessageTooLong));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in
            ["[]", "null", r#"{"message":7}"#, r#"{"message":"a","message":"b"}"#, r#"{"message":"a","locale":1}"#]
        {
            assert_eq!(message(bad, false), Err(Code::InvalidRequest), "{bad}");
        }
    }

    #[test]
    fn a_call_for_a_human_says_why() {
        let trigger = |body: &str| Escalation::parse(body.as_bytes()).map(|read| read.trigger);
        assert_eq!(trigger(""), Ok(Trigger::UserRequest));
        assert_eq!(trigger(r#"{"trigger":"answer_rejected","user_note":"no"}"#), Ok(Trigger::AnswerRejected));
        let long = format!(r#"{{"user_note":"{}"}}"#, "x".repeat(2_001));
        for bad in [r#"{"trigger":"no_answer"}"#, r#"{"trigger":1}"#, r#"{"user_note":[]}"#, &long] {
            assert_eq!(trigger(bad).expect_err(bad).code, Code::InvalidRequest, "{bad}");
        }
    }
}
