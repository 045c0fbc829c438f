//! `/v1/integration/widget/…` and `/v1/blueprint/…`, and the same below `/api`: ChatBotKit's API for widgets, for the
//! customer's servers. Callers show a service token.

mod list;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{Blueprint, Widget, file_answer, id_answer, parse_attach};
use sidegate_core::dialect::orcheo::bearer;
use sidegate_core::id::{FileId, ObjectId};
use sidegate_core::message::Reply;
use sidegate_core::service_token::{Scope, ServiceToken};

use super::{Answered, Caller, JsonBody, Refused, Shape, answered, wrong};
use crate::gate::Gate;
use crate::http::convert;
use crate::registry::Registered;
use crate::widgets::{Account, Kept};

/// Which account is meant, by a caller of several.
const RUN_AS: HeaderName = HeaderName::from_static("x-runas-user-id");

/// What paths begin with.
const PREFIXES: [&str; 2] = ["/v1", "/api/v1"];

/// All routes.
pub(super) fn router() -> Router<Arc<Gate>> {
    PREFIXES.iter().fold(Router::new(), |router, prefix| {
        router.merge(widgets(&format!("{prefix}/integration/widget"))).merge(blueprints(&format!("{prefix}/blueprint")))
    })
}

fn widgets(base: &str) -> Router<Arc<Gate>> {
    let post_only = || wrong("POST");
    Router::new()
        .route(&format!("{base}/list"), get(list::list::<Widget>).fallback(wrong("GET")))
        .route(&format!("{base}/create"), post(create::<Widget>).fallback(post_only()))
        .route(&format!("{base}/{{id}}/fetch"), get(fetch::<Widget>).fallback(wrong("GET")))
        .route(&format!("{base}/{{id}}/update"), post(update::<Widget>).fallback(post_only()))
        .route(&format!("{base}/{{id}}/delete"), post(delete_widget).fallback(post_only()))
        .route(&format!("{base}/{{id}}/clone"), post(clone).fallback(post_only()))
        .route(&format!("{base}/{{id}}/setup"), post(set_up).fallback(post_only()))
        .route(&format!("{base}/{{id}}/disable"), post(disable).fallback(post_only()))
        .route(&format!("{base}/{{id}}/enable"), post(enable).fallback(post_only()))
        .route(&format!("{base}/{{id}}/usage"), get(usage).fallback(wrong("GET")))
        .route(&format!("{base}/{{id}}/file/{{file}}/attach"), post(attach).fallback(post_only()))
        .route(&format!("{base}/{{id}}/file/{{file}}/detach"), post(detach).fallback(post_only()))
}

fn blueprints(base: &str) -> Router<Arc<Gate>> {
    Router::new()
        .route(&format!("{base}/list"), get(list::list::<Blueprint>).fallback(wrong("GET")))
        .route(&format!("{base}/create"), post(create::<Blueprint>).fallback(wrong("POST")))
        .route(&format!("{base}/{{id}}/fetch"), get(fetch::<Blueprint>).fallback(wrong("GET")))
        .route(&format!("{base}/{{id}}/update"), post(update::<Blueprint>).fallback(wrong("POST")))
        .route(&format!("{base}/{{id}}/delete"), post(delete_blueprint).fallback(wrong("POST")))
}

/// These routes in OpenAPI 3.1, for whoever wants to call them.
const OPENAPI: &str = include_str!("openapi.json");

/// `GET /admin/v1/openapi/chatbotkit.json`. It says what anybody may know, so anybody who reaches this listener may.
pub(super) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], OPENAPI)
}

/// The account whose widgets a caller may see, or change if `WRITES`.
pub(super) struct Of<const WRITES: bool>(Account);

type Reads = Of<false>;
type Writes = Of<true>;

impl<const WRITES: bool> FromRequestParts<Arc<Gate>> for Of<WRITES> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, gate: &Arc<Gate>) -> Result<Self, Refused> {
        let caller = Caller::from_request_parts(parts, gate).await?;
        let scope = if WRITES { Scope::WIDGETS_WRITE } else { Scope::WIDGETS_READ };
        let app = account(&caller.token, gate, scope, run_as(&parts.headers))?.app.id.clone();
        let (widgets, entropy) = (Arc::clone(&gate.widgets), Arc::clone(&gate.entropy));
        Ok(Self(Account { app, widgets, now: gate.now(), entropy }))
    }
}

/// The account that a caller of several names.
pub(in crate::http) fn run_as(headers: &HeaderMap) -> Option<&str> {
    headers.get(RUN_AS).map(|id| id.to_str().unwrap_or_default())
}

/// The app that is meant: the one that is named, or the only one that the caller may do this with.
pub(in crate::http) fn account(
    token: &ServiceToken,
    gate: &Gate,
    scope: &str,
    named: Option<&str>,
) -> Result<Arc<Registered>, Denial> {
    let (registry, now) = (gate.registry.load(), gate.now());
    let may = |found: &&Arc<Registered>| token.allows(scope, Some(&found.app.id), now).is_ok();
    let is_of_dialect = |found: &&Arc<Registered>| found.app.dialect == Dialect::ChatBotKit;
    let found = match named {
        Some(id) => (registry.app(id).filter(is_of_dialect).filter(may), None),
        None => {
            let mut all = registry.apps().filter(is_of_dialect).filter(may);
            (all.next(), all.next())
        }
    };
    match found {
        (Some(one), None) => Ok(Arc::clone(one)),
        (Some(_), Some(_)) => {
            Err(Denial::because(Code::InvalidRequest, "Several apps are meant: name one in X-RunAs-User-Id"))
        }
        (None, _) => {
            token.allows(scope, token.apps.first(), now)?;
            Err(Denial::because(Code::NotFound, "There is no such app"))
        }
    }
}

/// The app whose widgets are meant, if the vendor keeps them and the caller may do this.
pub(in crate::http) fn passed(shape: Shape, gate: &Gate, parts: &Parts) -> Option<Arc<Registered>> {
    if shape != Shape::ChatBotKit || !gate.registry.load().apps().any(|registered| registered.app.is_passed()) {
        return None;
    }
    let shown = SecretString::from(bearer(&parts.headers).ok()??);
    let token = gate.service_tokens.recognise(&shown).ok()?;
    let scope = if parts.method == Method::GET { Scope::WIDGETS_READ } else { Scope::WIDGETS_WRITE };
    let meant = account(&token, gate, scope, run_as(&parts.headers)).ok()?;
    // Where it is not passed on, whoever answers counts it.
    let passed = meant.app.is_passed() && gate.service_tokens.authenticate(&shown).is_ok();
    passed.then_some(meant)
}

/// The ids in a path. What can be none names nothing.
fn id(text: &str) -> Result<ObjectId, Code> {
    ObjectId::parse(text).map_err(|_| Code::NotFound)
}

fn file(text: &str) -> Result<FileId, Code> {
    FileId::parse(text).map_err(|_| Code::NotFound)
}

fn reply(reply: Reply) -> Answered {
    Ok(convert::response(reply).map(Body::from))
}

async fn create<K: Kept + 'static>(Of(account): Writes, JsonBody(body): JsonBody) -> Answered {
    reply(id_answer(&account.create::<K>(&body).await?))
}

async fn fetch<K: Kept + 'static>(Of(account): Reads, Path(path): Path<String>) -> Answered {
    answered(StatusCode::OK, &account.fetch::<K>(&id(&path)?).await?.wire())
}

async fn update<K: Kept + 'static>(
    Of(account): Writes,
    Path(path): Path<String>,
    JsonBody(body): JsonBody,
) -> Answered {
    let id = id(&path)?;
    account.update::<K>(&id, &body).await?;
    reply(id_answer(&id))
}

async fn delete_widget(Of(account): Writes, Path(path): Path<String>, _: JsonBody) -> Answered {
    let id = id(&path)?;
    account.delete_widget(&id).await?;
    reply(id_answer(&id))
}

async fn delete_blueprint(Of(account): Writes, Path(path): Path<String>, _: JsonBody) -> Answered {
    let id = id(&path)?;
    account.delete_blueprint(&id).await?;
    reply(id_answer(&id))
}

async fn clone(Of(account): Writes, Path(path): Path<String>, _: JsonBody) -> Answered {
    reply(id_answer(&account.clone_widget(&id(&path)?).await?))
}

async fn set_up(Of(account): Writes, Path(path): Path<String>, _: JsonBody) -> Answered {
    let id = id(&path)?;
    account.set_up(&id).await?;
    reply(id_answer(&id))
}

async fn disable(Of(account): Writes, Path(path): Path<String>, _: JsonBody) -> Answered {
    switched(&account, &path, true).await
}

async fn enable(Of(account): Writes, Path(path): Path<String>, _: JsonBody) -> Answered {
    switched(&account, &path, false).await
}

async fn switched(account: &Account, path: &str, disabled: bool) -> Answered {
    let id = id(path)?;
    account.switch(&id, disabled).await?;
    reply(id_answer(&id))
}

async fn usage(Of(account): Reads, Path(path): Path<String>) -> Answered {
    let id = id(&path)?;
    let counts = account.usage(&id).await?;
    let usage = json!({
        "id": id,
        "sessions": counts.sessions,
        "messages": counts.messages,
        "refused": counts.refused,
        "bytes": counts.bytes,
    });
    answered(StatusCode::OK, &usage)
}

async fn attach(
    Of(account): Writes,
    Path((path, shown)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Answered {
    let (id, file, kind) = (id(&path)?, file(&shown)?, parse_attach(&body)?);
    account.attach(&id, &file, kind).await?;
    reply(file_answer(&file, kind, &id))
}

async fn detach(Of(account): Writes, Path((path, shown)): Path<(String, String)>, _: JsonBody) -> Answered {
    let (id, file) = (id(&path)?, file(&shown)?);
    let kind = account.detach(&id, &file).await?;
    reply(file_answer(&file, kind, &id))
}
