//! Requests of ChatBotKit's conversations, and of the frames that show them.

use std::sync::Arc;

use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::{self, Fields, Operation, Serving};
use sidegate_core::dialect::{self, Call, Dialect};
use sidegate_core::id::{ConversationId, TokenId};
use sidegate_core::policy::{self, ConversationCall, Permit, Provenance};

use super::{Admission, Asked, cors_of, request_origin, unproven};
use crate::gate::Gate;
use crate::limits::{Counted, Sender, stranger};
use crate::registry::Registered;
use crate::sessions::{Conversation, Live};
use crate::store::Counts;
use crate::widgets::Served;

/// Whether a session may do what is asked of its conversation, as its widget is now: that one. A session that a
/// customer's server has opened has none.
pub(super) async fn check(
    gate: &Gate,
    permit: &Permit,
    session: &Live,
    (operation, conversation): (Operation, Option<&ConversationId>),
    from: Provenance<'_>,
) -> Result<Option<Arc<Served>>, Denial> {
    // One that was opened when the other kept the widgets would go on with the customer's key, or show this upstream the
    // vendor's token.
    if permit.app().is_passed() != session.upstream_token().is_some() {
        return Err(Code::InvalidToken.into());
    }
    let call = ConversationCall { operation, conversation, opened_from: session.opened_from() };
    let Some(id) = session.widget() else {
        // Where the upstream keeps the widgets, it knows what they have.
        let passed = permit.app().is_passed();
        let known = Serving::of(&Fields::default())?;
        let serving = Serving { contact_collection: true, unfurl: passed, attachments: passed, ..known };
        policy::check_conversation(permit, &serving, call, from, gate.own_origin())?;
        return Ok(None);
    };
    // With its widget a session is gone.
    let served = gate.widgets.find(&id).await?.ok_or(Code::InvalidToken)?;
    let checked = serving_of(&served, permit)
        .and_then(|serving| policy::check_conversation(permit, serving, call, from, gate.own_origin()))
        .and_then(|()| served.widget.enabled());
    if checked.is_err() {
        gate.widgets.tally.add(&id, Counts { refused: 1, ..Counts::default() });
    }
    if let Some(session) = &permit.claims().id {
        gate.widgets.tally.admitted(session, &id);
    }
    checked.map(|()| Some(served))
}

/// A limit has refused a request, before its session was looked for: its widget counts that.
pub(super) fn limited(gate: &Gate, permit: &Permit) {
    if let (Dialect::ChatBotKit, Some(session)) = (permit.app().dialect, &permit.claims().id) {
        gate.widgets.tally.limited(session);
    }
}

fn serving_of<'a>(served: &'a Served, permit: &Permit) -> Result<&'a Serving, Denial> {
    if served.widget.app == permit.app().id { served.serving() } else { Err(Code::InvalidToken.into()) }
}

/// Admits what the gate says in a session that was just opened with this widget: the messages that came with it.
///
/// # Errors
/// [`Code::RateLimited`], by the limit of chat requests; [`Code::StoreUnavailable`].
pub async fn admit_opened(
    gate: &Gate,
    registered: &Arc<Registered>,
    opened: &Conversation,
    call: Call,
    (widget, sender): (Option<&Arc<Served>>, Sender<'_>),
) -> Result<Admission, Denial> {
    let permit = policy::admit_opened(&registered.app, opened.claims.clone(), gate.now())?;
    let counted = Counted::of(sender, &permit.claims().subject).by(call.operation);
    let counted = counted.in_session(permit.claims().id.as_ref().map(TokenId::as_str));
    let counting = gate.count(registered.limits.chat.as_ref(), counted).await;
    counting.inspect_err(|_| {
        if let Some(served) = widget {
            gate.widgets.tally.add(&served.widget.id, Counts { refused: 1, ..Counts::default() });
        }
    })?;
    let (registered, session) = (Arc::clone(registered), Some(Box::new(opened.live.clone())));
    let widget = widget.cloned();
    Admission { session, widget, ..Admission::new(permit, registered, call) }.tethered(gate, None)
}

/// Admits a page that loads a widget's frame, or the script that opens one. It says no origin, so what pages may show the
/// frame is held by the policy that its answer carries.
pub async fn admit_frame(gate: &Gate, asked: Asked<'_>, path: &str) -> (Cors, Result<Admission, Denial>) {
    let registry = gate.registry.load();
    let origin = request_origin(asked.headers);
    let of_url = || asked.named.or(registry.only_of(Dialect::ChatBotKit)).cloned();
    let found = match chatbotkit::framed(path) {
        Some(_) if of_url().is_some_and(|registered| registered.app.is_passed()) => Some((of_url(), None)),
        Some(id) => match gate.widgets.find_for(&id, asked.sender.address).await {
            Ok(served) => Some((registry.app(served.widget.app.as_str()).cloned(), Some(served))),
            Err(denial) => return (Cors::Silent, Err(denial)),
        },
        None => Some((of_url(), None)),
    };
    let of_dialect =
        |found: &Arc<Registered>| found.app.dialect == Dialect::ChatBotKit && found.is_meant_by(asked.named);
    let found = found.and_then(|(registered, widget)| Some((registered.filter(of_dialect)?, widget)));
    let Some((registered, widget)) = found else {
        let cors = unproven(&registry, asked.named, Some(Dialect::ChatBotKit), origin);
        return (cors, Err(Code::NotFound.into()));
    };
    let cors = cors_of(&registered.app, asked.named.is_some(), origin);
    (cors, framed(gate, asked, registered, widget).await)
}

async fn framed(
    gate: &Gate,
    asked: Asked<'_>,
    registered: Arc<Registered>,
    widget: Option<Arc<Served>>,
) -> Result<Admission, Denial> {
    if let Some(served) = &widget {
        served.widget.enabled()?;
        served.serving()?.ready()?;
    }
    let permit = policy::admit_frame(&registered.app, stranger(asked.sender.address)?, gate.now());
    let counted = Counted::of(asked.sender, &permit.claims().subject);
    gate.count(registered.limits.config.as_ref(), counted).await?;
    Ok(Admission { widget, ..Admission::new(permit, registered, asked.call) })
}

/// Whether an operation is what a page loads before it has a token.
#[must_use]
pub const fn is_frame(operation: dialect::Operation) -> bool {
    match operation {
        dialect::Operation::ChatBotKit(operation) => !operation.needs_token(),
        _ => false,
    }
}
