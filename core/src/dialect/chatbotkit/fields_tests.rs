//! Settings: what is taken, what is refused and how, and changes to them.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Deserialize)]
struct Row {
    name: String,
    body: String,
    says: Option<String>,
}

fn fields(body: &str) -> Fields {
    Fields::default().apply(&Patch::parse(body.as_bytes()).expect("a patch")).expect("fields")
}

#[test]
fn bodies_are_taken_or_refused_by_member_and_rule() {
    let rows = include_str!("../../../../tests/fixtures/chatbotkit/fields.json");
    for Row { name, body, says } in serde_json::from_str::<Vec<Row>>(rows).expect("rows") {
        let refused = Patch::parse(body.as_bytes()).err();
        assert_eq!(refused.as_ref().map(|denial| &*denial.message), says.as_deref(), "{name}");
        assert!(refused.is_none_or(|denial| denial.code == Code::InvalidRequest), "{name}");
    }
}

#[test]
fn each_text_has_its_bound() {
    for (name, most) in [
        ("alias", 256),
        ("name", 256),
        ("description", 4096),
        ("theme", 65536),
        ("layout", 256),
        ("title", 512),
        ("intro", 8192),
        ("initial", 8192),
        ("placeholder", 512),
        ("plugins", 65536),
        ("botId", 64),
        ("blueprintId", 64),
    ] {
        let parsed = |length| Patch::parse(json!({ name: "x".repeat(length) }).to_string().as_bytes());
        assert!(parsed(most).is_ok() && parsed(0).is_ok(), "{name}");
        assert!(parsed(most + 1).expect_err("too long").message.starts_with(name), "{name}");
    }
}

#[test]
fn every_member_can_be_set_unset_and_left() {
    let texts = &NAMES[..14];
    let mut all: Map<String, Value> = texts.iter().map(|name| ((*name).to_owned(), json!("en"))).collect();
    all.insert("origin".into(), json!("https://a.example"));
    all.insert("meta".into(), json!({ "k": 1 }));
    all.insert("sessionDuration".into(), json!(1000));
    all.extend(NAMES[16..].iter().map(|name| ((*name).to_owned(), json!(false))));
    assert_eq!(all.len(), NAMES.len());
    let set = fields(&json!(all).to_string());
    assert_eq!(json!(set), json!(all), "written as they were sent");
    for name in NAMES {
        let unset = set.apply(&Patch::parse(json!({ *name: null }).to_string().as_bytes()).expect("a patch"));
        let mut less = all.clone();
        less.remove(*name);
        assert_eq!(json!(unset.expect("fields")), json!(less), "{name}");
    }
    assert_eq!(set.apply(&Patch::parse(b"{}").expect("a patch")), Ok(set.clone()));
    assert_eq!(set.apply(&Patch::parse(b"").expect("a patch")), Ok(set));
}

#[test]
fn meta_is_replaced_as_a_whole_and_gives_labels() {
    let before = fields(r#"{"meta":{"a":"1","b":"2"}}"#);
    let after = before.apply(&Patch::parse(br#"{"meta":{"c":true}}"#).expect("a patch")).expect("fields");
    assert_eq!(after.labels(), [("c".to_owned(), "true".to_owned())]);
    assert!(Fields::default().labels().is_empty());
}

#[test]
fn what_is_not_set_is_inherited_and_what_is_empty_is_set() {
    let own = fields(r#"{"title":"","math":false,"meta":{"a":1}}"#);
    let from = fields(r#"{"title":"T","intro":"I","math":true,"form":true,"sessionDuration":5,"meta":{"b":1}}"#);
    let both = own.or(&from);
    assert_eq!((both.title.as_deref(), both.intro.as_deref()), (Some(""), Some("I")));
    assert_eq!((both.math, both.form, both.session_duration), (Some(false), Some(true), Some(5)));
    assert_eq!(json!(both.meta), json!({ "a": 1 }));
}

#[test]
fn a_blueprint_has_no_blueprint() {
    let of = |body: &str| Patch::parse_blueprint(body.as_bytes()).map_err(|denial| denial.message);
    assert!(of(r#"{"botId":"b1","title":"T"}"#).is_ok());
    assert_eq!(of(r#"{"blueprintId":"c1"}"#), Err("blueprintId is not allowed".into()));
    let named = |body: &str| Patch::parse(body.as_bytes()).expect("a patch").blueprint_id().map(str::to_owned);
    assert_eq!(named(r#"{"blueprintId":"c1"}"#).as_deref(), Some("c1"));
    assert_eq!((named(r#"{"blueprintId":""}"#), named(r#"{"blueprintId":null}"#), named("{}")), (None, None, None));
}

#[test]
fn what_is_within_the_rules_may_be_too_long_together() {
    let escaped = "\u{1}".repeat(65_536);
    let theme = Patch::parse(json!({ "theme": escaped }).to_string().as_bytes()).expect("within its rule");
    let refused = Fields::default().apply(&theme).expect_err("too long as JSON");
    assert_eq!(refused.message, "the settings must have at most 262144 bytes together");
}

proptest! {
    #[test]
    fn any_value_is_read_or_refused_and_never_repeated(member in 0..34usize, value in "[a-z/:. ,;-]{0,40}") {
        let name = NAMES[member];
        match Patch::parse(json!({ name: format!("canary {value}") }).to_string().as_bytes()) {
            Ok(patch) => {
                let once = Fields::default().apply(&patch).expect("fields");
                prop_assert_eq!(fields(&json!(once).to_string()), once);
            }
            Err(denial) => prop_assert!(!denial.message.contains("canary")),
        }
    }
}
