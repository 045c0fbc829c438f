//! Wire cases kept as data in `tests/fixtures`.

use serde::de::DeserializeOwned;

/// The cases of one file: a JSON array below `tests/fixtures`.
pub fn cases<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{path}: {fault}"));
    let cases: Vec<T> = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{path}: {fault}"));
    assert!(!cases.is_empty(), "{path} holds no case");
    cases
}
