//! Idle connections that the upstream closes just as the next request comes: what may be repeated never fails, what may not is
//! sent once.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use reqwest::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::gate::{Gate, SHOP};
use crate::support::wire::metric;

const CLIENTS: usize = 16;
const REQUESTS: usize = 250;

/// After so many answers a connection is closed. If many more of the requests met a close, not all of them would be repeated:
/// that is shown in `tests/it/pooling.rs`.
const ANSWERS: usize = 20;

/// Ids of the requests that it has read as a whole.
type Seen = Arc<Mutex<HashSet<String>>>;

/// How long it waits for the next request before it closes.
const WHILE_IDLE: Duration = Duration::from_secs(20);

/// An upstream that closes each connection so soon after one of its answers that the close may meet the next request: after no
/// time, after up to two thousandths of a second, or, every fifth one, when that has come and was not read.
async fn hasty() -> (SocketAddr, Seen) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen = Seen::default();
    let (known, count) = (Arc::clone(&seen), AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let patience = match count.fetch_add(1, Ordering::Relaxed) % 5 {
                0 => None,
                n => Some(Duration::from_micros(500 * (n as u64 - 1))),
            };
            tokio::spawn(serve(socket, patience, Arc::clone(&known)));
        }
    });
    (address, seen)
}

async fn serve(mut socket: TcpStream, patience: Option<Duration>, seen: Seen) {
    for answered in 0.. {
        let mut bytes = Vec::new();
        let request = async {
            while !is_whole(&bytes) {
                if !socket.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    return false;
                }
            }
            true
        };
        let limit = match patience {
            _ if answered < ANSWERS => WHILE_IDLE,
            Some(patience) => patience,
            None => {
                let _ = tokio::time::timeout(WHILE_IDLE, socket.peek(&mut [0])).await;
                return;
            }
        };
        if tokio::time::timeout(limit, request).await != Ok(true) {
            return;
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id").to_owned();
        assert!(seen.lock().unwrap().insert(id), "sent twice: {head}");
        let body = "{\"success\":true,\"data\":{\"id\":\"task_1\"}}";
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A request without a body, or one whose body is an object with one text.
fn is_whole(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"POST") { bytes.ends_with(b"\"}") } else { bytes.ends_with(b"\r\n\r\n") }
}

/// How each request of all clients ended: status and id.
async fn load(gate: &Gate, token: &str, method: Method) -> Vec<(u16, String)> {
    let client = Client::new();
    let each = (0..CLIENTS).map(|_| async {
        let mut ends = Vec::new();
        for _ in 0..REQUESTS {
            let url = format!("http://{}/api/v1/tasks/task_1", gate.public);
            let request = match method {
                Method::GET => client.get(url),
                _ => client.post(format!("{url}/messages")).json(&json!({ "message": "hi" })),
            };
            let answer = request.bearer_auth(token).header("origin", SHOP).send().await.expect("an answer");
            let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
            ends.push((answer.status().as_u16(), id));
            answer.bytes().await.expect("a body");
        }
        ends
    });
    join_all(each).await.concat()
}

async fn gate_before(address: SocketAddr) -> Gate {
    let gate = Gate::builder_for(&format!("http://{address}")).set("listen.workers=2").set("log.access=false");
    let gate = gate.upstream("circuit.failures = 0");
    gate.app("scoping = \"upstream\"\ninject.headers = { X-End-User = \"{{claims.sub}}\" }").start().await
}

#[tokio::test]
async fn no_request_that_may_be_repeated_fails_under_load() {
    let (address, seen) = hasty().await;
    let gate = gate_before(address).await;
    let token = gate.token("ada").mint().await;
    let ends = load(&gate, &token, Method::GET).await;
    assert!(ends.iter().all(|(status, _)| *status == 200), "{:?}", ends.iter().find(|(status, _)| *status != 200));
    assert_eq!(seen.lock().unwrap().len(), CLIENTS * REQUESTS, "each was read once");
    let repeats = metric(&gate, "sidegate_upstream_repeats_total").await;
    println!("{repeats} of {} had to be repeated", CLIENTS * REQUESTS);
    assert!(repeats > 0.0, "no close has met a request");
}

#[tokio::test]
async fn a_post_that_meets_a_close_is_not_sent_twice() {
    let (address, seen) = hasty().await;
    let gate = gate_before(address).await;
    let token = gate.token("ada").mint().await;
    let ends = load(&gate, &token, Method::POST).await;
    let seen = seen.lock().unwrap();
    let failed: Vec<_> = ends.iter().filter(|(status, _)| *status != 200).collect();
    println!("{} of {} met a close", failed.len(), ends.len());
    for (status, id) in &ends {
        match status {
            200 => assert!(seen.contains(id), "answered without being asked"),
            502 => assert!(!seen.contains(id), "it was read, and answered"),
            status => panic!("{status}"),
        }
    }
    assert_eq!(seen.len(), ends.len() - failed.len());
}
