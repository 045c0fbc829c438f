//! Clients that take their time: with a head, a body, a handshake. Each holds a place for as long as a deadline
//! says, and others are served meanwhile. (Deadlines one by one, and clients that read slowly: `deadlines` in
//! `tests/it`.)

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::siege::{Siege, all, within_one};
use crate::support::raw::page;
use crate::support::tls::certificates;
use crate::support::wire::within;

const CLIENTS: usize = 400;

/// Deadlines that a test can wait for.
const HEAD: &str = "listen.head_timeout=1s";
const BODY: &str = "listen.body_timeout=1s";

/// Connections, each of which has sent this much.
async fn begin(to: SocketAddr, sent: impl Fn(usize) -> Vec<u8>) -> Vec<TcpStream> {
    all((0..CLIENTS).map(async |client| {
        let mut socket = TcpStream::connect(to).await.expect("a connection");
        socket.write_all(&sent(client)).await.expect("taken");
        socket
    }))
    .await
}

/// Goes on a byte at a time, on all of them, until each has been ended.
async fn drip(mut sockets: Vec<TcpStream>, bytes: &[u8]) {
    let mut bytes = bytes.iter().cycle();
    while !sockets.is_empty() {
        let byte = [*bytes.next().expect("a byte")];
        sockets.retain(
            |socket| !matches!(socket.try_write(&byte), Err(fault) if fault.kind() != std::io::ErrorKind::WouldBlock),
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits until each has been ended; what they were told.
async fn ended(sockets: Vec<TcpStream>) -> Vec<String> {
    all(sockets.into_iter().map(async |mut socket| {
        let mut told = Vec::new();
        // A reset is an end as well.
        let _ = socket.read_to_end(&mut told).await;
        String::from_utf8_lossy(&told).into_owned()
    }))
    .await
}

async fn assert_serves(siege: &Siege) {
    siege.expect(1);
    let answer = within_one(&siege.gate, siege.get("/api/v1/tasks", "")).await.expect("an answer");
    assert_eq!(answer.status, 200, "an honest page meanwhile");
}

#[tokio::test]
async fn heads_that_never_end_hold_nobody_up() {
    let siege = Siege::with(|gate| gate.set(HEAD)).await;
    let whole = siege.get("/api/v1/tasks", "X-Slow: 1\r\n");
    siege
        .rounds(async || {
            // Each breaks off somewhere else.
            let sockets =
                begin(siege.gate.public, |client| whole.as_bytes()[..client % (whole.len() - 1)].to_vec()).await;
            assert_serves(&siege).await;
            within(ended(sockets)).await;
        })
        .await;
}

#[tokio::test]
async fn heads_that_drip_hold_nobody_up() {
    let siege = Siege::with(|gate| gate.set(HEAD)).await;
    siege
        .rounds(async || {
            let head = format!("GET /api/v1/tasks HTTP/1.1\r\n{}", page(&siege.gate, &siege.token));
            let sockets = begin(siege.gate.public, |_| head.as_bytes().to_vec()).await;
            assert_serves(&siege).await;
            within(drip(sockets, b"X-Slow: 1\r\n")).await;
        })
        .await;
}

/// A body that is read before it goes on has one deadline for all of it, however it comes.
#[tokio::test]
async fn bodies_that_drip_hold_nobody_up() {
    let siege = Siege::with(|gate| gate.set(BODY)).await;
    siege
        .rounds(async || {
            for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
                let page = page(&siege.gate, &siege.token);
                let head =
                    format!("POST /api/v1/tasks HTTP/1.1\r\n{page}Content-Type: application/json\r\n{framing}\r\n\r\n");
                let sockets = begin(siege.gate.public, |_| head.as_bytes().to_vec()).await;
                assert_serves(&siege).await;
                within(drip(sockets, if framing.starts_with('C') { b" " } else { b"1\r\n \r\n" })).await;
            }
        })
        .await;
}

#[tokio::test]
async fn bodies_that_never_come_are_told_so() {
    let siege = Siege::with(|gate| gate.set(BODY)).await;
    siege
        .rounds(async || {
            let whole = siege.post("/api/v1/tasks", "application/json", "{\"message\":\"Hello\"}");
            let sockets =
                begin(siege.gate.public, |client| whole.as_bytes()[..whole.len() - 1 - client % 19].to_vec()).await;
            assert_serves(&siege).await;
            for told in within(ended(sockets)).await {
                assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
            }
        })
        .await;
}

/// A form goes on as it comes, so the upstream sees it begin; it never sees it end.
#[tokio::test]
async fn forms_that_never_end_are_whole_to_nobody() {
    let siege = Siege::with(|gate| gate.set(BODY)).await;
    let form = siege.post("/api/v1/tasks", "multipart/form-data; boundary=x", &"x".repeat(1_000));
    siege
        .rounds(async || {
            let sockets =
                begin(siege.gate.public, |client| form.as_bytes()[..form.len() - 1 - client % 900].to_vec()).await;
            within(ended(sockets)).await;
            siege.is_idle().await;
            assert!(siege.upstream.take().iter().all(|seen| !seen.body_complete));
            siege.forget().await;
        })
        .await;
}

#[tokio::test]
async fn handshakes_that_never_end_hold_nobody_up() {
    let made = certificates();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, pem: &str| {
        std::fs::write(folder.path().join(name), pem).expect("written");
        folder.path().join(name).display().to_string()
    };
    let (cert, key) = (file("cert", &made.server.0), file("key", &made.server.1));
    let tls = |gate: crate::support::gate::Builder| {
        gate.set(HEAD).set(&format!("listen.private_tls.cert={cert}")).set(&format!("listen.private_tls.key={key}"))
    };
    // The public listener's page is honest without TLS; both are served by the same code.
    let upstream = crate::support::upstream::Upstream::start().await;
    let gate = tls(crate::support::gate::Gate::builder(&upstream)).start().await;
    // A record of TLS 1.2 that announces a hello of 508 bytes.
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 200]].concat();
    let mut sizes = [0; 3];
    for size in &mut sizes {
        let sockets = begin(gate.private, |client| hello[..client % hello.len()].to_vec()).await;
        within(ended(sockets)).await;
        crate::support::wire::metric_becomes(&gate, "sidegate_connections{listener=\"private\"}", 0.0).await;
        *size = crate::siege::resident(&gate);
    }
    crate::siege::assert_flat(sizes);
}

/// The listeners of servers and of the platform as well.
#[tokio::test]
async fn no_listener_waits_for_a_head_for_ever() {
    let siege = Siege::with(|gate| gate.set(HEAD)).await;
    siege
        .rounds(async || {
            for address in [siege.gate.private, siege.gate.ops] {
                let head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n";
                let sockets = begin(address, |client| head[..client % head.len()].to_vec()).await;
                within(ended(sockets)).await;
            }
        })
        .await;
}

/// More than there are places, who ask for the metrics again and again and read nothing.
#[tokio::test]
async fn probes_are_answered_beside_those_who_take_no_answer() {
    let siege = Siege::with(|gate| gate.set("listen.write_timeout=300ms")).await;
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", siege.gate.ops).repeat(100);
    let deaf = async |_| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("an option");
        let mut socket = socket.connect(siege.gate.ops).await.expect("a connection");
        socket.write_all(ask.as_bytes()).await.expect("taken");
        socket
    };
    siege
        .rounds(async || {
            let _sockets = all((0..80).map(deaf)).await;
            let live = within(siege.gate.ops("/livez").send()).await.expect("an answer");
            assert_eq!(live.status(), 200);
        })
        .await;
}
