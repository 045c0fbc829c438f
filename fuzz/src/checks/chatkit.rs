//! Requests of Orcheo's and OpenAI's ChatKit.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use sidegate_core::dialect::orcheo::openai::{parse_realtime, parse_session as parse_openai};
use sidegate_core::dialect::orcheo::service_tokens::{parse_create, parse_revocation, parse_rotation};
use sidegate_core::dialect::orcheo::{
    Access, Kind, Request, Workflow, WorkflowId, X_ORCHEO_VISITOR_ID, bound_query, parse_session, uploaded, visitor,
};
use sidegate_core::entropy::{Entropy, EntropyUnavailable};
use sidegate_core::id::AppId;
use url::form_urlencoded;

use super::text::{assert_one_spelling, folded, object};

const WORKFLOW: &str = "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1";

/// The same byte again and again, so that an input that fails once fails again.
struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        bytes.fill(7);
        Ok(())
    }
}

/// See `fuzz_targets/chatkit.rs`.
pub fn chatkit(data: &[u8]) {
    let workflow = WORKFLOW.parse::<WorkflowId>().expect("an id");
    request(data, &workflow);
    session(data);
    asked_of_openai(data);
    service_token(data);
    upload(data);
    query(&String::from_utf8_lossy(data), &workflow);
    cookies(data);
}

/// A request goes on about what the gate has looked at, and bound to the workflow, whoever reads it.
fn request(body: &[u8], id: &WorkflowId) {
    let Ok(read) = Request::parse(body) else { return };
    let workflow = Workflow { id: id.clone(), name: None, version: None, access: Access::Token };
    let goes = read.bound_to(&workflow).expect("bound");
    let (said, bound) = (object(body), object(&goes));
    // Serde takes a list for an object; the upstream takes neither for the other.
    let is_object = |value: &Value| value.is_object() && value.get("input").is_none_or(Value::is_object);
    if !said.get("params").is_none_or(is_object) {
        return;
    }
    assert_eq!(said["type"], read.kind.name());
    assert_eq!(bound["workflow_id"], id.as_str());
    assert_eq!(bound["metadata"]["workflow_id"], id.as_str());
    assert_one_spelling(&bound, "workflow_id");
    assert_one_spelling(&bound, "metadata");
    let thread = read.thread.as_ref().map(|id| id.as_str());
    assert_eq!(thread.is_some(), read.kind.names_thread());
    assert_eq!(said.get("params").and_then(|params| params.get("thread_id")).and_then(Value::as_str), thread);
    if thread.is_some() {
        assert_one_spelling(bound["params"].as_object().expect("an object"), "thread_id");
    }
    attached(&read, &said);
    let owned = ["workflowid", "metadata", "params"];
    for (name, value) in bound.iter().filter(|(name, _)| !owned.contains(&&*folded(name))) {
        assert_eq!(said.get(name), Some(value), "{name}");
    }
    let again = Request::parse(&goes).expect("what was taken is taken again");
    assert_eq!((again.kind, &again.thread, &again.attachments), (read.kind, &read.thread, &read.attachments));
    assert_eq!(again.unverified_workflow.as_ref(), Some(id));
    assert_eq!(again.bound_to(&workflow).as_ref(), Ok(&goes));
}

/// The attachments that a request names are those whose owner is asked for.
fn attached(read: &Request<'_>, said: &Map<String, Value>) {
    let found: Vec<_> = read.attachments.iter().map(|id| id.as_str()).collect();
    let text = |value: &'_ Value| value.as_str().map(str::to_owned);
    let said: Vec<String> = match read.kind {
        Kind::ThreadsCreate | Kind::ThreadsAddUserMessage => {
            let listed = said["params"].pointer("/input/attachments").and_then(Value::as_array);
            listed.into_iter().flatten().filter_map(text).collect()
        }
        Kind::AttachmentsDelete => text(&said["params"]["attachment_id"]).into_iter().collect(),
        _ => Vec::new(),
    };
    assert_eq!(found, said);
}

/// What a token says beside its own claims is what was asked for, and short.
fn session(body: &[u8]) {
    let Ok(wire) = parse_session(body) else { return };
    let Ok(workflow) = wire.workflow() else { return };
    let named = wire.names_end_user();
    let Ok(asked) = wire.into_request(workflow.unwrap_or_else(|| WORKFLOW.parse().expect("an id")), &Sevens) else {
        return;
    };
    let said = object(if body.is_empty() { b"{}" } else { body });
    let user = said.get("user").and_then(|user| user.get("id")).and_then(Value::as_str);
    assert_eq!(user.is_some(), named);
    match user {
        Some(id) => assert_eq!(asked.subject.as_str(), id),
        None => assert!(asked.subject.as_str().starts_with("anon-")),
    }
    assert!(Value::from(asked.details.clone()).to_string().len() <= 2_048);
    for (name, value) in &asked.details {
        let camel = if name == "workflow_label" { "workflowLabel" } else { name.as_str() };
        assert_eq!(said.get(name).or_else(|| said.get(camel)), Some(value), "{name}");
    }
}

/// What is taken from a customer's server is within the settings that took it.
fn asked_of_openai(body: &[u8]) {
    if let Ok(asked) = parse_openai(body) {
        let said = object(body);
        assert_eq!(said["user"], asked.end_user.as_str());
        assert_eq!(said["workflow"]["id"], asked.workflow.as_str());
        let settings = asked.settings;
        assert!(settings.clone().within(&settings).is_ok_and(|within| within == settings));
    }
    let Ok(asked) = parse_realtime(body) else { return };
    let is_sendable = asked.check().is_ok();
    assert_eq!(asked.clone().within(&asked).is_ok(), is_sendable);
    assert!(serde_json::from_slice::<Value>(&asked.body()).is_ok());
}

/// A service token has what was asked for and nothing that was not.
fn service_token(body: &[u8]) {
    if let Ok(asked) = parse_create(body) {
        let said = object(body);
        let texts = |name: &str| said.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        assert_eq!(Value::from(texts("scopes")), serde_json::json!(asked.scopes));
        assert_eq!(Value::from(texts("workspace_ids")), serde_json::json!(asked.workspaces));
        assert!(asked.apps.is_empty());
        let seconds = asked.lifetime.map(|lifetime| lifetime.as_secs());
        assert_eq!(said.get("expires_in_seconds").and_then(Value::as_u64), seconds);
        assert!(seconds.is_none_or(|seconds| seconds >= 60));
        let known = ["identifier", "name", "scopes", "workspace_ids", "expires_in_seconds"];
        assert!(said.keys().all(|name| known.contains(&name.as_str())));
    }
    if let Ok(asked) = parse_rotation(body) {
        let said = object(body).get("overlap_seconds").and_then(Value::as_u64);
        assert!(said.is_none_or(|seconds| asked.overlap.as_secs() == seconds));
    }
    if let Ok(reason) = parse_revocation(body) {
        assert_eq!(object(body).get("reason").and_then(Value::as_str).unwrap_or_default(), reason);
    }
}

fn upload(body: &[u8]) {
    let Some((id, goes)) = uploaded(body) else { return };
    assert_eq!(object(&goes)["id"], id.as_str());
    assert!(!names_storage(&Value::Object(object(&goes))));
    assert!(uploaded(&goes).is_some_and(|(again, _)| again == id));
}

fn names_storage(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.keys().any(|name| folded(name) == "storagepath") || members.values().any(names_storage)
        }
        Value::Array(items) => items.iter().any(names_storage),
        _ => false,
    }
}

/// A query names the workflow once, and says all else as before.
fn query(sent: &str, workflow: &WorkflowId) {
    let bound = bound_query(Some(sent), workflow);
    let named = |query: &str| {
        let pairs = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name.is_ascii() && folded(name) == "workflowid");
        pairs.map(|(_, value)| value.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named(&bound), [WORKFLOW], "{bound}");
    assert_eq!(bound_query(Some(&bound), workflow), bound);
    if named(sent).is_empty() && !sent.contains([';', '[']) {
        let pairs = sent.split('&').filter(|pair| !pair.is_empty()).map(|pair| format!("{pair}&")).collect::<String>();
        assert_eq!(bound, format!("{pairs}workflow_id={WORKFLOW}"));
    }
}

/// Who comes back is known again, to one app alone, and by nothing that two have set.
fn cookies(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(4) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(COOKIE, value);
    }
    let [one, other] = ["wapp_1", "wapp_2"].map(|id| AppId::parse(id).expect("an id"));
    let of = |app: &AppId, headers: &HeaderMap| visitor(app, headers, true, &Sevens).expect("a visitor");
    let (found, elsewhere) = (of(&one, &headers), of(&other, &headers));
    assert_ne!(found.end_user, elsewhere.end_user);
    let shown = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    let named: Vec<_> = shown.filter_map(|pair| pair.trim_ascii().strip_prefix(b"__Host-sidegate-visitor=")).collect();
    let is_id = |value: &[u8]| {
        value.len() == 64 && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
    };
    let comes_back = matches!(named[..], [value] if is_id(value));
    assert_eq!(found.set_cookie.is_none(), comes_back, "{headers:?}");
    if let Some(set) = &found.set_cookie {
        let pair = set.to_str().expect("text").split(';').next().expect("a pair");
        let back = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).expect("a value"))]);
        assert_eq!(of(&one, &back).end_user, found.end_user);
    }
    let Some(id) = named.first().and_then(|value| HeaderValue::from_bytes(value).ok()) else { return };
    let by_field = HeaderMap::from_iter([(X_ORCHEO_VISITOR_ID, id)]);
    let same = visitor(&one, &by_field, true, &Sevens).is_ok_and(|by_field| by_field.end_user == found.end_user);
    assert!(!same, "a page names one that came by a cookie");
}
