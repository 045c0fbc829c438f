//! Typed reading: all problems at once, each at its line.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::parsers::{
    boolean, bytes, duration, integer, list, non_empty, one_of, parsed, secret_source, string, string_list,
};
use super::super::{Collector, Layers, Reader, SecretSource};
use super::read;

#[derive(Debug, PartialEq)]
struct App {
    id: String,
    origins: Vec<String>,
    ttl: Duration,
    dialect: u8,
}

fn app(app: &Reader<'_>) -> Option<App> {
    let id = app.required("id", non_empty);
    let origins = app.or("origins", string_list, Vec::new());
    let dialect = app.required("dialect", one_of(&[("native", 0), ("sigmic", 1)]));
    let token = app.section("token");
    let ttl = token.or("ttl", duration, Duration::from_mins(1));
    let max_ttl = token.or("max_ttl", duration, ttl);
    if ttl > max_ttl {
        token.problem("ttl", "must not exceed max_ttl");
    }
    token.finish();
    Some(App { id: id?, origins, ttl, dialect: dialect? })
}

fn apps(root: &Reader<'_>) -> Option<Vec<App>> {
    let apps = root.tables("apps").into_iter().map(|reader| {
        let app = app(&reader);
        reader.finish();
        app
    });
    apps.collect::<Vec<_>>().into_iter().collect()
}

#[test]
fn a_correct_file_becomes_settings() {
    let settings =
        read("[[apps]]\nid = \"a\"\ndialect = \"sigmic\"\ntoken.ttl = \"1h\"\ntoken.max_ttl = \"7d\"\n", apps);
    let expected = App { id: "a".into(), origins: vec![], ttl: Duration::from_hours(1), dialect: 1 };
    assert_eq!(settings.unwrap(), [expected]);
}

#[test]
fn all_problems_come_at_once_with_line_and_suggestion() {
    let text = "\
[[apps]]
orgins = [\"x\"]
dialect = \"sigmik\"
[apps.token]
ttl = \"2h\"
max_ttl = \"1h\"

[[apps]]
id = \" \"
dialect = 5
origins = [
  \"https://a.example\",
  7,
  true,
]
token = \"hunter2\"
[app]
";
    let expected = "\
sidegate.toml:1: apps[0].id: is required
sidegate.toml:2: apps[0].orgins: unknown key; did you mean \"origins\"?
sidegate.toml:3: apps[0].dialect: must be one of \"native\", \"sigmic\"; did you mean \"sigmic\"?
sidegate.toml:5: apps[0].token.ttl: must not exceed max_ttl
sidegate.toml:9: apps[1].id: must not be empty
sidegate.toml:10: apps[1].dialect: must be one of \"native\", \"sigmic\"
sidegate.toml:13: apps[1].origins[1]: must be a string
sidegate.toml:14: apps[1].origins[2]: must be a string
sidegate.toml:16: apps[1].token: must be a table
sidegate.toml:17: app: unknown key; did you mean \"apps\"?";
    assert_eq!(read(text, apps).unwrap_err(), expected);
}

#[test]
fn every_convenience_parser_reads_its_type() {
    let text = "s = \"t\"\nb = true\ni = 65535\nsize = \"64KiB\"\nplain = 512\naddr = \"127.0.0.1:80\"\naddrs = [\"127.0.0.1:81\"]\n";
    read(text, |r| {
        assert_eq!(r.required("s", string)?, "t");
        assert!(r.required("b", boolean)?);
        assert_eq!(r.required("i", integer(1..=u16::MAX))?, 65535);
        assert_eq!((r.required("size", bytes)?, r.required("plain", bytes)?), (65536, 512));
        let addr: SocketAddr = r.required("addr", parsed())?;
        assert_eq!((addr.port(), r.required("addrs", list(parsed::<SocketAddr>()))?.len()), (80, 1));
        Some(())
    })
    .unwrap();
}

#[test]
fn no_parser_repeats_the_value() {
    let problems = read("v = \"hunter2\"", |r| {
        r.optional("v", boolean);
        r.optional("v", integer(1_u16..=9));
        r.optional("v", duration);
        r.optional("v", bytes);
        r.optional("v", string_list);
        r.optional("v", one_of(&[("hunter", ())]));
        r.optional("v", parsed::<SocketAddr>());
        r.optional("v", parsed::<Chatty>());
        r.optional("v", secret_source);
        let _ = (r.table("v").is_none(), r.tables("v").len(), r.map("v").len());
        Some(())
    })
    .unwrap_err();
    assert_eq!(problems.lines().count(), 12, "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

/// A type whose error repeats its input.
struct Chatty;

impl std::str::FromStr for Chatty {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Err(format!("bad: {text}"))
    }
}

#[test]
fn maps_are_free_form_and_their_bad_values_are_placed() {
    let headers = |r: &Reader<'_>| Some(r.map_of("headers", string));
    let good = read("[headers]\nX-B = \"2\"\nX-A = \"1\"\n", headers).unwrap();
    assert_eq!(good, [("X-A".to_owned(), "1".to_owned()), ("X-B".to_owned(), "2".to_owned())]);
    let bad = read("[headers]\nX-A = \"1\"\n\"x y\" = 2\n", headers).unwrap_err();
    assert_eq!(bad, "sidegate.toml:3: headers.\"x y\": must be a string");
}

#[test]
fn a_plain_string_error_is_enough_for_a_parser() {
    let even = |node: &super::super::Node| {
        string(node).map_err(|_| "no".to_owned()).and_then(|_| Err::<(), _>("odd".to_owned()))
    };
    assert_eq!(read("k = \"x\"", |r| r.required("k", even)).unwrap_err(), "sidegate.toml:1: k: odd");
}

#[test]
fn an_absent_section_demands_its_required_keys_and_a_broken_one_only_itself() {
    let listen = |r: &Reader<'_>| {
        let listen = r.section("listen");
        let public = listen.required("public", string);
        listen.finish();
        public
    };
    assert_eq!(read("", listen).unwrap_err(), "sidegate.toml: listen.public: is required");
    assert_eq!(read("listen = 1", listen).unwrap_err(), "sidegate.toml:1: listen: must be a table");
}

#[test]
fn a_forgotten_finish_does_not_pass() {
    let problem = read("[a]\nb = 1\n", |r| r.table("a").map(|_| ())).unwrap_err();
    assert!(problem.starts_with("a: was not read to its end"), "{problem}");
}

#[test]
fn numbers_from_the_environment_can_be_read_as_text() {
    let problems = Collector::default();
    let variables = [("S__KEY__VALUE".to_owned(), "0123e4".to_owned()), ("S__NAME".to_owned(), "42".to_owned())];
    let tree = Layers::new(&problems).environment("S", variables).merged().unwrap();
    let root = Reader::new(&tree, &problems);
    assert_eq!(root.required("name", string).as_deref(), Some("42"));
    assert_eq!(root.required("name", integer(0..=99)), Some(42));
    assert!(matches!(root.required("key", secret_source), Some(SecretSource::Value(_))));
    root.finish();
    problems.into_result(Some(())).unwrap();
}
