//! Whether an answer says that the chat has ended: one JSON object, or a frame of an event stream
//! (contracts 3.2, `chat_ended`).

use std::borrow::Cow;

use http::StatusCode;
use serde::Deserialize;

use crate::sse::{self, LONGEST_END};

/// Bytes of the longest event that is read, without its end; the vendor's last frame has the whole answer in it.
const MAX_EVENT: usize = 256 * 1024;

/// Whether one JSON object says so. Of a name that stands twice, the last counts, as in a browser.
fn is_ended(body: &[u8]) -> bool {
    // Most frames are pieces of text, and not worth parsing; a name may be written with escapes.
    let may_say_it = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    let parsed = || serde_json::from_slice::<serde_json::Map<_, _>>(body).ok();
    (may_say_it(b"chat_ended") || may_say_it(b"\\u"))
        && parsed().is_some_and(|answer| answer.get("chat_ended") == Some(&serde_json::Value::Bool(true)))
}

/// Whether an answer that was read whole says that the session is over at the upstream: a reply that ends
/// the chat, or a refusal of the session. Kept open here, it would be resumed, and refused, again and again.
#[must_use]
pub fn ends(status: StatusCode, body: &[u8]) -> bool {
    if status.is_success() {
        return is_ended(body);
    }
    let refused = serde_json::from_slice::<Refusal<'_>>(body).ok().and_then(|refusal| refusal.detail.code);
    refused.is_some_and(|code| LOST.contains(&&*code))
}

/// The vendor's codes of refusals after which its widget begins another session (contracts 3.3).
const LOST: [&str; 4] = ["session_invalid", "session_not_found", "session_forbidden", "session_closed"];

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    detail: Detail<'a>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
}

/// Looks through an event stream as it passes.
#[derive(Debug, Default)]
pub struct Ended {
    /// What has come of the event that is not complete.
    event: Vec<u8>,
    /// How much of that was looked through for an end.
    looked_at: usize,
    /// It is longer than is read: nothing of it is kept.
    overlong: bool,
}

impl Ended {
    /// Whether an event that is complete with these bytes says that the chat has ended.
    pub fn reads(&mut self, bytes: &[u8]) -> bool {
        self.event.extend_from_slice(bytes);
        let (mut ended, mut start, mut from) = (false, 0, self.looked_at);
        while let Some((end, next)) = sse::end_of_event(&self.event, from) {
            let read = !self.overlong && end - start <= MAX_EVENT;
            ended |= read && is_ended(&sse::data(&self.event[start..end]));
            self.overlong = false;
            (start, from) = (next, next);
        }
        // Its end, of which some may be there, is no part of it.
        if self.event.len() - start >= MAX_EVENT + LONGEST_END {
            self.overlong = true;
            start = self.event.len() - LONGEST_END;
        }
        self.event.drain(..start);
        // An end may be cut in two.
        self.looked_at = self.event.len().saturating_sub(LONGEST_END - 1);
        ended
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "data: {\"type\":\"chunk\",\"text\":\"chat_ended\\\":true\"}\n\n: comment\n\ndata: {\"type\":\"done\",\"chat_ended\":true}\n\ndata: x\n\n";

    #[test]
    fn an_object_says_it_itself() {
        for said in [
            &br#"{"text":"bye","chat_ended": true}"#[..],
            br#"{"chat_ended":false,"chat_ended":true}"#,
            br#"{"chat\u005fended":true}"#,
        ] {
            assert!(is_ended(said), "{}", String::from_utf8_lossy(said));
        }
        for not in [
            &br#"{"chat_ended":false}"#[..],
            br#"{"chat_ended":"true"}"#,
            br#"{"chat_ended":null}"#,
            br#"{"text":"\"chat_ended\":true"}"#,
            br#"{"a":{"chat_ended":true}}"#,
            br#"[{"chat_ended":true}]"#,
            br#"{"chat_ended":true"#,
            b"",
        ] {
            assert!(!is_ended(not), "{}", String::from_utf8_lossy(not));
        }
    }

    #[test]
    fn a_refusal_of_the_session_ends_it() {
        for (status, body, ended) in [
            (409, r#"{"detail":{"code":"session_closed","message":"x"}}"#, true),
            (409, r#"{"detail":{"code":"session_not_found","message":"x"}}"#, true),
            (422, r#"{"detail":{"code":"message_required","message":"x"}}"#, false),
            (404, r#"{"detail":"Bot not found"}"#, false),
            (500, "oops", false),
            (503, r#"{"chat_ended":true}"#, false),
            (200, r#"{"chat_ended":true}"#, true),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(ends(status, body.as_bytes()), ended, "{status} {body}");
        }
    }

    #[test]
    fn an_overlong_event_is_passed_over_and_the_next_is_read() {
        let mut ended = Ended::default();
        assert!(!ended.reads(b"data: {\"chat_ended\":true,\"x\":\""));
        assert!(!ended.reads(&vec![b'x'; MAX_EVENT]));
        assert!(ended.event.len() <= LONGEST_END);
        assert!(!ended.reads(b"\"}\n"));
        assert!(!ended.reads(b"\n"));
        assert!(ended.reads(b"data: {\"chat_ended\":true}\r\n\r\n"));
    }

    #[test]
    fn many_small_events_and_many_small_pieces_are_read_in_one_pass() {
        // Quadratic, these would take minutes.
        let mut ended = Ended::default();
        assert!(!ended.reads(&b"\n\n".repeat(4 << 20)));
        for _ in 0..MAX_EVENT {
            assert!(!ended.reads(b"x"));
        }
        assert!(ended.reads(b"\r\n\ndata: {\"chat_ended\":true}\n\r\n"));
    }

    /// An event of so many bytes that says it, and one behind that does not.
    fn stream_with(length: usize, end: &str) -> Vec<u8> {
        let begins = "data: {\"chat_ended\":true,\"x\":\"";
        let filler = "x".repeat(length - begins.len() - 2);
        [begins, &filler, "\"}", end, ": comment", end].concat().into()
    }

    #[test]
    fn however_a_stream_is_cut_the_same_events_are_too_long() {
        for (length, read) in [(MAX_EVENT, true), (MAX_EVENT + 1, false), (MAX_EVENT + 100, false)] {
            for end in ["\n\n", "\r\n\r\n", "\r\r", "\r\n\n"] {
                let stream = stream_with(length, end);
                for at in [0, 1, length - 101, length - 1, length, length + 1, length + end.len() - 1, stream.len()] {
                    let (head, tail) = stream.split_at(at);
                    let mut ended = Ended::default();
                    assert_eq!(ended.reads(head) | ended.reads(tail), read, "{length} {end:?} cut at {at}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_its_end_is_seen_once(cuts in proptest::collection::vec(0..STREAM.len(), 0..8), crlf in any::<bool>()) {
            let stream = if crlf { STREAM.replace('\n', "\r\n") } else { STREAM.to_owned() };
            let mut places: Vec<_> = cuts.into_iter().chain([0, stream.len()]).collect();
            places.sort_unstable();
            let (mut ended, mut seen) = (Ended::default(), 0);
            for pair in places.windows(2) {
                seen += usize::from(ended.reads(&stream.as_bytes()[pair[0]..pair[1]]));
            }
            prop_assert_eq!(seen, 1);
        }
    }
}
