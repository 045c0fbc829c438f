//! Orcheo's session route, on the private listener: a customer's server asks for a token of an end user.

use http::Method;
use http::request::Parts;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo;
use sidegate_core::message::Reply;

use super::convert;
use super::server_call::caller_and_body;
use super::service::{Arrival, Common, Outcome};
use crate::exchange::session;
use crate::forward::Refused;
use crate::wire::ClientBody;

/// Answers whatever is sent to [`orcheo::SESSION_PATH`], and to [`orcheo::TOKEN_PATH`] on this listener.
pub(super) async fn answer(common: &Common, arrival: &Arrival, parts: &Parts, body: ClientBody) -> Outcome {
    let outcome = match checked(common, arrival, parts, body).await {
        Ok(reply) => {
            common.metrics.exchanges.inc();
            Outcome::of(convert::response(reply), Cors::Silent)
        }
        Err(Refused { denial, failure }) => {
            let reply = orcheo::refusal(orcheo::Router::Session, &denial);
            Outcome::of(convert::refused(reply, &denial), Cors::Silent).after(failure)
        }
    };
    let asks_as_pages_do = parts.uri.path() == orcheo::TOKEN_PATH;
    outcome.of_route(if asks_as_pages_do { orcheo::TOKEN_PATH } else { orcheo::SESSION_PATH })
}

async fn checked(common: &Common, arrival: &Arrival, parts: &Parts, body: ClientBody) -> Result<Reply, Refused> {
    if parts.method != Method::POST {
        return Err(Denial::method_not_allowed("POST").into());
    }
    let gate = &common.gate;
    let (caller, body) = caller_and_body(gate, parts, body).await.map_err(|denial| match denial.code {
        // The vendor's framework finds no fault with the media type, but with the body.
        Code::UnsupportedMediaType => Denial::because(Code::InvalidRequest, "The body must be application/json"),
        _ => denial,
    })?;
    let sender = arrival.sender(gate, &parts.headers);
    session(&common.broker(), &caller, (parts.uri.query(), &body), sender).await
}
