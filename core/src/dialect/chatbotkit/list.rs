//! Lists of widgets and blueprints: which are asked for, and the four forms in which they are answered.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::fields::NAMES;
use super::meta;
use super::widget::Wire;
use crate::denial::{Code, Denial};
use crate::id::ObjectId;
use crate::message::Reply;

/// How many a page has at most, and unless it is asked for fewer.
const MOST: usize = 100;

/// How many members of `meta` a list may be narrowed by.
const MOST_FILTERS: usize = 8;

/// In which order of their making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The last one that the caller has; those behind it are wanted.
    pub cursor: Option<ObjectId>,
    /// In which order.
    pub order: Order,
    /// How many at most.
    pub take: usize,
    /// Those of this blueprint alone.
    pub blueprint: Option<ObjectId>,
    /// Those alone whose `meta` says all of this.
    pub meta: Vec<(String, String)>,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { cursor: None, order: Order::default(), take: MOST, blueprint: None, meta: Vec::new() }
    }
}

impl ListQuery {
    /// Reads a query; parameters of other names are dropped. `take` is at most 100, and 100 where it is no number above
    /// zero, as the vendor has it.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] for a parameter that stands there twice, is not as it must be, or one filter too many.
    pub fn parse(text: Option<&str>) -> Result<Self, Denial> {
        let (mut query, mut seen) = (Self::default(), Vec::new());
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let kind = Parameter::of(&name);
            if kind == Parameter::Other {
                continue;
            }
            // `meta.k` and `meta[k]` are one.
            let known = kind.name();
            if seen.contains(&known) {
                return Err(invalid("a parameter stands there twice".into()));
            }
            query.set(&kind, &value)?;
            seen.push(known);
        }
        Ok(query)
    }

    fn set(&mut self, parameter: &Parameter<'_>, value: &str) -> Result<(), Denial> {
        match parameter {
            Parameter::Cursor => self.cursor = id("cursor", value)?,
            Parameter::BlueprintId => self.blueprint = id("blueprintId", value)?,
            Parameter::Order => {
                self.order = match value {
                    "asc" => Order::Asc,
                    "desc" | "" => Order::Desc,
                    _ => return Err(invalid("order must be asc or desc".into())),
                }
            }
            Parameter::Take => self.take = take(value),
            Parameter::Meta(key) => self.narrow(key, value)?,
            Parameter::Other => {}
        }
        Ok(())
    }

    fn narrow(&mut self, key: &str, value: &str) -> Result<(), Denial> {
        if !meta::is_label(key, value) {
            let (key, value) = meta::MAX_LABEL;
            return Err(invalid(format!("meta must have a key of 1 to {key} and a value of at most {value} bytes")));
        }
        if self.meta.len() == MOST_FILTERS {
            return Err(invalid(format!("meta may be given {MOST_FILTERS} times at most")));
        }
        self.meta.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

#[derive(PartialEq)]
enum Parameter<'a> {
    Cursor,
    Order,
    Take,
    BlueprintId,
    Meta(&'a str),
    Other,
}

impl<'a> Parameter<'a> {
    fn of(name: &'a str) -> Self {
        let in_brackets = || name.strip_prefix("meta[")?.strip_suffix(']');
        match name {
            "cursor" => Self::Cursor,
            "order" => Self::Order,
            "take" => Self::Take,
            "blueprintId" => Self::BlueprintId,
            _ => name.strip_prefix("meta.").or_else(in_brackets).map_or(Self::Other, Self::Meta),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Cursor => "cursor".to_owned(),
            Self::Order => "order".to_owned(),
            Self::Take => "take".to_owned(),
            Self::BlueprintId => "blueprintId".to_owned(),
            Self::Meta(key) => format!("meta.{key}"),
            Self::Other => String::new(),
        }
    }
}

/// An id; none where the value is empty.
fn id(name: &str, value: &str) -> Result<Option<ObjectId>, Denial> {
    let id = Some(value).filter(|value| !value.is_empty()).map(ObjectId::parse).transpose();
    id.map_err(|fault| invalid(format!("{name} {fault}")))
}

/// What is no number, or none above zero, counts as not said; so does one that is too large to be any.
fn take(value: &str) -> usize {
    value.parse().ok().filter(|number| *number > 0).map_or(MOST, |number: usize| number.min(MOST))
}

fn invalid(message: String) -> Denial {
    Denial::because(Code::InvalidRequest, message)
}

/// In which form a list is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListFormat {
    /// `{"items","cursor"}`, a page.
    #[default]
    Json,
    /// A line for each, to the end of the list.
    Jsonl,
    /// A table, to the end of the list.
    Csv,
    /// An event for each, to the end of the list.
    EventStream,
}

impl ListFormat {
    const ALL: [Self; 4] = [Self::Json, Self::Jsonl, Self::Csv, Self::EventStream];

    /// The form that an `Accept` field likes best (RFC 9110 section 12.5.1), the first of several; JSON where it names
    /// none.
    #[must_use]
    pub fn of(accept: Option<&str>) -> Self {
        let mut best = (Self::Json, 0);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let found = Self::ALL.into_iter().find(|format| format.content_type().eq_ignore_ascii_case(name));
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, weight);
            if let Some(found) = found.filter(|_| weight > best.1) {
                best = (found, weight);
            }
        }
        best.0
    }

    /// What it is called.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jsonl => "application/jsonl",
            Self::Csv => "text/csv",
            Self::EventStream => "text/event-stream",
        }
    }
}

/// A weight in thousandths; what is none weighs nothing.
fn weight(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    match (whole, fraction.len()) {
        ("1", _) => 1000,
        ("0", 0..=3) => format!("{fraction:0<3}").parse().unwrap_or_default(),
        _ => 0,
    }
}

/// A page: `{"items","cursor"}`, the cursor being the last one's id, and absent from an empty page.
#[must_use]
pub fn json_page(items: &[Wire<'_>], cursor: Option<&ObjectId>) -> Reply {
    #[derive(Serialize)]
    struct Page<'a> {
        items: &'a [Wire<'a>],
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<&'a ObjectId>,
    }
    // What was read from JSON can always be written.
    Reply::json(StatusCode::OK, serde_json::to_vec(&Page { items, cursor }).unwrap_or_default())
}

/// `{"type":"item","data":{…}}` and a line's end.
#[must_use]
pub fn jsonl_item(item: &Wire<'_>) -> String {
    format!("{{\"type\":\"item\",\"data\":{}}}\n", text(item))
}

/// An event: `event: item`, and the item as its data. JSON as it is written here has no line's end within.
#[must_use]
pub fn sse_item(item: &Wire<'_>) -> String {
    format!("event: item\ndata: {}\n\n", text(item))
}

fn text(item: &Wire<'_>) -> String {
    serde_json::to_string(item).unwrap_or_default()
}

/// The columns before the settings.
const COLUMNS: [&str; 4] = ["id", "createdAt", "updatedAt", "disabled"];

fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().chain(NAMES).copied()
}

/// The names of a table's columns (RFC 4180).
#[must_use]
pub fn csv_header() -> String {
    columns().collect::<Vec<_>>().join(",") + "\r\n"
}

/// The row of an item: what is not set is empty, `meta` is JSON.
#[must_use]
pub fn csv_row(item: &Wire<'_>) -> String {
    let members = match json!(item) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let cells = columns().map(|name| members.get(name).map(cell).unwrap_or_default());
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

/// A value as it stands in a table. A spreadsheet would calculate what begins like a formula, so that a text of a
/// stranger's could act there: an apostrophe before it makes it a text.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
