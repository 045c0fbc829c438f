//! WebSockets (RFC 6455): the handshake passes like any request, then bytes are copied both ways
//! until one side or the token ends.

use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sidegate_core::denial::Code;
use tokio::time::Instant;

use super::connect::connect;
use super::head::prepare_answer;
use super::request::{AnswerBody, Connection, Forward, Refused};
use super::request_body::RequestBody;
use super::stream::UnderWay;
use super::{Failure, client};

/// Whether a request asks for a WebSocket over HTTP/1.1.
pub(super) fn is_upgrade(parts: &Parts) -> bool {
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && parts.headers.contains_key(SEC_WEBSOCKET_KEY)
        && parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Forwards the handshake on a connection of its own; if the upstream agrees, a task of this
/// worker carries the bytes on.
pub(super) async fn forward(
    this: Forward<'_>,
    mut parts: Parts,
    under_way: UnderWay,
) -> Result<Response<AnswerBody>, Refused> {
    let browser = parts.extensions.remove::<OnUpgrade>().ok_or(Code::InvalidRequest)?;
    let mut request = this.head(parts, RequestBody::Empty)?;
    mark_upgrade(request.headers_mut());
    let upstream = this.admission.upstream();
    let connected = connect(upstream, true).await?;
    let handshake = http1::Builder::new().max_buf_size(client::MAX_ANSWER_HEAD).handshake(TokioIo::new(connected.io));
    let (mut sender, driver) = handshake.await.map_err(|fault| Failure::from(&fault))?;
    let driver = tokio::task::spawn_local(driver.with_upgrades());
    let answer = tokio::time::timeout(upstream.settings.first_byte_timeout, sender.send_request(request)).await;
    let answer = answer.map_err(|_| Failure::ResponseTimeout)?.map_err(|fault| Failure::from(&fault))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        driver.abort();
        return Err(Failure::UpgradeRefused.into());
    }
    let (mut head, body) = answer.into_parts();
    prepare_answer(&mut head.headers, this.admission.permit().app().pass, false);
    mark_upgrade(&mut head.headers);
    let upstream_side = hyper::upgrade::on(Response::from_parts(head.clone(), body));
    tokio::task::spawn_local(carry(browser, upstream_side, this.ends_at, (under_way, this.connection)));
    Ok(Response::from_parts(head, AnswerBody::Full(bytes::Bytes::new())))
}

fn mark_upgrade(headers: &mut http::HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Copies until either side closes or the token ends.
async fn carry(browser: OnUpgrade, upstream: OnUpgrade, ends_at: Instant, held: (UnderWay, Connection)) {
    /// The browser has our 101 by then or is gone.
    const HANDSHAKE: Duration = Duration::from_secs(10);
    let both = async { tokio::try_join!(browser, upstream) };
    if let Ok(Ok((browser, upstream))) = tokio::time::timeout(HANDSHAKE, both).await {
        let (mut browser, mut upstream) = (TokioIo::new(browser), TokioIo::new(upstream));
        // Either end of the copy, or the token's, closes both sockets.
        let _ = tokio::time::timeout_at(ends_at, tokio::io::copy_bidirectional(&mut browser, &mut upstream)).await;
    }
    drop(held);
}
