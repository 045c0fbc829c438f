//! Secret sources: what is accepted, what is fetched, and that nothing leaks.

use std::io;
use std::path::Path;

use secrecy::ExposeSecret;

use super::super::{Collector, Layers, SecretSource, secret_source};
use super::read;

const FORMS: &str = "must be one of { value = \"…\" }, { env = \"NAME\" } or { file = \"path\" }";

fn source(text: &str) -> Result<SecretSource, String> {
    read(text, |r| r.required("key", secret_source))
}

fn resolve(text: &str) -> Result<String, String> {
    let env = |name: &str| match name {
        "SET" => Some("from env".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let file = |path: &Path| match path.to_str() {
        Some("/unix") => Ok("from file\n\n".to_owned()),
        Some("/dos") => Ok("from file\r\n".to_owned()),
        Some("/empty") => Ok("\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    source(text)?.resolve(&env, &file).map(|secret| secret.expose_secret().to_owned())
}

#[test]
fn each_form_resolves() {
    assert_eq!(resolve("key = { value = \"v\" }").unwrap(), "v");
    assert_eq!(resolve("key = { env = \"SET\" }").unwrap(), "from env");
    assert_eq!(resolve("key = { file = \"/unix\" }").unwrap(), "from file\n", "one line end is cut");
    assert_eq!(resolve("key = { file = \"/dos\" }").unwrap(), "from file");
}

#[test]
fn what_cannot_be_fetched_says_so() {
    for (text, message) in [
        ("key = { value = \"\" }", "the secret is empty"),
        ("key = { env = \"UNSET\" }", "environment variable \"UNSET\" is not set"),
        ("key = { env = \"EMPTY\" }", "environment variable \"EMPTY\" is empty"),
        ("key = { file = \"/empty\" }", "file /empty is empty"),
        ("key = { file = \"/none\" }", "cannot read file /none: entity not found"),
    ] {
        assert_eq!(resolve(text).unwrap_err(), message);
    }
}

#[test]
fn other_forms_are_refused_without_the_value() {
    for (text, problem) in [
        ("key = \"hunter2\"", format!("key: {FORMS}")),
        ("key = {}", format!("key: {FORMS}")),
        ("key = { value = \"hunter2\", env = \"A\" }", format!("key: {FORMS}")),
        ("key = { value = 5 }", "key.value: must be a string".to_owned()),
        ("key = { env = \"\" }", "key.env: must not be empty".to_owned()),
        ("key = { vale = \"hunter2\" }", format!("key.vale: unknown key; a secret {FORMS}; did you mean \"value\"?")),
    ] {
        assert_eq!(source(text).unwrap_err(), format!("sidegate.toml:1: {problem}"));
    }
}

#[test]
fn debug_shows_no_value() {
    let text = "key = { value = \"hunter2\" }\nlist = [\"hunter2\"]\n";
    let problems = Collector::default();
    let layers =
        Layers::new(&problems).file(Path::new("x.toml"), text).environment("S", [("S__A".into(), "77123".into())]);
    let shown = format!("{layers:?} {:?}", source("key = { value = \"hunter2\" }"));
    assert!(!shown.contains("hunter2") && !shown.contains("77123"), "{shown}");
}
