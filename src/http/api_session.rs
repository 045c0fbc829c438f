//! `POST …/bot/{id}/session/create` and `…/conversation/{id}/session/create`, on the private listener: a customer's server
//! opens a session for a visitor whom it knows (ChatBotKit). It shows a service token.

use std::sync::Arc;

use http::Method;
use http::request::Parts;
use secrecy::SecretString;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{
    self, ApiSessionRoute, Fields, Serving, bot_answer, conversation_answer, failure, parse_bot_session,
    parse_conversation_session,
};
use sidegate_core::id::EndUserId;
use sidegate_core::message::Reply;
use sidegate_core::service_token::Scope;

use super::initial::{Caller, Said};
use super::passed::Passing;
use super::service::{Arrival, Common, Outcome};
use super::{admin, convert};
use crate::forward::{Refused, read_json_or_none};
use crate::registry::Registered;
use crate::sessions::{Opening, new_conversation};
use crate::wire::ClientBody;

/// Bytes of a body.
const MAX_BODY: usize = 128 * 1024;

/// Answers whatever is sent to one of the routes.
pub(super) async fn answer(
    common: &Common,
    arrival: &Arrival,
    route: ApiSessionRoute,
    parts: &Parts,
    body: ClientBody,
) -> Outcome {
    let outcome = match caller(common, parts) {
        Ok(registered) if registered.app.is_passed() => {
            let conversation = match &route {
                ApiSessionRoute::Conversation(id) => Some(id),
                ApiSessionRoute::Bot(_) => None,
            };
            let passing = Passing { common, registered: &registered, parts };
            return passing.server_session(body, conversation, route.template()).await;
        }
        Ok(registered) => opened(common, arrival, &route, (parts, body), &registered).await,
        Err(denial) => Err(denial.into()),
    };
    let outcome = match outcome {
        Ok(reply) => Outcome::of(convert::response(reply), Cors::Silent),
        Err(Refused { denial, failure }) => {
            Outcome::refused(Some(Dialect::ChatBotKit), &denial, Cors::Silent).after(failure)
        }
    };
    outcome.of_route(route.template())
}

/// The app of whoever calls.
fn caller(common: &Common, parts: &Parts) -> Result<Arc<Registered>, Denial> {
    if parts.method != Method::POST {
        return Err(Denial::method_not_allowed("POST"));
    }
    let gate = &common.gate;
    let shown = SecretString::from(chatbotkit::bearer(&parts.headers)?);
    let token = gate.service_tokens.authenticate(&shown)?;
    admin::account(&token, gate, Scope::CONVERSATIONS, admin::run_as(&parts.headers))
}

async fn opened(
    common: &Common,
    arrival: &Arrival,
    route: &ApiSessionRoute,
    (parts, body): (&Parts, ClientBody),
    registered: &Arc<Registered>,
) -> Result<Reply, Refused> {
    let gate = &common.gate;
    let body = read_json_or_none(parts, body, MAX_BODY, gate.listen.body_timeout).await?;
    let (asked, conversation, bot) = match route {
        ApiSessionRoute::Bot(bot) => {
            (parse_bot_session(&body)?, new_conversation(gate.now(), &*gate.entropy)?, Some(bot.as_str()))
        }
        ApiSessionRoute::Conversation(id) => (parse_conversation_session(&body)?, id.clone(), None),
    };
    let serving = Serving::of(&Fields::default())?;
    let opening = Opening {
        conversation: conversation.clone(),
        end_user: EndUserId::anonymous(&*gate.entropy).map_err(|_| Code::Internal)?,
        contact: None,
        widget: None,
        bot,
        features: &serving.features,
        meta: asked.meta.as_ref(),
        origin: None,
        length: asked.length_of_api(),
        upstream_token: None,
    };
    let opened = opening.open(gate, &registered.app).await?;
    let Arrival { peer, told, request_id, .. } = arrival;
    let caller = Caller { common, peer, told, request_id, parts, registered, widget: None };
    let Said { messages, failed } = caller.say(&opened, Vec::new(), asked.messages).await;
    let said = (&*messages, failed.as_ref().map(failure));
    Ok(match bot {
        Some(bot) => bot_answer(bot, &conversation, said, &opened.issued),
        None => conversation_answer(&conversation, &opened.issued),
    })
}
