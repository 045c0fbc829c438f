//! Orcheo's session route, on the private listener: a customer's server asks for a token of an end user.

use http::Method;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use secrecy::SecretString;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::orcheo;
use sidegate_core::message::Reply;

use super::convert;
use super::service::{Arrival, Common, Outcome};
use crate::exchange::session;
use crate::forward::{MediaType, Refused, read};
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
    let shown = orcheo::bearer(&parts.headers)?.ok_or(Code::AuthRequired)?;
    let caller = gate.service_tokens.authenticate(&SecretString::from(shown))?;
    let body = read(body, gate.limits.exchange_body, gate.listen.body_timeout).await?;
    let json = MediaType::of(&parts.headers) == MediaType::Json && !parts.headers.contains_key(CONTENT_ENCODING);
    if !(json || body.is_empty()) {
        return Err(Denial::because(Code::InvalidRequest, "The body must be application/json").into());
    }
    let address = arrival.peer.client(gate, &parts.headers);
    session(&common.broker(), &caller, (parts.uri.query(), &body), address).await
}
