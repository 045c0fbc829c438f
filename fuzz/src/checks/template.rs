//! Templates, and what they make of values in each of their places.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use sidegate_core::context::inject::{Injection, InjectionSource};
use sidegate_core::context::template::{Scope, Template, Values};
use sidegate_core::context::{ContextLimits, SessionContext};
use sidegate_core::id::{AppId, EndUserId};
use sidegate_core::json::check_object;
use url::{Url, form_urlencoded};

use super::text::{assert_one_spelling, folded, object};

const HEADER: HeaderName = HeaderName::from_static("x-tenant");
const ALLOWED: &str = "allowed.example.com";
const SERVICE: &str = "of the gate \"\\";
const SUBJECT: &str = "ada \"the first\"";

/// See `fuzz_targets/template.rs`. Parts between zeros: a template, a value for it, what a client sends.
pub fn template(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0).map(String::from_utf8_lossy);
    let [template, value, sent] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let service = BTreeMap::from([("KEY".to_owned(), SecretString::from(SERVICE))]);
    let app = AppId::parse("wapp_1").expect("an id");
    let scope = Scope { app: Some(&app), service: &service, visitor: &["name"] };
    let said = Template::parse(&template, scope).is_ok().then(|| pieces(&template, &value));
    for place in [header, query, body, url] {
        place(&Case { template: &template, said: said.as_deref(), value: &value, sent: &sent, scope });
    }
}

struct Case<'a> {
    template: &'a str,
    /// The pieces of the text that is meant; `None` for a template that is none.
    said: Option<&'a [Piece]>,
    value: &'a str,
    sent: &'a str,
    scope: Scope<'a>,
}

#[derive(Debug)]
enum Piece {
    Written(String),
    Value(String),
    /// A value that there is not.
    Missing {
        optional: bool,
    },
}

/// What a template says, in one pass over its letters.
fn pieces(template: &str, value: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let end = after.find("}}").expect("closed");
        found.push(Piece::Written(before.to_owned()));
        found.push(piece(after[..end].trim(), value));
        rest = &after[end + 2..];
    }
    found.push(Piece::Written(rest.to_owned()));
    found
}

fn piece(inside: &str, value: &str) -> Piece {
    let (name, optional) = inside.strip_suffix('?').map_or((inside, false), |name| (name.trim_end(), true));
    match name {
        "env.A" | "secrets.B" | "mcp.A" | "mcp.B" | "user.name" | "unverified.name" => Piece::Value(value.to_owned()),
        "claims.sub" => Piece::Value(SUBJECT.to_owned()),
        "app.id" => Piece::Written("wapp_1".to_owned()),
        "service.KEY" => Piece::Written(SERVICE.to_owned()),
        // One that is not optional would have been refused.
        _ if name.starts_with("service.") => Piece::Written(String::new()),
        _ => Piece::Missing { optional },
    }
}

/// The text, or whether there is none or a refusal; the first value that is missing decides.
fn whole(pieces: &[Piece]) -> Result<Option<String>, ()> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Written(part) | Piece::Value(part) => text.push_str(part),
            Piece::Missing { optional: true } => return Ok(None),
            Piece::Missing { optional: false } => return Err(()),
        }
    }
    Ok(Some(text))
}

impl Case<'_> {
    /// Compiled, if the template is one; whoever writes one that is none is told so.
    fn compiled(&self, source: &InjectionSource) -> Option<Injection> {
        let compiled = Injection::compile(source, self.scope);
        assert!(self.said.is_some() || compiled.is_err(), "{:?}", self.template);
        compiled.ok()
    }

    fn with<T>(&self, run: impl FnOnce(Values<'_>) -> T) -> T {
        let limits = ContextLimits { max_entries: 9, max_name: 9, max_value: 99_999, max_total: 999_999 };
        let entry = |name: &str| vec![(name.to_owned(), SecretString::from(self.value))];
        let context = SessionContext::new(entry("A"), entry("B"), &limits).expect("a context");
        let secrets = context.to_plaintext().expect("a plaintext");
        let mut plain: Map<String, Value> = serde_json::from_slice(&secrets).expect("JSON");
        for kind in ["user", "unverified"] {
            plain.insert(kind.to_owned(), json!({ "name": self.value }));
        }
        let context = SessionContext::from_plaintext(Value::from(plain).to_string().as_bytes()).expect("a context");
        let subject = EndUserId::parse(SUBJECT).expect("an id");
        run(Values { subject: &subject, context: Some(&context), of_nobody: false })
    }

    fn said(&self) -> Result<Option<String>, ()> {
        whole(self.said.expect("a template"))
    }
}

/// A field has the text, which is one of a field, or is not there, whatever the client had sent.
fn header(case: &Case<'_>) {
    let headers = BTreeMap::from([(HEADER.to_string(), case.template.to_owned())]);
    let Some(injection) = case.compiled(&InjectionSource { headers, ..InjectionSource::default() }) else { return };
    let mut fields = HeaderMap::from_iter([(HEADER, HeaderValue::from_static("forged"))]);
    if case.with(|values| injection.apply_headers(values, &mut fields)).is_err() {
        return assert!(case.said().is_err() || case.said().ok().flatten().is_some_and(|said| !is_field_value(&said)));
    }
    let found: Vec<_> = fields.get_all(HEADER).iter().map(|value| value.as_bytes().to_vec()).collect();
    let said = case.said().expect("a text");
    assert!(said.as_deref().is_none_or(|said| !said.contains(char::is_control)), "{said:?}");
    assert_eq!(found, said.map(String::into_bytes).into_iter().collect::<Vec<_>>());
}

fn is_field_value(text: &str) -> bool {
    !text.contains(char::is_control) && text.trim() == text
}

/// The client's parameters but for ours, then ours, once; values are one parameter's.
fn query(case: &Case<'_>) {
    let query = BTreeMap::from([("tenant_id".to_owned(), case.template.to_owned())]);
    let Some(injection) = case.compiled(&InjectionSource { query, ..InjectionSource::default() }) else { return };
    let Ok(query) = case.with(|values| injection.apply_query(values, Some(case.sent))) else { return };
    let plain = |letter: char| letter.is_ascii_alphanumeric();
    if case
        .said
        .expect("a template")
        .iter()
        .any(|piece| matches!(piece, Piece::Written(text) if !text.chars().all(plain)))
    {
        return;
    }
    let query = query.unwrap_or_default();
    let ours =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name.is_ascii() && folded(name) == "tenantid");
    let ours: Vec<_> = ours.map(|(_, value)| value.into_owned()).collect();
    assert_eq!(ours, case.said().expect("a text").into_iter().collect::<Vec<_>>(), "{query}");
    let others = |query: &str| {
        let pairs = query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';') && !pair.contains('['));
        pairs
            .filter(|pair| form_urlencoded::parse(pair.as_bytes()).all(|(name, _)| folded(&name) != "tenantid"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(others(&query), others(case.sent));
}

/// A body is strict JSON with our members as they are meant and all others as they came.
fn body(case: &Case<'_>) {
    let body =
        BTreeMap::from([("/tenant".to_owned(), json!(case.template)), ("/a/b".to_owned(), json!([case.template, 1]))]);
    let Some(injection) = case.compiled(&InjectionSource { body, ..InjectionSource::default() }) else { return };
    let apply = |sent: &[u8]| case.with(|values| injection.apply_body(values, &["owned"], None, sent));
    let Ok(applied) = apply(case.sent.as_bytes()) else { return };
    let Ok(goes) = applied else { return assert!(check_object(case.sent.as_bytes()).is_err()) };
    assert_eq!(apply(&goes).expect("a text").expect("an object"), goes);
    let (came, goes) = (object(case.sent.as_bytes()), object(&goes));
    let ours = ["tenant", "a", "owned"];
    ours.iter().for_each(|name| assert_one_spelling(&goes, name));
    let others = |members: &Map<String, Value>| -> Map<String, Value> {
        let other = |name: &String| ours.iter().all(|ours| folded(ours) != folded(name));
        members.iter().filter(|(name, _)| other(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    assert_eq!(others(&came), others(&goes));
    if !case.template.contains("://") {
        let said = case.said().expect("a text");
        assert_eq!(goes.get("tenant").and_then(Value::as_str), said.as_deref());
        let list = Value::from_iter(said.into_iter().map(Value::from).chain([json!(1)]));
        assert_eq!(goes["a"]["b"], list);
    }
}

/// A URL leads to the host that is written, or to one that is allowed, and as deep as it is written.
fn url(case: &Case<'_>) {
    let body =
        BTreeMap::from([("/url".to_owned(), json!(case.template)), ("/s".to_owned(), json!({ "url": case.template }))]);
    let allowed_hosts = vec![ALLOWED.to_owned()];
    let Some(injection) = case.compiled(&InjectionSource { body, allowed_hosts, ..InjectionSource::default() }) else {
        return;
    };
    let Ok(Ok(goes)) = case.with(|values| injection.apply_body(values, &[], None, b"{}")) else { return };
    let Some(found) = object(&goes)["s"]["url"].as_str().map(str::to_owned) else { return };
    let pieces = case.said.expect("a template");
    let begins = pieces.iter().find_map(|piece| match piece {
        Piece::Written(text) if text.is_empty() => None,
        Piece::Written(text) => Some(text.as_str()),
        _ => Some(""),
    });
    if !pieces.iter().any(|piece| matches!(piece, Piece::Value(_))) || !begins.is_some_and(is_web_or_nothing) {
        return;
    }
    let harmless = pieces.iter().map(|piece| match piece {
        Piece::Written(text) => text.as_str(),
        _ => "x",
    });
    let written = Url::parse(&harmless.collect::<String>());
    leads(&found, written.ok().as_ref());
}

/// How the template of a URL may begin: as one of the web, or with a value.
fn is_web_or_nothing(text: &str) -> bool {
    text.is_empty() || text.starts_with("https://") || text.starts_with("http://")
}

fn leads(found: &str, written: Option<&Url>) {
    // What is no URL leads nowhere.
    let Ok(url) = Url::parse(found) else { return };
    let as_written = written.and_then(Url::host_str);
    if url.host_str() != as_written {
        assert_eq!(url.host_str(), Some(ALLOWED), "{found}");
        return assert_eq!(plain_host(found).to_ascii_lowercase(), ALLOWED, "two readers, two hosts: {found}");
    }
    let depth = |url: &Url| url.path_segments().map(Iterator::count);
    assert_eq!(depth(&url), written.and_then(depth), "{found}");
}

/// The host as RFC 3986 has it, which knows no backslash and no space.
fn plain_host(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default()
}
