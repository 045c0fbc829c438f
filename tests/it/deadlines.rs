//! What a slow or silent client may hold, and for how long.

use std::time::Duration;

use http::Method;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, stream_path, within};

const HEAD_TIMEOUT: &str = "listen.head_timeout=300ms";
const PUBLIC: &str = "sidegate_connections{listener=\"public\"}";

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(HEAD_TIMEOUT).start().await;
    for address in [gate.public, gate.private] {
        let begun = Instant::now();
        assert_eq!(Wire::connect(address).await.closed().await, "");
        assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_trusted_proxy_that_sends_nothing_is_closed() {
    let upstream = Upstream::start().await;
    let builder = Gate::builder(&upstream).set(HEAD_TIMEOUT).set("listen.trusted_proxies=[\"127.0.0.1/32\"]");
    let gate = builder.start().await;
    for opening in ["", "P", "PRI"] {
        let mut wire = Wire::connect(gate.public).await;
        wire.send(opening).await;
        wire.closed().await;
    }
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(HEAD_TIMEOUT).start().await;
    let mut wire = Wire::connect(gate.public).await;
    let begun = Instant::now();
    wire.send("GET /api/v1/tasks HTTP/1.1\r\nHost: gate\r\n").await;
    // Each line comes within the time that the whole head has.
    while begun.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if tokio::io::AsyncWriteExt::write_all(&mut wire.io, b"X-Slow: 1\r\n").await.is_err() {
            break;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "it may go on for ever");
    metric_becomes(&gate, PUBLIC, 0.0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(HEAD_TIMEOUT).start().await;
    let token = gate.token("ada").mint().await;
    let mut wire = Wire::connect(gate.public).await;
    wire.send(format!("{}\r\n", head("GET", "/api/v1/tasks", &token))).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    wire.closed().await;
    metric_becomes(&gate, PUBLIC, 0.0).await;
}

#[tokio::test]
async fn a_stream_is_not_idle() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set(HEAD_TIMEOUT).start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    tokio::time::sleep(Duration::from_millis(700)).await;
    stream.chunk("data: late\n\n");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), "data: late\n\n");
}

/// A client whose socket takes little.
async fn narrow(gate: &Gate) -> Wire {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
    Wire::over(socket.connect(gate.public).await.expect("connected"))
}

#[tokio::test]
async fn a_client_that_stops_reading_frees_the_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.write_timeout=300ms").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut wire = narrow(&gate).await;
    wire.send(format!("{}\r\n", head("GET", &path, &token))).await;
    wire.head().await;
    for _ in 0..512 {
        stream.offer(vec![b'x'; 64 * 1024]);
    }
    within(stream.closed()).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    metric_becomes(&gate, PUBLIC, 0.0).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.write_timeout=3s").start().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut wire = narrow(&gate).await;
    wire.send(format!("{}Connection: close\r\n\r\n", head("GET", &path, &token))).await;
    wire.head().await;
    for _ in 0..64 {
        stream.chunk("x".repeat(16 * 1024));
    }
    stream.chunk("the end");
    stream.end();
    wire.until("xxx").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    wire.until("the end").await;
}

#[tokio::test]
async fn beyond_max_connections_the_next_one_is_told_so() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_connections=2").start().await;
    let token = gate.token("ada").mint().await;
    let ask = format!("{}\r\n", head("GET", "/api/v1/tasks", &token));
    let mut first = Wire::connect(gate.public).await;
    let second = Wire::connect(gate.public).await;
    metric_becomes(&gate, PUBLIC, 2.0).await;
    let mut third = Wire::connect(gate.public).await;
    third.send(&ask).await;
    let refused = third.head().await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    first.send(&ask).await;
    assert!(first.head().await.starts_with("HTTP/1.1 200"), "those that are in are served");
    drop((second, third));
    metric_becomes(&gate, PUBLIC, 1.0).await;
    let mut fourth = Wire::connect(gate.public).await;
    fourth.send(&ask).await;
    assert!(fourth.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.count(), 2);
}

/// A kernel's queue that is full drops the packet that opens a connection, so that its client waits.
#[tokio::test]
async fn hundreds_of_connections_at_once_find_room_in_the_queue() {
    let gate = Gate::builder(&Upstream::start().await).set("listen.max_connections=1").start().await;
    let mut held = Vec::new();
    for _ in 0..600 {
        held.push(Wire::connect(gate.public).await);
    }
    // Those beyond the limit that are to be told so; more are not taken at once.
    metric_becomes(&gate, PUBLIC, 65.0).await;
}

#[tokio::test]
async fn a_tunnel_keeps_its_place_among_the_connections() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.max_connections=1").start().await;
    let token = gate.token("ada").mint().await;
    let mut page = Wire::connect(gate.public).await;
    let body = "{\"message\":\"Hello\"}";
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    page.send(format!("{}{fields}", head("POST", "/api/v1/tasks", &token))).await;
    page.until("true}").await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    page.send(format!("{}{upgrade}", head("GET", "/api/v1/tasks/task_1/stream", &token))).await;
    assert!(page.head().await.starts_with("HTTP/1.1 101"));
    metric_becomes(&gate, PUBLIC, 1.0).await;
    let mut next = Wire::connect(gate.public).await;
    next.send(format!("{}\r\n", head("GET", "/api/v1/tasks", &token))).await;
    assert!(next.head().await.starts_with("HTTP/1.1 503"), "served beside the tunnel");
    drop((page, next));
    metric_becomes(&gate, PUBLIC, 0.0).await;
    let mut last = Wire::connect(gate.public).await;
    last.send(format!("{}\r\n", head("GET", "/api/v1/tasks", &token))).await;
    assert!(last.head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_resets_its_connection_leaves_nothing_behind() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut wire = Wire::over(TcpStream::connect(gate.public).await.expect("connected"));
    wire.send(format!("{}\r\n", head("GET", &path, &token))).await;
    wire.head().await;
    SockRef::from(&wire.io).set_linger(Some(Duration::ZERO)).expect("a reset to come");
    drop(wire);
    within(stream.closed()).await;
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}
