//! The merged tree as TOML in which every line says where its value is from and secrets are redacted.

use super::path::{basic_string, child, element, quoted};
use super::secret_source::is_secret_shaped;
use super::{Node, Table, Value};

const REDACTED: &str = "\"[redacted]\"";

/// Renders `root`, one `key = value  # from place` per line under table headings. Redacted are: every
/// non-table under a key named `value` (the literal form of a secret source), the user information of
/// URLs, and whatever `secret` says of a dotted key path such as `apps[0].inject.headers.X-Key`.
///
/// A secret written where none is expected cannot be told from other text: print only a tree that
/// was read without problems.
#[must_use]
pub fn print(root: &Node, secret: &dyn Fn(&str) -> bool) -> String {
    let mut printer = Printer { out: String::new(), secret };
    if let Some(table) = root.as_table() {
        printer.body(table, "", "");
    }
    printer.out
}

struct Printer<'a> {
    out: String,
    secret: &'a dyn Fn(&str) -> bool,
}

/// How an entry is laid out.
enum Layout<'n> {
    Line,
    Heading(&'n Table),
    Headings(Vec<&'n Table>),
}

impl Printer<'_> {
    /// The entries of a table. `name` is its heading in TOML, `path` its dotted path.
    fn body(&mut self, table: &Table, name: &str, path: &str) {
        for (key, node) in table {
            let at = child(path, key);
            if matches!(self.layout(node, key, &at), Layout::Line) {
                let line = format!("{} = {}  # from {}\n", quoted(key), self.inline(node, key, &at), node.place);
                self.out.push_str(&line);
            }
        }
        for (key, node) in table {
            let (name, at) = (child(name, key), child(path, key));
            match self.layout(node, key, &at) {
                Layout::Line => {}
                Layout::Heading(table) => self.heading(table, &name, &at),
                Layout::Headings(tables) => self.headings(&tables, &name, &at),
            }
        }
    }

    fn heading(&mut self, table: &Table, name: &str, path: &str) {
        let only_tables =
            table.iter().all(|(key, node)| !matches!(self.layout(node, key, &child(path, key)), Layout::Line));
        if !only_tables || table.is_empty() {
            self.start(&format!("[{name}]\n"));
        }
        self.body(table, name, path);
    }

    fn headings(&mut self, tables: &[&Table], name: &str, path: &str) {
        for (i, table) in tables.iter().enumerate() {
            self.start(&format!("[[{name}]]\n"));
            self.body(table, name, &element(path, i));
        }
    }

    fn start(&mut self, heading: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.push_str(heading);
    }

    fn layout<'n>(&self, node: &'n Node, key: &str, path: &str) -> Layout<'n> {
        let heading = |node: &'n Node| node.as_table().filter(|table| !is_secret_shaped(table));
        match &node.value {
            _ if self.is_redacted(node, key, path) => Layout::Line,
            Value::Table(_) => heading(node).map_or(Layout::Line, Layout::Heading),
            Value::Array(elements) if !elements.is_empty() => {
                elements.iter().map(heading).collect::<Option<_>>().map_or(Layout::Line, Layout::Headings)
            }
            _ => Layout::Line,
        }
    }

    fn is_redacted(&self, node: &Node, key: &str, path: &str) -> bool {
        (self.secret)(path) || (key == "value" && node.as_table().is_none())
    }

    /// `node`, reached by `key`, on one line.
    fn inline(&self, node: &Node, key: &str, path: &str) -> String {
        if self.is_redacted(node, key, path) {
            return REDACTED.to_owned();
        }
        match &node.value {
            Value::String(text) => basic_string(&without_user_information(text)),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => format!("{number:?}").to_lowercase(),
            Value::Boolean(truth) => truth.to_string(),
            Value::Array(elements) => self.inline_array(elements, path),
            Value::Table(table) => self.inline_table(table, path),
        }
    }

    fn inline_array(&self, elements: &[Node], path: &str) -> String {
        let inline = |(i, node)| self.inline(node, "", &element(path, i));
        let parts: Vec<String> = elements.iter().enumerate().map(inline).collect();
        format!("[{}]", parts.join(", "))
    }

    fn inline_table(&self, table: &Table, path: &str) -> String {
        let entry =
            |(key, node): (&String, &Node)| format!("{} = {}", quoted(key), self.inline(node, key, &child(path, key)));
        let parts: Vec<String> = table.iter().map(entry).collect();
        if parts.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parts.join(", ")) }
    }
}

/// `postgres://[redacted]@host/db` for `postgres://user:password@host/db`. Cuts up to the last `@`, since
/// a password may hold anything. Passwords in a query are for the caller's predicate.
fn without_user_information(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (_, host))) => format!("{scheme}://[redacted]@{host}"),
        None => text.to_owned(),
    }
}
