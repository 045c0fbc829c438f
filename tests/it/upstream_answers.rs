//! Answers of an upstream, byte by byte, in one piece and in many: what reaches the client, and
//! whether the connection is used again.

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::cases::cases;
use crate::support::gate::Gate;
use crate::support::raw::Raw;
use crate::support::wire::{Wire, head, metric_becomes, within};

const HISTORY: &str = "/api/v1/tasks/task_1/history";
const INJECT: &str = "[apps.inject]\nheaders = { X-End-User = \"{{claims.sub}}\" }";

#[derive(Deserialize)]
struct Case {
    name: String,
    answer: String,
    /// What the client gets; 0 for 502 or 200 with a body that is cut, as the pieces happen to come.
    status: u16,
    #[serde(default)]
    body: String,
    /// Whether the client can tell that the body is not whole.
    #[serde(default)]
    cut: bool,
    /// Whether the upstream closes behind it.
    #[serde(default)]
    closes: bool,
    /// Whether the next request comes on the same connection.
    #[serde(default)]
    kept: bool,
}

/// What the client got: status, body without its framing, and whether that is whole.
fn read(answer: &str) -> (u16, String, bool) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let field = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if field("transfer-encoding").is_some() {
        let (data, whole) = unchunked(body);
        return (status, data, whole);
    }
    let length = field("content-length").map_or(0, |length| length.parse().expect("a length"));
    (status, body.to_owned(), body.len() == length)
}

fn unchunked(mut body: &str) -> (String, bool) {
    let mut data = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return (data, rest == "\r\n");
        }
        data.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    (data, false)
}

struct Upstream {
    listener: TcpListener,
    /// The connection that the last request came on.
    open: Option<Wire>,
}

impl Upstream {
    /// Whether a request comes on the open connection, or on a new one.
    async fn is_asked_again(&mut self) -> bool {
        let open = self.open.as_mut().expect("a connection");
        let accepted = tokio::select! {
            accepted = self.listener.accept() => Some(accepted.expect("a connection").0),
            // Readable at its end as well: the other one tells.
            head = open.try_head() => if head { None } else { Some(self.listener.accept().await.expect("a connection").0) },
        };
        let Some(accepted) = accepted else { return true };
        let mut wire = Wire::over(accepted);
        wire.head().await;
        self.open = Some(wire);
        false
    }

    async fn answer(&mut self, case: &Case, step: usize) {
        let wire = self.open.as_mut().expect("a connection");
        for piece in case.answer.as_bytes().chunks(step) {
            // The gate may have turned away: that is for the client to see.
            if wire.io.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if case.closes {
            let _ = wire.io.shutdown().await;
        }
    }
}

/// A gate with one worker, so with one pool, and its upstream.
async fn start() -> (Gate, Upstream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let builder = Gate::builder_for(&url).app("scoping = \"upstream\"").app(INJECT).upstream("pool_idle = \"1m\"");
    (builder.set("listen.workers=1").start().await, Upstream { listener, open: None })
}

/// Asks twice, for this answer and for a plain one: what is wrong with the first.
async fn fault(gate: &Gate, upstream: &mut Upstream, token: &str, case: &Case, step: usize) -> Option<String> {
    let request = format!("{}Connection: close\r\n\r\n", head("GET", HISTORY, token));
    upstream.open = None;
    let mut client = Raw::connect(gate.public).await;
    client.send(&request).await;
    let mut wire = Wire::over(within(upstream.listener.accept()).await.expect("a connection").0);
    wire.head().await;
    upstream.open = Some(wire);
    let (got, ()) = tokio::join!(client.closed(), upstream.answer(case, step));
    let (status, body, whole) = read(&got);
    let right = match case.status {
        0 => status == 502 || (status == 200 && !whole),
        502 => status == 502,
        expected => status == expected && whole != case.cut && (case.cut || body == case.body),
    };
    let mut client = Raw::connect(gate.public).await;
    client.send(&request).await;
    let kept = within(upstream.is_asked_again()).await;
    let plain = Case {
        name: String::new(),
        answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nplain".into(),
        status: 200,
        body: String::new(),
        cut: false,
        closes: true,
        kept: false,
    };
    upstream.answer(&plain, 1_000).await;
    let after = read(&client.closed().await);
    let right = right && kept == case.kept && after == (200, "plain".into(), true);
    (!right).then(|| format!("{} in pieces of {step}: {got:?}, kept: {kept}, then {after:?}", case.name))
}

#[tokio::test]
async fn a_last_chunk_that_comes_alone_leaves_the_connection_as_well() {
    let (gate, mut upstream) = start().await;
    let token = gate.token("ada").mint().await;
    let request = format!("{}\r\n", head("GET", HISTORY, &token));
    let mut client = Wire::connect(gate.public).await;
    client.send(&request).await;
    let mut wire = Wire::over(within(upstream.listener.accept()).await.expect("a connection").0);
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    client.until("hello\r\n").await;
    wire.send("0\r\n\r\n").await;
    client.until("0\r\n\r\n").await;
    upstream.open = Some(wire);
    client.send(&request).await;
    assert!(within(upstream.is_asked_again()).await);
}

#[tokio::test]
async fn what_reaches_the_client_and_what_becomes_of_the_connection() {
    let (gate, mut upstream) = start().await;
    let token = gate.token("ada").mint().await;
    let mut faults = Vec::new();
    for case in cases::<Case>("upstream_answers.json") {
        for step in [usize::MAX, 1, 7, 40] {
            faults.extend(fault(&gate, &mut upstream, &token, &case, step).await);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}
