//! `/admin/v1/service-tokens`.

use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::{AppId, ServiceTokenId, WorkspaceId};
use sidegate_core::service_token::{NewServiceToken, Scope};

use super::{Answered, Caller, Strict, TheGate, answered, lifetime, overlap};
use crate::service_tokens::Shown;

/// Characters of the reason of a revocation.
const MAX_REASON: usize = 256;

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

pub(super) async fn list(caller: Caller, State(gate): TheGate) -> Answered {
    caller.may(Scope::TOKENS_READ, None)?;
    let tokens = gate.service_tokens.list().await?;
    answered(StatusCode::OK, &List { service_tokens: tokens.iter().map(|token| Shown::new(token, None)).collect() })
}

pub(super) async fn create(caller: Caller, State(gate): TheGate, Strict(asked): Strict<Create>) -> Answered {
    let Create { id, scopes, apps, workspaces, expires_in } = asked;
    let lifetime = lifetime("expires_in", expires_in)?;
    let asked = NewServiceToken { id, scopes, apps, workspaces, lifetime };
    caller.governs(asked.rights())?;
    let (token, secret) = gate.service_tokens.create(asked).await?;
    answered(StatusCode::CREATED, &Shown::new(&token, Some(&secret)))
}

pub(super) async fn show(caller: Caller, State(gate): TheGate, Path(id): Path<String>) -> Answered {
    caller.may(Scope::TOKENS_READ, None)?;
    answered(StatusCode::OK, &Shown::new(&gate.service_tokens.get(&name(&id)?).await?, None))
}

pub(super) async fn rotate(
    caller: Caller,
    State(gate): TheGate,
    Path(id): Path<String>,
    Strict(asked): Strict<Rotate>,
) -> Answered {
    let id = name(&id)?;
    let overlap = overlap(asked.overlap)?;
    let lifetime = lifetime("expires_in", asked.expires_in)?;
    govern(&caller, &id).await?;
    let (token, secret) = gate.service_tokens.rotate(&id, overlap, lifetime).await?;
    answered(StatusCode::OK, &Shown::new(&token, Some(&secret)))
}

pub(super) async fn revoke(
    caller: Caller,
    State(gate): TheGate,
    Path(id): Path<String>,
    Strict(asked): Strict<Revoke>,
) -> Answered {
    let id = name(&id)?;
    if asked.reason.chars().count() > MAX_REASON || asked.reason.chars().any(char::is_control) {
        return Err(Denial::because(Code::InvalidRequest, "reason must be plain text of at most 256 characters").into());
    }
    govern(&caller, &id).await?;
    answered(StatusCode::OK, &Shown::new(&gate.service_tokens.revoke(&id, &asked.reason).await?, None))
}

/// Whether the caller holds all rights of the one that it wants to change.
async fn govern(caller: &Caller, id: &ServiceTokenId) -> Result<(), Denial> {
    caller.may(Scope::TOKENS_WRITE, caller.token.apps.first())?;
    let token = caller.gate.service_tokens.get(id).await?;
    caller.governs(token.rights())
}

/// What is no name names nothing.
fn name(text: &str) -> Result<ServiceTokenId, Code> {
    text.parse().map_err(|_| Code::NotFound)
}
