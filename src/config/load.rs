//! From layers to settings. The only place that reads the environment.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::files::Files;
use super::kept::read_table;
use super::layered::{self, Collector, Layers, Node, Problem, Problems, Reader, SecretSource};
use super::settings::{Settings, read_settings};
use super::supervisor::Supervisor;

/// The defaults, with every key; also what `docs/configuration.md` points to.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// A config file may be this long.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Where settings come from, beside the defaults.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Config texts with the names to give them in messages; before the files.
    pub documents: Vec<(PathBuf, String)>,
    /// Config files, in order.
    pub files: Vec<PathBuf>,
    /// Environment variables; those that begin with `SIDEGATE__` are settings, others may hold secrets.
    pub environment: Vec<(String, String)>,
    /// `a.b=value`, as given to `--set`.
    pub flags: Vec<String>,
}

impl Input {
    /// The process's own environment, with the given files and flags. Variables that are not UTF-8
    /// are left out: no setting or secret is.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_process(files: Vec<PathBuf>, flags: Vec<String>) -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self { documents: Vec::new(), files, environment: std::env::vars_os().filter_map(text).collect(), flags }
    }

    /// An environment variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// As meant.
    pub settings: Settings,
    /// What the service manager says beside it.
    pub supervisor: Supervisor,
    /// As written.
    tree: Node,
}

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Read {
    /// The configuration, or everything that is wrong with it.
    pub outcome: Result<Loaded, Problems>,
    /// All files that it was read from or that it names, as they were before that, those that are not there included.
    pub files: Files,
}

/// Reads and checks everything: unknown keys, values, references, secrets.
///
/// # Errors
/// All problems at once, each with its place.
pub fn load(input: &Input) -> Result<Loaded, Problems> {
    read(input).outcome
}

/// As [`load`], and says from which files.
#[must_use]
pub fn read(input: &Input) -> Read {
    let files = RefCell::new(Files::default());
    let text = |path: &Path| {
        files.borrow_mut().note(path);
        read_text(path)
    };
    let outcome = load_from(input, &text);
    let mut files = files.into_inner();
    if let Ok(loaded) = &outcome {
        files.note_named(&loaded.settings);
    }
    Read { outcome, files }
}

fn load_from(input: &Input, text: &dyn Fn(&Path) -> io::Result<String>) -> Result<Loaded, Problems> {
    let problems = Collector::default();
    let tree = merge(input, text, &problems);
    let settings = tree.as_ref().and_then(|tree| {
        let root = Reader::new(tree, &problems);
        let settings = read_settings(&root, &|source| source.resolve(&|name| input.variable(name), text));
        root.finish();
        settings
    });
    let settings = problems.into_result(settings)?;
    let supervisor = Supervisor::of(input, std::process::id());
    Ok(Loaded { settings, supervisor, tree: tree.unwrap_or_else(|| unreachable!("settings come from a tree")) })
}

/// Reads a file with the keys of one `[[apps]]` table into JSON for the registry, secrets fetched as
/// those of the configuration and written out.
///
/// # Errors
/// All problems of its syntax and its secrets; what the table says is not checked.
pub fn read_file(path: &Path, input: &Input) -> Result<Map<String, Value>, Problems> {
    let problems = Collector::default();
    let Some(text) = read_reported(path, &read_text, &problems) else { return problems.into_result(None) };
    read_table(path, &text, &|source| source.resolve(&|name| input.variable(name), &|path| read_text(path)))
}

/// Reads a file that holds one secret, as `{ file = "path" }` does.
///
/// # Errors
/// A message, without the secret.
pub fn read_secret(path: &Path) -> Result<SecretString, String> {
    SecretSource::File(path.to_owned()).resolve(&|_| None, &|path| read_text(path))
}

/// The merged settings as text, each with the place it comes from, secrets redacted.
#[must_use]
pub fn print(loaded: &Loaded) -> String {
    layered::print(&loaded.tree, &is_secret_key)
}

/// Whether what stands at this key may hold a secret, whatever form it has: header templates may
/// have one written out.
#[must_use]
pub fn is_secret_key(path: &str) -> bool {
    path.contains(".headers.") || path.contains(".headers[") || path.contains(".inject.")
}

fn merge(input: &Input, read: &dyn Fn(&Path) -> io::Result<String>, problems: &Collector) -> Option<Node> {
    let mut layers = Layers::new(problems).defaults(DEFAULTS);
    for (name, text) in &input.documents {
        layers = layers.file(name, text);
    }
    for path in &input.files {
        if let Some(text) = read_reported(path, read, problems) {
            layers = layers.file(path, &text);
        }
    }
    layers.environment("SIDEGATE", input.environment.iter().cloned()).flags(&input.flags).merged()
}

/// A file's text; a problem if it cannot be read.
fn read_reported(path: &Path, read: &dyn Fn(&Path) -> io::Result<String>, problems: &Collector) -> Option<String> {
    let report = |fault| {
        problems.push(Problem {
            place: None,
            key: path.display().to_string(),
            message: format!("cannot be read: {fault}"),
            suggestion: None,
        });
    };
    read(path).map_err(report).ok()
}

fn read_text(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other("larger than 4 MiB"));
    }
    std::fs::read_to_string(path)
}
