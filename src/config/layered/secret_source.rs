//! Where a secret comes from: written down, an environment variable, or a file. The value itself
//! never appears in `Debug`, in an error or in a problem.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::path::{printable, quoted};
use super::suggest::closest;
use super::{Fault, Faults, Node, Table};

const FORMS: &str = "must be one of { value = \"…\" }, { env = \"NAME\" } or { file = \"path\" }";
const KEYS: [&str; 3] = ["value", "env", "file"];

/// One of the three ways to give a secret.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// `{ value = "…" }`: the secret itself.
    Value(SecretString),
    /// `{ env = "NAME" }`: the variable that holds it.
    Env(String),
    /// `{ file = "path" }`: the file that holds it.
    File(PathBuf),
}

impl SecretSource {
    /// Fetches the secret. One trailing line end (`\n` or `\r\n`) of a file is cut.
    ///
    /// # Errors
    /// A message, without the value, if the variable is not set, the file cannot be read, or the
    /// secret is empty.
    pub fn resolve(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<SecretString, String> {
        let (secret, origin) = match self {
            Self::Value(secret) => (secret.clone(), "the secret".to_owned()),
            Self::Env(name) => from_variable(name, env)?,
            Self::File(path) => from_file(path, read_file)?,
        };
        if secret.expose_secret().is_empty() { Err(format!("{origin} is empty")) } else { Ok(secret) }
    }
}

/// A secret and the words that say where it is from.
type Fetched = Result<(SecretString, String), String>;

fn from_variable(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Fetched {
    let origin = format!("environment variable {name:?}");
    let text = Zeroizing::new(env(name).ok_or_else(|| format!("{origin} is not set"))?);
    Ok((SecretString::from(text.as_str()), origin))
}

fn from_file(path: &Path, read_file: &dyn Fn(&Path) -> io::Result<String>) -> Fetched {
    let origin = format!("file {}", printable(&path.to_string_lossy()));
    let text = Zeroizing::new(read_file(path).map_err(|error| format!("cannot read {origin}: {error}"))?);
    Ok((without_line_end(&text), origin))
}

fn without_line_end(text: &str) -> SecretString {
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    SecretString::from(line)
}

/// Parser for a secret source: a table with exactly one of `value`, `env`, `file`.
///
/// # Errors
/// The three forms, if it is anything else (a bare string is not repeated); a fault for every unknown key.
pub fn secret_source(node: &Node) -> Result<SecretSource, Faults> {
    let table = node.as_table().ok_or(FORMS)?;
    let unknown: Vec<Fault> = table.iter().filter_map(|(key, node)| unknown_key(key, node)).collect();
    if !unknown.is_empty() {
        return Err(Faults(unknown));
    }
    let mut entries = table.iter();
    let (Some((key, entry)), None) = (entries.next(), entries.next()) else {
        return Err(FORMS.into());
    };
    let text = entry.as_text().ok_or_else(|| Faults::from("must be a string").below(key, &entry.place))?;
    match key.as_str() {
        "value" => Ok(SecretSource::Value(text.into())),
        _ if text.is_empty() => Err(Faults::from("must not be empty").below(key, &entry.place)),
        "env" => Ok(SecretSource::Env(text.to_owned())),
        _ => Ok(SecretSource::File(text.into())),
    }
}

fn unknown_key(key: &str, node: &Node) -> Option<Fault> {
    let unknown = || Fault {
        at: quoted(key),
        place: Some(node.place.clone()),
        message: format!("unknown key; a secret {FORMS}"),
        suggestion: closest(key, KEYS),
    };
    (!KEYS.contains(&key)).then(unknown)
}

/// True for a table that can only be meant as a secret source.
pub(super) fn is_secret_shaped(table: &Table) -> bool {
    !table.is_empty() && table.iter().all(|(key, node)| KEYS.contains(&key.as_str()) && node.as_text().is_some())
}
