//! JSON bodies that we read or rewrite: checked whole, then changed in place.
//!
//! A body is refused if any object in it names a key twice (two readers could then disagree on
//! what it says), nests too deeply or is not JSON. Parts that we do not own are copied byte for
//! byte, so numbers and escapes reach the upstream as the client wrote them.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The deepest nesting that is read. serde_json itself stops at 128.
pub const MAX_DEPTH: usize = 32;

/// Why a body is refused. Carries positions and rules, never content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidJson(String);

impl fmt::Display for InvalidJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidJson {}

impl From<serde_json::Error> for InvalidJson {
    fn from(fault: serde_json::Error) -> Self {
        let at = format!("line {} column {}", fault.line(), fault.column());
        // serde_json's own messages may quote the input; ours are told apart by their text.
        for rule in [DUPLICATE, TOO_DEEP] {
            if fault.to_string().starts_with(rule) {
                return Self(format!("{rule} at {at}"));
            }
        }
        Self(format!("not valid JSON at {at}"))
    }
}

const DUPLICATE: &str = "a name stands twice in one object";
const TOO_DEEP: &str = "nested too deeply";

/// `body` as text, if it is one JSON value, without duplicate names, at most [`MAX_DEPTH`] deep.
///
/// # Errors
/// [`InvalidJson`] with the position.
pub fn check(body: &[u8]) -> Result<&str, InvalidJson> {
    // Once for the whole: a reader of bytes would do it string by string, each time it reads.
    let text = std::str::from_utf8(body)
        .map_err(|fault| InvalidJson(format!("not valid UTF-8 at byte {}", fault.valid_up_to())))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Strict(MAX_DEPTH).deserialize(&mut reader)?;
    reader.end()?;
    Ok(text)
}

/// As [`check`], and that the value is an object.
///
/// # Errors
/// [`InvalidJson`].
pub fn check_object(body: &[u8]) -> Result<&str, InvalidJson> {
    let text = check(body)?;
    if text.trim_ascii_start().starts_with('{') { Ok(text) } else { Err(InvalidJson("not a JSON object".into())) }
}

/// Reads `body`, an object that passes [`check_object`].
///
/// # Errors
/// What is wrong with it. Members are named, values never: any may be a secret.
pub fn read_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, InvalidJson> {
    serde_json::from_str(check_object(body)?).map_err(|fault| {
        let text = fault.to_string();
        let named = ["missing field", "unknown field", "must be"].iter().any(|begins| text.starts_with(begins));
        let place = || format!("a value of another kind at line {} column {}", fault.line(), fault.column());
        InvalidJson(if named { text } else { place() })
    })
}

/// Visits a value and keeps nothing of it; the number is how much deeper it may go.
#[derive(Clone, Copy)]
struct Strict(usize);

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom(TOO_DEEP))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = Names::default();
        while let Some(Name(name)) = members.next_key()? {
            if !names.insert(name) {
                return Err(A::Error::custom(DUPLICATE));
            }
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// An object's member name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// The names seen in one object: a plain list while short, a hash set from there on.
#[derive(Default)]
struct Names<'a> {
    few: Vec<std::borrow::Cow<'a, str>>,
    many: HashSet<std::borrow::Cow<'a, str>>,
}

impl<'a> Names<'a> {
    fn insert(&mut self, name: std::borrow::Cow<'a, str>) -> bool {
        const FEW: usize = 16;
        if self.few.len() < FEW {
            let fresh = !self.few.contains(&name);
            self.few.push(name);
            return fresh;
        }
        !self.few.contains(&name) && self.many.insert(name)
    }
}

/// One change to an object: at this path of member names, this JSON text, or nothing.
#[derive(Debug)]
pub struct Change<'a> {
    /// Member names from the root, never empty.
    pub path: &'a [String],
    /// The new value as JSON text; `None` removes the member.
    pub value: Option<String>,
}

/// Sets and removes members of the object `body`, which [`check_object`] has passed. Members on the way
/// that are missing or no objects are made objects. Members that a lenient reader could take for one of
/// ours are removed; everything else keeps its bytes and order.
///
/// # Errors
/// [`InvalidJson`] if it was not checked and is no object.
pub fn rewrite(body: &str, changes: Vec<Change<'_>>) -> Result<Vec<u8>, InvalidJson> {
    let mut out = Vec::with_capacity(body.len() + 256);
    rewrite_object(body, changes, &mut out)?;
    Ok(out)
}

fn rewrite_object(text: &str, mut changes: Vec<Change<'_>>, out: &mut Vec<u8>) -> Result<(), InvalidJson> {
    let Members(members) = serde_json::from_str(text)?;
    let owned: Vec<String> = changes.iter().filter_map(|change| change.path.first()).map(|name| folded(name)).collect();
    let mut object = ObjectWriter::open(out);
    for (name, value) in &members {
        let (mine, rest) = take_member(changes, name);
        changes = rest;
        if !mine.is_empty() {
            write_changed(&mut object, name, Some(value.get()), mine)?;
        } else if !owned.contains(&folded(name)) {
            object.member(name)?.extend_from_slice(value.get().as_bytes());
        }
    }
    while let Some(name) = changes.first().and_then(|change| change.path.first()) {
        let (mine, rest) = take_member(changes, name);
        changes = rest;
        write_changed(&mut object, name, None, mine)?;
    }
    object.close();
    Ok(())
}

/// A name as lenient readers know it: without regard to case (Go's `encoding/json`, ASP.NET) or to
/// how its words are joined (`mcp_servers`, `mcpServers`).
pub(crate) fn folded(name: &str) -> String {
    let letters = name.chars().filter(|letter| !matches!(letter, '_' | '-'));
    letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Splits off the changes at or below member `name`.
fn take_member<'a>(changes: Vec<Change<'a>>, name: &str) -> (Vec<Change<'a>>, Vec<Change<'a>>) {
    changes.into_iter().partition(|change| change.path.first().is_some_and(|first| first == name))
}

fn write_changed(
    object: &mut ObjectWriter<'_>,
    name: &str,
    old: Option<&str>,
    changes: Vec<Change<'_>>,
) -> Result<(), InvalidJson> {
    let (here, below): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.path.len() == 1);
    let removed = !here.is_empty();
    if let Some(value) = here.into_iter().filter_map(|change| change.value).next_back() {
        object.member(name)?.extend_from_slice(value.as_bytes());
        return Ok(());
    }
    // What is set below a member that is removed is set in a new one.
    let old = old.filter(|text| !removed && text.starts_with('{'));
    if old.is_none() && below.iter().all(|change| change.value.is_none()) {
        return Ok(());
    }
    let below = below.into_iter().map(|change| Change { path: &change.path[1..], value: change.value }).collect();
    rewrite_object(old.unwrap_or("{}"), below, object.member(name)?)
}

struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> ObjectWriter<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn member(&mut self, name: &str) -> Result<&mut Vec<u8>, InvalidJson> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        serde_json::to_writer(&mut *self.out, name)?;
        self.out.push(b':');
        Ok(self.out)
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

/// An object's members, in order, with their values as raw text.
struct Members<'a>(Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(body: &str, path: &str, value: Option<&str>) -> String {
        let path: Vec<String> = path.split('/').map(str::to_owned).collect();
        let change = Change { path: &path, value: value.map(str::to_owned) };
        String::from_utf8(rewrite(body, vec![change]).expect("an object")).expect("UTF-8")
    }

    #[test]
    fn duplicates_depth_and_garbage_are_refused() {
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"b":1,"b":1}}]"#,
            "",
            "{",
            "{} {}",
            "nul",
            "{'a':1}",
            "[1e400]",
            "\u{feff}{}",
            &deep,
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        let deepest = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert_eq!(check(deepest.as_bytes()), Ok(&*deepest));
        assert!(check(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_name_is_found_twice_among_many() {
        let many: String = (0..40).map(|index| format!("\"k{index}\":0,")).collect();
        assert!(check(format!("{{{many}\"z\":1}}").as_bytes()).is_ok());
        assert!(check(format!("{{{many}\"k3\":1}}").as_bytes()).is_err());
        assert!(check(format!("{{{many}\"k39\":1}}").as_bytes()).is_err());
    }

    #[test]
    fn faults_never_quote_the_body() {
        let fault = check(br#"{"password":"hunter2" oops}"#).expect_err("not JSON");
        assert_eq!(fault.to_string(), "not valid JSON at line 1 column 23");
    }

    #[test]
    fn members_are_set_removed_and_created_and_the_rest_keeps_its_bytes() {
        assert_eq!(set(r#"{"n":1.50,"m":"\u00e9"}"#, "x", Some("[1]")), r#"{"n":1.50,"m":"\u00e9","x":[1]}"#);
        assert_eq!(set(r#"{"a":1,"x":2,"b":3}"#, "x", Some("9")), r#"{"a":1,"x":9,"b":3}"#);
        assert_eq!(set(r#"{"a":1,"x":2,"b":3}"#, "x", None), r#"{"a":1,"b":3}"#);
        assert_eq!(set(r#"{"\u0078":2}"#, "x", Some("9")), r#"{"x":9}"#);
        assert_eq!(set(r#"{"o":{"k":1}}"#, "o/x/y", Some("9")), r#"{"o":{"k":1,"x":{"y":9}}}"#);
        assert_eq!(set(r#"{"o":[1]}"#, "o/x", Some("9")), r#"{"o":{"x":9}}"#);
        assert_eq!(set("{}", "o/x", None), "{}");
    }

    #[test]
    fn other_spellings_of_a_member_are_removed() {
        let sent =
            r#"{"mcp_servers":1,"MCP_SERVERS":2,"mcpServers":3,"mcp-servers":4,"mcp_\u017fervers":5,"mcp_server":6}"#;
        assert_eq!(set(sent, "mcp_servers", Some("[]")), r#"{"mcp_servers":[],"mcp_server":6}"#);
        assert_eq!(set(sent, "mcpServers", None), r#"{"mcp_server":6}"#);
        assert_eq!(set(r#"{"A":{"b":1},"a":{"B":1}}"#, "a/b", Some("9")), r#"{"a":{"b":9}}"#);
    }

    #[test]
    fn what_is_set_below_a_removed_member_stands_alone_in_it() {
        let (whole, below) = (["env".to_owned()], ["env".to_owned(), "A".to_owned()]);
        let changes = || vec![Change { path: &whole, value: None }, Change { path: &below, value: Some("1".into()) }];
        for body in [r#"{"env":{"A":2,"B":3}}"#, r#"{"env":7}"#, "{}"] {
            let out = rewrite(body, changes()).expect("an object");
            assert_eq!(out, br#"{"env":{"A":1}}"#, "{body}");
        }
    }

    #[test]
    fn only_an_object_is_rewritten() {
        assert!(rewrite("[]", Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_set_is_what_is_read(name in "[a-z\"\\\\/é]{1,4}", text in ".{0,12}", body in r#"\{("[a-z]":[1-9][0-9]{0,2})?\}"#) {
            let path = vec![name.clone()];
            let value = serde_json::to_string(&text).expect("a string");
            let out = rewrite(&body, vec![Change { path: &path, value: Some(value) }]).expect("an object");
            prop_assert!(check(&out).is_ok());
            let read: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            prop_assert_eq!(read[&name].as_str(), Some(text.as_str()));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(text) = check(&bytes) {
                let _ = rewrite(text, Vec::new());
            }
        }
    }
}
