//! An upstream that fails, at every phase of a request and for every kind of answer.
//!
//! | Phase | Where it is shown |
//! |---|---|
//! | name, connect, TLS: refused, silent, wrong certificate | `tests/it/upstream_failure.rs`; `resolve.rs` for a name that moves |
//! | head: silent, reset, closed, half-closed, garbage, contradictions, interim answers, endless | `heads.rs`, for answers that are read, pass, stream and upgrade |
//! | body: short, broken chunks, reset, quiet | `bodies.rs`; the whole of it too long: `tests/it/pooling.rs` |
//! | HTTP/2: refused and reset streams, GOAWAY, nonsense | `http2.rs`; a connection that dies: `tests/it/upstream_http2.rs` |
//! | idle connections closed under load | `idle.rs`; one at a time: `tests/it/pooling.rs` |
//! | answers before the request's body is sent | `tests/it/wire_duplex.rs`, `tests/it/upload.rs` |
//! | tunnels whose ends vanish | `tests/it/websocket.rs`, `bodies.rs` |

mod bodies;
mod heads;
mod http2;
mod idle;
mod resolve;
mod scripted;

use http::Method;
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::gate::{Builder, Gate, SHOP};
use crate::support::wire::{Wire, head, metric, metric_becomes, within};

use scripted::{Scripted, Step};

/// What is asked for, by what becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Read before it passes: a new task, whose owner must be recorded.
    Read,
    /// JSON that passes.
    Passed,
    /// An event stream that passes.
    Events,
    /// A WebSocket.
    Tunnel,
}

const KINDS: [Kind; 4] = [Kind::Read, Kind::Passed, Kind::Events, Kind::Tunnel];

/// A gate that owns tasks only where they are to be read.
fn gate_for(upstream: &Scripted, kind: Kind) -> Builder {
    let gate = Gate::builder_for(&upstream.url()).set("listen.workers=1");
    let gate = gate.upstream("first_byte_timeout = \"600ms\"\nidle_timeout = \"600ms\"");
    match kind {
        Kind::Read => gate,
        _ => gate.app("scoping = \"upstream\"\ninject.headers = { X-End-User = \"{{claims.sub}}\" }"),
    }
}

/// Asks once; a WebSocket's handshake, too, is answered like any request where it fails.
async fn ask(gate: &Gate, token: &str, kind: Kind) -> Response {
    let request = match kind {
        Kind::Read => gate.chat(Method::POST, "/api/v1/tasks", token).json(&json!({ "message": "Hello" })),
        Kind::Passed => gate.chat(Method::GET, "/api/v1/tasks/task_1", token),
        Kind::Events => gate.chat(Method::GET, "/api/v1/tasks/task_1/stream", token),
        Kind::Tunnel => gate
            .chat(Method::GET, "/api/v1/tasks/task_1/stream", token)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    };
    within(request.send()).await.expect("an answer")
}

/// What the gate makes of a failure: status and code for the page, and RFC 9209's name for operators.
#[derive(Clone, Copy)]
struct Outcome(u16, &'static str, &'static str);

const TERMINATED: Outcome = Outcome(502, "UPSTREAM_UNAVAILABLE", "connection_terminated");
const INVALID: Outcome = Outcome(502, "UPSTREAM_INVALID_RESPONSE", "http_protocol_error");
const TIMEOUT: Outcome = Outcome(504, "UPSTREAM_TIMEOUT", "http_response_timeout");
const INCOMPLETE: Outcome = Outcome(502, "UPSTREAM_UNAVAILABLE", "http_response_incomplete");

/// How often failures of this name have been counted.
async fn failures(gate: &Gate, error: &str) -> f64 {
    metric(gate, &format!("sidegate_upstream_failures_total{{error=\"{error}\"}}")).await
}

/// A request that the script fails: the page can read why, operators too, nothing is asked twice, the place is given back,
/// and the next request is answered.
async fn assert_refused(what: &str, gate: &Gate, upstream: &Scripted, kind: Kind, outcome: Outcome) {
    let Outcome(status, code, error) = outcome;
    let token = gate.token("ada").mint().await;
    let before = (failures(gate, error).await, upstream.heads().len());
    let answer = ask(gate, &token, kind).await;
    let headers = answer.headers().clone();
    let (got, text) = (answer.status().as_u16(), within(answer.text()).await.expect("a body"));
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}, {kind:?}: {got} {text}"));
    assert_eq!((got, body["error"]["code"].as_str()), (status, Some(code)), "{what}, {kind:?}: {text}");
    assert_eq!(headers["proxy-status"], format!("sidegate; error={error}"), "{what}, {kind:?}");
    assert_eq!(headers["access-control-allow-origin"], SHOP, "{what}, {kind:?}");
    assert_eq!(headers["vary"], "Origin", "{what}, {kind:?}");
    assert!((failures(gate, error).await - before.0 - 1.0).abs() < f64::EPSILON, "{what}, {kind:?}: counted once");
    gate.wait_for_line(&format!("\"upstream_error\":\"{error}\"")).await;
    metric_becomes(gate, "sidegate_forwards", 0.0).await;
    assert_eq!(upstream.heads().len(), before.1 + 1, "{what}, {kind:?}: asked once");
    let next = if kind == Kind::Read { Kind::Read } else { Kind::Passed };
    assert_eq!(ask(gate, &token, next).await.status(), 200, "{what}, {kind:?}: the next one");
}

/// Runs a script once for each of these kinds, each against a gate of its own.
async fn each_refused(what: &str, kinds: &[Kind], steps: Vec<Step>, outcome: Outcome) {
    for &kind in kinds {
        let upstream = Scripted::start([steps.clone()]).await;
        let gate = gate_for(&upstream, kind).start().await;
        assert_refused(what, &gate, &upstream, kind, outcome).await;
    }
}

/// A page's half of a WebSocket, opened by hand.
async fn tunnel(gate: &Gate, token: &str) -> Wire {
    let mut wire = Wire::connect(gate.public).await;
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    wire.send(format!("{}{fields}", head("GET", "/api/v1/tasks/task_1/stream", token))).await;
    wire
}
