//! Requests that no token and no session stands behind.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::{Permit, Provenance, check_origin};
use crate::app::App;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::dialect::orcheo::{Access, Workflow, Workspaces};
use crate::id::EndUserId;
use crate::leash::Leash;
use crate::origin::Origin;
use crate::token::Claims;

/// Decides on a request that is about nobody, for what every page of the app may read.
///
/// # Errors
/// [`Code::OriginNotAllowed`].
pub fn admit_page(
    app: &Arc<App>,
    stranger: EndUserId,
    from: Provenance<'_>,
    (now, own_origin): (Timestamp, Option<&Origin>),
) -> Result<Permit, Denial> {
    check_origin(app, from, own_origin)?;
    Ok(Permit { app: Arc::clone(app), claims: Arc::new(claims_of_visit(app, stranger, now)) })
}

/// Decides on a page that loads the frame of a widget, or what opens it: it is about nobody, and a navigation says no
/// origin.
#[must_use]
pub fn admit_frame(app: &Arc<App>, stranger: EndUserId, now: Timestamp) -> Permit {
    Permit { app: Arc::clone(app), claims: Arc::new(claims_of_visit(app, stranger, now)) }
}

/// Decides on what the gate itself says in a session that it has just opened, for whoever asked for the session: where
/// from was decided then.
///
/// # Errors
/// [`Code::InvalidToken`] for claims of another app, or outside their time.
pub fn admit_opened(app: &Arc<App>, claims: Claims, now: Timestamp) -> Result<Permit, Denial> {
    if claims.app != app.id {
        return Err(Code::InvalidToken.into());
    }
    claims.check_times(now)?;
    Ok(Permit { app: Arc::clone(app), claims: Arc::new(claims) })
}

/// How long a stream lasts that was asked for without a token.
const VISIT: Duration = Duration::from_secs(3_600);

/// Decides on a request without a token, for a workflow that is published; who comes has been asked.
///
/// # Errors
/// [`Code::NotPublished`], [`Code::OriginNotAllowed`].
pub fn admit_visitor(
    app: &Arc<App>,
    workflow: &Workflow,
    end_user: EndUserId,
    from: Provenance<'_>,
    (now, own_origin): (Timestamp, Option<&Origin>),
) -> Result<Permit, Denial> {
    check_origin(app, from, own_origin)?;
    if workflow.access == Access::Token || app.workflows.get(&workflow.id) != Some(workflow) {
        return Err(Code::NotPublished.into());
    }
    let claims = Claims { workflow: Some(workflow.id.clone()), ..claims_of_visit(app, end_user, now) };
    Ok(Permit { app: Arc::clone(app), claims: Arc::new(claims) })
}

/// What holds of a request that no token stands behind.
fn claims_of_visit(app: &App, end_user: EndUserId, now: Timestamp) -> Claims {
    Claims {
        app: app.id.clone(),
        subject: end_user,
        origins: Vec::new(),
        id: None,
        workflow: None,
        workspaces: Workspaces::default(),
        leash: Leash::default(),
        details: Map::new(),
        issued_at: now,
        not_before: None,
        expires_at: now.plus(VISIT),
    }
}
