//! Behind the answer's head: what is read is refused as a whole; what passes breaks off, so that no page takes half of an answer
//! for all of it.

use super::scripted::Step::{HalfClose, Read, Repeat, Reset, Silence, Taken};
use super::scripted::{Scripted, Step, say};
use super::{INCOMPLETE, Kind, Outcome, ask, each_refused, failures, gate_for, tunnel};
use crate::support::wire::{metric_becomes, within};

/// An answer of 30 bytes, of which some come.
const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n{\"success\"";
/// One in chunks.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                       9\r\ndata: 1\n\n\r\n";

/// What comes behind a head that has been read, or behind a chunk, and makes it an answer that is not whole.
fn faults() -> Vec<(&'static str, Vec<Step>)> {
    let short = |steps: Vec<Step>| [vec![Read, say(SHORT)], steps].concat();
    let chunked = |text: &str, steps: Vec<Step>| [vec![Read, say(CHUNKED), Taken, say(text)], steps].concat();
    vec![
        ("short, closed", short(vec![])),
        ("short, reset", short(vec![Reset])),
        ("short, half-closed", short(vec![HalfClose])),
        ("short, quiet", short(vec![Silence])),
        ("chunks, closed", chunked("", vec![])),
        ("chunks, reset", chunked("", vec![Reset])),
        ("chunks, half-closed", chunked("", vec![HalfClose])),
        ("chunks, quiet", chunked("", vec![Silence])),
        ("within a chunk", chunked("9\r\ndata", vec![])),
        ("quiet within a chunk", chunked("9\r\ndata", vec![Silence])),
        ("behind the last chunk", chunked("0\r\n", vec![])),
        ("a size that is none", chunked("zz\r\n", vec![Silence])),
        ("a negative size", chunked("-1\r\n", vec![Silence])),
        ("a size beyond all numbers", chunked("fffffffffffffffff\r\n", vec![Silence])),
        ("more than its size", chunked("2\r\ndata: 2\n\n\r\n", vec![Silence])),
        ("no size", chunked("\r\n", vec![Silence])),
    ]
}

#[tokio::test]
async fn an_answer_that_must_be_read_is_refused() {
    for (what, steps) in faults() {
        each_refused(what, &[Kind::Read], steps, INCOMPLETE).await;
    }
}

#[tokio::test]
async fn an_answer_that_passes_breaks_off() {
    let Outcome(.., error) = INCOMPLETE;
    for (what, steps) in faults() {
        for kind in [Kind::Passed, Kind::Events] {
            let upstream = Scripted::start([steps.clone()]).await;
            let gate = gate_for(&upstream, kind).start().await;
            let token = gate.token("ada").mint().await;
            let mut answer = ask(&gate, &token, kind).await;
            assert_eq!(answer.status(), 200, "{what}, {kind:?}");
            // What came before the fault arrives; then the body breaks off, and does not end.
            let mut text = Vec::new();
            let end = loop {
                match within(answer.chunk()).await {
                    Ok(Some(chunk)) => text.extend_from_slice(&chunk),
                    end => break end,
                }
            };
            let text = String::from_utf8(text).expect("text");
            assert!(end.is_err(), "{what}, {kind:?}: a clean end behind {text:?}");
            assert!(text.starts_with("{\"success\"") || text.starts_with("data: 1\n\n"), "{what}, {kind:?}: {text:?}");
            metric_becomes(&gate, "sidegate_forwards", 0.0).await;
            assert!((failures(&gate, error).await - 1.0).abs() < f64::EPSILON, "{what}, {kind:?}: counted once");
            let line = gate.wait_for_line(&format!("\"upstream_error\":\"{error}\"")).await;
            assert!(line.contains("\"status\":200"), "{line}");
            assert_eq!(upstream.heads().len(), 1, "{what}, {kind:?}: asked once");
            assert_eq!(ask(&gate, &token, Kind::Passed).await.status(), 200, "{what}, {kind:?}: the next one");
        }
    }
}

/// A reset of the stream drops what is still to be written: the fault comes with what it follows.
#[tokio::test]
async fn over_http2_what_came_arrives_too_before_it_breaks_off() {
    let upstream = Scripted::start((0..50).map(|_| vec![Read, say(SHORT), HalfClose])).await;
    let gate = gate_for(&upstream, Kind::Passed).set("listen.trusted_proxies=[\"127.0.0.1\"]");
    let mut gate = gate.upstream("circuit.failures = 0").start().await;
    let token = gate.token("ada").mint().await;
    gate.client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    for _ in 0..50 {
        let mut answer = ask(&gate, &token, Kind::Passed).await;
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
        assert_eq!(within(answer.chunk()).await.expect("what came").expect("no end"), "{\"success\"");
        assert!(within(answer.chunk()).await.is_err(), "it breaks off");
    }
}

/// The handshake's answer, and words right behind it.
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwords;";

#[tokio::test]
async fn a_tunnel_ends_with_its_upstreams_connection() {
    for (what, step) in [("reset", Some(Reset)), ("half-closed", Some(HalfClose)), ("closed", None)] {
        let steps = [Read, say(SWITCHED)].into_iter().chain(step).collect();
        let upstream = Scripted::start([steps]).await;
        let gate = gate_for(&upstream, Kind::Tunnel).start().await;
        let token = gate.token("ada").mint().await;
        let mut page = tunnel(&gate, &token).await;
        assert!(page.head().await.starts_with("HTTP/1.1 101"), "{what}");
        assert_eq!(page.until(";").await, "words;", "{what}");
        assert_eq!(page.closed().await, "", "{what}");
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
        metric_becomes(&gate, "sidegate_connections{listener=\"public\"}", 0.0).await;
        assert_eq!(ask(&gate, &token, Kind::Passed).await.status(), 200, "{what}: the next one");
    }
}

/// There is always more of it, so that the gate never waits for it, and it has no place for last words.
#[tokio::test]
async fn an_event_that_never_ends_is_cut_when_its_stream_must_end() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ";
    let upstream = Scripted::start([vec![Read, say(head), Repeat(vec![b'a'; 1 << 16])]]).await;
    let gate = gate_for(&upstream, Kind::Events).app("leash.stream = \"1s\"").start().await;
    let token = gate.token("ada").mint().await;
    let mut answer = ask(&gate, &token, Kind::Events).await;
    let mut last = answer.chunk().await.expect("a chunk").expect("not the end");
    let rest = async {
        while let Some(chunk) = answer.chunk().await.expect("a proper end") {
            last = chunk;
        }
    };
    within(rest).await;
    assert!(last.ends_with(b"a"), "no words within an event: {last:?}");
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    metric_becomes(&gate, "sidegate_streams_ended_total{reason=\"time_used_up\"}", 1.0).await;
}
