//! JSON into nodes and back. TOML has no null, and so a tree has none.

use serde_json::{Map, Value as Json};

use super::tree::{MAX_DEPTH, TOO_DEEP};
use super::{Collector, Faults, Node, Place, Problem, Source, Table, Value, path};

/// The tree of a JSON value. What a tree cannot hold (null, an integer beyond 64 bits, too deep
/// nesting) is a problem, and an empty text stands in its place.
#[must_use]
pub fn from_json(json: &Json, problems: &Collector) -> Node {
    node(json, "", 0, problems)
}

/// `depth` counts the levels from the root to `json`.
fn node(json: &Json, key: &str, depth: usize, problems: &Collector) -> Node {
    let place = Place::whole(Source::Document);
    let converted = if depth > MAX_DEPTH { Err(TOO_DEEP) } else { value(json, key, depth, problems) };
    let value = converted.unwrap_or_else(|message| {
        let place = Some(place.clone());
        problems.push(Problem { place, key: key.to_owned(), message: message.to_owned(), suggestion: None });
        Value::String(String::new())
    });
    Node::new(value, place)
}

fn value(json: &Json, key: &str, depth: usize, problems: &Collector) -> Result<Value, &'static str> {
    Ok(match json {
        Json::Null => return Err("must not be null; leave it out"),
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(float)) if number.is_f64() => Value::Float(float),
            _ => return Err("integer is out of range"),
        },
        Json::Array(items) => {
            let item = |(index, item)| node(item, &path::element(key, index), depth + 1, problems);
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        Json::Object(members) => {
            let member = |(name, json): (&String, &Json)| {
                (name.clone(), node(json, &path::child(key, name), depth + 1, problems))
            };
            Value::Table(members.iter().map(member).collect::<Table>())
        }
    })
}

/// The JSON of a tree.
///
/// # Errors
/// A fault for each number that is not finite: JSON has none.
pub fn to_json(node: &Node) -> Result<Json, Faults> {
    Ok(match &node.value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Boolean(truth) => Json::from(*truth),
        Value::Float(number) => serde_json::Number::from_f64(*number).ok_or("must be a finite number")?.into(),
        Value::Array(items) => items.iter().map(to_json).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Table(table) => {
            let members = table.iter().map(|(name, node)| Ok((name.clone(), to_json(node)?)));
            Json::Object(members.collect::<Result<Map<_, _>, Faults>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(json: &Json) -> Vec<(String, String)> {
        let collector = Collector::default();
        let node = from_json(json, &collector);
        let Err(problems) = collector.into_result(Some(node)) else { return Vec::new() };
        problems.as_slice().iter().map(|problem| (problem.key.clone(), problem.message.clone())).collect()
    }

    #[test]
    fn what_json_and_toml_share_goes_both_ways() {
        let json = json!({ "a": [1, -2, 1.5, true, "x", {}], "b": { "c.d": "" }, "e": i64::MIN });
        let collector = Collector::default();
        assert_eq!(to_json(&from_json(&json, &collector)), Ok(json));
        assert!(collector.is_empty());
    }

    #[test]
    fn what_a_tree_cannot_hold_is_named_with_its_path_and_not_repeated() {
        let found = problems(&json!({ "a": null, "b": [0, { "c": null }], "d": u64::MAX }));
        let null = "must not be null; leave it out".to_owned();
        let expected = [("a", null.clone()), ("b[1].c", null), ("d", "integer is out of range".to_owned())];
        assert_eq!(found, expected.map(|(key, message)| (key.to_owned(), message)));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels| (0..levels).fold(json!("x"), |inner, _| json!([inner]));
        assert_eq!(problems(&nested(MAX_DEPTH)), []);
        assert_eq!(problems(&nested(MAX_DEPTH + 1)).len(), 1);
        assert_eq!(problems(&nested(120)).len(), 1);
    }
}
