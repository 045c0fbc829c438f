//! Injection: an app's templates, compiled at load, applied to each forwarded request.

use std::collections::BTreeMap;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::place::{HeaderTemplate, JsonTemplate, percent_encode};
use super::template::{Scope, Template, Values};
use crate::denial::Denial;
use crate::json::{self, Change, InvalidJson};

/// What an app injects, as written in the config.
#[derive(Clone, Debug, Default)]
pub struct InjectionSource {
    /// Header name to template.
    pub headers: BTreeMap<String, String>,
    /// Query parameter name to template.
    pub query: BTreeMap<String, String>,
    /// JSON pointer (RFC 6901, object members only) to a JSON value with templates in its strings.
    pub body: BTreeMap<String, Value>,
    /// Hosts that a URL template may lead to when its host has a placeholder.
    pub allowed_hosts: Vec<String>,
}

/// What an app injects, compiled.
#[derive(Clone, Debug, Default)]
pub struct Injection {
    headers: Vec<(HeaderName, HeaderTemplate)>,
    query: Vec<(String, Template)>,
    body: Vec<(Vec<String>, JsonTemplate)>,
    needs_context: bool,
}

/// A fault in a template: the table below `inject`, the entry in it, and what is wrong.
pub type InjectionFault = (&'static str, String, String);

impl Injection {
    /// Compiles all templates.
    ///
    /// # Errors
    /// Every fault, not only the first.
    pub fn compile(source: &InjectionSource, scope: Scope<'_>) -> Result<Self, Vec<InjectionFault>> {
        let mut faults = Vec::new();
        let mut keep = |table, entry: &String, fault| faults.push((table, entry.clone(), fault));
        let mut injection = Self::default();
        for (name, text) in &source.headers {
            match compile_header(name, text, scope) {
                Ok(header) => injection.headers.push(header),
                Err(fault) => keep("headers", name, fault),
            }
        }
        for (name, text) in &source.query {
            match Template::parse(text, scope) {
                Ok(template) => injection.query.push((encoded(name), template)),
                Err(fault) => keep("query", name, fault),
            }
        }
        for (pointer, value) in &source.body {
            match compile_field(pointer, value, scope, &source.allowed_hosts) {
                Ok(field) => injection.body.push(field),
                Err(fault) => keep("body", pointer, fault),
            }
        }
        for pointer in injection.covered_fields() {
            keep("body", &pointer, "lies within another field that is injected".into());
        }
        injection.needs_context = injection.any(Template::needs_context);
        if faults.is_empty() { Ok(injection) } else { Err(faults) }
    }

    /// Pointers to fields inside another field of ours, which would be lost with its old value.
    fn covered_fields(&self) -> Vec<String> {
        let covers =
            |inner: &[String]| self.body.iter().any(|(outer, _)| outer.len() < inner.len() && inner.starts_with(outer));
        let covered = self.body.iter().filter(|(path, _)| covers(path));
        covered.map(|(path, _)| written_pointer(path)).collect()
    }

    fn any(&self, test: fn(&Template) -> bool) -> bool {
        self.headers.iter().filter_map(|(_, header)| header.template()).any(test)
            || self.query.iter().any(|(_, template)| test(template))
            || self.body.iter().any(|(_, field)| field.any(test))
    }

    /// Whether the vault must be read before a request can be forwarded.
    #[must_use]
    pub const fn needs_context(&self) -> bool {
        self.needs_context
    }

    /// Whether the upstream is told the end user in a header (what `scoping = "upstream"` needs).
    #[must_use]
    pub fn header_names_subject(&self) -> bool {
        self.headers.iter().filter_map(|(_, header)| header.template()).any(Template::names_subject)
    }

    /// Whether bodies are rewritten.
    #[must_use]
    pub fn rewrites_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The header fields that are ours, whether or not this token has a value for them.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter().map(|(name, _)| name)
    }

    /// Sets every header field of ours, or removes it: a client's copy never passes.
    ///
    /// # Errors
    /// [`crate::denial::Code::ContextUnresolved`]; the fields may then be half set, and the request must not go on.
    pub fn apply_headers(&self, values: Values<'_>, headers: &mut HeaderMap) -> Result<(), Denial> {
        for (name, template) in &self.headers {
            match template.render(values)? {
                Some(value) => headers.insert(name, value),
                None => headers.remove(name),
            };
        }
        Ok(())
    }

    /// The query string to forward: the client's without parameters of ours, then ours. `None` if
    /// nothing is left.
    ///
    /// # Errors
    /// [`crate::denial::Code::ContextUnresolved`].
    pub fn apply_query(&self, values: Values<'_>, sent: Option<&str>) -> Result<Option<String>, Denial> {
        if self.query.is_empty() {
            return Ok(sent.map(str::to_owned));
        }
        let mut pairs: Vec<String> = sent
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty() && !self.owns_parameter(pair))
            .map(str::to_owned)
            .collect();
        for (name, template) in &self.query {
            if let Some(value) = template.render(values, percent_encode)? {
                pairs.push(format!("{name}={}", value.as_str()));
            }
        }
        Ok((!pairs.is_empty()).then(|| pairs.join("&")))
    }

    /// Whether a reader could take a sent parameter for one of ours.
    fn owns_parameter(&self, pair: &str) -> bool {
        parameter_names(pair).any(|name| self.query.iter().any(|(ours, _)| json::folded(ours) == name))
    }

    /// The body to forward: the client's JSON object without the members that `owned` names, and
    /// with our fields set or removed; `given` is a member of the dialect's own with its JSON text, under which the app's
    /// are laid.
    ///
    /// # Errors
    /// The inner error: the body is not JSON, names a key twice, nests too deeply or is no object.
    /// The outer one: [`crate::denial::Code::ContextUnresolved`].
    pub fn apply_body(
        &self,
        values: Values<'_>,
        owned: &[&str],
        given: Option<(&str, String)>,
        body: &[u8],
    ) -> Result<Result<Vec<u8>, InvalidJson>, Denial> {
        let (given, value) = given.map(|(name, value)| ([name.to_owned()], value)).unzip();
        let owned: Vec<[String; 1]> = owned.iter().map(|name| [(*name).to_owned()]).collect();
        let mut changes: Vec<_> = owned.iter().map(|path| Change { path, value: None }).collect();
        changes.extend(given.as_ref().map(|path| Change { path, value }));
        for (path, template) in &self.body {
            changes.push(Change { path, value: template.render(values)? });
        }
        Ok(json::check_object(body).and_then(|body| json::rewrite(body, changes)))
    }
}

/// The names that readers could find in one sent parameter, encoded and folded: by RFC 3986 escapes and
/// `+`, another spelling, `name[]`, or a `;` before it (HTML 4 took that for `&`).
pub(crate) fn parameter_names(pair: &str) -> impl Iterator<Item = String> {
    let parts = pair.split(';').filter_map(|part| url::form_urlencoded::parse(part.as_bytes()).next());
    parts.map(|(name, _)| json::folded(&encoded(name.split('[').next().unwrap_or_default())))
}

/// Fields that frame a message or belong to one hop; injecting them would break it.
const NOT_INJECTABLE: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE];

fn compile_header(name: &str, text: &str, scope: Scope<'_>) -> Result<(HeaderName, HeaderTemplate), String> {
    let name = HeaderName::try_from(name).map_err(|_| "is not a header field name")?;
    if NOT_INJECTABLE.contains(&name) {
        return Err("frames the message and cannot be injected".into());
    }
    Ok((name, HeaderTemplate::parse(text, scope)?))
}

fn compile_field(
    pointer: &str,
    value: &Value,
    scope: Scope<'_>,
    allowed_hosts: &[String],
) -> Result<(Vec<String>, JsonTemplate), String> {
    let path = parse_pointer(pointer).ok_or("must be a JSON pointer to an object member, such as \"/mcp_servers\"")?;
    Ok((path, JsonTemplate::compile(value, scope, allowed_hosts)?))
}

/// The member names of a JSON pointer (RFC 6901 section 4); not the whole document.
fn parse_pointer(pointer: &str) -> Option<Vec<String>> {
    let names = pointer.strip_prefix('/')?;
    names
        .split('/')
        .map(|name| {
            let bare = name.replace("~0", "").replace("~1", "");
            (!bare.contains('~')).then(|| name.replace("~1", "/").replace("~0", "~"))
        })
        .collect()
}

/// The JSON pointer that [`parse_pointer`] read.
fn written_pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

fn encoded(name: &str) -> String {
    let mut out = String::new();
    percent_encode(name, &mut out);
    out
}

#[cfg(test)]
#[path = "inject_tests.rs"]
mod tests;
