//! The exchange as a route: on the private listener, and on the public one where the config says so.

use http::Method;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use sidegate_core::cors::Cors;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Dialect, sigmic};
use sidegate_core::message::Reply;

use super::convert;
use super::service::{Arrival, Common, Outcome};
use crate::exchange::exchange;
use crate::forward::{MediaType, read};
use crate::wire::ClientBody;

/// Answers whatever is sent to [`sigmic::EXCHANGE_PATH`].
pub(super) async fn answer(common: &Common, arrival: &Arrival, parts: &Parts, body: ClientBody) -> Outcome {
    let response = match checked(common, arrival, parts, body).await {
        Ok(reply) => {
            common.metrics.exchanges.inc();
            convert::response(reply)
        }
        Err(denial) => convert::refusal(Some(Dialect::Sigmic), &denial),
    };
    Outcome::of(response, Cors::Silent).of_route(sigmic::EXCHANGE_PATH)
}

async fn checked(common: &Common, arrival: &Arrival, parts: &Parts, body: ClientBody) -> Result<Reply, Denial> {
    if parts.method != Method::POST {
        return Err(Denial::method_not_allowed("POST"));
    }
    if MediaType::of(&parts.headers) != MediaType::Json || parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Code::UnsupportedMediaType.into());
    }
    let gate = &common.gate;
    let body = read(body, gate.limits.exchange_body, gate.listen.body_timeout).await?;
    exchange(gate, &body, arrival.sender(gate, &parts.headers)).await
}
