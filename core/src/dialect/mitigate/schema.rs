//! What a tool takes, said in JSON Schema (draft 2020-12): objects that a language model is told of.
//!
//! Nobody validates anything with these schemas here. They are held to the shape that the drafts give their keywords,
//! so that no reader further on is surprised, and to references within themselves, so that none fetches anything.

use serde_json::{Map, Value};

/// The longest schema, in bytes.
const MAX_SIZE: usize = 16 * 1024;

/// The deepest nesting of one.
const MAX_DEPTH: usize = 16;

/// What may stand at a keyword.
#[derive(Clone, Copy)]
enum Kind {
    /// A value that is no schema.
    Plain(fn(&Value) -> bool),
    Schema,
    /// A list of schemas, not empty.
    Schemas,
    /// A schema or, until draft 2019-09, a list of them.
    SchemaOrSchemas,
    /// Schemas by name.
    SchemaMap,
}

const TEXT: Kind = Kind::Plain(Value::is_string);
const NUMBER: Kind = Kind::Plain(Value::is_number);
const COUNT: Kind = Kind::Plain(Value::is_u64);

/// The keywords whose shape matters. Others are annotations to every reader.
const KEYWORDS: &[(&str, Kind)] = &[
    ("$schema", TEXT),
    ("$id", TEXT),
    ("$ref", Kind::Plain(is_reference)),
    ("$dynamicRef", Kind::Plain(is_reference)),
    ("$defs", Kind::SchemaMap),
    ("definitions", Kind::SchemaMap),
    ("type", Kind::Plain(is_type)),
    ("enum", Kind::Plain(Value::is_array)),
    ("title", TEXT),
    ("description", TEXT),
    ("format", TEXT),
    ("pattern", TEXT),
    ("properties", Kind::SchemaMap),
    ("patternProperties", Kind::SchemaMap),
    ("dependentSchemas", Kind::SchemaMap),
    ("additionalProperties", Kind::Schema),
    ("unevaluatedProperties", Kind::Schema),
    ("propertyNames", Kind::Schema),
    ("items", Kind::SchemaOrSchemas),
    ("prefixItems", Kind::Schemas),
    ("unevaluatedItems", Kind::Schema),
    ("contains", Kind::Schema),
    ("allOf", Kind::Schemas),
    ("anyOf", Kind::Schemas),
    ("oneOf", Kind::Schemas),
    ("not", Kind::Schema),
    ("if", Kind::Schema),
    ("then", Kind::Schema),
    ("else", Kind::Schema),
    ("required", Kind::Plain(are_names)),
    ("minimum", NUMBER),
    ("maximum", NUMBER),
    ("exclusiveMinimum", NUMBER),
    ("exclusiveMaximum", NUMBER),
    ("multipleOf", NUMBER),
    ("minLength", COUNT),
    ("maxLength", COUNT),
    ("minItems", COUNT),
    ("maxItems", COUNT),
    ("minProperties", COUNT),
    ("maxProperties", COUNT),
    ("uniqueItems", Kind::Plain(Value::is_boolean)),
];

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Checks the schema of a tool's arguments: an object of bounded size and depth whose `type` is `object`.
///
/// # Errors
/// The rule that it breaks, with a keyword of the table where one is to blame.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_SIZE {
        return Err(format!("must have at most {MAX_SIZE} bytes"));
    }
    let schema: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    let schema = schema.filter(|schema| schema.get("type").is_some_and(|name| name == "object"));
    let schema = Value::Object(schema.ok_or(r#"must be a JSON Schema object with "type": "object""#)?);
    if !is_within(&schema, MAX_DEPTH) {
        return Err(format!("must be nested at most {MAX_DEPTH} deep"));
    }
    check_schema("type", &schema).map_err(|keyword| format!("must be JSON Schema: {keyword} is not as it must be"))
}

/// Whether a value is nested at most so deep.
fn is_within(value: &Value, depth: usize) -> bool {
    let below = |value| is_within(value, depth - 1);
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(below),
        Value::Object(members) => depth > 0 && members.values().all(below),
        _ => true,
    }
}

/// Checks a schema that stands at a keyword; the error is the keyword to blame.
fn check_schema(at: &'static str, schema: &Value) -> Result<(), &'static str> {
    match schema {
        Value::Bool(_) => Ok(()),
        Value::Object(members) => KEYWORDS
            .iter()
            .filter_map(|(keyword, kind)| Some((*keyword, *kind, members.get(*keyword)?)))
            .try_for_each(|(keyword, kind, value)| check_at(keyword, kind, value)),
        _ => Err(at),
    }
}

fn check_at(keyword: &'static str, kind: Kind, value: &Value) -> Result<(), &'static str> {
    let schema = |value| check_schema(keyword, value);
    match (kind, value) {
        (Kind::Plain(is_good), value) if is_good(value) => Ok(()),
        (Kind::Schema, value) => schema(value),
        (Kind::Schemas, Value::Array(schemas)) if !schemas.is_empty() => schemas.iter().try_for_each(schema),
        (Kind::SchemaOrSchemas, Value::Array(schemas)) => schemas.iter().try_for_each(schema),
        (Kind::SchemaOrSchemas, value) => schema(value),
        (Kind::SchemaMap, Value::Object(schemas)) => schemas.values().try_for_each(schema),
        (Kind::Plain(_) | Kind::Schemas | Kind::SchemaMap, _) => Err(keyword),
    }
}

/// Another place in the same schema.
fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|place| place.starts_with('#'))
}

/// The name of a type, or several.
fn is_type(value: &Value) -> bool {
    let is_name = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let names = value.as_array().filter(|names| !names.is_empty() && are_names(value));
    names.map_or_else(|| is_name(value), |names| names.iter().all(is_name))
}

/// Different texts.
fn are_names(value: &Value) -> bool {
    let Some(names) = value.as_array() else { return false };
    let mut seen = std::collections::HashSet::with_capacity(names.len());
    names.iter().all(|name| name.as_str().is_some_and(|name| seen.insert(name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(keyword: &str, value: &Value) -> Result<(), String> {
        // Once at the root and once further in.
        let further = check(&json!({ "type": "object", "properties": { "a": { keyword: value } } }).to_string());
        let mut root = json!({ "type": "object" });
        root[keyword] = value.clone();
        if keyword != "type" {
            assert_eq!(check(&root.to_string()), further, "{keyword} {value}");
        }
        further
    }

    #[test]
    fn the_documented_schema_is_taken() {
        let documented = json!({
            "type": "object",
            "properties": {
                "sku": { "type": "string", "description": "Product SKU" },
                "quantity": { "type": "integer", "minimum": 1, "description": "Quantity" },
            },
            "required": ["sku", "quantity"],
        });
        assert_eq!(check(&documented.to_string()), Ok(()));
        assert_eq!(check(r#" {"type":"object"}"#), Ok(()));
    }

    #[test]
    fn the_root_is_an_object_for_objects() {
        for bad in [
            "true",
            "null",
            "[]",
            "{}",
            r#""object""#,
            "7",
            "",
            "{",
            r#"{"type":"string"}"#,
            r#"{"type":["object"]}"#,
            r#"{"type":null}"#,
            r#"{"Type":"object"}"#,
            r#"["object"]"#,
        ] {
            let rule = r#"must be a JSON Schema object with "type": "object""#;
            assert_eq!(check(bad), Err(rule.to_owned()), "{bad}");
        }
    }

    #[test]
    fn keywords_have_their_shape() {
        let object = json!({ "type": "string" });
        for (keyword, kind) in KEYWORDS {
            let (good, bad) = match kind {
                Kind::Schema => (vec![json!(true), json!({})], vec![json!([]), json!(7), json!("x"), json!(null)]),
                Kind::Schemas => (vec![json!([object])], vec![json!([]), json!({}), json!([7]), json!(true)]),
                Kind::SchemaOrSchemas => (vec![json!([]), json!([object]), json!(false)], vec![json!([7]), json!("x")]),
                Kind::SchemaMap => (vec![json!({}), json!({ "x": false })], vec![json!([]), json!({ "x": 7 })]),
                Kind::Plain(_) => (vec![], vec![json!({}), json!(null)]),
            };
            assert!(good.iter().all(|good| with(keyword, good).is_ok()), "{keyword}");
            for bad in bad {
                let told = format!("must be JSON Schema: {keyword} is not as it must be");
                assert_eq!(with(keyword, &bad), Err(told), "{bad}");
            }
        }
        assert_eq!(with("x-order", &json!([7])), Ok(()), "annotations are anything");
    }

    #[test]
    fn plain_keywords_have_their_values() {
        for (keyword, good, bad) in [
            ("type", json!("null"), json!("any")),
            ("type", json!(["string", "null"]), json!(["string", "string"])),
            ("type", json!("integer"), json!([])),
            ("required", json!([]), json!(["a", "a"])),
            ("required", json!(["a", "b"]), json!(true)),
            ("required", json!(["a"]), json!([7])),
            ("enum", json!([1, null, "x"]), json!("x")),
            ("minimum", json!(-1.5), json!("1")),
            ("minLength", json!(0), json!(-1)),
            ("maxItems", json!(7), json!(1.5)),
            ("uniqueItems", json!(true), json!(1)),
            ("pattern", json!("^a"), json!(["^a"])),
            ("$ref", json!("#/$defs/a"), json!("https://evil.example/schema.json")),
            ("$ref", json!("#"), json!("file:///etc/passwd")),
            ("$dynamicRef", json!("#a"), json!("other.json#a")),
        ] {
            assert!(with(keyword, &good).is_ok(), "{keyword} {good}");
            assert!(with(keyword, &bad).is_err(), "{keyword} {bad}");
        }
    }

    #[test]
    fn a_name_of_a_property_is_no_keyword() {
        let schema =
            json!({ "type": "object", "properties": { "type": true, "required": { "type": "boolean" }, "$ref": {} } });
        assert_eq!(check(&schema.to_string()), Ok(()));
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep = |levels: usize| {
            let inner = (0..levels).fold(json!(true), |inner, _| json!({ "not": inner }));
            let mut root = json!({ "type": "object" });
            root["not"] = inner;
            check(&root.to_string())
        };
        assert_eq!(deep(15), Ok(()));
        assert_eq!(deep(16), Err("must be nested at most 16 deep".to_owned()));
        let long = |length: usize| check(&format!(r#"{{"type":"object","title":"{}"}}"#, "x".repeat(length - 28)));
        assert_eq!(long(MAX_SIZE), Ok(()));
        assert_eq!(long(MAX_SIZE + 1), Err("must have at most 16384 bytes".to_owned()));
    }
}
