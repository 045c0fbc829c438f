//! Where a value was written, so that every message can send the operator to the right line.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::path::printable;

/// Who supplied a value. The order is that of precedence: a later one overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The defaults compiled into the program.
    Default,
    /// A configuration file, under the name the operator gave.
    File(Arc<Path>),
    /// An environment variable, by name.
    Environment(Arc<str>),
    /// A `--set key=value` flag, by its key. Empty if the flag was too malformed to have one.
    Flag(Arc<str>),
    /// A JSON document: a request's body, or what a registry keeps.
    Document,
}

/// A source and, for text with lines, the line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Who supplied the value.
    pub source: Source,
    /// Line in the file, from 1. `None` for the environment, flags and a file as a whole.
    pub line: Option<u32>,
}

impl Place {
    /// The source as a whole, without a line.
    #[must_use]
    pub fn whole(source: Source) -> Self {
        Self { source, line: None }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(&printable(&path.to_string_lossy())),
            Self::Environment(name) => write!(f, "environment {}", printable(name)),
            Self::Flag(key) if key.is_empty() => f.write_str("--set …"),
            Self::Flag(key) => write!(f, "--set {}=…", printable(key)),
            Self::Document => f.write_str("document"),
        }
    }
}

/// `sidegate.toml:12`, `environment SIDEGATE__LISTEN__PUBLIC`, `default`, `--set listen.public=…`.
/// Never the value.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.line) {
            (Source::File(_), Some(line)) => write!(f, "{}:{line}", self.source),
            (source, _) => source.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Source};
    use std::path::Path;

    #[test]
    fn display_names_the_place_and_never_the_value() {
        let file = Source::File(Path::new("sidegate.toml").into());
        let line = Place { source: file.clone(), line: Some(12) };
        assert_eq!(line.to_string(), "sidegate.toml:12");
        assert_eq!(Place::whole(file).to_string(), "sidegate.toml");
        assert_eq!(Place::whole(Source::Environment("SIDEGATE__A".into())).to_string(), "environment SIDEGATE__A");
        assert_eq!(Place::whole(Source::Flag("a.b".into())).to_string(), "--set a.b=…");
        assert_eq!(Place::whole(Source::Default).to_string(), "default");
        assert_eq!(Place::whole(Source::Document).to_string(), "document");
    }

    #[test]
    fn control_characters_cannot_forge_lines() {
        let place = Place::whole(Source::Environment("A\nb".into()));
        assert_eq!(place.to_string(), "environment A\\nb");
    }
}
