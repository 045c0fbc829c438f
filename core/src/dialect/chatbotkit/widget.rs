//! A widget and a blueprint: as they are kept, and as customers see them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::rules;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::dialect::mitigate::members::{Members, body, invalid};
use crate::id::{AppId, FileId, ObjectId};

/// The id of a widget, which pages carry for all to see.
pub type WidgetId = ObjectId;

/// A widget, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widget {
    /// Its id.
    pub id: WidgetId,
    /// Whose it is.
    pub app: AppId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether it has been switched off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// What is set for it.
    pub fields: Fields,
    /// The files that it shows, and as what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileId, FileType>,
}

/// What several widgets have in common, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blueprint {
    /// Its id.
    pub id: ObjectId,
    /// Whose it is.
    pub app: AppId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What is set for it.
    pub fields: Fields,
}

/// What a widget shows a file as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    /// At its top.
    Bar,
    /// Beside what visitors write.
    User,
    /// Beside what the bot writes.
    Bot,
    /// On the button that opens it.
    Button,
}

/// A widget or a blueprint as customers see it: what is not set is left out, times are in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wire<'a> {
    id: &'a ObjectId,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// The gate's own; the vendor has no such switch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    #[serde(flatten)]
    fields: &'a Fields,
}

impl Widget {
    /// As customers see it.
    #[must_use]
    pub const fn to_wire(&self) -> Wire<'_> {
        let Self { id, created_at, updated_at, disabled, fields, .. } = self;
        Wire { id, created_at: *created_at, updated_at: *updated_at, disabled: *disabled, fields }
    }

    /// Checks that it has not been switched off.
    ///
    /// # Errors
    /// [`Code::WidgetDisabled`].
    pub fn enabled(&self) -> Result<(), Denial> {
        if self.disabled { Err(Code::WidgetDisabled.into()) } else { Ok(()) }
    }
}

impl Blueprint {
    /// As customers see it.
    #[must_use]
    pub const fn to_wire(&self) -> Wire<'_> {
        let Self { id, created_at, updated_at, fields, .. } = self;
        Wire { id, created_at: *created_at, updated_at: *updated_at, disabled: false, fields }
    }
}

/// A widget, a blueprint or a map of languages as the registry keeps it: JSON.
///
/// # Errors
/// [`Code::Internal`] if it cannot be written, which each of them can.
pub fn to_document<T: Serialize>(kept: &T) -> Result<String, Denial> {
    serde_json::to_string(kept).map_err(|_| Code::Internal.into())
}

/// Reads what [`to_document`] wrote; `None` if it did not.
#[must_use]
pub fn from_document<T: DeserializeOwned>(document: &str) -> Option<T> {
    serde_json::from_str(document).ok()
}

/// What holds for a widget: its own settings, and its blueprint's where it has none. A text that is empty is set, but for
/// the list of origins: a form that leaves it blank lifts nothing.
#[must_use]
pub fn effective(widget: &Widget, blueprint: Option<&Blueprint>) -> Fields {
    let Some(Blueprint { fields: shared, .. }) = blueprint else { return widget.fields.clone() };
    let origin = widget.fields.origin.clone().filter(|list| !list.trim().is_empty()).or_else(|| shared.origin.clone());
    Fields { origin, ..widget.fields.or(shared) }
}

/// What a file is to be shown as: `{"type"}`.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn parse_attach(bytes: &[u8]) -> Result<FileType, Denial> {
    let members = Members::of(body(bytes)?).ok_or(Code::InvalidRequest)?;
    if let Some(fault) = rules::unknown(members.names(), |name| name == "type") {
        return Err(invalid(fault));
    }
    let kind = members.read("type", "bar, user, bot or button")?;
    kind.ok_or_else(|| invalid("type is required"))
}

#[cfg(test)]
#[path = "widget_tests.rs"]
mod tests;
