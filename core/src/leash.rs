//! How much one token, or one session where that has no token, may use before it is refused. Beside the limits, which count
//! how often, this bounds what is spent under one token in all, and what runs at the same time.
//!
//! An app has one, and who asks for a token may have it say a shorter one.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::denial::{Code, Denial};

/// Characters of a rule that is told: the names of all bounds, and one of another.
const LONGEST_RULE: usize = 160;

/// A leash; `None` is without bound. In JSON, where that asks for a token and in the token itself: an object of those
/// that are bounded, `{"stream":"600s","messages":20}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Leash {
    /// How long a stream or WebSocket may last.
    #[serde(skip_serializing_if = "Option::is_none", with = "lifetime")]
    pub stream: Option<Duration>,
    /// Messages under one token or session.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub messages: Option<u64>,
    /// Bytes of answers under one token or session.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub bytes: Option<u64>,
    /// Streams and WebSockets at the same time under one token or session.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub streams_per_token: Option<u64>,
    /// The same of one end user.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "count")]
    pub streams_per_end_user: Option<u64>,
}

impl Leash {
    /// The one that is asked for beside a token: an object; `null` and `None` ask for none.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`], with the rule that is broken.
    pub fn asked(value: Option<Value>) -> Result<Self, Denial> {
        let value = match value {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(value) => value,
        };
        // A name that is no bound's is told, as far as it is one that somebody may have meant.
        as_object(value).map_err(|fault| {
            let rule: String = fault.to_string().chars().take(LONGEST_RULE).flat_map(char::escape_debug).collect();
            Denial::because(Code::InvalidRequest, format!("leash: {rule}"))
        })
    }

    /// Whether anything must be counted under it.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.messages.is_some()
            || self.bytes.is_some()
            || self.streams_per_token.is_some()
            || self.streams_per_end_user.is_some()
    }

    /// Whether it bounds nothing.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        *self == Self::default()
    }

    /// What both of them allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            stream: shorter(self.stream, other.stream),
            messages: shorter(self.messages, other.messages),
            bytes: shorter(self.bytes, other.bytes),
            streams_per_token: shorter(self.streams_per_token, other.streams_per_token),
            streams_per_end_user: shorter(self.streams_per_end_user, other.streams_per_end_user),
        }
    }
}

/// One from an object. A list would be taken for one, too, by what is derived.
pub(crate) fn as_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Leash, D::Error> {
    let members = Map::deserialize(deserializer).map_err(|_| D::Error::custom("must be an object"))?;
    serde_json::from_value(Value::Object(members)).map_err(D::Error::custom)
}

fn shorter<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// An integer above zero: whoever may do nothing needs no token.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let rule = |_| D::Error::custom("a count must be an integer above zero");
    let count = Option::<NonZeroU64>::deserialize(deserializer).map_err(rule)?;
    Ok(count.map(NonZeroU64::get))
}

/// As the vendors write lifetimes: `10m`.
mod lifetime {
    use std::borrow::Cow;
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::duration::{InvalidLifetime, parse_lifetime};

    pub(super) fn serialize<S: Serializer>(stream: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match stream {
            Some(stream) => serializer.collect_str(&format_args!("{}s", stream.as_secs())),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let rule = || D::Error::custom(format_args!("stream {InvalidLifetime}"));
        let text = Option::<Cow<'de, str>>::deserialize(deserializer).map_err(|_| rule())?;
        text.map(|text| parse_lifetime(&text).map_err(|_| rule())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Leash, String> {
        as_object(&mut serde_json::Deserializer::from_str(text)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let text = r#"{"stream":"600s","messages":20,"bytes":1048576,"streamsPerToken":1,"streamsPerEndUser":2}"#;
        let leash = read(text).expect("a leash");
        assert_eq!((leash.stream, leash.streams_per_end_user), (Some(Duration::from_secs(600)), Some(2)));
        assert_eq!(serde_json::to_string(&leash).expect("JSON"), text);
        assert!(read("{}").expect("a leash").is_endless());
        assert!(read(r#"{"stream":null,"bytes":null}"#).expect("a leash").is_endless());
        assert_eq!(serde_json::to_string(&Leash::default()).expect("JSON"), "{}");
    }

    #[test]
    fn a_bound_that_cannot_be_held_is_refused() {
        for bad in [
            r#"{"mesages":1}"#,
            r#"{"messages":0}"#,
            r#"{"messages":-1}"#,
            r#"{"messages":1.0}"#,
            r#"{"messages":"1"}"#,
            r#"{"messages":18446744073709551616}"#,
            r#"{"stream":"0s"}"#,
            r#"{"stream":"forever"}"#,
            r#"{"stream":600}"#,
            r#"{"streams_per_token":2}"#,
            "[]",
            "[\"1s\"]",
            "1",
            "null",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_asked_for_is_an_object() {
        let asked =
            |text: &str| Leash::asked(serde_json::from_str(text).expect("JSON")).map_err(|denial| denial.message);
        assert_eq!(Leash::asked(None), Ok(Leash::default()));
        assert_eq!(asked("null"), Ok(Leash::default()));
        assert_eq!(asked(r#"{"messages":2}"#).expect("a leash").messages, Some(2));
        assert_eq!(asked("[]").expect_err("refused"), "leash: must be an object");
        assert_eq!(asked(r#"{"bytes":0}"#).expect_err("refused"), "leash: a count must be an integer above zero");
        assert!(asked(&format!(r#"{{"{}":1}}"#, "x".repeat(9_999))).expect_err("refused").len() < 200);
        assert!(
            asked(r#"{"byte":1}"#).expect_err("refused").starts_with("leash: unknown field `byte`, expected one of")
        );
    }

    #[test]
    fn of_two_the_shorter_one_holds() {
        let one = Leash { messages: Some(2), bytes: Some(9), ..Leash::default() };
        let other = Leash { messages: Some(3), streams_per_token: Some(1), ..Leash::default() };
        let both = Leash { messages: Some(2), bytes: Some(9), streams_per_token: Some(1), ..Leash::default() };
        assert_eq!((one.and(&other), other.and(&one)), (both, both));
        assert!(both.counts() && !Leash { stream: Some(Duration::from_secs(1)), ..Leash::default() }.counts());
    }
}
