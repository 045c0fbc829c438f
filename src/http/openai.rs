//! OpenAI's own routes, on the private listener: a client of OpenAI's whose base URL is the gate's asks for sessions
//! and secrets of end users with a service token of the gate.

use std::sync::Arc;

use http::request::Parts;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo::openai::{BASE, Call, refusal, route};
use sidegate_core::message::Reply;

use super::server_call::caller_and_body;
use super::service::{Arrival, Common, Outcome};
use super::{convert, target};
use crate::forward::Refused;
use crate::openai;
use crate::registry::Registered;
use crate::wire::ClientBody;

/// Whether a path is for this file: one of OpenAI's, perhaps behind the prefix of an app.
pub(super) fn takes(path: &str) -> bool {
    path.starts_with(BASE) || path.starts_with(target::PREFIX)
}

/// Answers whatever [`takes`] is true of.
pub(super) async fn answer(common: &Common, arrival: &Arrival, mut parts: Parts, body: ClientBody) -> Outcome {
    let named = match target::by_prefix(&mut parts, &common.gate.registry.load()) {
        Ok(named) => named,
        Err(denial) => return Outcome::of(convert::refused(refusal(&denial), &denial), Cors::Silent),
    };
    let app = named.as_ref().map(|registered| registered.app.id.clone());
    let routed = route(&parts.method, parts.uri.path());
    let template = routed.as_ref().ok().map(Call::template);
    let outcome = match routed {
        Ok(call) => checked(common, arrival, &parts, body, (call, named)).await,
        Err(denial) => Err(denial.into()),
    };
    let mut outcome = match outcome {
        Ok((reply, call)) => {
            if !matches!(call, Call::Cancel(_)) {
                common.metrics.exchanges.inc();
            }
            Outcome::of(convert::response(reply), Cors::Silent)
        }
        Err(Refused { denial, failure }) => {
            Outcome::of(convert::refused(refusal(&denial), &denial), Cors::Silent).after(failure)
        }
    };
    outcome.facts.app = app;
    match template {
        Some(template) => outcome.of_route(template),
        None => outcome,
    }
}

async fn checked(
    common: &Common,
    arrival: &Arrival,
    parts: &Parts,
    body: ClientBody,
    (call, named): (Call, Option<Arc<Registered>>),
) -> Result<(Reply, Call), Refused> {
    let gate = &common.gate;
    let (caller, body) = caller_and_body(gate, parts, body).await.map_err(|denial| match denial.code {
        Code::InvalidAuthFormat => {
            Denial::because(denial.code, "Authorization must be `Bearer` and a service token of the gate")
        }
        _ => denial,
    })?;
    let sender = arrival.sender(gate, &parts.headers);
    let request = openai::Request { caller: &caller, named, call: &call, body: &body, sender };
    let reply = openai::answer(&common.broker(), request).await?;
    Ok((reply, call))
}
