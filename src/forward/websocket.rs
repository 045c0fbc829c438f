//! WebSockets (RFC 6455): the handshake passes like any request; its answer is the tunnel.

use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::Body as _;

use super::Failure;
use super::head::prepare_answer;
use super::http1::Http1;
use super::request::{AnswerBody, Forward, Refused};
use super::request_body::RequestBody;
use super::stream::UnderWay;
use super::tunnel::Tunnel;
use crate::wire::{ClientBody, has_option};

/// Whether a request asks for a WebSocket over HTTP/1.1. One with a body does not: what of it came
/// late would be taken for the tunnel's.
pub(super) fn is_upgrade(parts: &Parts, body: &ClientBody) -> bool {
    body.is_end_stream()
        && parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && parts.headers.contains_key(SEC_WEBSOCKET_KEY)
        && parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        // Without it `Upgrade` is nothing (RFC 9110 section 7.8), and who stands in front takes what follows for a request.
        && has_option(&parts.headers, "upgrade")
}

/// Forwards the handshake on a connection of its own; if the upstream agrees, the answer is the
/// tunnel that the client's connection becomes.
pub(super) async fn forward(
    this: &Forward<'_>,
    parts: Box<Parts>,
    under_way: UnderWay,
) -> Result<Response<AnswerBody>, Refused> {
    let mut request = this.head(parts, RequestBody::Empty)?;
    mark_upgrade(request.headers_mut());
    let upstream = this.admission.upstream();
    let (connected, route) = this.connect(request.headers_mut()).await?;
    let (mut connection, scratch) = (Http1::new(connected.io), &this.client.scratch);
    let answer = connection.send(&mut request, scratch);
    let answer = match tokio::time::timeout(upstream.settings.first_byte_timeout, answer).await {
        Ok(answer) => answer.map_err(|fault| fault.failure),
        Err(_) => Err(Failure::ResponseTimeout),
    };
    route.note(answer.as_ref().map(|answer| answer.head.status()).map_err(|failure| *failure));
    let answer = answer?;
    if answer.head.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::UpgradeRefused.into());
    }
    let (mut head, ()) = answer.head.into_parts();
    prepare_answer(&mut head.headers, this.admission.permit().app().pass, false);
    mark_upgrade(&mut head.headers);
    let (io, first) = (connection.into_io().ok_or(Failure::Protocol)?, answer.body.into_first());
    let tunnel = Box::new(Tunnel::new(io, first, this.leash(), under_way));
    Ok(Response::from_parts(head, AnswerBody::Tunnel(tunnel)))
}

fn mark_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}
