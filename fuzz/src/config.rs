//! Files, variables and flags of the configuration.

use std::path::Path;
use std::time::Duration;

use super::layered::units::{MAX_DURATION, parse_bytes, parse_duration};
use super::layered::{Collector, Layers, Node, Value, from_json, print, secret_source, to_json};

/// Stands where a value is written that nobody must read in a message.
const MARK: &str = "@@";
const VALUE: &str = "a-value-that-no-message-shows";

/// See `fuzz_targets/config.rs`. Parts between zeros: a file, another one over it, a variable's value, a flag.
pub fn config(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == 0).map(|part| String::from_utf8_lossy(part).replace(MARK, VALUE));
    let [first, second, variable, flag] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let problems = Collector::default();
    let layers = Layers::new(&problems).file(Path::new("a.toml"), &first);
    if let Some(tree) = file(&first) {
        printed(&tree);
        as_json(&tree);
        sources(&tree);
    }
    let layers = layers.file(Path::new("b.toml"), &second);
    let layers = layers.environment("S", [("S__A__B".to_owned(), variable)]).flags([flag.as_str()]);
    if let Some(tree) = layers.merged() {
        printed(&tree);
    }
    says_no_value(problems);
    assert_eq!(parse_duration(&first), amount(&first, &DURATIONS).and_then(duration));
    assert_eq!(parse_bytes(&first), amount(&first, &SIZES).and_then(|bytes| usize::try_from(bytes).ok()));
}

/// A file that is read whole, or there is a problem.
fn file(text: &str) -> Option<Node> {
    let problems = Collector::default();
    let tree = Layers::new(&problems).file(Path::new("a.toml"), text).merged();
    assert!(tree.is_some() || !problems.is_empty());
    let is_good = problems.is_empty();
    says_no_value(problems);
    tree.filter(|_| is_good)
}

fn says_no_value(problems: Collector) {
    let Err(problems) = problems.into_result(Some(())) else { return };
    for problem in problems.as_slice() {
        assert!(!problem.message.contains(VALUE), "{problem}");
    }
}

/// What is printed is a file, and once secrets are out of it, it says the same again.
fn printed(tree: &Node) {
    let text = reprinted(&print(tree, &|_| false));
    assert_eq!(without_places(&reprinted(&text)), without_places(&text));
    assert!(!print(tree, &|_| true).contains(VALUE) || names_it(tree));
}

fn reprinted(text: &str) -> String {
    let problems = Collector::default();
    let tree = Layers::new(&problems).file(Path::new("a.toml"), text).merged();
    print(&tree.unwrap_or_else(|| panic!("{text}")), &|_| false)
}

/// Lines without the remark that says where each is from.
fn without_places(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.rsplit_once("  # from ").map_or(line, |(line, _)| line)).collect()
}

/// Whether a key, which may be shown, has what a value has.
fn names_it(node: &Node) -> bool {
    match &node.value {
        Value::Table(table) => table.iter().any(|(key, node)| key.contains(VALUE) || names_it(node)),
        Value::Array(items) => items.iter().any(names_it),
        _ => false,
    }
}

/// What JSON can say, too, is the same in it.
fn as_json(tree: &Node) {
    let Ok(json) = to_json(tree) else { return };
    let problems = Collector::default();
    let again = from_json(&json, &problems);
    assert!(problems.is_empty());
    assert_eq!(to_json(&again).as_ref(), Ok(&json));
}

/// Each table that may be a secret's is one of its three forms or refused, and shows nothing.
fn sources(node: &Node) {
    match secret_source(node) {
        Ok(source) => {
            let table = node.as_table().expect("a table");
            assert!(table.len() == 1 && table.keys().all(|key| ["value", "env", "file"].contains(&key.as_str())));
            assert!(!table.contains_key("value") || !format!("{source:?}").contains(VALUE));
        }
        Err(faults) => assert!(faults.0.iter().all(|fault| !fault.message.contains(VALUE))),
    }
    match &node.value {
        Value::Table(table) => table.values().for_each(sources),
        Value::Array(items) => items.iter().for_each(sources),
        _ => {}
    }
}

const DURATIONS: [(&str, u128); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u128); 5] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1)];

/// A whole number of units.
fn amount(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let of_unit = |(name, unit): &(&str, u128)| {
        let digits = text.strip_suffix(name)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let digits = digits.trim_start_matches('0');
        let number: u128 =
            if is_number && digits.len() <= 24 { format!("0{digits}").parse().ok()? } else { return None };
        Some(number.checked_mul(*unit)?).filter(|product| number <= u64::MAX.into() && *product <= u64::MAX.into())
    };
    units.iter().find_map(of_unit)
}

fn duration(millis: u128) -> Option<Duration> {
    let duration = Duration::from_millis(u64::try_from(millis).ok()?);
    Some(duration).filter(|duration| !duration.is_zero() && *duration <= MAX_DURATION)
}
