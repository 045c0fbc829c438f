//! An upstream that lies: answers in which a second one hides, or that never end. What it says to one visitor
//! never reaches the next. (Heads, one by one, and their framing: `upstream_answers` in `tests/it`.)

use std::sync::{Arc, Mutex};

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::siege::{Faults, assert_flat, resident};
use crate::support::cases::cases;
use crate::support::gate::Gate;
use crate::support::raw::{Raw, page};
use crate::support::wire::{Wire, metric_becomes, within};

const PATH: &str = "/api/v1/tasks/task_1/history";
const HONEST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhonest";
/// What an endless answer may send before it must have been cut off.
const ENDLESS: usize = 64 << 20;

#[derive(Deserialize, Clone)]
struct Row {
    name: String,
    /// The answer's bytes; `{EVIL}` is a whole one.
    answer: String,
    /// What follows for ever.
    #[serde(default)]
    endless: String,
    /// What a client gets: a status, and all of the body; nothing of it where that is `null`.
    status: u16,
    body: Option<String>,
}

/// An upstream that answers the next request on any connection as it is told, and all others honestly.
struct Liar {
    url: String,
    next: Arc<Mutex<Option<Row>>>,
    acceptor: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Liar {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let next = Arc::new(Mutex::new(None::<Row>));
        let shared = Arc::clone(&next);
        let acceptor = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let mut wire = Wire::over(socket);
                    while wire.try_head().await {
                        wire.head().await;
                        let row = shared.lock().unwrap().take();
                        if !answer(&mut wire, row).await {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, next, acceptor }
    }
}

/// Whether the gate is still there.
async fn answer(wire: &mut Wire, row: Option<Row>) -> bool {
    let Some(row) = row else { return wire.io.write_all(HONEST.as_bytes()).await.is_ok() };
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    if wire.io.write_all(row.answer.replace("{EVIL}", evil).as_bytes()).await.is_err() {
        return false;
    }
    let piece = row.endless.repeat(4096 / row.endless.len().max(1));
    let mut sent = 0;
    while !piece.is_empty() {
        if wire.io.write_all(piece.as_bytes()).await.is_err() {
            return false;
        }
        sent += piece.len();
        assert!(sent < ENDLESS, "{}: it goes on for ever", row.name);
    }
    true
}

async fn ask(gate: &Gate, token: &str) -> String {
    let mut client = Raw::connect(gate.public).await;
    client.send(format!("GET {PATH} HTTP/1.1\r\n{}Connection: close\r\n\r\n", page(gate, token))).await;
    client.closed().await
}

/// What is wrong with what ada got, and what eve got after her.
fn fault(row: &Row, got: &str, after: &str) -> Option<String> {
    let (head, body) = got.split_once("\r\n\r\n").unwrap_or((got, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0_u16);
    let right = match &row.body {
        Some(expected) => body == expected,
        None => !got.contains("evil"),
    };
    let next = after.starts_with("HTTP/1.1 200 ") && after.ends_with("\r\n\r\nhonest");
    let single = got.matches("HTTP/1.1 ").count() == 1 && !head.to_ascii_lowercase().contains("\r\nx-evil");
    // Where a body goes wrong at once, its head may not have left yet.
    let status_fits = status == row.status || (status == 502 && !row.endless.is_empty());
    let well = status_fits && right && next && single;
    (!well).then(|| format!("{}: {:?}, then {after:?}", row.name, &got[..got.len().min(600)]))
}

#[tokio::test]
async fn what_an_upstream_sends_beyond_its_answer_reaches_nobody() {
    let liar = Liar::start().await;
    let inject = "scoping = \"upstream\"\n[apps.inject]\nheaders = { X-End-User = \"{{claims.sub}}\" }";
    let builder = Gate::builder_for(&liar.url).app(inject).upstream("pool_idle = \"1m\"").set("log.access=false");
    let gate = builder.set("listen.workers=1").start().await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let rows: Vec<Row> = cases("attacks/splitting.json");
    let mut faults = Faults::default();
    let mut sizes = [0; 3];
    for size in &mut sizes {
        for row in rows.iter().flat_map(|row| std::iter::repeat_n(row, if row.endless.is_empty() { 10 } else { 2 })) {
            assert!(ask(&gate, &eve).await.ends_with("honest"), "a connection that is at hand");
            *liar.next.lock().unwrap() = Some(row.clone());
            let got = within(ask(&gate, &ada)).await;
            let after = within(ask(&gate, &eve)).await;
            let fault = fault(row, &got, &after);
            faults.check(fault.is_none(), || fault.unwrap_or_default());
        }
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
        *size = resident(&gate);
    }
    faults.none();
    assert!(!gate.output().contains("panicked"), "{}", gate.output());
    assert_flat(sizes);
}

/// An answer that comes before anybody has asked is nobody's.
#[tokio::test]
async fn an_answer_on_an_idle_connection_is_nobodys() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let inject = "scoping = \"upstream\"\n[apps.inject]\nheaders = { X-End-User = \"{{claims.sub}}\" }";
    let builder = Gate::builder_for(&url).app(inject).upstream("pool_idle = \"1m\"");
    let gate = builder.set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    for early in
        ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "HTTP/1.1 100 Continue\r\n\r\n", "H", "\r\n", "0\r\n\r\n"]
    {
        let upstream = async {
            let mut first = Wire::over(listener.accept().await.expect("a connection").0);
            first.head().await;
            first.send(HONEST).await;
            first.send(early).await;
            // Another connection: the first is not used again.
            let mut second = Wire::over(listener.accept().await.expect("a connection").0);
            second.head().await;
            second.send(HONEST).await;
            first.closed().await;
            drop(second);
        };
        let clients = async {
            for _ in 0..2 {
                let got = ask(&gate, &token).await;
                assert!(got.ends_with("\r\n\r\nhonest") && !got.contains("evil"), "{early:?}: {got}");
            }
        };
        within(async { tokio::join!(upstream, clients) }).await;
        // It closed: nothing is left for the next one to take.
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    }
}
