//! Until the answer's head is complete, the page gets a refusal in the vendor's words, whatever kind of answer it waits for.

use super::scripted::Step::{HalfClose, Read, Repeat, Reset, Silence};
use super::scripted::say;
use super::{INVALID, KINDS, Kind, TERMINATED, TIMEOUT, each_refused};

#[tokio::test]
async fn it_takes_the_request_and_is_silent() {
    each_refused("silent", &KINDS, vec![Read, Silence], TIMEOUT).await;
}

#[tokio::test]
async fn it_resets_the_connection() {
    each_refused("reset", &KINDS, vec![Read, Reset], TERMINATED).await;
    each_refused("within the head", &KINDS, vec![Read, say("HTTP/1.1 200 OK\r\nContent-"), Reset], TERMINATED).await;
}

#[tokio::test]
async fn it_ends_the_connection() {
    each_refused("closed", &KINDS, vec![Read], TERMINATED).await;
    each_refused("within the head", &KINDS, vec![Read, say("HTTP/1.1 200 OK\r\nContent-")], TERMINATED).await;
}

#[tokio::test]
async fn it_says_no_more_and_still_listens() {
    each_refused("half-closed", &KINDS, vec![Read, HalfClose], TERMINATED).await;
}

#[tokio::test]
async fn a_head_that_drips_has_no_more_time_than_another() {
    // A field in time, and then no more.
    let begun = "HTTP/1.1 200 OK\r\nX-Slow: 1\r\n";
    each_refused("drips", &KINDS, vec![Read, say(begun), Silence], TIMEOUT).await;
}

#[tokio::test]
async fn interim_answers_are_no_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    each_refused("hints", &KINDS, vec![Read, say("HTTP/1.1 100 Continue\r\n\r\n"), say(early), Silence], TIMEOUT).await;
    each_refused("then closed", &KINDS, vec![Read, say(early)], TERMINATED).await;
    each_refused("without end", &KINDS, vec![Read, Repeat(early.as_bytes().to_vec())], INVALID).await;
    // A switch that nobody asked for; the handshake's own answer is in `bodies.rs`.
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    each_refused("switched", &[Kind::Read, Kind::Passed, Kind::Events], vec![Read, say(switch), Silence], INVALID)
        .await;
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let field = format!("X-More: {}\r\n", "x".repeat(1_000)).into_bytes();
    each_refused("endless", &KINDS, vec![Read, say("HTTP/1.1 200 OK\r\n"), Repeat(field)], INVALID).await;
    each_refused("one line", &KINDS, vec![Read, say("HTTP/1.1 200 "), Repeat(vec![b'x'; 1_000])], INVALID).await;
}

/// Heads by which two readers could take two messages for one (RFC 9112 section 6.3), or that are none.
const CONTRADICTIONS: [&str; 14] = [
    "220 mail.example.com ESMTP\r\n\r\n",
    "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nX-No-Colon\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\nContent-Length: 2\r\n\r\n{}",
];

#[tokio::test]
async fn what_contradicts_itself_is_no_answer() {
    for head in CONTRADICTIONS {
        each_refused(head, &[Kind::Read, Kind::Passed], vec![Read, say(head), Silence], INVALID).await;
    }
}
