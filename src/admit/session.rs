//! Requests of dialects that keep sessions: the URL names the app and the session, and what the session is
//! about stands in for a token. The result is an [`Admission`] like any other.

use std::sync::Arc;

use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chat9::{Operation, Query};
use sidegate_core::dialect::{self, Dialect};
use sidegate_core::id::TokenId;
use sidegate_core::policy::{self, Moment};

use super::{Admission, Asked, cors_of, provenance, request_origin, unproven};
use crate::gate::Gate;
use crate::limits::{Counted, Limit, Limits, stranger};
use crate::registry::{Registered, Registry};
use crate::sessions::Live;

/// Admits a request of a session or refuses it; either way says what the answer may tell a page of its origin.
pub async fn admit_widget(
    gate: &Gate,
    operation: Operation,
    asked: Asked<'_>,
    query: Option<&str>,
) -> (Cors, Result<Admission, Denial>) {
    let registry = gate.registry.load();
    let origin = request_origin(asked.headers);
    let found =
        Query::parse(query).and_then(|query| Ok((Arc::clone(bot(&registry, operation, &query, asked.named)?), query)));
    let (registered, query) = match found {
        Ok(found) => found,
        Err(denial) => return (unproven(&registry, asked.named, Some(Dialect::Chat9), origin), Err(denial)),
    };
    let cors = cors_of(&registered.app, true, origin);
    let admission = match operation.needs_session() {
        true => of_session(gate, operation, asked, registered, &query).await,
        false => of_page(gate, operation, asked, registered).await,
    };
    match admission {
        Err(denial) if denial.code == Code::OriginNotAllowed => (Cors::Silent, Err(denial)),
        admission => (cors, admission),
    }
}

/// The bot that a URL names. Whether one is well is asked of the only one, if none is named.
fn bot<'a>(
    registry: &'a Registry,
    operation: Operation,
    query: &Query,
    named: Option<&'a Arc<Registered>>,
) -> Result<&'a Arc<Registered>, Denial> {
    let found = match (&query.unverified_bot, named) {
        (Some(id), named) => registry.app(id).filter(|found| found.is_meant_by(named)),
        (None, Some(named)) => Some(named),
        (None, None) => {
            let only = registry.only_of(Dialect::Chat9).filter(|_| operation == Operation::Health);
            Some(only.ok_or_else(|| Denial::because(Code::InvalidRequest, "bot_id is required"))?)
        }
    };
    found.filter(|found| found.app.dialect == Dialect::Chat9).ok_or_else(|| Code::BotNotFound.into())
}

async fn of_session(
    gate: &Gate,
    operation: Operation,
    asked: Asked<'_>,
    registered: Arc<Registered>,
    query: &Query,
) -> Result<Admission, Denial> {
    let (app, from) = (&registered.app, provenance(asked.headers));
    // Before the store is asked for anything.
    policy::check_origin(app, from, gate.own_origin())?;
    let no_session = |denial: Denial| match (denial.code, operation) {
        (Code::SessionNotFound, Operation::History | Operation::Escalate) => Code::TranscriptNotFound.into(),
        _ => denial,
    };
    let limit = limit_of(&registered.limits, operation);
    // Who guesses asks the store, so that is counted, too, where it can be before anybody is known.
    let (of_user, of_anybody) = (limit.filter(|limit| limit.is_of_users()), limit.filter(|limit| !limit.is_of_users()));
    let nobody = stranger(asked.sender.address)?;
    gate.count(of_anybody, Counted::of(asked.sender, &nobody).by(asked.call.operation)).await?;
    let id = query.session().map_err(no_session)?;
    let live = Live::find(gate, app, &id).await.map_err(no_session)?;
    let permit = {
        let revoked = gate.revoked.current()?;
        let moment = Moment { now: gate.now(), revoked: &revoked, own_origin: gate.own_origin() };
        policy::admit_session(app, live.claims(app)?, from, moment).map_err(no_session)?
    };
    // What was said in it can be read when it is closed; its answer says that it is.
    if live.is_closed() && operation != Operation::History {
        return Err(Code::SessionClosed.into());
    }
    let counted = Counted::of(asked.sender, &permit.claims().subject).by(asked.call.operation);
    gate.count(of_user, counted.in_session(permit.claims().id.as_ref().map(TokenId::as_str))).await?;
    let session = Some(Box::new(live));
    Admission { session, ..Admission::new(permit, registered, asked.call) }.tethered(gate, None)
}

/// What is about nobody: every page of the bot may have it.
async fn of_page(
    gate: &Gate,
    operation: Operation,
    asked: Asked<'_>,
    registered: Arc<Registered>,
) -> Result<Admission, Denial> {
    let (from, moment) = (provenance(asked.headers), (gate.now(), gate.own_origin()));
    let permit = policy::admit_page(&registered.app, stranger(asked.sender.address)?, from, moment)?;
    let counted = Counted::of(asked.sender, &permit.claims().subject).by(asked.call.operation);
    gate.count(limit_of(&registered.limits, operation), counted).await?;
    Ok(Admission::new(permit, registered, asked.call))
}

const fn limit_of(limits: &Limits, operation: Operation) -> Option<&Limit> {
    match operation {
        Operation::Chat => limits.chat.as_ref(),
        Operation::History => limits.history.as_ref(),
        Operation::Escalate => limits.escalate.as_ref(),
        Operation::Config => limits.config.as_ref(),
        Operation::Health => None,
    }
}

/// The widget route of an operation, if it is one of those that have sessions.
#[must_use]
pub const fn widget_of(operation: dialect::Operation) -> Option<Operation> {
    match operation {
        dialect::Operation::Chat9(operation) => Some(operation),
        dialect::Operation::Sigmic(_)
        | dialect::Operation::Orcheo(_)
        | dialect::Operation::Mitigate(_)
        | dialect::Operation::ChatBotKit(_) => None,
    }
}
