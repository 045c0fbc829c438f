//! Precedence, merging, and what each layer refuses.

use std::path::Path;

use super::super::{Collector, Layers, print};

fn merged(build: impl FnOnce(Layers<'_>) -> Layers<'_>) -> Result<String, String> {
    let problems = Collector::default();
    let tree = build(Layers::new(&problems)).merged();
    let tree = problems.into_result(tree).map_err(|problems| problems.to_string())?;
    Ok(print(&tree, &|_| false))
}

fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn later_layers_win_key_by_key() {
    let printed = merged(|layers| {
        layers
            .defaults("[listen]\na = 1\nb = 1\nc = 1\nd = 1\n")
            .file(Path::new("one.toml"), "[listen]\nb = 2\nc = 2\nd = 2\n")
            .environment(
                "SIDEGATE",
                vars(&[("SIDEGATE__LISTEN__C", "3"), ("SIDEGATE__LISTEN__D", "3"), ("PATH", "/bin")]),
            )
            .flags(["listen.d=4"])
    });
    let expected = "[listen]\na = 1  # from default\nb = 2  # from one.toml:2\n\
                    c = 3  # from environment SIDEGATE__LISTEN__C\nd = 4  # from --set listen.d=…\n";
    assert_eq!(printed.unwrap(), expected);
}

#[test]
fn arrays_are_replaced_but_top_level_tables_of_files_are_appended() {
    let printed = merged(|layers| {
        layers
            .defaults("[[apps]]\nid = \"default\"\n")
            .file(Path::new("one.toml"), "[x]\nlist = [1, 2]\n[[apps]]\nid = \"a\"\n")
            .file(Path::new("two.toml"), "[x]\nlist = [3]\n[[apps]]\nid = \"b\"\n")
    });
    let expected = "[[apps]]\nid = \"a\"  # from one.toml:4\n\n[[apps]]\nid = \"b\"  # from two.toml:4\n\n\
                    [x]\nlist = [3]  # from two.toml:2\n";
    assert_eq!(printed.unwrap(), expected);
}

#[test]
fn values_from_outside_are_toml_where_they_parse_as_such() {
    for (given, printed) in [
        ("5", "5"),
        ("true", "true"),
        ("[1, 2]", "[1, 2]"),
        ("{ env = \"X\" }", "{ env = \"X\" }"),
        ("\"5\"", "\"5\""),
        ("0.0.0.0:8080", "\"0.0.0.0:8080\""),
        ("[::1]:80", "\"[::1]:80\""),
        ("2020-01-01", "\"2020-01-01\""),
        ("", "\"\""),
        ("1\nb = 2", "\"1\\nb = 2\""),
        ("a=b=c", "\"a=b=c\""),
        ("postgres://h/d", "\"postgres://h/d\""),
    ] {
        let expected = format!("k = {printed}  # from --set k=…\n");
        assert_eq!(merged(|layers| layers.flags([format!("k={given}")])).unwrap(), expected, "{given}");
    }
}

#[test]
fn a_secret_source_is_replaced_not_mixed() {
    let printed = merged(|layers| {
        layers
            .file(Path::new("one.toml"), "key = { env = \"A\" }")
            .environment("SIDEGATE", vars(&[("SIDEGATE__KEY__FILE", "/run/key")]))
    });
    assert_eq!(printed.unwrap(), "key = { file = \"/run/key\" }  # from environment SIDEGATE__KEY__FILE\n");
}

#[test]
fn what_single_keys_cannot_say_is_refused_without_the_value() {
    let problems = merged(|layers| {
        layers
            .file(Path::new("one.toml"), "[[apps]]\nid = \"a\"\n")
            .environment(
                "S",
                vars(&[("S__APPS__0__ID", "hunter2"), ("S__", "hunter2"), ("S__A__B", "1"), ("S__A__b", "2")]),
            )
            .flags(["hunter2", "apps[0].id=hunter2", "apps.id=hunter2", "a..b=hunter2"])
    });
    let into_array = "leads into an array; its elements can be set only in a file, or the array be replaced as a whole";
    let expected = format!(
        "environment S__: names no key; write two underscores between keys and none around them\n\
         environment S__APPS__0__ID: apps.0.id: {into_array}\n\
         environment S__A__b: a.b: is set by two variables\n\
         --set …: must be key=value\n\
         --set a..b=…: must be key=value, with keys of letters, digits, '-' and '_' separated by '.'\n\
         --set apps.id=…: apps.id: {into_array}\n\
         --set apps[0].id=…: {into_array}"
    );
    assert_eq!(problems.unwrap_err(), expected);
}

#[test]
fn every_syntax_error_has_file_and_line_and_no_text_of_the_file() {
    let problems = merged(|layers| {
        layers.file(Path::new("one.toml"), "a = 1\nb = hunter2\nc = 1\na = 2\n").file(Path::new("two.toml"), "[x\n")
    })
    .unwrap_err();
    let places: Vec<&str> = problems.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(places, ["one.toml:2", "one.toml:4", "two.toml:1"], "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn dates_big_numbers_and_deep_nesting_are_refused_where_they_stand() {
    let deep = format!("{}1{}", "[".repeat(17), "]".repeat(17));
    let text = format!("a = 1\nb = [\n  2020-01-01,\n]\nc = 9223372036854775808\nd = {deep}\n");
    let problems = merged(|layers| layers.file(Path::new("one.toml"), &text)).unwrap_err();
    let lines: Vec<&str> = problems.lines().collect();
    assert_eq!(lines[0], "one.toml:3: b[0]: dates and times are not used here; quote it if it is text");
    assert_eq!(lines[1], "one.toml:5: c: integer is out of range");
    assert!(lines[2].starts_with("one.toml:6: d[0]") && lines[2].ends_with("16 levels are allowed"), "{problems}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn depth_is_bounded_for_single_keys_too() {
    let sixteen = vec!["a"; 16].join(".");
    assert!(merged(|layers| layers.flags([format!("{sixteen}=1")])).is_ok());
    assert!(merged(|layers| layers.flags([format!("{sixteen}.a=1")])).is_err());
    assert!(merged(|layers| layers.flags([format!("{sixteen}=[1]")])).is_err());
}
