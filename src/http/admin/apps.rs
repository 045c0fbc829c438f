//! `/admin/v1/apps`.

use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::AppId;
use sidegate_core::service_token::Scope;

use super::{Answered, Caller, Nothing, Refused, Strict, TheGate, answered, overlap};
use crate::apps::{AppSettings, Shown, WithSecret};

#[derive(Serialize)]
struct List {
    apps: Vec<Shown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateSecret {
    overlap: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateKey {
    key: Option<Key>,
    #[serde(default)]
    drop_retired: bool,
}

/// A key as the configuration has it, but always written out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    value: SecretString,
}

pub(super) async fn list(caller: Caller, State(gate): TheGate) -> Answered {
    caller.may(Scope::APPS_READ, caller.token.apps.first())?;
    let mut apps = gate.apps.list().await?;
    let own = &caller.token.apps;
    apps.retain(|app| own.is_empty() || own.iter().any(|own| own.as_str() == app.id));
    answered(StatusCode::OK, &List { apps })
}

pub(super) async fn create(caller: Caller, State(gate): TheGate, Strict(settings): Strict<AppSettings>) -> Answered {
    // First the right, then what is wrong: a caller without it learns nothing.
    caller.may(Scope::APPS_WRITE, caller.token.apps.first())?;
    match (settings.get("id"), settings.id()) {
        (Some(_), None) => {}
        (_, id) => caller.may(Scope::APPS_WRITE, id.as_ref())?,
    }
    let (app, secret) = gate.apps.create(settings).await?;
    tagged(StatusCode::CREATED, &app, secret.as_ref())
}

pub(super) async fn show(caller: Caller, State(gate): TheGate, Path(id): Path<String>) -> Answered {
    let id = of_caller(&caller, Scope::APPS_READ, &id)?;
    tagged(StatusCode::OK, &gate.apps.get(&id).await?, None)
}

pub(super) async fn update(
    caller: Caller,
    State(gate): TheGate,
    Path(id): Path<String>,
    headers: HeaderMap,
    Strict(settings): Strict<AppSettings>,
) -> Answered {
    let id = of_caller(&caller, Scope::APPS_WRITE, &id)?;
    let expected = expected(&headers)?;
    tagged(StatusCode::OK, &gate.apps.update(&id, &settings, expected).await?, None)
}

pub(super) async fn disable(
    caller: Caller,
    State(gate): TheGate,
    Path(id): Path<String>,
    _: Strict<Nothing>,
) -> Answered {
    let id = of_caller(&caller, Scope::APPS_WRITE, &id)?;
    tagged(StatusCode::OK, &gate.apps.disable(&id).await?, None)
}

pub(super) async fn enable(
    caller: Caller,
    State(gate): TheGate,
    Path(id): Path<String>,
    _: Strict<Nothing>,
) -> Answered {
    let id = of_caller(&caller, Scope::APPS_WRITE, &id)?;
    tagged(StatusCode::OK, &gate.apps.enable(&id).await?, None)
}

pub(super) async fn rotate_secret(
    caller: Caller,
    State(gate): TheGate,
    Path(id): Path<String>,
    Strict(asked): Strict<RotateSecret>,
) -> Answered {
    let id = of_caller(&caller, Scope::APPS_WRITE, &id)?;
    let (app, secret) = gate.apps.rotate_secret(&id, overlap(asked.overlap)?).await?;
    tagged(StatusCode::OK, &app, Some(&secret))
}

pub(super) async fn rotate_key(
    caller: Caller,
    State(gate): TheGate,
    Path(id): Path<String>,
    Strict(asked): Strict<RotateKey>,
) -> Answered {
    let id = of_caller(&caller, Scope::APPS_WRITE, &id)?;
    let key = asked.key.map(|key| key.value);
    tagged(StatusCode::OK, &gate.apps.rotate_key(&id, key, asked.drop_retired).await?, None)
}

/// The app of a path, if the caller may do this to it. What is no id names nothing.
fn of_caller(caller: &Caller, scope: &str, id: &str) -> Result<AppId, Denial> {
    let id = AppId::parse(id).ok();
    caller.may(scope, id.as_ref().or(caller.token.apps.first()))?;
    id.ok_or_else(|| Code::NotFound.into())
}

/// An answer with the tag of the app's revision.
fn tagged(status: StatusCode, app: &Shown, secret: Option<&SecretString>) -> Answered {
    let mut answer: Response = answered(status, &WithSecret::new(app, secret))?;
    if let Some(revision) = app.revision {
        let tag = HeaderValue::try_from(format!("\"{revision}\"")).map_err(|_| Refused(Code::Internal.into()))?;
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

/// The revision that `If-Match` names (RFC 9110 section 13.1.1), if it names one.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Denial> {
    const RULE: &str = "If-Match must be one entity tag, or *";
    let mut fields = headers.get_all(IF_MATCH).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let text = field.to_str().ok().filter(|text| fields.next().is_none() && !text.contains(','));
    match text.map(str::trim) {
        None => Err(Denial::because(Code::InvalidRequest, RULE)),
        Some("*") => Ok(None),
        Some(tag) => {
            let revision = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse().ok());
            revision.map(Some).ok_or_else(|| Code::PreconditionFailed.into())
        }
    }
}
