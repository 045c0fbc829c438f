//! One connection, against a peer written byte by byte.

use std::rc::Rc;
use std::time::Duration;

use http::header::HOST;
use http_body::Body as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::forward::request_body::Upload;
use crate::wire::ClientWire;
use crate::wire::testing::{pair, reset, use_up_budget};

/// A connection, and its other end.
async fn connection() -> (Box<Http1>, TcpStream) {
    let (near, far) = pair().await;
    (Http1::new(Io::Plain(near)), far)
}

fn request(method: Method, body: RequestBody) -> Request<RequestBody> {
    Request::builder().method(method).uri("/x").header(HOST, "chat").body(body).expect("a request")
}

/// A body of five bytes, of which the client has sent `sent`.
async fn upload(sent: &[u8]) -> (RequestBody, TcpStream) {
    let (near, mut browser) = pair().await;
    browser.write_all(sent).await.expect("sent");
    let wire = ClientWire::new(Io::Plain(near), Rc::default());
    let (upload, _) = Upload::new(wire.begin_body(Framing::Length(5)), 100, Duration::from_secs(60));
    (RequestBody::Streamed(upload), browser)
}

/// The whole body, or why it has no end.
async fn body(connection: &mut Http1, mut incoming: Incoming, scratch: &Scratch) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    while let Some(piece) = poll_fn(|cx| connection.poll_body(&mut incoming, scratch, cx)).await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole)
}

/// What comes of a `GET` whose answer is `bytes`; the far end stays open.
async fn answered(bytes: &[u8]) -> (Result<Answer, Failure>, Box<Http1>, TcpStream) {
    let (mut connection, mut far) = connection().await;
    far.write_all(bytes).await.expect("sent");
    let answer = connection.send(&mut request(Method::GET, RequestBody::Empty), &Scratch::default()).await;
    (answer.map_err(|unanswered| unanswered.failure), connection, far)
}

#[tokio::test]
async fn an_upload_of_which_nothing_was_sent_can_be_sent_again() {
    let (mut connection, far) = connection().await;
    reset(far);
    let (body, _browser) = upload(b"hello").await;
    let mut request = request(Method::POST, body);
    let unanswered = connection.send(&mut request, &Scratch::default()).await.err().expect("it was reset");
    assert!(unanswered.unsent);
    assert!(matches!(request.body(), RequestBody::Streamed(_)), "its body has not been lost");
    assert_eq!(request.body().size_hint().exact(), Some(5));
}

#[tokio::test]
async fn an_upload_that_has_begun_is_not_sent_again() {
    let (mut connection, mut far) = connection().await;
    let (body, _browser) = upload(b"hel").await;
    let mut request = request(Method::POST, body);
    let peer = async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"hel") {
            assert!(far.read_buf(&mut bytes).await.expect("readable") > 0);
        }
        reset(far);
    };
    let scratch = Scratch::default();
    let (unanswered, ()) = tokio::join!(connection.send(&mut request, &scratch), peer);
    assert!(!unanswered.err().expect("it was reset").unsent);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_are_seen_by_a_busy_task_as_well() {
    let (answer, mut connection, mut far) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.expect("an answer").head.status(), 200);
    let scratch = Scratch::default();
    assert!(connection.is_ready(&scratch));
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("sent");
    let Io::Plain(socket) = &connection.io else { panic!("plain") };
    socket.readable().await.expect("readable");
    let ready = poll_fn(|cx| {
        use_up_budget(cx);
        Poll::Ready(connection.is_ready(&scratch))
    });
    assert!(!ready.await);
}

#[tokio::test]
async fn interim_answers_have_no_more_room_than_a_head() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let flood = interim.repeat(MAX_ANSWER_HEAD / interim.len() + 1);
    assert_eq!(answered(flood.as_bytes()).await.0.err(), Some(Failure::Protocol));
    let some = format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", interim.repeat(50));
    let (answer, mut connection, _far) = answered(some.as_bytes()).await;
    let answer = answer.expect("an answer");
    assert_eq!(body(&mut connection, answer.body, &Scratch::default()).await, Ok(b"hi".to_vec()));
}

#[tokio::test]
async fn a_head_beyond_its_room_is_refused_though_it_ends() {
    let field = format!("X-Long: {}\r\n", "x".repeat(MAX_ANSWER_HEAD));
    let long = format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 0\r\n\r\n");
    assert_eq!(answered(long.as_bytes()).await.0.err(), Some(Failure::Protocol));
}

#[tokio::test]
async fn a_body_up_to_the_end_is_whole_only_if_the_end_is_one() {
    for (is_reset, expected) in [(false, Ok(b"cut".to_vec())), (true, Err(Failure::Incomplete))] {
        let (answer, mut connection, mut far) = answered(b"HTTP/1.1 200 OK\r\n\r\ncut").await;
        let _far = if is_reset {
            reset(far);
            None
        } else {
            // What it has not read would make a close of the whole socket a reset.
            far.shutdown().await.expect("closed");
            Some(far)
        };
        let body = body(&mut connection, answer.expect("an answer").body, &Scratch::default()).await;
        assert_eq!(body, expected, "reset: {is_reset}");
    }
}

#[tokio::test]
async fn behind_a_101_everything_belongs_to_the_other_protocol() {
    let (answer, ..) = answered(b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\nhello").await;
    assert_eq!(answer.expect("an answer").body.into_first(), "hello");
}

#[tokio::test]
async fn a_204_that_announces_a_body_is_the_last_answer() {
    for (field, reusable) in [("Content-Length: 5", false), ("Transfer-Encoding: chunked", false), ("X: 1", true)] {
        let (_, mut connection, _far) = answered(format!("HTTP/1.1 204 No\r\n{field}\r\n\r\n").as_bytes()).await;
        assert_eq!(connection.is_ready(&Scratch::default()), reusable, "{field}");
    }
}

/// Reads `bytes` in pieces of `step`: status, body, whether it is complete and whether the connection
/// can be used again.
fn read_in_pieces(connection: &mut Http1, bytes: &[u8], step: usize) -> Result<(u16, Vec<u8>, bool, bool), Failure> {
    let (mut partial, mut pieces) = (Partial::default(), bytes.chunks(step));
    let answer = loop {
        let scanned = partial.bytes.len();
        let Some(piece) = pieces.next() else { return Err(Failure::Terminated) };
        partial.bytes.extend_from_slice(piece);
        if let Some(answer) = connection.answer(&Method::GET, &mut partial, scanned)? {
            break answer;
        }
    };
    let (mut framing, mut body) = (answer.body.framing, answer.body.first.to_vec());
    for piece in pieces {
        let (data, used) = framing.decode(piece)?;
        connection.reusable &= used == piece.len();
        body.extend_from_slice(&data);
    }
    Ok((answer.head.status().as_u16(), body, framing.is_done(), connection.reusable))
}

#[tokio::test]
async fn an_answer_is_the_same_however_it_is_cut() {
    let (mut connection, _far) = connection().await;
    for (bytes, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, "hello", true, true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", Ok((200, "hello", true, false))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Ok((200, "hell", false, true))),
        ("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok((200, "", true, true))),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nX: 1\r\n\r\n",
            Ok((200, "hello", true, true)),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello\r\n\r\n", Ok((200, "hello\r\n\r\n", false, true))),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", Ok((200, "x", true, false))),
        ("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", Ok((304, "", true, true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Failure::Protocol)),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", Err(Failure::Protocol)),
        ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Err(Failure::Protocol)),
        ("220 smtp.example\r\n", Err(Failure::Protocol)),
        ("HTTP/1.1 200 OK\r\nContent-Le", Err(Failure::Terminated)),
    ] {
        for step in 1..=bytes.len() {
            connection.reusable = true;
            let read = read_in_pieces(&mut connection, bytes.as_bytes(), step);
            let expected = expected.map(|(status, body, done, reusable)| (status, body.into(), done, reusable));
            assert_eq!(read, expected, "{bytes:?} in pieces of {step}");
        }
    }
}
