//! `POST …/integration/widget/{id}/session/create`, on the public listener: a page opens a session with the id of a
//! widget (ChatBotKit), which everybody may know. What holds strangers off is the widget's list of origins, and limits.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{
    Answer, Asked, Author, Message, SessionRoute, failure, parse_session, stored_meta,
};
use sidegate_core::id::ObjectId;
use sidegate_core::message::Reply;
use sidegate_core::policy;
use sidegate_core::session::Mode;

use super::Peer;
use super::asker::Asker;
use super::convert;
use super::initial::{Caller, Said};
use super::passed::Passing;
use super::public::Incoming;
use super::service::{Common, Outcome};
use crate::admit::{cors_of, provenance, request_origin};
use crate::forward::{Refused, read_json_or_none};
use crate::limits::{Counted, Sender, Told, stranger};
use crate::metrics::SessionOutcome;
use crate::registry::Registered;
use crate::sessions::{First, Opening, REPLAYED, Replay, sent_origin};
use crate::store::Counts;
use crate::widgets::Served;
use crate::wire::ClientBody;

/// Bytes of a body: messages, and what is noted beside them.
const MAX_BODY: usize = 128 * 1024;

/// Answers whatever is sent to the route; `unproven` is what the page may read until the widget is known.
pub(super) async fn answer(
    common: &Rc<Common>,
    incoming: Incoming<'_>,
    route: SessionRoute,
    unproven: Cors,
) -> Outcome {
    if let Some(registered) = passed(common, &incoming) {
        let Incoming { arrival, parts, body, .. } = incoming;
        let (cors, sender) = (unproven, arrival.sender(&common.gate, &parts.headers));
        let passing = Passing { common, registered: &registered, parts: &parts };
        return passing.page_session(body, sender, cors, SessionRoute::TEMPLATE).await;
    }
    let outcome = match found(common, &incoming, &route.widget, SessionRoute::ALLOW).await {
        Ok((registered, served)) => of_widget(common, incoming, &registered, &served).await,
        Err(denial) => Outcome::refused(Some(Dialect::ChatBotKit), &denial, unproven),
    };
    outcome.of_route(SessionRoute::TEMPLATE)
}

/// The app that is meant, if the vendor keeps its widgets: the one that the URL names, or the only one of the dialect.
fn passed(common: &Common, incoming: &Incoming<'_>) -> Option<Arc<Registered>> {
    let registry = common.gate.registry.load();
    let found = incoming.named.as_ref().or_else(|| registry.only_of(Dialect::ChatBotKit));
    found.filter(|found| found.app.dialect == Dialect::ChatBotKit && found.app.is_passed()).cloned()
}

/// The widget of a path whose methods are these, and its app.
pub(super) async fn found(
    common: &Common,
    incoming: &Incoming<'_>,
    widget: &ObjectId,
    allow: &'static str,
) -> Result<(Arc<Registered>, Arc<Served>), Denial> {
    if !allow.split(", ").any(|method| incoming.parts.method == method) {
        return Err(Denial::method_not_allowed(allow));
    }
    let address = incoming.arrival.peer.client(&common.gate, &incoming.parts.headers);
    let served = common.gate.widgets.find_for(widget, address).await?;
    let registry = common.gate.registry.load();
    let found = registry.app(served.widget.app.as_str()).filter(|found| found.app.dialect == Dialect::ChatBotKit);
    let found = found.filter(|found| found.is_meant_by(incoming.named.as_ref())).ok_or(Code::NotFound)?;
    Ok((Arc::clone(found), served))
}

async fn of_widget(
    common: &Rc<Common>,
    incoming: Incoming<'_>,
    registered: &Arc<Registered>,
    served: &Arc<Served>,
) -> Outcome {
    let headers = &incoming.parts.headers;
    let cors = cors_of(&registered.app, incoming.named.is_some(), request_origin(headers));
    let Incoming { arrival, parts, body, .. } = incoming;
    let page = Rc::new(Page {
        common: Rc::clone(common),
        peer: Rc::clone(&arrival.peer),
        request_id: arrival.request_id.clone(),
        told: Told::default(),
        parts,
        registered: Arc::clone(registered),
        served: Arc::clone(served),
    });
    let (mut outcome, counts) = match page.opened(body).await {
        Ok(reply) => {
            let new = reply.headers.get(REPLAYED).is_none();
            (Outcome::of(convert::response(reply), cors), Counts { sessions: new.into(), ..Counts::default() })
        }
        Err(Refused { denial, failure }) => {
            let cors = if denial.code == Code::OriginNotAllowed { Cors::Silent } else { cors };
            let refused = Outcome::refused(Some(Dialect::ChatBotKit), &denial, cors).after(failure);
            (refused, Counts { refused: 1, ..Counts::default() })
        }
    };
    page.told.put_on(outcome.response.headers_mut());
    common.gate.widgets.tally.add(&served.widget.id, counts);
    outcome.of_widget(&common.gate.widgets, served)
}

/// A request of a page to one widget.
struct Page {
    common: Rc<Common>,
    peer: Rc<Peer>,
    request_id: HeaderValue,
    /// What its limits say; the arrival is not there any more when it ends on its own.
    told: Told,
    parts: Box<Parts>,
    registered: Arc<Registered>,
    served: Arc<Served>,
}

impl Page {
    /// Opens a session, or gives the answer of before.
    async fn opened(self: &Rc<Self>, body: ClientBody) -> Result<Reply, Refused> {
        let (gate, app) = (&self.common.gate, &self.registered.app);
        let (from, sender) = (provenance(&self.parts.headers), self.sender());
        let serving = self.served.serving()?;
        policy::check_widget(app, serving, from, gate.own_origin())?;
        self.served.widget.enabled()?;
        serving.ready()?;
        let nobody = stranger(sender.address)?;
        gate.count(self.registered.limits.exchange.as_ref(), Counted::of(sender, &nobody)).await?;
        let body = read_json_or_none(&self.parts, body, MAX_BODY, gate.listen.body_timeout).await?;
        let mut asked = parse_session(&body)?;
        // Who is not asked for it has nothing to say of itself.
        asked.contact = asked.contact.filter(|contact| serving.contact_collection && contact.is_reachable());
        let origin = sent_origin(from);
        let by = (origin.as_deref(), sender.address);
        let replay = Replay::of(&self.parts.headers, (&app.id, &self.served.widget.id), by, &body)?;
        let Some(replay) = replay else { return Ok(self.open(asked, origin).await?) };
        // It comes to its end even if its page leaves: whoever asks again gets its answer.
        let this = Rc::clone(self);
        let opening = tokio::task::spawn_local(async move { this.open_once(replay, asked, origin).await });
        Ok(opening.await.map_err(|_| Code::Internal)??)
    }

    /// Opens a session, if nobody has with this key.
    async fn open_once(&self, replay: Replay, asked: Asked, origin: Option<String>) -> Result<Reply, Denial> {
        let gate = &self.common.gate;
        match replay.first(gate).await? {
            First::No(reply) => Ok(reply),
            First::Yes(claim) => {
                let opened = self.open(asked, origin).await;
                replay.settle(gate, claim, opened.as_ref().ok()).await;
                opened
            }
        }
    }

    fn sender(&self) -> Sender<'_> {
        Sender { address: self.peer.client(&self.common.gate, &self.parts.headers), told: &self.told }
    }

    async fn open(&self, asked: Asked, origin: Option<String>) -> Result<Reply, Denial> {
        let (gate, app, serving) = (&self.common.gate, &self.registered.app, self.served.serving()?);
        let whose = Asker { gate, app, widget: &self.served.widget.id, origin: origin.as_deref() };
        let (end_user, conversation) = whose.conversation(&asked, &self.parts.headers).await?;
        let meta = stored_meta(asked.meta.clone(), &self.served.widget.id);
        let opening = Opening {
            conversation: conversation.clone(),
            end_user,
            contact: asked.contact.as_ref(),
            widget: Some(&self.served.widget),
            bot: serving.bot.as_deref(),
            features: &serving.features,
            meta: Some(&meta),
            origin,
            length: asked.length(serving.cap),
            upstream_token: None,
        };
        let opened = opening.open(gate, app).await?;
        let mode = if asked.contact.is_some() { Mode::Guest } else { Mode::Anonymous };
        self.common.metrics.session(SessionOutcome::of(mode));
        let first = serving.initial.iter().map(|text| Message { author: Author::Bot, text: text.clone() }).collect();
        let caller = Caller {
            common: &self.common,
            peer: &self.peer,
            told: &self.told,
            request_id: &self.request_id,
            parts: &self.parts,
            registered: &self.registered,
            widget: Some(&self.served),
        };
        let Said { messages, failed } = caller.say(&opened, first, asked.messages).await;
        let error = failed.as_ref().map(failure);
        let id = self.served.widget.id.as_str();
        Ok(Answer { id, conversation_id: &conversation, messages: &messages, error }.reply(&opened.issued))
    }
}
