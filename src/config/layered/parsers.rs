//! Parsers for single values, to be passed to [`Reader`](super::Reader) methods. A parser is any
//! `Fn(&Node) -> Result<T, E>` whose error converts into [`Faults`]; `String` does. None of these
//! repeats the value in its error.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::suggest::closest;
use super::{Faults, Node, Value, path, units};

pub use super::secret_source::secret_source;

/// Any string, also an empty one.
///
/// # Errors
/// If it is not a string.
pub fn string(node: &Node) -> Result<String, Faults> {
    text(node, "must be a string").map(str::to_owned)
}

/// A string of at least one character that is not white space.
///
/// # Errors
/// If it is not such a string.
pub fn non_empty(node: &Node) -> Result<String, Faults> {
    let text = string(node)?;
    if text.trim().is_empty() { Err("must not be empty".into()) } else { Ok(text) }
}

/// `true` or `false`.
///
/// # Errors
/// If it is anything else.
pub fn boolean(node: &Node) -> Result<bool, Faults> {
    match node.value {
        Value::Boolean(truth) => Ok(truth),
        _ => Err("must be true or false".into()),
    }
}

/// An integer within `range`, both ends included.
pub fn integer<T>(range: RangeInclusive<T>) -> impl Fn(&Node) -> Result<T, Faults>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |node| {
        let number = match node.value {
            Value::Integer(number) => T::try_from(number).ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("must be an integer from {} to {}", range.start(), range.end()).into())
    }
}

/// A time span such as `"30s"`; see [`units::parse_duration`].
///
/// # Errors
/// If it is not a string of that form.
pub fn duration(node: &Node) -> Result<Duration, Faults> {
    node.as_text().and_then(units::parse_duration).ok_or_else(|| units::DURATION_FORM.into())
}

/// A number of bytes such as `"64KiB"`, or a plain integer; see [`units::parse_bytes`].
///
/// # Errors
/// If it is neither.
pub fn bytes(node: &Node) -> Result<usize, Faults> {
    let count = match &node.value {
        Value::Integer(number) => usize::try_from(*number).ok(),
        _ => node.as_text().and_then(units::parse_bytes),
    };
    count.ok_or_else(|| units::BYTES_FORM.into())
}

/// An array of strings.
///
/// # Errors
/// One fault for every element that is not a string.
pub fn string_list(node: &Node) -> Result<Vec<String>, Faults> {
    list(string)(node)
}

/// An array, each element read by `parse`. Its error has the faults of all bad elements.
pub fn list<T, E: Into<Faults>>(parse: impl Fn(&Node) -> Result<T, E>) -> impl Fn(&Node) -> Result<Vec<T>, Faults> {
    move |node| {
        let elements = node.as_array().ok_or("must be an array")?;
        let (mut values, mut faults) = (Vec::with_capacity(elements.len()), Vec::new());
        for (i, element) in elements.iter().enumerate() {
            match parse(element) {
                Ok(value) => values.push(value),
                Err(error) => {
                    faults.extend(error.into().below(&path::element("", i), &element.place).0);
                }
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(Faults(faults)) }
    }
}

/// One of a closed set of names. The error lists them all and suggests the closest.
pub fn one_of<T: Clone>(choices: &[(&str, T)]) -> impl Fn(&Node) -> Result<T, Faults> {
    move |node| {
        let given = node.as_text().unwrap_or_default();
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == given) {
            return Ok(value.clone());
        }
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        let message = format!("must be one of {}", names.join(", "));
        Err(Faults::with_suggestion(&message, closest(given, choices.iter().map(|(name, _)| *name))))
    }
}

/// A string that `T` parses. The error is `T`'s own, but withheld if it repeats the value; a type
/// whose errors repeat *parts* of its input is not for keys that may hold secrets.
pub fn parsed<T>() -> impl Fn(&Node) -> Result<T, Faults>
where
    T: FromStr,
    T::Err: Display,
{
    |node| {
        let text = text(node, "must be a string")?;
        text.parse::<T>().map_err(|error| {
            let reason = error.to_string();
            let repeats = !text.is_empty() && reason.contains(text);
            if repeats {
                "is not valid (the reason repeats the value, so it is not shown)".into()
            } else {
                reason.into()
            }
        })
    }
}

fn text<'n>(node: &'n Node, otherwise: &str) -> Result<&'n str, Faults> {
    node.as_text().ok_or_else(|| otherwise.into())
}
