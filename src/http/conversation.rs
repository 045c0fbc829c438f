//! `POST …/integration/widget/{id}/session/create`, on the public listener: a page opens a session with the id of a
//! widget (ChatBotKit), which everybody may know. What holds strangers off is the widget's list of origins, and limits.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body::Body as _;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{
    Answer, Asked, Author, Message, SessionRoute, failure, parse_session, stored_meta,
};
use sidegate_core::id::{ConversationId, EndUserId};
use sidegate_core::message::Reply;
use sidegate_core::policy;
use sidegate_core::session::Mode;

use super::convert;
use super::initial::{Caller, Said};
use super::public::Incoming;
use super::service::{Arrival, Common, Outcome};
use crate::admit::{check_owner, cors_of, provenance, request_origin};
use crate::contacts;
use crate::forward::{Refused, read_json};
use crate::limits::{Counted, stranger};
use crate::metrics::SessionOutcome;
use crate::registry::Registered;
use crate::sessions::{First, Opening, REPLAYED, Replay, new_conversation, sent_origin};
use crate::store::{Counts, Owner};
use crate::widgets::Served;
use crate::wire::ClientBody;

/// Bytes of a body: messages, and what is noted beside them.
const MAX_BODY: usize = 128 * 1024;

/// Answers whatever is sent to the route; `unproven` is what the page may read until the widget is known.
pub(super) async fn answer(common: &Common, incoming: Incoming<'_>, route: SessionRoute, unproven: Cors) -> Outcome {
    let outcome = match found(common, &incoming, &route).await {
        Ok((registered, served)) => of_widget(common, incoming, &registered, &served).await,
        Err(denial) => Outcome::refused(Some(Dialect::ChatBotKit), &denial, unproven),
    };
    outcome.of_route(SessionRoute::TEMPLATE)
}

/// The widget of a path, and its app.
async fn found(
    common: &Common,
    incoming: &Incoming<'_>,
    route: &SessionRoute,
) -> Result<(Arc<Registered>, Arc<Served>), Denial> {
    if incoming.parts.method != SessionRoute::ALLOW {
        return Err(Denial::method_not_allowed(SessionRoute::ALLOW));
    }
    let served = common.gate.widgets.find(&route.widget).await?.ok_or(Code::NotFound)?;
    let registry = common.gate.registry.load();
    let found = registry.app(served.widget.app.as_str()).filter(|found| found.app.dialect == Dialect::ChatBotKit);
    let found = found.filter(|found| found.is_meant_by(incoming.named.as_ref())).ok_or(Code::NotFound)?;
    Ok((Arc::clone(found), served))
}

async fn of_widget(
    common: &Common,
    incoming: Incoming<'_>,
    registered: &Arc<Registered>,
    served: &Arc<Served>,
) -> Outcome {
    let headers = &incoming.parts.headers;
    let cors = cors_of(&registered.app, incoming.named.is_some(), request_origin(headers));
    let Incoming { arrival, parts, body, .. } = incoming;
    let page = Page { common, arrival, parts: &parts, registered, served };
    let (outcome, counts) = match page.opened(body).await {
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
    common.gate.widgets.tally.add(&served.widget.id, counts);
    outcome.of_widget(&common.gate.widgets, served)
}

/// A request of a page to one widget.
struct Page<'a> {
    common: &'a Common,
    arrival: &'a Arrival,
    parts: &'a Parts,
    registered: &'a Arc<Registered>,
    served: &'a Arc<Served>,
}

impl Page<'_> {
    /// Opens a session, or gives the answer of before.
    async fn opened(&self, body: ClientBody) -> Result<Reply, Refused> {
        let (gate, app) = (&self.common.gate, &self.registered.app);
        let (from, address) = (provenance(&self.parts.headers), self.address());
        self.served.widget.enabled()?;
        let serving = self.served.serving()?;
        serving.ready()?;
        policy::check_widget(app, serving, from, gate.own_origin())?;
        let counted = Counted { address, end_user: &stranger(address)?, workflow: None };
        gate.count(self.registered.limits.exchange.as_ref(), counted).await?;
        let body = self.read(body).await?;
        let mut asked = parse_session(&body)?;
        // Who is not asked for it has nothing to say of itself.
        asked.contact = asked.contact.filter(|contact| serving.contact_collection && contact.is_reachable());
        let by = (sent_origin(from), address);
        let replay =
            Replay::of(&self.parts.headers, (&app.id, &self.served.widget.id), (by.0.as_deref(), address), &body)?;
        if let Some(replay) = &replay
            && let First::No(reply) = replay.first(gate).await?
        {
            return Ok(reply);
        }
        let reply = self.open(asked, by.0).await?;
        if let Some(replay) = replay {
            replay.keep(gate, &reply).await;
        }
        Ok(reply)
    }

    fn address(&self) -> IpAddr {
        self.arrival.peer.client(&self.common.gate, &self.parts.headers)
    }

    /// A body that is JSON, or none.
    async fn read(&self, body: ClientBody) -> Result<Bytes, Denial> {
        if body.is_end_stream() && !self.parts.headers.contains_key(CONTENT_TYPE) {
            return Ok(Bytes::new());
        }
        read_json(self.parts, body, MAX_BODY, self.common.gate.listen.body_timeout).await
    }

    async fn open(&self, asked: Asked, origin: Option<String>) -> Result<Reply, Refused> {
        let (gate, app, serving) = (&self.common.gate, &self.registered.app, self.served.serving()?);
        let (end_user, conversation) = self.conversation(&asked).await?;
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
        };
        let opened = opening.open(gate, app).await?;
        self.common.metrics.session(SessionOutcome::of(if asked.contact.is_some() {
            Mode::Guest
        } else {
            Mode::Anonymous
        }));
        let first = serving.initial.iter().map(|text| Message { author: Author::Bot, text: text.clone() }).collect();
        let caller =
            Caller { common: self.common, arrival: self.arrival, parts: self.parts, registered: self.registered };
        let Said { messages, failed } = caller.say(&opened, first, asked.messages).await;
        let error = failed.as_ref().map(failure);
        let id = self.served.widget.id.as_str();
        Ok(Answer { id, conversation_id: &conversation, messages: &messages, error }.reply(&opened.issued))
    }

    /// Whose conversation it is, and which: a new one, or one of the same contact.
    async fn conversation(&self, asked: &Asked) -> Result<(EndUserId, ConversationId), Denial> {
        let (gate, app) = (&self.common.gate, &self.registered.app.id);
        let Some(contact) = &asked.contact else {
            return match asked.conversation {
                // Nobody else can say whose it is.
                Some(_) => Err(Code::NotFound.into()),
                None => {
                    let nobody = EndUserId::anonymous(&*gate.entropy).map_err(|_| Code::Internal)?;
                    Ok((nobody, new_conversation(gate.now(), &*gate.entropy)?))
                }
            };
        };
        let end_user = contacts::upsert(gate, app, contact).await?;
        let owner = Owner { app, end_user: &end_user };
        let conversation = match &asked.conversation {
            Some(existing) => {
                check_owner(&*gate.store, owner, existing).await?;
                existing.clone()
            }
            None => {
                let new = new_conversation(gate.now(), &*gate.entropy)?;
                gate.store.record(owner, &new).await?;
                new
            }
        };
        Ok((end_user, conversation))
    }
}
