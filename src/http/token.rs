//! Where pages ask for a token, on the public listener: the app's rule says who may have one and for whom; then
//! the gate makes it, or has the upstream make it.

use std::sync::Arc;

use http::Method;
use http::request::Parts;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo;
use sidegate_core::message::Reply;
use sidegate_core::policy;

use super::convert;
use super::service::{Arrival, Common, Outcome};
use crate::admit::provenance;
use crate::authorize::authorize;
use crate::exchange::token_of_visitor;
use crate::forward::{Refused, read};
use crate::registry::Registered;
use crate::wire::ClientBody;

/// A page's request for a token.
pub(super) struct Asked<'a> {
    /// Who asks.
    pub(super) arrival: &'a Arrival,
    /// Its head.
    pub(super) parts: Parts,
    /// Its body, of which nothing is wanted.
    pub(super) body: ClientBody,
    /// The app that its URL names.
    pub(super) named: Option<Arc<Registered>>,
}

/// Answers whatever is sent to [`orcheo::TOKEN_PATH`]; `cors` is what the page may read.
pub(super) async fn answer(common: &Common, asked: Asked<'_>, cors: Cors) -> Outcome {
    let app = asked.named.as_ref().map(|registered| registered.app.id.clone());
    let mut outcome = match checked(common, asked).await {
        Ok(reply) => {
            common.metrics.exchanges.inc();
            Outcome::of(convert::response(reply), cors)
        }
        Err(Refused { denial, failure }) => {
            let cors = if denial.code == Code::OriginNotAllowed { Cors::Silent } else { cors };
            let reply = orcheo::refusal(orcheo::Router::Session, &denial);
            Outcome::of(convert::refused(reply, &denial), cors).after(failure)
        }
    };
    outcome.facts.app = app;
    outcome.of_route(orcheo::TOKEN_PATH)
}

async fn checked(common: &Common, asked: Asked<'_>) -> Result<Reply, Refused> {
    let Asked { arrival, parts, body, named } = asked;
    if parts.method != Method::POST {
        return Err(Denial::method_not_allowed("POST").into());
    }
    let gate = &common.gate;
    let workflow = orcheo::asked_workflow(parts.uri.query())?;
    let missing = if workflow.is_some() { Code::WorkflowNotFound } else { Code::MissingWorkflow };
    let registered = named.ok_or(missing)?;
    policy::check_origin(&registered.app, provenance(&parts.headers), gate.own_origin())?;
    let workflow = registered.app.workflows.asked(workflow.as_ref())?.clone();
    // What a page says of its old token is the page's affair.
    read(body, gate.limits.exchange_body, gate.listen.body_timeout).await?;
    let authorized = authorize(&registered, &common.client, &parts.headers, gate.now()).await?;
    let address = arrival.peer.client(gate, &parts.headers);
    token_of_visitor(&common.broker(), &registered, &authorized, workflow, address).await
}
