//! TOML text into nodes with line numbers. Syntax errors, dates, out-of-range numbers and too deep
//! nesting become problems.

use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::tree::{MAX_DEPTH, TOO_DEEP};
use super::{Collector, Node, Place, Problem, Source, Table, Value, path};

/// Parses a whole file. `None` if its syntax is wrong; all other problems leave a tree in which
/// something stands where the bad value stood, so that nobody complains that the key is missing.
pub(super) fn parse_document(text: &str, source: &Source, problems: &Collector) -> Option<Node> {
    let lines = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut last_line = None;
    for error in &errors {
        let line = error.span().map(|span| lines.line(span.start));
        if line.is_none() || line != last_line {
            let place = Place { source: source.clone(), line };
            report(problems, place, "", error.message());
        }
        last_line = line;
    }
    let converter = Converter { source, lines: Some(lines), problems };
    let table = errors.is_empty().then(|| converter.table(document.get_ref(), "", 1))?;
    Some(Node::new(Value::Table(table), Place::whole(source.clone())))
}

/// A single value, as an environment variable or flag gives it: TOML if it parses as such, else the
/// text itself. A date is text, too. `depth` is the number of keys that lead to it.
pub(super) fn parse_value(text: &str, key: &str, depth: usize, source: &Source, problems: &Collector) -> Node {
    let converter = Converter { source, lines: None, problems };
    match DeValue::parse(text) {
        Ok(value) if !value.get_ref().is_datetime() => {
            let mut node = converter.node(value.get_ref(), 0, key, depth);
            node.raw = is_number_or_boolean(&node.value).then(|| text.to_owned());
            node
        }
        _ => Node::new(Value::String(text.to_owned()), converter.place(0)),
    }
}

fn is_number_or_boolean(value: &Value) -> bool {
    matches!(value, Value::Integer(_) | Value::Float(_) | Value::Boolean(_))
}

fn report(problems: &Collector, place: Place, key: &str, message: &str) {
    problems.push(Problem { place: Some(place), key: key.to_owned(), message: message.to_owned(), suggestion: None });
}

/// Byte offset to line number.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line, from 1, that holds the byte at `offset`.
    fn line(&self, offset: usize) -> u32 {
        let newlines_before = self.0.partition_point(|newline| *newline < offset);
        u32::try_from(newlines_before).unwrap_or(u32::MAX).saturating_add(1)
    }
}

struct Converter<'a> {
    source: &'a Source,
    lines: Option<Lines>,
    problems: &'a Collector,
}

impl Converter<'_> {
    fn place(&self, offset: usize) -> Place {
        Place { source: self.source.clone(), line: self.lines.as_ref().map(|lines| lines.line(offset)) }
    }

    /// `depth` counts the levels from the root to `value`.
    fn node(&self, value: &DeValue<'_>, offset: usize, key: &str, depth: usize) -> Node {
        let place = self.place(offset);
        let converted = if depth > MAX_DEPTH { Err(TOO_DEEP) } else { self.value(value, key, depth) };
        let value = converted.unwrap_or_else(|message| {
            report(self.problems, place.clone(), key, message);
            Value::String(String::new())
        });
        Node::new(value, place)
    }

    fn value(&self, value: &DeValue<'_>, key: &str, depth: usize) -> Result<Value, &'static str> {
        Ok(match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => Value::Integer(integer(number)?),
            DeValue::Float(number) => Value::Float(float(number)?),
            DeValue::Boolean(truth) => Value::Boolean(*truth),
            DeValue::Datetime(_) => {
                return Err("dates and times are not used here; quote it if it is text");
            }
            DeValue::Array(elements) => Value::Array(self.array(elements.iter(), key, depth + 1)),
            DeValue::Table(table) => Value::Table(self.table(table, key, depth + 1)),
        })
    }

    fn array<'v>(
        &self,
        elements: impl Iterator<Item = &'v Spanned<DeValue<'v>>>,
        key: &str,
        depth: usize,
    ) -> Vec<Node> {
        elements
            .enumerate()
            .map(|(i, element)| self.node(element.get_ref(), element.span().start, &path::element(key, i), depth))
            .collect()
    }

    /// Entries are placed at their keys: that is the line to look at, also for `[table]` headings.
    fn table(&self, table: &DeTable<'_>, parent: &str, depth: usize) -> Table {
        table
            .iter()
            .map(|(key, value)| {
                let full = path::child(parent, key.get_ref());
                let node = self.node(value.get_ref(), key.span().start, &full, depth);
                (key.get_ref().to_string(), node)
            })
            .collect()
    }
}

fn integer(number: &DeInteger<'_>) -> Result<i64, &'static str> {
    i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| "integer is out of range")
}

fn float(number: &DeFloat<'_>) -> Result<f64, &'static str> {
    let parsed: f64 = number.as_str().parse().map_err(|_| "not a number")?;
    if parsed.is_infinite() && !number.as_str().contains("inf") {
        return Err("number is out of range");
    }
    Ok(parsed)
}
