//! Apps of the registry: JSON of the shape of one `[[apps]]` table, read as the file is.

use std::path::Path;

use serde_json::{Map, Value};
use sidegate_core::app::App;

use super::app::read_app;
use super::layered::{
    Collector, Layers, Node, Problem, Problems, Reader, SecretSource, from_json, secret_source, to_json,
};
use super::settings::{KeyUses, Resolve};
use super::upstream::UpstreamSettings;

/// Reads an app of the registry; the app and the name of its upstream. Whether another app has one
/// of its keys is the caller's to find out.
///
/// # Errors
/// All problems, at paths such as `token.ttl`.
pub fn read_kept(settings: &Value, upstreams: &[UpstreamSettings]) -> Result<(App, String), Problems> {
    let problems = Collector::default();
    let tree = from_json(settings, &problems);
    let known: Vec<_> = upstreams.iter().collect();
    let app = read_app(Reader::new(&tree, &problems), &written_out, &known, &mut KeyUses::default());
    problems.into_result(app)
}

/// The gate's environment and files are not for those who write into its registry.
fn written_out(source: &SecretSource) -> Result<secrecy::SecretString, String> {
    match source {
        SecretSource::Value(_) => source.resolve(&|_| None, &|_| Err(std::io::ErrorKind::Unsupported.into())),
        SecretSource::Env(_) | SecretSource::File(_) => Err("must be given as { value = … } here".to_owned()),
    }
}

/// Reads a file with the keys of one `[[apps]]` table into JSON for the registry: its secrets are
/// fetched by `resolve` and written out.
///
/// # Errors
/// All problems of its syntax and its secrets; what the table says is not checked.
pub(super) fn read_table(path: &Path, text: &str, resolve: &Resolve<'_>) -> Result<Map<String, Value>, Problems> {
    let problems = Collector::default();
    let tree = Layers::new(&problems).file(path, text).merged();
    let settings = tree.as_ref().and_then(|tree| {
        let infinite = |_| problems.push(problem(tree, "", "has a number that is not finite"));
        let mut settings = to_json(tree).map_err(infinite).ok()?;
        for (table, key) in SECRETS {
            let written = tree.as_table().and_then(|app| app.get(table)?.as_table()?.get(key));
            if let Some(written) = written {
                write_out(written, &format!("{table}.{key}"), &mut settings[table][key], &problems, resolve);
            }
        }
        match settings {
            Value::Object(settings) => Some(settings),
            _ => None,
        }
    });
    problems.into_result(settings)
}

/// Where an app's secrets stand; each is one source, or a list of them.
const SECRETS: [(&str, &str); 11] = [
    ("token", "key"),
    ("token", "retired_keys"),
    ("trade", "credential"),
    ("authorize", "keys"),
    ("identity", "secret"),
    ("identity", "previous_secret"),
    ("identity", "encryption_keys"),
    ("identity", "signing_keys"),
    ("identity", "mint_signing_key"),
    ("identity", "mint_encryption_key"),
    ("challenge", "secret"),
];

/// Puts secrets into the place of their sources.
fn write_out(written: &Node, key: &str, place: &mut Value, problems: &Collector, resolve: &Resolve<'_>) {
    if let Some(list) = written.as_array() {
        for (index, entry) in list.iter().enumerate() {
            write_out(entry, &format!("{key}[{index}]"), &mut place[index], problems, resolve);
        }
        return;
    }
    // What is no source of a secret is a problem when the app is read.
    let Ok(source) = secret_source(written) else { return };
    match resolve(&source) {
        Ok(secret) => *place = serde_json::json!({ "value": secrecy::ExposeSecret::expose_secret(&secret) }),
        Err(fault) => problems.push(problem(written, key, &fault)),
    }
}

fn problem(node: &Node, key: &str, message: &str) -> Problem {
    Problem { place: Some(node.place.clone()), key: key.to_owned(), message: message.to_owned(), suggestion: None }
}

/// An app's settings as they may be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Without digests and keys, and with null for each template: it may have a secret written out.
    pub settings: Value,
    /// Digests of secrets.
    pub secrets: usize,
    /// Keys that verify: the active one and the retired ones.
    pub keys: usize,
}

impl Written {
    /// What may be shown of settings, be they right or not.
    #[must_use]
    pub fn of(settings: &Value) -> Self {
        let count = |list: Option<&Value>| list.and_then(Value::as_array).map_or(0, Vec::len);
        let token = settings.get("token");
        let active = usize::from(token.is_some_and(|token| token.get("key").is_some()));
        Self {
            settings: without_secrets(settings),
            secrets: count(settings.get("secret_digests")),
            keys: active + count(token.and_then(|token| token.get("retired_keys"))),
        }
    }
}

/// Members that hold no secret, or of which [`SHOWN`] says what may be shown.
const PLAIN: [&str; 22] = [
    "id",
    "dialect",
    "authority",
    "vendor",
    "upstream",
    "workflows",
    "hosts",
    "workspace",
    "origins",
    "frame_origins",
    "sessions",
    "identity",
    "widget",
    "challenge",
    "translator",
    "allow_missing_origin",
    "scoping",
    "pass",
    "limits",
    "token",
    "trade",
    "authorize",
];
const OF_TOKEN: &[&str] = &["algorithm", "ttl", "max_ttl", "issuer", "audience", "single_use"];
const OF_AUTHORIZE: &[&str] = &[
    "kind",
    "header",
    "cookie",
    "end_user_header",
    "algorithm",
    "issuer",
    "audience",
    "claim",
    "upstream",
    "path",
    "headers",
];
/// What is shown of tables that have more than that.
const SHOWN: [(&str, &[&str]); 5] = [
    ("token", OF_TOKEN),
    ("trade", &["timeout", "session"]),
    ("authorize", OF_AUTHORIZE),
    ("identity", &["required", "management"]),
    ("challenge", &["upstream", "path"]),
];

fn without_secrets(settings: &Value) -> Value {
    let mut shown = picked(settings, &PLAIN);
    for (table, names) in SHOWN {
        if let Some(table) = shown.get_mut(table) {
            *table = picked(table, names).into();
        }
    }
    // A session of OpenAI's Realtime API may hold keys for the servers of its tools.
    if let (Some(trade), Some(_)) = (shown.get_mut("trade"), settings.get("trade").and_then(|of| of.get("realtime"))) {
        trade["realtime"] = Value::Null;
    }
    if let Some(Value::Object(inject)) = settings.get("inject") {
        let hidden = inject.iter().filter_map(|(table, entries)| match entries {
            Value::Object(templates) => {
                let names: Map<_, _> = templates.keys().map(|name| (name.clone(), Value::Null)).collect();
                Some((table.clone(), names.into()))
            }
            hosts if table == "allowed_hosts" => Some((table.clone(), hosts.clone())),
            _ => None,
        });
        shown.insert("inject".to_owned(), hidden.collect::<Map<_, _>>().into());
    }
    shown.into()
}

fn picked(settings: &Value, names: &[&str]) -> Map<String, Value> {
    let pick = |name: &&str| Some(((*name).to_owned(), settings.get(*name)?.clone()));
    names.iter().filter_map(pick).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(settings: &Value) -> Vec<String> {
        let Err(problems) = read_kept(settings, &[]) else { return Vec::new() };
        problems.as_slice().iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
    }

    #[test]
    fn all_problems_are_named_and_no_value() {
        let found = problems(&json!({
            "id": "no spaces", "dialect": "sigmic", "upstream": "canary", "orgins": [], "scoping": null,
            "token": { "key": { "env": "HOME" }, "ttl": "canary", "retired_keys": [{ "file": "/etc/passwd" }] },
            "inject": { "headers": { "Host": "canary" } },
        }));
        for expected in [
            "id: must be 1 to 64 letters, digits, '_' or '-'",
            "orgins: unknown key",
            "scoping: must not be null; leave it out",
            "token.key: must be given as { value = … } here",
            "token.retired_keys[0]: must be given as { value = … } here",
            "upstream: is not the name of one of the [[upstreams]]",
        ] {
            assert!(found.iter().any(|problem| problem == expected), "{expected} is not in {found:#?}");
        }
        assert!(!found.concat().contains("canary"), "{found:#?}");
        assert!(problems(&json!([])).iter().any(|problem| problem.ends_with("must be a table")));
    }

    #[test]
    fn what_is_shown_has_no_secret_and_may_be_given_back() {
        let settings = json!({
            "id": "a", "upstream": "chat", "secret_digests": ["sha256:canary"], "limits": { "chat": "1/s" },
            "token": { "algorithm": "HS256", "key": { "value": "canary" }, "retired_keys": [], "ttl": "1h" },
            "inject": { "headers": { "X-Key": "canary" }, "body": { "/a": { "b": "canary" } }, "allowed_hosts": ["h"] },
        });
        let expected = json!({
            "id": "a", "upstream": "chat", "limits": { "chat": "1/s" },
            "token": { "algorithm": "HS256", "ttl": "1h" },
            "inject": { "headers": { "X-Key": null }, "body": { "/a": null }, "allowed_hosts": ["h"] },
        });
        assert_eq!(Written::of(&settings), Written { settings: expected, secrets: 1, keys: 1 });
        let nothing = Written { settings: json!({}), secrets: 0, keys: 0 };
        assert_eq!(
            Written::of(&json!({ "inject": { "headers": "canary" }, "token": "canary" })).settings["token"],
            json!({})
        );
        assert_eq!(Written::of(&json!("canary")), nothing);
    }
}
