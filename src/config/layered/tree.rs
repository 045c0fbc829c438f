//! The configuration as a tree in which every value remembers where it was written.

use std::collections::BTreeMap;
use std::fmt;

use super::Place;

/// Keys and values of one table, ordered by key.
pub type Table = BTreeMap<String, Node>;

/// Nesting beyond this many levels below the root is refused, so that recursion over a tree is bounded.
pub(super) const MAX_DEPTH: usize = 16;

/// The complaint about more than [`MAX_DEPTH`] levels.
pub(super) const TOO_DEEP: &str = "nested too deeply; 16 levels are allowed";

/// A value and its place. `Debug` shows the shape, not the values: any of them may be a secret.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The value as written.
    pub value: Value,
    /// Where it was written. For a merged table, the last file that touched it.
    pub place: Place,
    /// The text of an environment variable or flag that looked like a number or boolean, so that it
    /// can still be read where a string is wanted (a numeric password).
    pub(super) raw: Option<String>,
}

/// A TOML value. There are no dates: the parser refuses them.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A 64-bit signed integer.
    Integer(i64),
    /// A float, possibly infinite or not a number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// An array, in order.
    Array(Vec<Node>),
    /// A table or inline table.
    Table(Table),
}

impl Node {
    /// A node as written at `place`.
    #[must_use]
    pub fn new(value: Value, place: Place) -> Self {
        Self { value, place, raw: None }
    }

    /// The text, if this is a string or an environment variable or flag that may be taken as one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => self.raw.as_deref(),
        }
    }

    /// The table, if this is one.
    #[must_use]
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// True for a non-empty array of which every element is a table (`[[apps]]`).
    #[must_use]
    pub fn is_array_of_tables(&self) -> bool {
        self.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|node| node.as_table().is_some()))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.value, self.place)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(_) => f.write_str("string"),
            Self::Integer(_) => f.write_str("integer"),
            Self::Float(_) => f.write_str("float"),
            Self::Boolean(_) => f.write_str("boolean"),
            Self::Array(elements) => elements.fmt(f),
            Self::Table(table) => table.fmt(f),
        }
    }
}
