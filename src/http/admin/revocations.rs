//! `/admin/v1/revocations`.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::{AppId, EndUserId, TokenId};
use sidegate_core::revocation::Revocation;
use sidegate_core::service_token::Scope;

use super::{Answered, Caller, Strict, TheGate, answered};
use crate::revocations::{Target, resolve};

/// One token by its text or `jti`, an end user's, an app's, or all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    token: Option<String>,
    app: Option<AppId>,
    jti: Option<TokenId>,
    end_user: Option<EndUserId>,
    #[serde(default)]
    all: bool,
}

#[derive(Serialize)]
struct Revoked<'a> {
    revoked: &'a Revocation,
    kept_until: Option<String>,
}

pub(super) async fn revoke(caller: Caller, State(gate): TheGate, Strict(asked): Strict<Revoke>) -> Answered {
    let registry = gate.registry.load();
    let apps = registry.known();
    // First the right, then what is there: a caller without it learns nothing.
    let target = target(asked)?;
    caller.may(Scope::REVOKE, target.app().or(caller.token.apps.first()))?;
    let resolved = resolve(target, apps, gate.now())?;
    caller.may(Scope::REVOKE, resolved.app.as_ref())?;
    gate.store.revoke(&resolved.revocation, resolved.until).await?;
    let kept_until = resolved.until.rfc3339_millis();
    answered(StatusCode::CREATED, &Revoked { revoked: &resolved.revocation, kept_until })
}

fn target(asked: Revoke) -> Result<Target, Denial> {
    const RULE: &str = "give one of token; app; app and jti; app and end_user; all";
    match asked {
        Revoke { token: Some(token), app: None, jti: None, end_user: None, all: false } => Ok(Target::Token(token)),
        Revoke { token: None, app: Some(app), jti: Some(jti), end_user: None, all: false } => Ok(Target::Id(app, jti)),
        Revoke { token: None, app: Some(app), jti: None, end_user: Some(end_user), all: false } => {
            Ok(Target::EndUser(app, end_user))
        }
        Revoke { token: None, app: Some(app), jti: None, end_user: None, all: false } => Ok(Target::App(app)),
        Revoke { token: None, app: None, jti: None, end_user: None, all: true } => Ok(Target::All),
        _ => Err(Denial::because(Code::InvalidRequest, RULE)),
    }
}
