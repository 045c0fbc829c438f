//! Layers and how they merge: defaults, then files in order, then the environment, then flags.
//! Tables merge key by key; everything else is replaced, but top-level arrays of tables (`[[apps]]`)
//! of several files are appended to each other.

use std::path::Path;

use super::overrides::{Claimed, NO_ELEMENTS, environment_keys, flag_keys, split_flag};
use super::secret_source::is_secret_shaped;
use super::tree::{MAX_DEPTH, TOO_DEEP};
use super::{Collector, Node, Place, Problem, Source, Table, Value, text};

/// Builds the merged tree. Call in the order of precedence, lowest first.
#[derive(Debug)]
pub struct Layers<'a> {
    root: Node,
    readable: bool,
    problems: &'a Collector,
}

impl<'a> Layers<'a> {
    /// No layer yet; complaints go to `problems`.
    #[must_use]
    pub fn new(problems: &'a Collector) -> Self {
        let root = Node::new(Value::Table(Table::new()), Place::whole(Source::Default));
        Self { root, readable: true, problems }
    }

    /// Adds the compiled-in defaults.
    #[must_use]
    pub fn defaults(self, text: &str) -> Self {
        self.document(text, &Source::Default)
    }

    /// Adds the text of a file; `path` is its name in messages. The caller bounds its size.
    #[must_use]
    pub fn file(self, path: &Path, text: &str) -> Self {
        self.document(text, &Source::File(path.into()))
    }

    /// Adds variables named `PREFIX__KEY__KEY`, lower-cased (so keys with capitals are out of reach).
    /// A value is TOML where it parses as such, else text. Other variables are ignored.
    #[must_use]
    pub fn environment(mut self, prefix: &str, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut sorted: Vec<_> = variables.into_iter().collect();
        sorted.sort(); // `A` before `A__B`, so that the more specific one wins
        let mut claimed = Claimed::default();
        for (name, value) in &sorted {
            let source = Source::Environment(name.as_str().into());
            match environment_keys(prefix, name) {
                None => {}
                Some(Err(message)) => self.refuse(source, "", message),
                Some(Ok(keys)) => match claimed.claim(&keys, name) {
                    Some(_) => self.refuse(source, &keys.join("."), "is set by two variables"),
                    None => self.set(&keys, value, source),
                },
            }
        }
        self
    }

    /// Adds the arguments of `--set key.key=value`, in order; values as for the environment.
    #[must_use]
    pub fn flags<S: AsRef<str>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        for flag in flags {
            let Some((key, value)) = split_flag(flag.as_ref()) else {
                self.refuse(Source::Flag("".into()), "", "must be key=value");
                continue;
            };
            match flag_keys(key) {
                Err(message) => self.refuse(Source::Flag(key.into()), "", message),
                Ok(keys) => self.set(&keys, value, Source::Flag(key.into())),
            }
        }
        self
    }

    /// The merged tree, always a table. `None` if a file was not TOML (which is already reported):
    /// reading on would only report what that file would have said. Other problems do not stop here.
    #[must_use]
    pub fn merged(self) -> Option<Node> {
        self.readable.then_some(self.root)
    }

    fn document(mut self, text: &str, source: &Source) -> Self {
        match text::parse_document(text, source, self.problems) {
            Some(layer) => merge_document(&mut self.root, layer),
            None => self.readable = false,
        }
        self
    }

    fn set(&mut self, keys: &[String], value: &str, source: Source) {
        let key = keys.join(".");
        if keys.len() > MAX_DEPTH {
            return self.refuse(source, &key, TOO_DEEP);
        }
        if leads_into_array(&self.root, keys) {
            return self.refuse(source, &key, NO_ELEMENTS);
        }
        let leaf = text::parse_value(value, &key, keys.len(), &source, self.problems);
        merge(&mut self.root, nest(keys, leaf));
    }

    fn refuse(&self, source: Source, key: &str, message: &str) {
        let place = Some(Place::whole(source));
        self.problems.push(Problem { place, key: key.to_owned(), message: message.to_owned(), suggestion: None });
    }
}

/// `leaf` inside one table per key.
fn nest(keys: &[String], leaf: Node) -> Node {
    keys.iter().rev().fold(leaf, |inner, key| {
        let place = inner.place.clone();
        Node::new(Value::Table(Table::from([(key.clone(), inner)])), place)
    })
}

fn leads_into_array(root: &Node, keys: &[String]) -> bool {
    let mut node = root;
    for key in keys {
        if node.as_array().is_some() {
            return true;
        }
        let Some(next) = node.as_table().and_then(|table| table.get(key)) else {
            return false;
        };
        node = next;
    }
    false
}

fn merge_document(root: &mut Node, layer: Node) {
    let (Value::Table(base), Value::Table(over)) = (&mut root.value, layer.value) else {
        return;
    };
    root.place = layer.place;
    for (key, node) in over {
        match base.get_mut(&key) {
            Some(existing) if appends(existing, &node) => append(existing, node),
            _ => merge_entry(base, key, node),
        }
    }
}

/// Only files append to files: a file replaces what the defaults list.
fn appends(base: &Node, over: &Node) -> bool {
    let from_file = |node: &Node| matches!(node.place.source, Source::File(_));
    from_file(base) && from_file(over) && base.is_array_of_tables() && over.is_array_of_tables()
}

fn append(base: &mut Node, over: Node) {
    if let (Value::Array(elements), Value::Array(more)) = (&mut base.value, over.value) {
        elements.extend(more);
    }
}

fn merge_entry(base: &mut Table, key: String, over: Node) {
    match base.get_mut(&key) {
        Some(existing) => merge(existing, over),
        None => drop(base.insert(key, over)),
    }
}

/// Tables merge, all else is replaced. A secret source is replaced, too: `{ env }` over `{ file }`
/// means the former, not both.
fn merge(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Table(old), Value::Table(new)) if !(is_secret_shaped(old) && is_secret_shaped(&new)) => {
            if !is_single_key(&over.place.source) || matches!(base.place.source, Source::Default) {
                base.place = over.place;
            }
            for (key, node) in new {
                merge_entry(old, key, node);
            }
        }
        (_, value) => *base = Node { value, place: over.place, raw: over.raw },
    }
}

/// One key from outside does not make its table be "from" there.
fn is_single_key(source: &Source) -> bool {
    matches!(source, Source::Environment(_) | Source::Flag(_))
}
