//! The members of a JSON object in the bytes that they came in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::denial::{Code, Denial};
use crate::json;

/// The members by name.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(in crate::dialect) struct Members<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Members<'a> {
    /// Those of a checked object; `None` if it is none.
    pub(in crate::dialect) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What stands there; `null` counts as absent.
    pub(in crate::dialect) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    /// What stands there, `null` included.
    pub(in crate::dialect) fn sent(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// Their names.
    pub(in crate::dialect) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(AsRef::as_ref)
    }

    /// What stands there, if it is of the kind of `T`.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] with the rule.
    pub(in crate::dialect) fn read<T: DeserializeOwned>(&self, name: &str, kind: &str) -> Result<Option<T>, Denial> {
        let read = |value: &RawValue| serde_json::from_str(value.get());
        self.raw(name).map(read).transpose().map_err(|_| invalid(format!("{name} must be {kind}")))
    }

    /// The first name that is none of these.
    pub(in crate::dialect) fn other_than(&self, known: &[&str]) -> Option<&str> {
        self.0.keys().map(AsRef::as_ref).find(|name| !known.contains(name))
    }

    /// Whether a reader that is lenient with names could find this one here.
    pub(in crate::dialect) fn names_like(&self, name: &str) -> bool {
        let name = json::folded(name);
        self.0.iter().any(|(other, value)| json::folded(other) == name && value.get() != "null")
    }
}

/// The body of a request as text, an object.
///
/// # Errors
/// [`Code::InvalidRequest`] with the fault.
pub(in crate::dialect) fn body(body: &[u8]) -> Result<&str, Denial> {
    json::check_object(body).map_err(|fault| invalid(format!("The body is refused: {fault}")))
}

pub(in crate::dialect) fn invalid(message: impl Into<Cow<'static, str>>) -> Denial {
    Denial::because(Code::InvalidRequest, message)
}
