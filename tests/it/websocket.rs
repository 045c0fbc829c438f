//! WebSockets pass `GET /api/v1/tasks/{id}/stream`: the handshake like any request, then bytes.

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::gate::{Gate, SHOP};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, stream_path, within};

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

type Socket = WebSocketStream<TcpStream>;

async fn open(gate: &Gate, path: &str, fields: &[(&'static str, &str)]) -> Result<(Socket, Response), Error> {
    let socket = TcpStream::connect(gate.public).await.expect("connected");
    let mut request = format!("ws://{}{path}", gate.public).into_client_request().expect("a request");
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    within(client_async(request, socket)).await
}

pub async fn open_as(gate: &Gate, path: &str, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    open(gate, path, &[("origin", SHOP), ("authorization", &bearer)]).await.expect("an open WebSocket").0
}

fn status(refused: Result<(Socket, Response), Error>) -> u16 {
    match refused {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        other => panic!("not refused: {other:?}"),
    }
}

/// An upstream by hand that has taken one handshake, the browser's end of it, and the gate.
pub async fn raw_tunnel(lifetime: &str) -> (Gate, Wire, Wire) {
    raw_tunnel_with("listen.workers=1", lifetime).await
}

async fn raw_tunnel_with(setting: &str, lifetime: &str) -> (Gate, Wire, Wire) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let headers = "[apps.inject]\nheaders = { X-End-User = \"{{claims.sub}}\" }";
    let gate = Gate::builder_for(&url).app("scoping = \"upstream\"").app(headers).set(setting).start().await;
    let token = gate.token("ada").expires_in(lifetime).mint().await;
    let mut browser = Wire::connect(gate.public).await;
    browser.send(format!("{}{HANDSHAKE}\r\n", head("GET", "/api/v1/tasks/task_1/stream", &token))).await;
    let mut upstream = Wire::over(within(listener.accept()).await.expect("a connection").0);
    upstream.head().await;
    upstream.send(SWITCHED).await;
    assert!(browser.head().await.starts_with("HTTP/1.1 101"));
    (gate, browser, upstream)
}

#[tokio::test]
async fn messages_pass_both_ways() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let mut socket = open_as(&gate, &path, &token).await;
    let large = Message::binary(vec![7; 1024 * 1024]);
    for message in [Message::text("hello"), Message::binary(vec![0, 1, 2]), large] {
        within(socket.send(message.clone())).await.expect("sent");
        assert_eq!(within(socket.next()).await.expect("open").expect("a message"), message);
    }
}

#[tokio::test]
async fn the_upstream_may_speak_first() {
    let (_gate, mut browser, mut upstream) = raw_tunnel("1h").await;
    upstream.send("from the upstream;").await;
    assert_eq!(browser.until(";").await, "from the upstream;");
    browser.send("from the browser;").await;
    assert_eq!(upstream.until(";").await, "from the browser;");
}

#[tokio::test]
async fn a_subprotocol_and_the_key_pass() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    upstream.take();
    let bearer = format!("Bearer {token}");
    let fields = [("origin", SHOP), ("authorization", &*bearer), ("sec-websocket-protocol", "chat.v2, chat.v1")];
    let (_socket, answer) = open(&gate, &path, &fields).await.expect("an open WebSocket");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat.v2");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    let seen = upstream.requests().remove(0);
    assert_eq!(seen.header("sec-websocket-protocol"), "chat.v2, chat.v1");
    assert_eq!((seen.header("upgrade"), seen.header("authorization")), ("websocket", ""));
}

#[tokio::test]
async fn a_websocket_needs_what_any_request_needs() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let path = stream_path(&gate, &ada).await;
    let before = upstream.progress().heads;
    let (ada, eve) = (format!("Bearer {ada}"), format!("Bearer {eve}"));
    assert_eq!(status(open(&gate, &path, &[("origin", SHOP)]).await), 401);
    let elsewhere = [("origin", "https://evil.example"), ("authorization", &*ada)];
    assert_eq!(status(open(&gate, &path, &elsewhere).await), 403);
    assert_eq!(status(open(&gate, &path, &[("authorization", &*ada)]).await), 403);
    assert_eq!(status(open(&gate, &path, &[("origin", SHOP), ("authorization", &eve)]).await), 404);
    assert_eq!(upstream.progress().heads, before);
}

#[tokio::test]
async fn a_browser_that_says_goodbye_is_heard() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let mut socket = open_as(&gate, &path, &token).await;
    metric_becomes(&gate, "sidegate_forwards", 1.0).await;
    within(socket.close(None)).await.expect("closing");
    assert!(matches!(within(socket.next()).await, Some(Ok(Message::Close(_)))), "the goodbye comes back");
    within(upstream.wait_until(|seen| seen.websockets_closed == 1)).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn a_browser_that_vanishes_closes_the_upstreams_side() {
    let (gate, browser, mut upstream) = raw_tunnel("1h").await;
    drop(browser);
    upstream.closed().await;
    // The upstream's own half is still open; that must not hold the tunnel.
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn an_upstream_that_closes_closes_the_browsers_side() {
    let (gate, mut browser, mut upstream) = raw_tunnel("1h").await;
    upstream.send("last words").await;
    drop(upstream);
    assert_eq!(browser.closed().await, "last words");
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_its_token() {
    let begun = Instant::now();
    let (gate, mut browser, mut upstream) = raw_tunnel("2s").await;
    browser.closed_bytes().await;
    upstream.closed_bytes().await;
    assert!((900..10_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

/// While one side takes nothing the other is not heard: neither may hold the places of both for long.
#[tokio::test]
async fn who_takes_nothing_is_left() {
    for is_browser in [true, false] {
        let (gate, mut browser, mut upstream) = raw_tunnel_with("listen.write_timeout=1s", "1h").await;
        let (deaf, other) = if is_browser { (&browser, &mut upstream) } else { (&upstream, &mut browser) };
        let full = async { while other.io.write_all(&[0x81; 64 * 1024]).await.is_ok() {} };
        within(full).await;
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
        assert!(deaf.io.peer_addr().is_ok(), "it has not left");
    }
}

/// Where nobody counts streams, and answers are looked at.
#[tokio::test]
async fn elsewhere_it_is_an_ordinary_request() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let task = gate.create_task(&token).await;
    let paths = ["", &*format!("/{task}"), &*format!("/{task}/history")].map(|rest| format!("/api/v1/tasks{rest}"));
    for path in paths {
        let mut browser = Wire::connect(gate.public).await;
        browser.send(format!("{}{HANDSHAKE}\r\n", head("GET", &path, &token))).await;
        assert!(browser.head().await.starts_with("HTTP/1.1 200"), "{path}");
        assert_eq!(upstream.requests().pop().expect("a request").header("upgrade"), "");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_upgrade_is_a_failure() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    for reply in [Reply::new(200, "no"), Reply::new(404, ""), Reply::new(426, "")] {
        upstream.once(&path, Behaviour::answer(reply));
        let mut browser = Wire::connect(gate.public).await;
        browser.send(format!("{}{HANDSHAKE}\r\n", head("GET", &path, &token))).await;
        let head = browser.head().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(head.contains("proxy-status: sidegate; error=http_upgrade_failed\r\n"), "{head}");
        assert!(head.contains(&format!("access-control-allow-origin: {SHOP}\r\n")), "{head}");
        browser.until("UPSTREAM_UNAVAILABLE").await;
    }
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn a_browser_that_leaves_before_the_answer_is_noticed_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once(&path, behaviour);
    let mut browser = Wire::connect(gate.public).await;
    browser.send(format!("{}{HANDSHAKE}\r\n", head("GET", &path, &token))).await;
    within(upstream.wait_heads(2)).await;
    drop(browser);
    within(upstream.wait_cancelled()).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_the_handshake_is_given_up() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("first_byte_timeout = \"300ms\"").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once(&path, behaviour);
    let mut browser = Wire::connect(gate.public).await;
    browser.send(format!("{}{HANDSHAKE}\r\n", head("GET", &path, &token))).await;
    assert!(browser.head().await.starts_with("HTTP/1.1 504"));
    within(upstream.wait_cancelled()).await;
}

#[tokio::test]
async fn a_tunnels_connection_serves_no_other_request() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let socket = open_as(&gate, &path, &token).await;
    drop(socket);
    within(upstream.wait_until(|seen| seen.websockets_closed == 1)).await;
    assert_eq!(gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer").status(), 200);
    let connections: Vec<_> = upstream.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 2, 1]);
}

#[tokio::test]
async fn an_upgrade_to_something_else_is_an_ordinary_request() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let other = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    // Without the option it is meant for nobody, and what follows is another request.
    let unsaid = HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive");
    for fields in [other, &*unsaid] {
        let mut browser = Wire::connect(gate.public).await;
        browser.send(format!("{}{fields}\r\n", head("GET", &path, &token))).await;
        assert!(browser.head().await.starts_with("HTTP/1.1 200"));
        let seen = upstream.requests().pop().expect("a request");
        assert_eq!((seen.header("upgrade"), seen.header("http2-settings")), ("", ""));
    }
}
