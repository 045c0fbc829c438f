//! The printed tree: complete, attributed, and without secrets.

use super::super::print;
use super::tree;

#[test]
fn the_tree_is_printed_as_toml_with_places() {
    let text = "\
title = \"a \\\"b\\\"\"
[store]
seal_key = { file = \"/run/seal\" }
literal = { value = \"hunter2\" }
registry = \"postgres://user:hunter2@db/x\"
[[apps]]
id = \"a\"
[apps.inject.headers]
X-Key = \"hunter2\"
[apps.inject.body]
\"/mcp\" = [{ name = \"db\", headers = { Authorization = \"hunter2\" } }, 1.0]
[empty]
";
    let expected = "\
title = \"a \\\"b\\\"\"  # from sidegate.toml:1

[[apps]]
id = \"a\"  # from sidegate.toml:7

[apps.inject.body]
\"/mcp\" = [{ headers = { Authorization = \"[redacted]\" }, name = \"db\" }, 1.0]  # from sidegate.toml:11

[apps.inject.headers]
X-Key = \"[redacted]\"  # from sidegate.toml:9

[empty]

[store]
literal = { value = \"[redacted]\" }  # from sidegate.toml:4
registry = \"postgres://[redacted]@db/x\"  # from sidegate.toml:5
seal_key = { file = \"/run/seal\" }  # from sidegate.toml:3
";
    let printed = print(&tree(text), &|path| path.contains("headers."));
    assert_eq!(printed, expected);
}

#[test]
fn the_predicate_redacts_whole_tables_too() {
    let printed = print(&tree("[a.b]\nc = \"hunter2\"\n"), &|path| path == "a.b");
    assert_eq!(printed, "[a]\nb = \"[redacted]\"  # from sidegate.toml:1\n");
}

#[test]
fn printing_is_stable_under_reading_it_back() {
    let text = "a = [1, [2, {x = -inf}], {}]\nb.c = \"\\u0000\\n\\t\\\\\"\n[[d]]\n[[d.e]]\nf = true\n[[d.e]]\n[d.\"x.y\"]\ng = 1e300\n";
    let strip = |printed: String| -> Vec<String> {
        printed.lines().map(|line| line.split("  # from").next().unwrap_or_default().to_owned()).collect()
    };
    let once = print(&tree(text), &|_| false);
    let twice = print(&tree(&once), &|_| false);
    assert_eq!(strip(once), strip(twice));
}

#[test]
fn the_literal_of_a_secret_is_redacted_in_every_shape() {
    for text in [
        "k = [{ value = \"hunter2\" }]",
        "k = { value = \"hunter2\", typo = 1 }",
        "value = [{ a = \"hunter2\" }]",
        "k.value = 77123",
    ] {
        let printed = print(&tree(text), &|_| false);
        assert!(!printed.contains("hunter2") && !printed.contains("77123"), "{printed}");
    }
}
