//! A JSON object read strictly: each member by its name and kind, and none left over.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::denial::{Code, Denial};
use crate::json;

/// The members of an object that have not been read yet.
pub(super) struct Members {
    /// Where the object stands, with a dot behind; empty for the whole body.
    at: &'static str,
    members: Map<String, Value>,
}

impl Members {
    /// Those of a body; an empty one has none.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Denial> {
        if body.is_empty() {
            return Ok(Self { at: "", members: Map::new() });
        }
        let text = json::check_object(body).map_err(|fault| invalid(format!("The body is refused: {fault}")))?;
        // What is checked is an object; only a number beyond all bounds can still fail.
        let members = serde_json::from_str(text).map_err(|_| invalid("The body has a number that is too large"))?;
        Ok(Self { at: "", members })
    }

    /// Those of the object at `name`; `at` is its whole path, with a dot behind.
    pub(super) fn object(&mut self, name: &str, at: &'static str) -> Result<Option<Self>, Denial> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { at, members })),
            Some(_) => Err(self.not(name, "an object")),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Denial> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.not(name, "a string")),
        }
    }

    pub(super) fn truth(&mut self, name: &str) -> Result<Option<bool>, Denial> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(_) => Err(self.not(name, "true or false")),
        }
    }

    pub(super) fn number(&mut self, name: &str, range: &RangeInclusive<u32>) -> Result<Option<u32>, Denial> {
        let Some(value) = self.members.remove(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let rule = || self.not(name, &format!("an integer from {} to {}", range.start(), range.end()));
        number.filter(|number| range.contains(number)).map(Some).ok_or_else(rule)
    }

    /// What must be there.
    pub(super) fn required<T>(&self, name: &str, found: Option<T>) -> Result<T, Denial> {
        found.ok_or_else(|| invalid(format!("{}{name} is required", self.at)))
    }

    pub(super) fn not(&self, name: &str, rule: &str) -> Denial {
        invalid(format!("{}{name} must be {rule}", self.at))
    }

    /// All that is left.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.members
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), Denial> {
        if self.members.is_empty() {
            return Ok(());
        }
        let place = self.at.strip_suffix('.').unwrap_or("The body");
        Err(invalid(format!("{place} has a member that is not known here")))
    }
}

/// `expires_after`: seconds from the creation.
pub(super) fn expires_after(body: &mut Members, range: &RangeInclusive<u32>) -> Result<Option<u32>, Denial> {
    let Some(mut expiry) = body.object("expires_after", "expires_after.")? else { return Ok(None) };
    if expiry.text("anchor")?.as_deref() != Some("created_at") {
        return Err(expiry.not("anchor", "\"created_at\""));
    }
    let seconds = expiry.number("seconds", range)?;
    let seconds = expiry.required("seconds", seconds)?;
    expiry.finish()?;
    Ok(Some(seconds))
}

/// An object of the members that are there; `None` if none is.
pub(super) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Option<Value> {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let members: Map<_, _> = members.collect();
    (!members.is_empty()).then(|| members.into())
}

/// What is written for [`expires_after`].
pub(super) fn expiry(seconds: Option<u32>) -> Option<Value> {
    seconds.map(|seconds| serde_json::json!({ "anchor": "created_at", "seconds": seconds }))
}

pub(super) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::because(Code::InvalidRequest, message)
}
