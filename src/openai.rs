//! OpenAI's own calls, sent by customers' servers that show a service token of the gate: with the app's credential
//! they go on to OpenAI, within what the app's settings allow. Each makes a session of its own, because that one can
//! be cancelled; nothing is shared or kept.

use std::sync::Arc;

use sidegate_core::credential::authorize;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::openai::{self, Call};
use sidegate_core::dialect::orcheo::{Ask, Trade, Vendor, Workflow};
use sidegate_core::id::EndUserId;
use sidegate_core::message::Reply;
use sidegate_core::service_token::{Scope, ServiceToken};

use crate::forward::Refused;
use crate::limits::{Counted, Sender};
use crate::metrics::TradeOutcome;
use crate::registry::{Registered, Registry};
use crate::trade::Broker;

/// A call of a customer's server.
#[derive(Debug)]
pub struct Request<'a> {
    /// Who shows which rights.
    pub caller: &'a ServiceToken,
    /// The app that its URL names.
    pub named: Option<Arc<Registered>>,
    /// What it is.
    pub call: &'a Call,
    /// Its body.
    pub body: &'a [u8],
    /// Where it comes from.
    pub sender: Sender<'a>,
}

/// Handles a call.
///
/// # Errors
/// [`Refused`]; also by what OpenAI answers, never in its words.
pub async fn answer(broker: &Broker, request: Request<'_>) -> Result<Reply, Refused> {
    let now = broker.gate.now();
    // First the right, then what is there: a caller without it learns nothing.
    request.caller.allows(Scope::CHATKIT_SESSION, request.caller.apps.first(), now)?;
    let (registered, ask) = match request.call {
        Call::Create => create(broker, &request).await?,
        Call::Cancel(id) => (cancel(broker, &request)?, Ask::cancel(id)),
        Call::ClientSecret => client_secret(broker, &request).await?,
    };
    let refused = |status, retry_after| openai::refused(request.call, status, retry_after);
    let read = if matches!(request.call, Call::ClientSecret) { openai::secret_passed_on } else { openai::passed_on };
    let relayed = broker.relay(&registered, ask, &read, &refused).await;
    if !matches!(request.call, Call::Cancel(_)) {
        broker.metrics.trade(if relayed.is_ok() { TradeOutcome::Fetched } else { TradeOutcome::Failed });
    }
    relayed
}

/// A session: its workflow names the app.
async fn create(broker: &Broker, request: &Request<'_>) -> Result<(Arc<Registered>, Ask), Refused> {
    let asked = openai::parse_session(request.body)?;
    let registered = broker.gate.registry.load().of_workflow(&asked.workflow).cloned();
    let registered = registered.filter(|found| found.is_meant_by(request.named.as_ref()));
    let registered = registered.ok_or(Code::WorkflowNotFound)?;
    authorize(request.caller, &registered.app, broker.gate.now())?;
    let trade = registered.app.trade().filter(|trade| is_openais(trade)).ok_or(Code::WorkflowNotFound)?;
    let listed = registered.app.workflows.asked(Some(&asked.workflow))?;
    let version = match (&listed.version, asked.version) {
        (Some(set), Some(asked)) if *set != asked => {
            let rule = "workflow.version is set for this app, to another value";
            return Err(Denial::because(Code::InvalidRequest, rule).into());
        }
        (set, asked) => asked.or_else(|| set.clone()),
    };
    let settings = asked.settings.within(&trade.session)?;
    let counted = Counted::of(request.sender, &asked.end_user).for_workflow(Some(&asked.workflow));
    broker.gate.count(registered.limits.exchange.as_ref(), counted).await?;
    let body = settings.body(&asked.end_user, &Workflow { version, ..listed.clone() });
    Ok((registered, Ask::session(body)))
}

/// A session's id does not say which app it is of.
fn cancel(broker: &Broker, request: &Request<'_>) -> Result<Arc<Registered>, Refused> {
    if !request.body.is_empty() {
        return Err(Denial::because(Code::InvalidRequest, "This route takes no body").into());
    }
    Ok(only(&broker.gate.registry.load(), request, broker, is_openais)?)
}

/// A client secret names no end user: it is the service token's.
async fn client_secret(broker: &Broker, request: &Request<'_>) -> Result<(Arc<Registered>, Ask), Refused> {
    let asked = openai::parse_realtime(request.body)?;
    let has_realtime = |trade: &Trade| trade.realtime.is_some();
    let registered = only(&broker.gate.registry.load(), request, broker, has_realtime)?;
    let bounds = registered.app.trade().and_then(|trade| trade.realtime.as_ref()).ok_or(Code::NotFound)?;
    let settings = asked.within(bounds)?;
    let end_user = format!("service-token:{}", request.caller.id.as_str());
    let end_user = EndUserId::parse(&end_user).map_err(|_| Code::Internal)?;
    let counted = Counted::of(request.sender, &end_user);
    broker.gate.count(registered.limits.exchange.as_ref(), counted).await?;
    let ask = Ask::client_secret(settings.body());
    Ok((registered, ask))
}

fn is_openais(trade: &Trade) -> bool {
    trade.vendor == Vendor::OpenAi
}

/// The app that the URL names, or the only one that the caller may use for this.
fn only(
    registry: &Registry,
    request: &Request<'_>,
    broker: &Broker,
    serves: impl Fn(&Trade) -> bool,
) -> Result<Arc<Registered>, Denial> {
    let now = broker.gate.now();
    let may = |found: &&Arc<Registered>| authorize(request.caller, &found.app, now).is_ok();
    let named = |found: &&Arc<Registered>| found.is_meant_by(request.named.as_ref());
    let serving = |found: &&Arc<Registered>| found.app.trade().is_some_and(&serves);
    let mut found = registry.apps().filter(serving).filter(may).filter(named);
    let first = found.next().cloned().ok_or(Code::NotFound)?;
    match found.next() {
        None => Ok(first),
        Some(_) => {
            let rule = "Several apps could be meant: name one with /apps/{id} before the path, or show a token of one";
            Err(Denial::because(Code::InvalidRequest, rule))
        }
    }
}
