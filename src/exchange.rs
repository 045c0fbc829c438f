//! The first use case: a credential becomes a token.

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::Map;
use sidegate_core::app::Authority;
use sidegate_core::authorize::Authorized;
use sidegate_core::context::{ContextKey, SessionContext};
use sidegate_core::credential::{Principal, authenticate, authorize};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::{Purpose, WorkflowId};
use sidegate_core::dialect::{Dialect, orcheo, sigmic};
use sidegate_core::id::EndUserId;
use sidegate_core::leash::Leash;
use sidegate_core::message::Reply;
use sidegate_core::policy::{self, ExchangeRequest, Grant};
use sidegate_core::service_token::{Scope, ServiceToken};

use crate::forward::Refused;
use crate::gate::Gate;
use crate::limits::{Counted, Sender, stranger};
use crate::registry::{Registered, Registry};
use crate::trade::{Broker, Order};

const UPSTREAMS_LEASH: &str = "leash: the upstream makes the tokens of this app, and they carry none";

/// Handles the body of `POST /api/v1/auth/token` (Sigmic). The answer is written when the context is
/// durable, not before.
///
/// # Errors
/// A [`Denial`] with one of Sigmic's codes or, for what they do not cover, of ours.
pub async fn exchange(gate: &Gate, body: &[u8], sender: Sender<'_>) -> Result<Reply, Denial> {
    let wire = sigmic::parse_exchange(body)?;
    let registry = gate.registry.load();
    let registered = registry.app(&wire.credential.unverified_app);
    let registered = registered.filter(|registered| registered.app.dialect == Dialect::Sigmic);
    let principal = authenticate(registered.map(|registered| &registered.app), &wire.credential)?;
    let registered = registered.ok_or(Code::InvalidCredentials)?;
    let request = wire.into_request(&gate.limits.context)?;
    let counted = Counted::of(sender, &request.subject);
    gate.count(registered.limits.exchange.as_ref(), counted).await?;
    issue(gate, registered, principal, request).await
}

/// Handles `POST /api/chatkit/session` (Orcheo), sent by who holds `caller`. A token is always bound to a
/// workflow: the one that body or query names, or the first of the one app that `caller` is for.
///
/// # Errors
/// [`Refused`]; where the upstream makes the token, also by what it answers.
pub async fn session(
    broker: &Broker,
    caller: &ServiceToken,
    (query, body): (Option<&str>, &[u8]),
    sender: Sender<'_>,
) -> Result<Reply, Refused> {
    let gate = &*broker.gate;
    let now = gate.now();
    // First the right, then what is there: a caller without it learns nothing.
    caller.allows(Scope::CHATKIT_SESSION, caller.apps.first(), now)?;
    let wire = orcheo::parse_session(body)?;
    let registry = gate.registry.load();
    let (registered, workflow) = match wire.workflow()?.or(orcheo::asked_workflow(query)?) {
        Some(id) => (registry.of_workflow(&id).ok_or(Code::WorkflowNotFound)?, id),
        None => default_workflow(&registry, caller).ok_or(Code::MissingWorkflow)?,
    };
    let principal = authorize(caller, &registered.app, now)?;
    let anonymous = !wire.names_end_user();
    let request = wire.into_request(workflow, &*gate.entropy)?;
    let counted = Counted::of(sender, &request.subject).for_workflow(request.workflow.as_ref());
    gate.count(registered.limits.exchange.as_ref(), counted).await?;
    match registered.app.authority {
        Authority::Local => Ok(issue(gate, registered, principal, request).await?),
        // Of another dialect.
        Authority::Passed => Err(Code::JwtNotConfigured.into()),
        Authority::Upstream(_) => {
            let ExchangeRequest { subject, workflow, leash, details, .. } = request;
            if !leash.is_endless() {
                return Err(Denial::because(Code::InvalidRequest, UPSTREAMS_LEASH).into());
            }
            let workflow = registered.app.workflows.asked(workflow.as_ref())?.clone();
            let order = Order::new(Arc::clone(registered), Purpose::Chat(workflow), subject, anonymous, details);
            trade(broker, order).await
        }
    }
}

fn default_workflow<'a>(registry: &'a Registry, caller: &ServiceToken) -> Option<(&'a Arc<Registered>, WorkflowId)> {
    let [app] = &*caller.apps else { return None };
    let registered = registry.app(app.as_str())?;
    Some((registered, registered.app.workflows.default_workflow()?.id.clone()))
}

/// What a visitor asks for.
#[derive(Debug)]
pub struct VisitorRequest {
    /// What the token is for.
    pub purpose: Purpose,
    /// The one that the page has, if it needs another.
    pub current: Option<SecretString>,
}

/// Makes a token for a visitor whom the app's rule lets have one, or has the upstream make it.
///
/// # Errors
/// [`Refused`].
pub async fn token_of_visitor(
    broker: &Broker,
    registered: &Arc<Registered>,
    authorized: &Authorized,
    VisitorRequest { purpose, current }: VisitorRequest,
    sender: Sender<'_>,
) -> Result<Reply, Refused> {
    let gate = &*broker.gate;
    let known = authorized.end_user();
    // Each token for somebody whom nobody knows is for somebody new: such are counted by where they come from.
    let counted_as = known.cloned().map_or_else(|| stranger(sender.address), Ok)?;
    let counted = Counted::of(sender, &counted_as).for_workflow(purpose.workflow());
    gate.count(registered.limits.exchange.as_ref(), counted).await?;
    let subject =
        known.cloned().map_or_else(|| EndUserId::anonymous(&*gate.entropy), Ok).map_err(|_| Code::Internal)?;
    match (&registered.app.authority, purpose) {
        (Authority::Local, Purpose::Chat(workflow)) => {
            let context = SessionContext::default();
            let workflow = Some(workflow.id);
            let (leash, details) = (Leash::default(), Map::new());
            let request = ExchangeRequest { subject, lifetime: None, context, workflow, leash, details };
            Ok(issue(gate, registered, authorized.into(), request).await?)
        }
        (Authority::Local, Purpose::Realtime) | (Authority::Passed, _) => Err(Code::NotFound.into()),
        (Authority::Upstream(_), purpose) => {
            let order = Order::new(Arc::clone(registered), purpose, subject, known.is_none(), Map::new());
            trade(broker, order.instead_of(current)).await
        }
    }
}

/// Has the upstream make a token.
async fn trade(broker: &Broker, order: Order) -> Result<Reply, Refused> {
    let is_chat = matches!(order.purpose(), Purpose::Chat(_));
    let traded = broker.token(order).await?;
    Ok(if is_chat { orcheo::handed_over(&traded)? } else { orcheo::openai::secret_handed_over(&traded)? })
}

/// Decides, keeps the context, signs.
async fn issue(
    gate: &Gate,
    registered: &Registered,
    principal: Principal,
    request: ExchangeRequest,
) -> Result<Reply, Denial> {
    let grant = policy::grant(principal, request, &*gate.entropy, gate.now())?;
    keep_context(gate, &grant).await?;
    registered.app.dialect.issued(&grant.issue()?)
}

/// Seals and stores the grant's context, if it has one.
async fn keep_context(gate: &Gate, grant: &Grant) -> Result<(), Denial> {
    // A token with an id is asked for its context by apps that inject one, be it empty.
    let kept = !grant.context().is_empty() || grant.app().injection.needs_context();
    let Some(token) = grant.claims().id.as_ref().filter(|_| kept) else { return Ok(()) };
    let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
    let key = ContextKey { app: &grant.app().id, token };
    let plaintext = grant.context().to_plaintext()?;
    let record = sealer.seal(key, &plaintext, &*gate.entropy).map_err(|_| Code::Internal)?;
    // Kept for as long as a token may be admitted: the leeway included.
    let expires_at = grant.claims().refused_from();
    gate.vault.put(key, record.into(), expires_at).await.map_err(|_| Code::StoreUnavailable.into())
}
