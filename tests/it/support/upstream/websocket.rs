//! The WebSocket echo.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use super::{Reply, Shared};

pub(super) fn wanted(head: &Parts) -> bool {
    let upgrade = head.headers.get(header::UPGRADE);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The server's side of the opening handshake, RFC 6455, 4.2.2.
pub(super) fn accept(head: &Parts, upgrade: OnUpgrade, shared: &Arc<Shared>) -> Reply {
    let key = head.headers.get(header::SEC_WEBSOCKET_KEY);
    let (true, Some(key)) = (wanted(head), key) else {
        return Reply::new(426, "").header("upgrade", "websocket");
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut reply = Reply::new(101, "")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", &accept);
    // Takes the first subprotocol offered, or a client that offered some would hang up.
    if let Some(offered) = head.headers.get(header::SEC_WEBSOCKET_PROTOCOL) {
        let first = offered.to_str().unwrap().split(',').next().unwrap().trim();
        reply = reply.header("sec-websocket-protocol", first);
    }
    tokio::spawn(echo(upgrade, Arc::clone(shared)));
    reply
}

async fn echo(upgrade: OnUpgrade, shared: Arc<Shared>) {
    let Ok(upgraded) = upgrade.await else { return };
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let data = message.is_text() || message.is_binary();
        // Pings and closes are answered by the library.
        if data && socket.send(message).await.is_err() {
            break;
        }
    }
    shared.advance(|seen| seen.websockets_closed += 1);
}
