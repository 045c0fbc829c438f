//! A client's connection, with a client written byte by byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::wire::testing::pair;

const POST: &str = "POST / HTTP/1.1\r\nHost: gate\r\nContent-Length: 5\r\n";

async fn wire() -> (Rc<ClientWire>, TcpStream) {
    let (near, client) = pair().await;
    (ClientWire::new(Io::Plain(near), Rc::default()), client)
}

async fn next_head(wire: &ClientWire) -> Result<RequestHead, Unread> {
    let mut partial = Vec::new();
    poll_fn(|cx| wire.poll_head(&mut partial, 1024, cx)).await
}

/// A connection whose client has sent the head of a request with a body, and that body.
async fn posted(fields: &str) -> (Rc<ClientWire>, ClientBody, TcpStream) {
    let (wire, mut client) = wire().await;
    client.write_all(format!("{POST}{fields}\r\n").as_bytes()).await.expect("sent");
    let head = next_head(&wire).await.expect("a head");
    let body = wire.begin_body(head.framing);
    (wire, body, client)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_client_is_not_told_to_go_on_within_an_answer() {
    let (wire, body, mut client) = posted("Expect: 100-continue\r\n").await;
    let mut outbox = Outbox::default();
    outbox.put(b"HTTP/1.1 200 OK\r\n".to_vec(), Bytes::new(), b"");
    poll_fn(|cx| wire.poll_flush(&mut outbox, cx)).await.expect("written");
    assert!(poll_fn(|cx| Poll::Ready(wire.poll_body(cx))).await.is_pending());
    drop((body, wire));
    let mut got = String::new();
    client.read_to_string(&mut got).await.expect("readable");
    assert_eq!(got, "HTTP/1.1 200 OK\r\n");
}

#[tokio::test]
async fn leave_to_go_on_that_was_half_written_ends_before_the_answer() {
    let (wire, body, mut client) = posted("Expect: 100-continue\r\n").await;
    wire.state.borrow_mut().interim.put(b"Continue\r\n\r\n".to_vec(), Bytes::new(), b"");
    let mut outbox = Outbox::default();
    outbox.put(b"HTTP/1.1 200 OK\r\n".to_vec(), Bytes::new(), b"");
    poll_fn(|cx| wire.poll_flush(&mut outbox, cx)).await.expect("written");
    drop((body, wire));
    let mut got = String::new();
    client.read_to_string(&mut got).await.expect("readable");
    assert_eq!(got, "Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
}

#[tokio::test]
async fn the_end_of_a_body_that_another_task_reads_wakes_who_waits_for_the_client_to_leave() {
    let (wire, _body, mut client) = posted("").await;
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    assert!(wire.poll_left(&mut Context::from_waker(&waker)).is_pending());
    for (sent, ends) in [(&b"hel"[..], false), (b"lo", true)] {
        client.write_all(sent).await.expect("sent");
        let piece = poll_fn(|cx| wire.poll_body(cx)).await.expect("a piece").expect("whole");
        assert_eq!(piece, sent);
        assert_eq!(woken.0.load(Ordering::Relaxed), ends);
    }
    drop(client);
    poll_fn(|cx| wire.poll_left(cx)).await;
}

#[tokio::test]
async fn a_few_empty_lines_may_stand_in_front_of_a_head_and_no_more() {
    for (lines, taken) in [(0, true), (1, true), (MAX_EMPTY_LINES, true), (MAX_EMPTY_LINES + 1, false), (8192, false)] {
        let (wire, mut client) = wire().await;
        client.write_all(format!("{}{POST}\r\n", "\r\n".repeat(lines)).as_bytes()).await.expect("sent");
        let head = next_head(&wire).await;
        assert_eq!(head.is_ok(), taken, "{lines} lines");
        assert!(taken || matches!(head, Err(Unread::Refused(HeadFault::Malformed, None))), "{lines} lines");
    }
}

/// Method and target of a request, and its body.
pub(super) type Seen = (String, Vec<u8>);

/// The requests, and how they ended.
async fn requests(wire: &Rc<ClientWire>) -> (Vec<Seen>, String) {
    let mut seen = Vec::new();
    loop {
        let head = match next_head(wire).await {
            Ok(head) => head,
            Err(unread) => return (seen, format!("{unread:?}")),
        };
        let _body = wire.begin_body(head.framing);
        let mut body = Vec::new();
        while let Some(piece) = poll_fn(|cx| wire.poll_body(cx)).await {
            match piece {
                Ok(piece) => body.extend_from_slice(&piece),
                Err(broken) => return (seen, broken.to_string()),
            }
        }
        seen.push((format!("{} {}", head.request.method(), head.request.uri()), body));
        if !head.keep_alive {
            return (seen, "no more".into());
        }
    }
}

/// What is read of `bytes`, sent in pieces that end at `cuts`; the reader is asked after each.
pub(super) fn read_in_pieces(bytes: &[u8], cuts: &[usize]) -> (Vec<Seen>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (wire, mut client) = wire().await;
        let sends = async {
            let mut begin = 0;
            for end in cuts.iter().copied().chain([bytes.len()]).filter(|end| *end <= bytes.len()) {
                if end > begin {
                    client.write_all(&bytes[begin..end]).await.expect("sent");
                    begin = end;
                    tokio::task::yield_now().await;
                }
            }
            drop(client);
        };
        tokio::join!(requests(&wire), sends).0
    })
}

const PIPELINED: [&str; 4] = [
    "GET /a HTTP/1.1\r\nHost: gate\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\nGET /c HTTP/1.1\r\n\r\n",
    "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n1\r\nc\r\n0\r\nX: 1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\nHost: gate\r\n\r\n",
    "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
];

#[test]
fn pipelined_requests_are_told_apart() {
    let [plain, chunked, bare, wrong] = PIPELINED.map(|bytes| read_in_pieces(bytes.as_bytes(), &[]));
    let seen = |request: &str, body: &str| (request.to_owned(), body.as_bytes().to_vec());
    assert_eq!(plain, (vec![seen("GET /a", ""), seen("POST /b", "abc"), seen("GET /c", "")], "Closed".into()));
    assert_eq!(chunked, (vec![seen("POST /a", "abc"), seen("GET /b", "")], "Closed".into()));
    assert_eq!(bare, (vec![seen("GET /a", "")], "Refused(Malformed, None)".into()));
    assert_eq!(wrong, (vec![], BrokenBody.to_string()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn requests_are_the_same_however_they_are_cut(
        case in 0..PIPELINED.len(),
        mut cuts in prop::collection::vec(1_usize..140, 0..12),
    ) {
        cuts.sort_unstable();
        let bytes = PIPELINED[case].as_bytes();
        prop_assert_eq!(read_in_pieces(bytes, &cuts), read_in_pieces(bytes, &[]));
    }
}
