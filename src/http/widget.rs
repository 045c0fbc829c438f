//! `POST /widget/session/init`, on the public listener: a page asks for a session.

use std::sync::Arc;

use http::Method;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chat9::{self, INIT_PATH, Init, parse_init};
use sidegate_core::message::Reply;

use super::convert;
use super::public::Incoming;
use super::service::{Common, Outcome};
use crate::admit::{cors_of, provenance, request_origin};
use crate::forward::read_json;
use crate::registry::Registered;
use crate::sessions;

/// Bytes of a body: it has an identity token.
const MAX_BODY: usize = 16 * 1024;

/// Answers whatever is sent to [`INIT_PATH`]; `unproven` is what the page may read until the bot is known.
pub(super) async fn answer(common: &Common, incoming: Incoming<'_>, unproven: Cors) -> Outcome {
    let (mut cors, mut app) = (unproven, None);
    let answered = match asked(common, incoming).await {
        Ok(asked) => {
            let registered = &asked.registered;
            let Incoming { arrival, parts, .. } = &asked.incoming;
            cors = cors_of(&registered.app, asked.incoming.named.is_some(), request_origin(&parts.headers));
            app = Some(registered.app.id.clone());
            let sender = arrival.sender(&common.gate, &parts.headers);
            let from = (provenance(&parts.headers), sender);
            sessions::open(&common.gate, &common.metrics, registered, asked.init, from).await
        }
        Err(denial) => Err(denial),
    };
    let reply: Result<Reply, Denial> = answered.map(|opened| chat9::opened(&opened.id, opened.mode));
    let mut outcome = match reply {
        Ok(reply) => Outcome::of(convert::response(reply), cors),
        Err(denial) => {
            let cors = if denial.code == Code::OriginNotAllowed { Cors::Silent } else { cors };
            Outcome::refused(Some(Dialect::Chat9), &denial, cors)
        }
    };
    outcome.facts.app = app;
    outcome.of_route(INIT_PATH)
}

/// A request that could be read, for a bot that there is.
struct Asked<'a> {
    incoming: Incoming<'a>,
    registered: Arc<Registered>,
    init: Init,
}

async fn asked<'a>(common: &Common, mut incoming: Incoming<'a>) -> Result<Asked<'a>, Denial> {
    if incoming.parts.method != Method::POST {
        return Err(Denial::method_not_allowed("POST"));
    }
    let gate = &common.gate;
    let body = std::mem::replace(&mut incoming.body, crate::wire::ClientBody::Empty);
    let body = read_json(&incoming.parts, body, MAX_BODY, gate.listen.body_timeout).await?;
    let init = parse_init(&body)?;
    let registry = gate.registry.load();
    let found = registry.app(&init.unverified_bot).filter(|found| found.app.dialect == Dialect::Chat9);
    let registered = found.filter(|found| found.is_meant_by(incoming.named.as_ref())).ok_or(Code::BotNotFound)?;
    Ok(Asked { registered: Arc::clone(registered), incoming, init })
}
