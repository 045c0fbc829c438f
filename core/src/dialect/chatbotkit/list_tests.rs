//! Lists: what is asked for, and the forms of the answer.

use super::*;
use crate::clock::Timestamp;
use crate::dialect::chatbotkit::{Fields, Patch, Widget};

fn parsed(query: &str) -> Result<ListQuery, String> {
    ListQuery::parse(Some(query)).map_err(|denial| {
        assert_eq!(denial.code, Code::InvalidRequest);
        denial.message.into_owned()
    })
}

fn filters(query: &str) -> Vec<(String, String)> {
    parsed(query).expect("a query").meta
}

#[test]
fn what_is_not_asked_for_has_the_vendors_defaults() {
    let default = ListQuery { cursor: None, order: Order::Desc, take: 100, blueprint: None, meta: Vec::new() };
    assert_eq!(ListQuery::parse(None), Ok(default.clone()));
    for same in [
        "",
        "take=",
        "take=NaN",
        "take=0",
        "take=-5",
        "take=1.5",
        "take=101",
        "cursor=",
        "order=desc",
        "x=1&x=2",
        "blueprintId=",
        "order=",
        "take=99999999999999999999",
    ] {
        assert_eq!(parsed(same).as_ref(), Ok(&default), "{same}");
    }
}

#[test]
fn what_is_asked_for_is_read() {
    let query = parsed("cursor=cw1&order=asc&take=7&blueprintId=cb1").expect("a query");
    assert_eq!(query.cursor.as_ref().map(ObjectId::as_str), Some("cw1"));
    assert_eq!((query.order, query.take), (Order::Asc, 7));
    assert_eq!(query.blueprint.as_ref().map(ObjectId::as_str), Some("cb1"));
    let both = filters("meta.env=prod&meta[client%5d]=a%20b&meta%5Blive%5D=true");
    let both: Vec<_> = both.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(both, [("env", "prod"), ("client]", "a b"), ("live", "true")]);
    assert_eq!(filters("meta=x&meta[]x=1&metax=1&meta"), []);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let twice = "a parameter stands there twice";
    let label = "meta must have a key of 1 to 128 and a value of at most 256 bytes";
    let many: Vec<_> = (0..9).map(|index| format!("meta.k{index}=1")).collect();
    for (query, says) in [
        ("order=up", "order must be asc or desc"),
        ("cursor=a/b", "cursor must be 1 to 64 letters, digits, '_' or '-'"),
        ("blueprintId=..", "blueprintId must be 1 to 64 letters, digits, '_' or '-'"),
        ("take=1&take=2", twice),
        ("meta.a=1&meta.a=2", twice),
        ("meta.a=1&meta[a]=2", twice),
        ("meta.=1", label),
        ("meta[]=1", label),
        (&format!("meta.a={}", "x".repeat(257)), label),
        (&many.join("&"), "meta may be given 8 times at most"),
    ] {
        assert_eq!(parsed(query).expect_err("refused"), says, "{query}");
    }
    assert_eq!(filters(&many[..8].join("&")).len(), 8);
}

#[test]
fn a_form_is_that_which_is_liked_best() {
    use ListFormat::{Csv, EventStream, Json, Jsonl};
    for (accept, format) in [
        (None, Json),
        (Some(""), Json),
        (Some("*/*"), Json),
        (Some("text/html"), Json),
        (Some("application/json"), Json),
        (Some("application/jsonl"), Jsonl),
        (Some("Text/CSV; charset=utf-8"), Csv),
        (Some("text/event-stream, application/json"), EventStream),
        (Some("application/json;q=0.5, application/jsonl;q=0.9"), Jsonl),
        (Some("text/csv;q=0, application/jsonl;q=0.001"), Jsonl),
        (Some("text/csv;q=x"), Json),
        (Some("text/csv;q=0"), Json),
    ] {
        assert_eq!(ListFormat::of(accept), format, "{accept:?}");
    }
}

fn widget(body: &str) -> Widget {
    let patch = Patch::parse(body.as_bytes()).expect("a patch");
    Widget {
        id: "cw1".parse().expect("an id"),
        app: "shop".parse().expect("an id"),
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
        disabled: false,
        fields: Fields::default().apply(&patch).expect("fields"),
        files: Default::default(),
    }
}

#[test]
fn a_page_ends_with_where_the_next_begins() {
    let one = widget(r#"{"name":"N"}"#);
    let page = json_page(&[one.to_wire()], Some(&one.id));
    assert_eq!(page.body, br#"{"items":[{"id":"cw1","createdAt":1,"updatedAt":2,"name":"N"}],"cursor":"cw1"}"#);
    assert_eq!(json_page(&[], None).body, br#"{"items":[]}"#);
}

#[test]
fn lines_and_events_hold_one_item_each() {
    let one = widget("{\"intro\":\"a\\r\\nb\\n\\ndata: x\\u2028\"}");
    let item = "{\"id\":\"cw1\",\"createdAt\":1,\"updatedAt\":2,\"intro\":\"a\\r\\nb\\n\\ndata: x\u{2028}\"}";
    assert_eq!(jsonl_item(&one.to_wire()), format!("{{\"type\":\"item\",\"data\":{item}}}\n"));
    assert_eq!(sse_item(&one.to_wire()), format!("event: item\ndata: {item}\n\n"));
}

#[test]
fn a_table_has_a_column_for_each_member() {
    let header = csv_header();
    assert!(header.starts_with("id,createdAt,updatedAt,disabled,alias,name,"), "{header}");
    assert!(header.ends_with(",poweredBy\r\n"), "{header}");
    let bare = csv_row(&widget("{}").to_wire());
    assert_eq!(bare.matches(',').count(), header.matches(',').count());
    assert!(bare.starts_with("cw1,1,2,,,") && bare.ends_with(",\r\n"), "{bare}");
}

#[test]
fn cells_are_quoted_and_calculate_nothing() {
    for (value, written) in [
        (json!("plain"), "plain"),
        (json!("a,b"), "\"a,b\""),
        (json!("a \"b\"\n"), "\"a \"\"b\"\"\n\""),
        (json!("=1+1"), "'=1+1"),
        (json!("+1"), "'+1"),
        (json!("-1"), "'-1"),
        (json!("@x"), "'@x"),
        (json!("\t=1"), "'\t=1"),
        (json!("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\""),
        (json!(-1), "-1"),
        (json!(true), "true"),
        (json!({ "a": "=1" }), "\"{\"\"a\"\":\"\"=1\"\"}\""),
    ] {
        assert_eq!(cell(&value), written, "{value}");
    }
}
