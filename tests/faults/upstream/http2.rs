//! An upstream that speaks HTTP/2 (RFC 9113) and fails, frame by frame.

use super::scripted::Step::{ReadHeaders, Reset, Silence, Taken};
use super::scripted::{Scripted, Step, say};
use super::{INCOMPLETE, Kind, Outcome, TERMINATED, TIMEOUT, ask, failures, gate_for};
use crate::support::gate::{Gate, SHOP};
use crate::support::wire::{metric_becomes, within};

/// A frame: type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Step {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    Step::Say([&head[..], payload].concat())
}

/// SETTINGS, and the acknowledgement of the other side's.
fn hello() -> Vec<Step> {
    vec![frame(4, 0, 0, &[]), ReadHeaders, frame(4, 1, 0, &[])]
}

/// `:status: 200`, from HPACK's static table.
fn head() -> Step {
    frame(1, 4, 1, &[0x88])
}

fn data(text: &str) -> Step {
    frame(0, 0, 1, text.as_bytes())
}

/// RST_STREAM with a code of RFC 9113 section 7.
fn reset_stream(code: u32) -> Step {
    frame(3, 0, 1, &code.to_be_bytes())
}

/// GOAWAY: nothing behind `last` was processed.
fn go_away(last: u32, code: u32) -> Step {
    frame(7, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

async fn gate_before(upstream: &Scripted) -> Gate {
    gate_for(upstream, Kind::Passed).upstream("protocol = \"http2\"").start().await
}

fn after_hello(steps: Vec<Step>) -> Vec<Step> {
    [hello(), steps].concat()
}

#[tokio::test]
async fn until_the_head_is_there_it_is_a_refusal() {
    let rows = [
        ("no HTTP/2", vec![say("HTTP/1.1 400 Bad Request\r\n\r\n"), Silence], TERMINATED),
        ("silent from the start", vec![Silence], TIMEOUT),
        ("silent", after_hello(vec![Silence]), TIMEOUT),
        ("closed", after_hello(vec![]), TERMINATED),
        ("reset", after_hello(vec![Reset]), TERMINATED),
        ("the stream is reset", after_hello(vec![reset_stream(2), Silence]), TERMINATED),
        ("no status", after_hello(vec![frame(1, 4, 1, &[]), Silence]), TERMINATED),
        ("data before the head", after_hello(vec![data("{}"), Silence]), TERMINATED),
        (
            "a field that is none",
            after_hello(vec![frame(1, 4, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Silence]),
            TERMINATED,
        ),
        (
            "a frame beyond its size",
            after_hello(vec![Step::Say([&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1][..], &[0; 64]].concat()), Silence]),
            TERMINATED,
        ),
        ("another stream", after_hello(vec![frame(1, 4, 2, &[0x88]), Silence]), TERMINATED),
        ("told to go away", after_hello(vec![go_away(1, 2)]), TERMINATED),
    ];
    for (what, steps, outcome) in rows {
        let upstream = Scripted::start([steps]).await;
        let gate = gate_before(&upstream).await;
        let Outcome(status, code, error) = outcome;
        let token = gate.token("ada").mint().await;
        let answer = ask(&gate, &token, Kind::Passed).await;
        let (got, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = within(answer.text()).await.expect("a body");
        assert_eq!(got, status, "{what}: {text} {headers:?}");
        assert!(text.contains(&format!("\"{code}\"")), "{what}: {text}");
        assert_eq!(headers["proxy-status"], format!("sidegate; error={error}"), "{what}");
        assert_eq!(headers["access-control-allow-origin"], SHOP, "{what}");
        assert!((failures(&gate, error).await - 1.0).abs() < f64::EPSILON, "{what}: counted once");
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
        assert!(upstream.heads().len() <= 1, "{what}: asked once");
    }
}

#[tokio::test]
async fn behind_the_head_the_answer_breaks_off() {
    let rows = [
        ("the stream is reset", vec![head(), data("data: 1\n\n"), reset_stream(2), Silence]),
        // Closed with something unread it is a reset, which may undo what was said before.
        ("closed", vec![head(), data("data: 1\n\n"), Taken]),
        ("reset", vec![head(), data("data: 1\n\n"), Reset]),
        ("quiet", vec![head(), data("data: 1\n\n"), Silence]),
        ("nonsense", vec![head(), data("data: 1\n\n"), frame(0, 8, 1, &[255]), Silence]),
        ("settings of another size", vec![head(), data("data: 1\n\n"), frame(4, 0, 0, &[1]), Silence]),
    ];
    let Outcome(.., error) = INCOMPLETE;
    for (what, steps) in rows {
        let upstream = Scripted::start([after_hello(steps)]).await;
        let gate = gate_before(&upstream).await;
        let token = gate.token("ada").mint().await;
        let mut answer = ask(&gate, &token, Kind::Events).await;
        assert_eq!(answer.status(), 200, "{what}");
        let mut read = Vec::new();
        loop {
            match within(answer.chunk()).await {
                Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                Ok(None) => panic!("{what}: a clean end"),
                Err(_) => break,
            }
        }
        assert_eq!(String::from_utf8_lossy(&read), "data: 1\n\n", "{what}");
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
        assert!((failures(&gate, error).await - 1.0).abs() < f64::EPSILON, "{what}: counted once");
        assert_eq!(upstream.heads().len(), 1, "{what}: asked once");
    }
}
