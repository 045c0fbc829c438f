//! `/admin/v1/service-tokens`.

use axum::extract::Path;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sidegate_core::id::{AppId, ServiceTokenId, WorkspaceId};
use sidegate_core::service_token::{NewServiceToken, Scope};

use super::{Answered, Caller, Strict, answered, lifetime, overlap};
use crate::service_tokens::Shown;

#[derive(Serialize)]
struct List<'a> {
    service_tokens: Vec<Shown<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    id: Option<ServiceTokenId>,
    scopes: Vec<Scope>,
    #[serde(default)]
    apps: Vec<AppId>,
    #[serde(default)]
    workspaces: Vec<WorkspaceId>,
    expires_in: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    overlap: Option<String>,
    expires_in: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    #[serde(default)]
    reason: String,
}

pub(super) async fn list(caller: Caller) -> Answered {
    let tokens = caller.service_tokens().await?;
    answered(StatusCode::OK, &List { service_tokens: tokens.iter().map(|token| Shown::new(token, None)).collect() })
}

pub(super) async fn create(caller: Caller, Strict(asked): Strict<Create>) -> Answered {
    let Create { id, scopes, apps, workspaces, expires_in } = asked;
    let lifetime = lifetime("expires_in", expires_in)?;
    let asked = NewServiceToken { id, scopes, apps, workspaces, lifetime };
    let (token, secret) = caller.create_service_token(asked).await?;
    answered(StatusCode::CREATED, &Shown::new(&token, Some(&secret)))
}

pub(super) async fn show(caller: Caller, Path(id): Path<String>) -> Answered {
    answered(StatusCode::OK, &Shown::new(&caller.service_token(&id).await?, None))
}

pub(super) async fn rotate(caller: Caller, Path(id): Path<String>, Strict(asked): Strict<Rotate>) -> Answered {
    let lifetime = lifetime("expires_in", asked.expires_in)?;
    let (token, secret) = caller.rotate_service_token(&id, overlap(asked.overlap)?, lifetime).await?;
    answered(StatusCode::OK, &Shown::new(&token, Some(&secret)))
}

pub(super) async fn revoke(caller: Caller, Path(id): Path<String>, Strict(asked): Strict<Revoke>) -> Answered {
    answered(StatusCode::OK, &Shown::new(&caller.revoke_service_token(&id, &asked.reason).await?, None))
}
