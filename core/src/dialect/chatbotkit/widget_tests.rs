//! Widgets and blueprints: as they are kept, and as they are shown.

use serde_json::json;

use super::*;
use crate::dialect::chatbotkit::Patch;

fn widget(body: &str) -> Widget {
    let patch = Patch::parse(body.as_bytes()).expect("a patch");
    Widget {
        id: "cw1".parse().expect("an id"),
        app: "shop".parse().expect("an id"),
        created_at: Timestamp::from_millis(1_769_860_800_001),
        updated_at: Timestamp::from_millis(1_769_860_800_002),
        disabled: false,
        fields: Fields::default().apply(&patch).expect("fields"),
        files: BTreeMap::new(),
    }
}

fn blueprint(body: &str) -> Blueprint {
    let Widget { app, created_at, updated_at, fields, .. } = widget(body);
    Blueprint { id: "cb1".parse().expect("an id"), app, created_at, updated_at, fields }
}

#[test]
fn documents_read_what_they_write() {
    let mut kept = widget(r#"{"name":"N","meta":{"a":[1,{"b":null}]},"stream":true,"title":""}"#);
    for (disabled, file) in [(false, None), (true, Some(("f1", FileType::Button)))] {
        kept.disabled = disabled;
        kept.files.extend(file.map(|(id, kind)| (id.parse().expect("an id"), kind)));
        let document = to_document(&kept).expect("JSON");
        assert_eq!(from_document::<Widget>(&document).as_ref(), Some(&kept), "{document}");
    }
    let common = blueprint(r#"{"botId":"b1"}"#);
    assert_eq!(from_document::<Blueprint>(&to_document(&common).expect("JSON")), Some(common));
    for other in ["", "{}", "[]", r#"{"id":"cw1","app":"a/b","created_at":1,"updated_at":1,"fields":{}}"#] {
        assert!(from_document::<Widget>(other).is_none() && from_document::<Blueprint>(other).is_none(), "{other}");
    }
    let later = r#"{"id":"cw1","app":"a","created_at":1,"updated_at":1,"fields":{"later":1}}"#;
    assert_eq!(from_document::<Widget>(later), None);
}

#[test]
fn what_is_not_set_is_not_shown() {
    let mut shown = widget("{}");
    let bare = json!({ "id": "cw1", "createdAt": 1_769_860_800_001_u64, "updatedAt": 1_769_860_800_002_u64 });
    assert_eq!(json!(shown.to_wire()), bare);
    assert_eq!(json!(blueprint("{}").to_wire())["id"], "cb1");
    shown.disabled = true;
    assert_eq!(json!(shown.to_wire())["disabled"], true);
    let set = widget(r#"{"name":"N","title":"","sessionDuration":0,"voiceIn":false,"meta":{}}"#);
    let mut whole = bare;
    for (name, value) in [("name", json!("N")), ("title", json!("")), ("sessionDuration", json!(0))] {
        whole[name] = value;
    }
    whole["voiceIn"] = json!(false);
    whole["meta"] = json!({});
    assert_eq!(json!(set.to_wire()), whole);
}

#[test]
fn a_widget_has_the_rest_from_its_blueprint() {
    let own = widget(r#"{"title":"Ours","intro":"","form":null}"#);
    let common = blueprint(r#"{"title":"Theirs","intro":"Hello","botId":"b1","form":true}"#);
    let holds = effective(&own, Some(&common));
    assert_eq!((holds.title.as_deref(), holds.intro.as_deref()), (Some("Ours"), Some("")));
    assert_eq!((holds.bot_id.as_deref(), holds.form), (Some("b1"), Some(true)));
    assert_eq!(effective(&own, None), own.fields);
}

#[test]
fn a_widget_that_is_off_serves_nobody() {
    let mut one = widget("{}");
    assert_eq!(one.enabled(), Ok(()));
    one.disabled = true;
    assert_eq!(one.enabled().expect_err("off").code, Code::WidgetDisabled);
}

#[test]
fn a_file_is_shown_as_one_of_four() {
    for (name, kind) in
        [("bar", FileType::Bar), ("user", FileType::User), ("bot", FileType::Bot), ("button", FileType::Button)]
    {
        assert_eq!(parse_attach(format!(r#"{{"type":"{name}"}}"#).as_bytes()), Ok(kind));
        assert_eq!(json!(kind), json!(name));
    }
    for (body, says) in [
        (r#"{"type":"Bar"}"#, "type must be bar, user, bot or button"),
        (r#"{"type":7}"#, "type must be bar, user, bot or button"),
        (r#"{"type":null}"#, "type is required"),
        ("{}", "type is required"),
        (r#"{"type":"bar","url":"x"}"#, "url is not allowed"),
    ] {
        assert_eq!(parse_attach(body.as_bytes()).expect_err("refused").message, says, "{body}");
    }
    assert!(parse_attach(b"").is_err());
}
