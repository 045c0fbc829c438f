//! WebSockets (RFC 6455): the handshake passes like any request, then bytes are copied both ways
//! until one side or the token ends.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::Failure;
use super::connect::connect;
use super::head::prepare_answer;
use super::http1::Http1;
use super::request::{AnswerBody, Forward, Refused};
use super::request_body::RequestBody;
use super::stream::UnderWay;
use crate::wire::{ClientBody, Io};

/// Whether a request asks for a WebSocket over HTTP/1.1. One with a body does not: what of it came
/// late would be taken for the tunnel's.
pub(super) fn is_upgrade(parts: &Parts, body: &ClientBody) -> bool {
    body.is_end_stream()
        && parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && parts.headers.contains_key(SEC_WEBSOCKET_KEY)
        && parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Forwards the handshake on a connection of its own; if the upstream agrees, the answer is the
/// tunnel that the client's connection becomes.
pub(super) async fn forward(
    this: &Forward<'_>,
    parts: Parts,
    under_way: UnderWay,
) -> Result<Response<AnswerBody>, Refused> {
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
    let (io, first) = (connection.into_io().ok_or(Failure::Protocol)?, answer.body.into_first());
    let tunnel = Box::new(Tunnel { io, first, ends_at: this.ends_at, _under_way: under_way });
    Ok(Response::from_parts(head, AnswerBody::Tunnel(tunnel)))
}

/// The upstream's side of a WebSocket.
pub struct Tunnel {
    io: Io,
    /// Bytes that came right behind its 101.
    first: Bytes,
    ends_at: Instant,
    _under_way: UnderWay,
}

fn mark_upgrade(headers: &mut http::HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

impl Tunnel {
    /// Copies between it and a client, who has sent `read` already, until either side closes or the
    /// token ends.
    pub async fn carry(self, client: Io, read: Bytes) {
        let ends_at = self.ends_at;
        // However the copy ends, both sockets close.
        let _ = tokio::time::timeout_at(ends_at, self.copy(client, read)).await;
    }

    /// Copies both ways until one side closes; what the other then still says passes, for a while.
    /// (A WebSocket has no use for a half-closed connection, RFC 6455 section 7.1.1.)
    async fn copy(self, client: Io, read: Bytes) -> io::Result<()> {
        const LAST_WORDS: Duration = Duration::from_secs(2);
        let (client_reads, client_writes) = tokio::io::split(client);
        let (upstream_reads, upstream_writes) = tokio::io::split(self.io);
        let mut up = pin!(copy_one_way(io::Cursor::new(read).chain(client_reads), upstream_writes));
        let mut down = pin!(copy_one_way(io::Cursor::new(self.first).chain(upstream_reads), client_writes));
        tokio::select! {
            done = &mut up => { done?; tokio::time::timeout(LAST_WORDS, down).await? }
            done = &mut down => { done?; tokio::time::timeout(LAST_WORDS, up).await? }
        }
    }
}

async fn copy_one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}
