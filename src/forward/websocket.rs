//! WebSockets (RFC 6455): the handshake passes like any request, then bytes are copied both ways
//! until one side or the token ends.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sidegate_core::denial::Code;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::Failure;
use super::connect::{UpstreamIo, connect};
use super::head::prepare_answer;
use super::http1::Http1;
use super::request::{AnswerBody, Connection, Forward, Refused};
use super::request_body::RequestBody;
use super::stream::UnderWay;

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
    let (mut connection, scratch) = (Http1::new(connected.io), &this.client.scratch);
    let answer = connection.send(&mut request, scratch);
    let answer = tokio::time::timeout(upstream.settings.first_byte_timeout, answer).await;
    let answer = answer.map_err(|_| Failure::ResponseTimeout)?.map_err(|fault| fault.failure)?;
    if answer.head.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::UpgradeRefused.into());
    }
    let (mut head, ()) = answer.head.into_parts();
    prepare_answer(&mut head.headers, this.admission.permit().app().pass, false);
    mark_upgrade(&mut head.headers);
    let upstream_side = Upgraded { first: answer.body.into_first(), io: connection.into_io() };
    tokio::task::spawn_local(carry(browser, upstream_side, this.ends_at, (under_way, this.connection)));
    Ok(Response::from_parts(head, AnswerBody::Full(Bytes::new())))
}

/// The upstream's side of a WebSocket.
struct Upgraded {
    /// Bytes that came right behind its 101.
    first: Bytes,
    io: UpstreamIo,
}

fn mark_upgrade(headers: &mut http::HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Copies until either side closes or the token ends.
async fn carry(browser: OnUpgrade, upstream: Upgraded, ends_at: Instant, held: (UnderWay, Connection)) {
    /// The browser has our 101 by then or is gone.
    const HANDSHAKE: Duration = Duration::from_secs(10);
    if let Ok(Ok(browser)) = tokio::time::timeout(HANDSHAKE, browser).await {
        // However the copy ends, both sockets close.
        let _ = tokio::time::timeout_at(ends_at, copy(TokioIo::new(browser), upstream)).await;
    }
    drop(held);
}

/// Copies both ways until one side closes; what the other then still says passes, for a while.
/// (A WebSocket has no use for a half-closed connection, RFC 6455 section 7.1.1.)
async fn copy(browser: impl AsyncRead + AsyncWrite, upstream: Upgraded) -> io::Result<()> {
    const LAST_WORDS: Duration = Duration::from_secs(2);
    let (browser_reads, browser_writes) = tokio::io::split(browser);
    let (upstream_reads, upstream_writes) = tokio::io::split(upstream.io);
    let upstream_reads = io::Cursor::new(upstream.first).chain(upstream_reads);
    let mut up = pin!(copy_one_way(browser_reads, upstream_writes));
    let mut down = pin!(copy_one_way(upstream_reads, browser_writes));
    tokio::select! {
        done = &mut up => { done?; tokio::time::timeout(LAST_WORDS, down).await? }
        done = &mut down => { done?; tokio::time::timeout(LAST_WORDS, up).await? }
    }
}

async fn copy_one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}
