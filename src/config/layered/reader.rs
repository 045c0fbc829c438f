//! A typed view of one table that collects problems instead of stopping at the first. Calling code
//! reads like a table of its keys; every key never asked for is an unknown key.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::suggest::closest;
use super::{Collector, Faults, Node, Place, Problem, Table, path};

static NO_ENTRIES: Table = Table::new();

/// Reads one table. End with [`finish`](Self::finish); the [`Collector`] holds it against you if you do not.
#[derive(Debug)]
pub struct Reader<'a> {
    table: &'a Table,
    place: Place,
    path: String,
    asked: RefCell<BTreeSet<&'static str>>,
    /// `None` under a section that is not a table, which is already reported.
    problems: Option<&'a Collector>,
}

impl<'a> Reader<'a> {
    /// A reader of the whole tree. A root that is not a table is a problem.
    #[must_use]
    pub fn new(root: &'a Node, problems: &'a Collector) -> Self {
        let reader = Self::open(&NO_ENTRIES, root.place.clone(), String::new(), Some(problems));
        reader.sub(root, "")
    }

    /// The value of a key that must be there. `None`, with a problem, if it is missing or refused.
    pub fn required<T, E: Into<Faults>>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, E>,
    ) -> Option<T> {
        if self.ask(key).is_none() {
            self.report(self.place.clone(), path::child(&self.path, key), "is required", None);
        }
        self.optional(key, parse)
    }

    /// The value of a key that may be there. `None` if it is absent, or, with a problem, if refused.
    pub fn optional<T, E: Into<Faults>>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, E>,
    ) -> Option<T> {
        let node = self.ask(key)?;
        self.accept(node, &path::child(&self.path, key), parse)
    }

    /// The value of a key, or `default` if it is absent or, with a problem, refused.
    pub fn or<T, E: Into<Faults>>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, E>,
        default: T,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// A reader of a sub-table that may be absent: `None` then, or, with a problem, if it is not a table.
    #[must_use]
    pub fn table(&self, key: &'static str) -> Option<Reader<'a>> {
        let reader = self.sub(self.ask(key)?, &path::child(&self.path, key));
        reader.problems.is_some().then_some(reader)
    }

    /// A reader of a sub-table that is read as an empty one if absent, so that its required keys are
    /// demanded and its defaults apply.
    #[must_use]
    pub fn section(&self, key: &'static str) -> Reader<'a> {
        let path = path::child(&self.path, key);
        match self.ask(key) {
            Some(node) => self.sub(node, &path),
            None => Self::open(&NO_ENTRIES, self.place.clone(), path, self.problems),
        }
    }

    /// A reader for every element of an array of tables (`[[key]]`); none if it is absent. What is not
    /// a table is a problem.
    #[must_use]
    pub fn tables(&self, key: &'static str) -> Vec<Reader<'a>> {
        let Some(node) = self.ask(key) else {
            return Vec::new();
        };
        let path = path::child(&self.path, key);
        let Some(elements) = node.as_array() else {
            self.report(node.place.clone(), path, "must be an array of tables", None);
            return Vec::new();
        };
        let readers = elements.iter().enumerate().map(|(i, node)| self.sub(node, &path::element(&path, i)));
        readers.filter(|reader| reader.problems.is_some()).collect()
    }

    /// The entries of a free-form table, ordered by key; none if it is absent. Anything but a table
    /// is a problem.
    #[must_use]
    pub fn map(&self, key: &'static str) -> Vec<(String, &'a Node)> {
        let Some(node) = self.ask(key) else {
            return Vec::new();
        };
        let Some(table) = node.as_table() else {
            self.report(node.place.clone(), path::child(&self.path, key), "must be a table", None);
            return Vec::new();
        };
        table.iter().map(|(key, node)| (key.clone(), node)).collect()
    }

    /// As [`map`](Self::map), with every value parsed; refused ones are problems and left out.
    pub fn map_of<T, E: Into<Faults>>(
        &self,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, E>,
    ) -> Vec<(String, T)> {
        let map_path = path::child(&self.path, key);
        let parsed = |(name, node): (String, &Node)| {
            let value = self.accept(node, &path::child(&map_path, &name), &parse)?;
            Some((name, value))
        };
        self.map(key).into_iter().filter_map(parsed).collect()
    }

    /// The raw node of a key. Counts as asked for.
    #[must_use]
    pub fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.ask(key)
    }

    /// Where this table is written.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The dotted path of this table, `apps[0].token`. Empty for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Records a problem found by the caller, such as a conflict of keys: at the place of `key` if it is
    /// present, else of this table, which `""` also means. The message must not contain values.
    pub fn problem(&self, key: &str, message: &str) {
        let place = self.table.get(key).map_or(&self.place, |node| &node.place);
        let path = if key.is_empty() { self.path.clone() } else { path::child(&self.path, key) };
        self.report(place.clone(), path, message, None);
    }

    /// As [`problem`](Self::problem), for one entry of the free-form table at `key`.
    pub fn problem_in(&self, key: &str, entry: &str, message: &str) {
        let map = self.table.get(key);
        let node = map.and_then(|map| map.as_table()?.get(entry)).or(map);
        let place = node.map_or(&self.place, |node| &node.place);
        self.report(place.clone(), path::child(&path::child(&self.path, key), entry), message, None);
    }

    /// Ends reading: every key that was never asked for is a problem.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, node) in self.table.iter().filter(|(key, _)| !asked.contains(key.as_str())) {
            let suggestion = closest(key, asked.iter().copied());
            self.report(node.place.clone(), path::child(&self.path, key), "unknown key", suggestion);
        }
        if let Some(problems) = self.problems {
            problems.finished(&self.path);
        }
    }

    fn open(table: &'a Table, place: Place, path: String, problems: Option<&'a Collector>) -> Self {
        if let Some(problems) = problems {
            problems.opened(&path);
        }
        Self { table, place, path, asked: RefCell::default(), problems }
    }

    /// A reader of `node`, muted, after a problem, if that is not a table.
    fn sub(&self, node: &'a Node, path: &str) -> Reader<'a> {
        if let Some(table) = node.as_table() {
            return Self::open(table, node.place.clone(), path.to_owned(), self.problems);
        }
        self.report(node.place.clone(), path.to_owned(), "must be a table", None);
        Self::open(&NO_ENTRIES, node.place.clone(), path.to_owned(), None)
    }

    fn ask(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    fn accept<T, E: Into<Faults>>(
        &self,
        node: &Node,
        path: &str,
        parse: impl FnOnce(&Node) -> Result<T, E>,
    ) -> Option<T> {
        let faults = match parse(node) {
            Ok(value) => return Some(value),
            Err(error) => error.into(),
        };
        for fault in faults.0 {
            let place = fault.place.unwrap_or_else(|| node.place.clone());
            self.report(place, path::join(path, &fault.at), &fault.message, fault.suggestion);
        }
        None
    }

    fn report(&self, place: Place, key: String, message: &str, suggestion: Option<String>) {
        if let Some(problems) = self.problems {
            problems.push(Problem { place: Some(place), key, message: message.to_owned(), suggestion });
        }
    }
}
