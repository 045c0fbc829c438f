//! Where pages ask for a token, on the public listener: the app's rule says who may have one and for whom; then
//! the gate makes it, or has the upstream make it.

use http::Method;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::{self, Purpose, TokenRoute, Vendor, openai};
use sidegate_core::message::Reply;
use sidegate_core::policy;

use super::convert;
use super::public::Incoming;
use super::service::{Common, Outcome};
use crate::admit::provenance;
use crate::authorize::authorize;
use crate::exchange::{VisitorRequest, token_of_visitor};
use crate::forward::{Refused, read};
use crate::registry::Registered;

/// Bytes of a body: it may name a token.
const MAX_BODY: usize = 16 * 1024;

/// Answers whatever is sent to one of the [`TokenRoute`]s; `cors` is what the page may read.
pub(super) async fn answer(common: &Common, incoming: Incoming<'_>, route: TokenRoute, cors: Cors) -> Outcome {
    let is_openais = is_openais(route, incoming.named.as_deref());
    let app = incoming.named.as_ref().map(|registered| registered.app.id.clone());
    let mut outcome = match checked(common, incoming, route).await {
        Ok(reply) => {
            common.metrics.exchanges.inc();
            Outcome::of(convert::response(reply), cors)
        }
        Err(Refused { denial, failure }) => {
            let cors = if denial.code == Code::OriginNotAllowed { Cors::Silent } else { cors };
            let reply = match is_openais {
                true => openai::refusal(&denial),
                false => orcheo::refusal(orcheo::Router::Session, &denial),
            };
            Outcome::of(convert::refused(reply, &denial), cors).after(failure)
        }
    };
    outcome.facts.app = app;
    outcome.of_route(route.path())
}

/// Whether a refusal has OpenAI's shape: that of the app's vendor; of the page's own conventions where no app is
/// known.
fn is_openais(route: TokenRoute, named: Option<&Registered>) -> bool {
    match (route, named) {
        (TokenRoute::Realtime, _) => true,
        (_, Some(registered)) => registered.app.trade().is_some_and(|trade| trade.vendor == Vendor::OpenAi),
        (TokenRoute::Guide, None) => false,
        (TokenRoute::Start | TokenRoute::Refresh, None) => true,
    }
}

async fn checked(common: &Common, incoming: Incoming<'_>, route: TokenRoute) -> Result<Reply, Refused> {
    let Incoming { arrival, parts, body, named } = incoming;
    if parts.method != Method::POST {
        return Err(Denial::method_not_allowed("POST").into());
    }
    let gate = &common.gate;
    let workflow = orcheo::asked_workflow(parts.uri.query())?;
    let missing = if workflow.is_some() { Code::WorkflowNotFound } else { Code::MissingWorkflow };
    let registered = named.ok_or(missing)?;
    policy::check_origin(&registered.app, provenance(&parts.headers), gate.own_origin())?;
    let workflow = registered.app.workflows.asked(workflow.as_ref())?.clone();
    let purpose = match route {
        TokenRoute::Guide | TokenRoute::Start | TokenRoute::Refresh => Purpose::Chat(workflow),
        TokenRoute::Realtime => {
            registered.app.trade().and_then(|trade| trade.realtime.as_ref()).ok_or(Code::NotFound)?;
            Purpose::Realtime
        }
    };
    let body = read(body, MAX_BODY, gate.listen.body_timeout).await?;
    // Elsewhere what a page says of its old token is the page's affair.
    let current = if route == TokenRoute::Refresh { orcheo::current_secret(&body)? } else { None };
    let sender = arrival.sender(gate, &parts.headers);
    let authorized = authorize(gate, &registered, &common.client, &parts.headers, sender).await?;
    token_of_visitor(&common.broker(), &registered, &authorized, VisitorRequest { purpose, current }, sender).await
}
