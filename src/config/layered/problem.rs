//! Complaints about the configuration, collected instead of thrown: reading goes on after each.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use super::Place;

/// One mistake, with what the operator needs to find and mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is written, if it is written anywhere.
    pub place: Option<Place>,
    /// Dotted path, `apps[0].token.ttl`. Empty for a file as a whole.
    pub key: String,
    /// What is wrong. Never contains a configured value.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// `sidegate.toml:14: apps[0].orgins: unknown key; did you mean "origins"?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean {suggestion:?}?"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, ordered by place; displayed one per line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, ordered by place.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// Each as `key: message`, for a document that has no lines.
    #[must_use]
    pub fn by_key(&self) -> Vec<String> {
        self.0.iter().map(|problem| Problem { place: None, ..problem.clone() }.to_string()).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The one list that all layers and readers of a load share.
#[derive(Debug, Default)]
pub struct Collector {
    problems: RefCell<Vec<Problem>>,
    unfinished: RefCell<BTreeSet<String>>,
}

impl Collector {
    /// Adds a problem.
    pub fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// True while nothing was wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Ends the load: the settings, if they are complete and nothing was wrong.
    ///
    /// # Errors
    /// All problems. A `None`, or a reader without [`finish`](super::Reader::finish), is itself a
    /// problem, so that a slip in the calling code cannot let an unchecked configuration pass.
    pub fn into_result<T>(self, settings: Option<T>) -> Result<T, Problems> {
        let mut problems = self.problems.into_inner();
        if problems.is_empty() {
            problems.extend(self.unfinished.into_inner().into_iter().map(unchecked));
        }
        problems.sort();
        match settings {
            Some(settings) if problems.is_empty() => Ok(settings),
            None if problems.is_empty() => Err(Problems(vec![unchecked(String::new())])),
            _ => Err(Problems(problems)),
        }
    }

    pub(super) fn opened(&self, path: &str) {
        self.unfinished.borrow_mut().insert(path.to_owned());
    }

    pub(super) fn finished(&self, path: &str) {
        self.unfinished.borrow_mut().remove(path);
    }
}

fn unchecked(key: String) -> Problem {
    let message = "was not read to its end (a mistake in this program, not in the file)".to_owned();
    Problem { place: None, key, message, suggestion: None }
}
