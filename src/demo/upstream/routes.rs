//! The handlers of the task API.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Service,
    body::NewMessage,
    events, reply,
    task::{Job, Status},
};

type Shared = State<Arc<Service>>;
type Answer = Result<Json<Value>, Refusal>;

pub(super) async fn create(State(service): Shared, headers: HeaderMap, asked: NewMessage) -> Answer {
    let owner = end_user(&headers).map(str::to_owned);
    let (id, job) = service.tasks.create(owner, asked, (service.settings.now)())?;
    if let Some(job) = job {
        start(&service, job);
    }
    Ok(success(json!({ "id": id, "status": Status::Pending })))
}

pub(super) async fn add_message(
    State(service): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: NewMessage,
) -> Answer {
    let now = (service.settings.now)();
    let job = service.tasks.add(&id, end_user(&headers), asked, now)?;
    start(&service, job);
    Ok(success(json!({ "status": Status::Running })))
}

/// At most one runs per task, and tasks are bounded, so these are, too.
fn start(service: &Arc<Service>, job: Job) {
    tokio::spawn(events::execute(Arc::clone(service), job));
}

#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    offset: usize,
    #[serde(default = "Page::default_limit")]
    limit: usize,
}

impl Page {
    const MAX_LIMIT: usize = 100;

    fn default_limit() -> usize {
        50
    }
}

pub(super) async fn list(
    State(service): Shared,
    headers: HeaderMap,
    page: Result<Query<Page>, QueryRejection>,
) -> Answer {
    let Query(page) = page.map_err(|error| Refusal::bad_request(error.body_text()))?;
    let (offset, limit) = (page.offset, page.limit.min(Page::MAX_LIMIT));
    let (tasks, total) = service.tasks.page(end_user(&headers), offset, limit);
    let has_more = offset.saturating_add(tasks.len()) < total;
    Ok(Json(json!({
        "success": true,
        "data": tasks,
        "pagination": { "total": total, "limit": limit, "offset": offset, "hasMore": has_more },
    })))
}

pub(super) async fn show(State(service): Shared, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let task = service.tasks.get(&id, end_user(&headers))?;
    Ok(success(json!(task.summary())))
}

pub(super) async fn history(State(service): Shared, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let task = service.tasks.get(&id, end_user(&headers))?;
    Ok(success(json!(task.messages)))
}

pub(super) async fn stream(
    State(service): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let task = service.tasks.get(&id, end_user(&headers))?;
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, events::body(task)).into_response())
}

fn success(data: Value) -> Json<Value> {
    Json([("success", Value::Bool(true)), ("data", data)].into_iter().collect())
}

/// Whom the gate vouches for. Callers that hold the service key are trusted to say so.
fn end_user(headers: &HeaderMap) -> Option<&str> {
    headers.get(reply::END_USER)?.to_str().ok()
}
