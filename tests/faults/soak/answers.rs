//! What the chat service answers where all is well: each answer has the mark of whom it is for.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::upstream::{Known, Request};

/// Events of a usual stream.
pub const EVENTS: usize = 5;
/// Events of a large one, and about how many bytes each has.
pub const LARGE: (usize, usize) = (48, 16 * 1024);
/// The query of a large one.
pub const LARGE_QUERY: &str = "large=1";
/// Between two events.
const PAUSE: Duration = Duration::from_millis(15);

/// The answer by path. `false` if the gate has gone.
pub async fn usual(socket: &mut TcpStream, request: &Request, known: &Known) -> bool {
    let mark = request.mark();
    let path = request.path.split('?').next().unwrap_or_default();
    let is_get = request.method == "GET";
    match path {
        "/api/v1/tasks" if is_get => {
            let data = known.list("task");
            let pages = json!({ "total": data.len(), "limit": 50, "offset": 0, "hasMore": false });
            json(socket, 200, &json!({ "success": true, "data": data, "pagination": pages })).await
        }
        "/api/v1/tasks" => {
            let id = known.begin("task", &mark);
            json(socket, 200, &json!({ "success": true, "data": { "id": id, "user": mark } })).await
        }
        "/api/chatkit" => chatkit(socket, request, known).await,
        "/widget/chat" => {
            json(socket, 200, &json!({ "text": format!("Hello {mark}"), "session_id": "x", "chat_ended": false })).await
        }
        "/widget/history" => {
            let messages = json!([{ "role": "user", "text": mark }]);
            let answer = json!({ "session_id": "x", "messages": messages, "chat_ended": false, "ticket_number": null });
            json(socket, 200, &answer).await
        }
        "/api/v1/chats" => {
            let id = known.begin("chat", &mark);
            json(socket, 200, &json!({ "response": format!("Hello {mark}"), "chat_id": id })).await
        }
        path if path.ends_with("/stream") => stream(socket, request, &mark).await,
        path if path.ends_with("/complete") => json(socket, 200, &json!({ "text": format!("Hello {mark}") })).await,
        _ => json(socket, 200, &json!({ "success": true, "data": { "user": mark, "path": path } })).await,
    }
}

/// A whole answer. `false` if the gate has gone.
pub async fn json(socket: &mut TcpStream, status: u16, body: &Value) -> bool {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    // Which the gate replaces by its own.
    let more = "Access-Control-Allow-Origin: https://elsewhere.example\r\nSet-Cookie: a=b";
    socket.write_all(format!("{head}\r\n{more}\r\n\r\n{body}").as_bytes()).await.is_ok()
}

async fn stream(socket: &mut TcpStream, request: &Request, mark: &str) -> bool {
    let is_large = request.path.ends_with(LARGE_QUERY);
    let (events, filler) = if is_large { (LARGE.0, "x".repeat(LARGE.1)) } else { (EVENTS, String::new()) };
    let event = |n| format!("event: content\ndata: {{\"n\":{n},\"user\":\"{mark}\",\"text\":\"{filler}\"}}\n\n");
    events_of(socket, (0..events).map(event), if is_large { Duration::ZERO } else { PAUSE }).await
}

async fn chatkit(socket: &mut TcpStream, request: &Request, known: &Known) -> bool {
    let mark = request.mark();
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let thread = asked["params"]["thread_id"].as_str();
    match asked["type"].as_str().unwrap_or_default() {
        "threads.list" => json(socket, 200, &json!({ "data": known.list("thr"), "has_more": false })).await,
        "threads.create" => {
            let id = known.begin("thr", &mark);
            let created = json!({ "type": "thread.created", "thread": { "id": id, "items": { "data": [] } } });
            let done = json!({ "type": "thread.item.done", "item": { "id": "msg_1", "text": mark } });
            events_of(socket, [created, done].iter().map(|event| format!("data: {event}\n\n")), PAUSE).await
        }
        _ => json(socket, 200, &json!({ "id": thread, "title": mark, "items": { "data": [] } })).await,
    }
}

/// An event stream. `false` if the gate has gone.
async fn events_of(socket: &mut TcpStream, events: impl Iterator<Item = String>, pause: Duration) -> bool {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut sent = socket.write_all(head.as_bytes()).await;
    for event in events {
        if sent.is_err() {
            return false;
        }
        sent = socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await;
        tokio::time::sleep(pause).await;
    }
    sent.is_ok() && socket.write_all(b"0\r\n\r\n").await.is_ok()
}

/// Says who it is for, then sends back every text.
pub async fn websocket(mut socket: TcpStream, request: &Request) {
    let accept = derive_accept_key(request.field("sec-websocket-key").as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if socket.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let mut socket = WebSocketStream::from_raw_socket(socket, Role::Server, None).await;
    if socket.send(Message::text(request.mark())).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.next().await {
        // The library answers pings and goodbyes.
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}
