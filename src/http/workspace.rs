//! The routes of Mitigate's workspaces, on the public listener: a visitor comes in, goes on, or the widget asks what it
//! needs to know before.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::mitigate::{WorkspaceRoute, parse_session};
use sidegate_core::message::Reply;
use sidegate_core::policy;

use super::convert;
use super::public::Incoming;
use super::service::{Common, Outcome};
use crate::admit::provenance;
use crate::forward::{Refused, read_json_or_none};
use crate::registry::Registered;
use crate::sessions::{Door, refreshed};
use crate::wire::ClientBody;

/// Bytes of a body: it has an identity token.
const MAX_BODY: usize = 32 * 1024;

/// Answers whatever is sent to one of these routes; `cors` is what the page may read.
pub(super) async fn answer(common: &Common, incoming: Incoming<'_>, route: WorkspaceRoute, cors: Cors) -> Outcome {
    let app = incoming.named.as_ref().map(|registered| registered.app.id.clone());
    let mut outcome = match checked(common, incoming, route).await {
        Ok(reply) => Outcome::of(convert::response(reply), cors),
        Err(Refused { denial, failure }) => {
            let cors = if denial.code == Code::OriginNotAllowed { Cors::Silent } else { cors };
            Outcome::refused(Some(Dialect::Mitigate), &denial, cors).after(failure)
        }
    };
    outcome.facts.app = app;
    outcome.of_route(route.template())
}

async fn checked(common: &Common, incoming: Incoming<'_>, route: WorkspaceRoute) -> Result<Reply, Refused> {
    let Incoming { arrival, parts, body, named } = incoming;
    if parts.method.as_str() != route.allow() {
        return Err(Denial::method_not_allowed(route.allow()).into());
    }
    let gate = &common.gate;
    let registered = named.filter(|named| named.app.dialect == Dialect::Mitigate).ok_or(Code::NotFound)?;
    let sender = arrival.sender(gate, &parts.headers);
    match route {
        WorkspaceRoute::WidgetConfig => {
            policy::check_origin(&registered.app, provenance(&parts.headers), gate.own_origin())?;
            Ok(registered.app.widget.widget_config())
        }
        WorkspaceRoute::Refresh => {
            let live = refreshed(gate, &registered, &parts.headers, (provenance(&parts.headers), sender)).await?;
            Ok(live.issue(gate, &registered.app)?)
        }
        WorkspaceRoute::Session => {
            let wire = parse_session(&read(common, &registered, &parts, body).await?)?;
            let door = Door { gate, metrics: &common.metrics, client: &common.client };
            let live = door.enter(&registered, wire, (provenance(&parts.headers), sender)).await?;
            common.metrics.exchanges.inc();
            Ok(live.issue(gate, &registered.app)?)
        }
    }
}

/// A body that is JSON, or none. A page elsewhere is refused before it is read.
async fn read(common: &Common, registered: &Arc<Registered>, parts: &Parts, body: ClientBody) -> Result<Bytes, Denial> {
    policy::check_origin(&registered.app, provenance(&parts.headers), common.gate.own_origin())?;
    read_json_or_none(parts, body, MAX_BODY, common.gate.listen.body_timeout).await
}
