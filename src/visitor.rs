//! Requests without a token, for workflows that are published: the body names the workflow, and with it the app. The
//! body is read first, then the same is asked as of any request; the result is an [`Admission`] like any other.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue};
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::{self, Access, Workflow};
use sidegate_core::id::EndUserId;
use sidegate_core::policy;
use tokio::sync::SemaphorePermit;

use crate::admit::{Admission, Asked, check, cors_of, provenance, request_origin, unproven};
use crate::authorize::authorize;
use crate::forward::{Client, Refused, announced_length};
use crate::gate::Gate;
use crate::limits::Counted;
use crate::registry::Registered;

/// Larger bodies of visitors that are in memory at once: in all as many times `limits.json_body`.
pub const MAX_VISITS: usize = 64;

/// Bytes of a body that needs no place: a message.
const SMALL: u64 = 16 * 1024;

/// A place for a visitor's body, where it needs one.
///
/// # Errors
/// [`Code::OriginNotAllowed`] for a page that no app lets in; [`Code::Overloaded`] if all are taken.
pub fn place<'a>(gate: &'a Gate, headers: &HeaderMap, cors: &Cors) -> Result<Option<SemaphorePermit<'a>>, Denial> {
    if headers.contains_key(ORIGIN) && cors.origin().is_none() {
        return Err(Code::OriginNotAllowed.into());
    }
    if announced_length(headers).is_some_and(|length| length <= SMALL) {
        return Ok(None);
    }
    let taken = |_| Denial::retry(Code::Overloaded, Duration::from_secs(1));
    gate.visits.try_acquire().map(Some).map_err(taken)
}

/// A visitor's request that may pass.
pub struct Visit {
    /// The proof.
    pub admission: Admission,
    /// To be set with the answer.
    pub set_cookie: Option<HeaderValue>,
}

/// Admits a request by its body or refuses it; either way says what the answer may tell a page of its origin.
pub async fn admit_visitor(
    gate: &Gate,
    client: &Rc<Client>,
    asked: Asked<'_>,
    body: Result<Bytes, Denial>,
) -> (Cors, Result<Visit, Refused>) {
    let registry = gate.registry.load();
    let origin = request_origin(asked.headers);
    let found = body.and_then(|body| {
        let workflow = orcheo::Request::parse(&body)?.unverified_workflow.ok_or(Code::MissingWorkflow)?;
        let registered = registry.of_workflow(&workflow).filter(|found| found.is_meant_by(asked.named));
        let registered = registered.ok_or(Code::WorkflowNotFound)?;
        Ok((Arc::clone(registered), registered.app.workflows.asked(Some(&workflow))?.clone()))
    });
    let (registered, workflow) = match found {
        Ok(found) => found,
        Err(denial) => {
            let dialect = Some(asked.call.operation.dialect());
            return (unproven(&registry, asked.named, dialect, origin), Err(denial.into()));
        }
    };
    let cors = cors_of(&registered.app, asked.named.is_some(), origin);
    match visit(gate, client, asked, registered, workflow).await {
        Err(refused) if refused.denial.code == Code::OriginNotAllowed => (Cors::Silent, Err(refused)),
        visit => (cors, visit),
    }
}

async fn visit(
    gate: &Gate,
    client: &Rc<Client>,
    asked: Asked<'_>,
    registered: Arc<Registered>,
    workflow: Workflow,
) -> Result<Visit, Refused> {
    let app = &registered.app;
    let (from, own) = (provenance(asked.headers), gate.own_origin());
    // Before anybody is asked about who comes.
    policy::check_origin(app, from, own)?;
    let mut set_cookie = None;
    let (end_user, known) = match workflow.access {
        Access::Token => return Err(Code::NotPublished.into()),
        Access::Login => (logged_in(&registered, client, &asked, gate).await?, true),
        Access::Everybody => {
            let sets_cookies = asked.named.is_some() && app.knows_visitors_by_cookie();
            let visitor = orcheo::visitor(&app.id, asked.headers, sets_cookies, &*gate.entropy)?;
            set_cookie = visitor.set_cookie;
            (visitor.end_user, false)
        }
    };
    let permit = policy::admit_visitor(app, &workflow, end_user, from, (gate.now(), own))?;
    // The visitor's own limits come first: who is refused by them takes no place of the workflow's.
    let admission = check(gate, permit, Arc::clone(&registered), asked.call, (from, asked.sender)).await?;
    let admission = admission.tethered(gate, None)?;
    let end_user = &admission.permit().claims().subject;
    let counted = Counted::of(asked.sender, end_user).for_workflow(Some(&workflow.id));
    gate.count(registered.limits.publish.as_ref(), counted).await?;
    let field = if known { orcheo::X_ORCHEO_OAUTH_SUBJECT } else { orcheo::X_ORCHEO_VISITOR_ID };
    Ok(Visit { admission: admission.naming_end_user(field)?, set_cookie })
}

/// Who has logged in at the customer's site; a session that nobody has a name for is none.
async fn logged_in(
    registered: &Registered,
    client: &Rc<Client>,
    asked: &Asked<'_>,
    gate: &Gate,
) -> Result<EndUserId, Refused> {
    let authorized = authorize(gate, registered, client, asked.headers, asked.sender).await;
    let authorized = authorized.map_err(|refused| match refused.denial.code {
        Code::AuthRequired | Code::InvalidAuthFormat => Refused::from(Code::LoginRequired),
        _ => refused,
    })?;
    Ok(authorized.end_user().cloned().ok_or(Code::LoginRequired)?)
}
