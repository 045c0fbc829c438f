//! Clients of HTTP/1.1 that are odd, slow or hostile: the connection's framing and end, and what is
//! recorded of them.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::support::gate::{Builder, Gate, SHOP};
use crate::support::raw::{Raw, ask, page};
use crate::support::tls::{Certificates, certificates};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Tls, Wire, head, metric, metric_becomes, stream_path, within};

const TASKS: &str = "/api/v1/tasks";
const FORM: &str = "Content-Type: multipart/form-data; boundary=xyz\r\n";
const ABORTS: &str = "sidegate_client_aborts_total";
const PUBLIC: &str = "sidegate_connections{listener=\"public\"}";

fn list_of_none() -> serde_json::Value {
    let pagination = json!({ "total": 0, "limit": 50, "offset": 0, "hasMore": false });
    json!({ "success": true, "data": [], "pagination": pagination })
}

async fn assert_nothing_left(gate: &Gate) {
    metric_becomes(gate, "sidegate_forwards", 0.0).await;
    metric_becomes(gate, PUBLIC, 0.0).await;
}

/// How many of the public listener's requests were recorded with each status, once `all` were.
async fn recorded<const N: usize>(gate: &Gate, all: usize, statuses: [u16; N]) -> [usize; N] {
    let lines = || -> Vec<String> {
        let output = gate.output();
        output.lines().filter(|line| line.contains("\"listener\":\"public\"")).map(str::to_owned).collect()
    };
    let complete = async {
        while lines().len() < all {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(complete).await;
    statuses.map(|status| lines().iter().filter(|line| line.contains(&format!("\"status\":{status}"))).count())
}

#[tokio::test]
async fn a_refusal_without_its_body_is_whole_for_head() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    for _ in 0..3 {
        raw.send(format!("{}\r\n", head("HEAD", TASKS, &token))).await;
    }
    raw.send(format!("{}Connection: close\r\n\r\n", head("HEAD", TASKS, &token))).await;
    let all = raw.closed().await;
    assert_eq!(all.matches("HTTP/1.1 405 ").count(), 4, "{all}");
    assert!(!all.contains('{'), "no body: {all}");
    assert!(all.ends_with("\r\n\r\n"), "{all}");
    assert!(metric(&gate, ABORTS).await.abs() < f64::EPSILON);
    assert_eq!(recorded(&gate, 4, [405, 499]).await, [4, 0]);
}

#[tokio::test]
async fn empty_lines_in_front_of_heads_cannot_go_on() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let list = format!("{}\r\n", head("GET", TASKS, &token));
    let mut raw = Raw::connect(gate.public).await;
    raw.send(format!("\r\n{list}\r\n\r\n{list}")).await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(raw.answer().await.status, 200);
    raw.send("\r\n".repeat(100_000)).await;
    assert_eq!(raw.answer().await.status, 400);
    raw.closed().await;
    assert_nothing_left(&gate).await;
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_none() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    upstream.take();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let answer = ask(&gate, format!("{}{upgrade}{body}", head("GET", &path, &token))).await;
        assert_eq!((answer.status, upstream.take().len()), (400, 0), "{body:?}");
    }
}

#[tokio::test]
async fn a_refused_upload_can_be_sent_to_its_end() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.form_body=1KiB").start().await;
    let token = gate.token("ada").mint().await;
    let mut wire = Wire::connect(gate.public).await;
    let size = 32 << 20;
    wire.send(format!("{}{FORM}Content-Length: {size}\r\n\r\n", head("POST", TASKS, &token))).await;
    // Fails with a reset unless the gate reads it all.
    wire.send(vec![b'x'; size]).await;
    assert!(wire.head().await.starts_with("HTTP/1.1 413 "));
    drop(wire);
    assert_nothing_left(&gate).await;
}

#[tokio::test]
async fn a_client_that_asked_first_and_was_refused_gets_no_second_answer() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let fields = format!("{FORM}Content-Length: 400\r\nExpect: 100-continue\r\n\r\n");
    raw.send(format!("{}{fields}", head("POST", TASKS, "no-token"))).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    raw.send(format!("{}\r\n", head("GET", TASKS, &token))).await;
    assert_eq!(raw.closed().await, "", "what comes now would be its body");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_body_that_came_with_its_refused_head_is_read_over() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let list = format!("{}\r\n", head("GET", TASKS, &token));
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let mut raw = Raw::connect(gate.public).await;
        raw.send(format!("{}{FORM}{body}{list}{list}", head("POST", TASKS, "no-token"))).await;
        for status in [401, 200, 200] {
            assert_eq!(raw.answer().await.status, status, "{body:?}");
        }
    }
}

#[tokio::test]
async fn a_long_answer_reaches_a_client_that_takes_longer_than_one_write_may() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.write_timeout=2s").set("limits.read_answer=8MiB").start().await;
    let token = gate.token("ada").mint().await;
    let long = json!({ "success": true, "data": { "id": "task_1", "text": "x".repeat(6 << 20) } });
    upstream.once(TASKS, Behaviour::answer(Reply::json(200, &long)));
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small buffer");
    let mut socket = socket.connect(gate.public).await.expect("connected");
    let body = "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    socket.write_all(format!("{}{body}", head("POST", TASKS, &token)).as_bytes()).await.expect("sent");
    let (mut got, mut pauses) = (Vec::new(), 0);
    while within(socket.read_buf(&mut got)).await.expect("not broken off") > 0 {
        if got.len() >> 19 > pauses {
            pauses += 1;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    assert!(got.ends_with(b"true}") && got.len() > 6 << 20, "{} bytes", got.len());
}

#[tokio::test]
async fn more_requests_than_are_read_ahead_are_all_answered() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let padding = "x".repeat(500);
    let list = format!("{}X-Padding: {padding}\r\n\r\n", head("GET", TASKS, &token));
    let (behaviour, release) = Behaviour::held(Reply::json(200, &list_of_none()));
    upstream.once(TASKS, behaviour);
    let mut raw = Raw::connect(gate.public).await;
    raw.send(list.repeat(100)).await;
    upstream.wait_heads(1).await;
    release.release();
    for n in 0..100 {
        assert_eq!(raw.answer().await.status, 200, "answer {n}");
    }
    assert_eq!(upstream.count(), 100);
    drop(raw);
    assert_nothing_left(&gate).await;
}

#[tokio::test]
async fn a_second_head_that_comes_in_pieces_waits_for_the_first_answer() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let list = format!("{}\r\n", head("GET", TASKS, &token));
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut wire = Wire::connect(gate.public).await;
    wire.send(format!("{}\r\n{}", head("GET", &path, &token), &list[..30])).await;
    wire.head().await;
    stream.chunk("data: 1\n\n");
    wire.until("data: 1\n\n\r\n").await;
    wire.send(&list[30..]).await;
    stream.end();
    wire.until("0\r\n\r\n").await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_client_that_leaves_at_any_moment_leaves_nothing_behind() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let form = format!("{}{FORM}Content-Length: 70000\r\n\r\n", head("POST", TASKS, &token));
    let list = format!("{}\r\n", head("GET", TASKS, &token));
    let moments = [
        String::new(),
        list[..20].to_owned(),
        format!("{form}--xyz"),
        list.clone(),
        format!("{list}{list}"),
        format!("{list}{}", &list[..20]),
        list.repeat(20),
        format!("{list}{form}--xyz"),
    ];
    for sent in moments {
        let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
        upstream.on(TASKS, behaviour);
        let before = upstream.progress().heads;
        let mut wire = Wire::connect(gate.public).await;
        wire.send(&sent).await;
        if sent.contains("\r\n\r\n") {
            upstream.wait_heads(before + 1).await;
        }
        drop(wire);
        assert_nothing_left(&gate).await;
        assert!(upstream.progress().heads <= before + 1, "none was begun after the client left: {sent:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_its_upload_cancels_it_over_http2_as_well() {
    for http2 in [false, true] {
        let builder = Upstream::builder();
        let upstream = if http2 { builder.http2().start().await } else { builder.start().await };
        let protocol = if http2 { "protocol = \"http2\"" } else { "" };
        let gate = Gate::builder(&upstream).upstream(protocol).start().await;
        let token = gate.token("ada").mint().await;
        let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
        upstream.on(TASKS, behaviour);
        let mut wire = Wire::connect(gate.public).await;
        wire.send(format!("{}{FORM}Content-Length: 70000\r\n\r\n", head("POST", TASKS, &token))).await;
        wire.send("x".repeat(35_000)).await;
        within(upstream.wait_until(|seen| seen.body_bytes == 35_000)).await;
        wire.send("x".repeat(35_000)).await;
        within(upstream.wait_for(1)).await;
        drop(wire);
        within(upstream.wait_cancelled()).await;
        assert_nothing_left(&gate).await;
    }
}

/// A gate with TLS on the public listener, and its certificates.
async fn over_tls(builder: Builder) -> (Gate, Certificates) {
    let made = certificates();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("cert"), &made.server.0).expect("written");
    std::fs::write(path("key"), &made.server.1).expect("written");
    let builder = builder.set(&format!("listen.tls.cert={}", path("cert")));
    (builder.set(&format!("listen.tls.key={}", path("key"))).start().await, made)
}

fn client(made: &Certificates) -> Tls<'_> {
    Tls { authority: &made.authority, identity: None, alpn: &["http/1.1"], name: "127.0.0.1" }
}

#[tokio::test]
async fn a_tls_client_that_stops_reading_is_given_up_and_one_that_goes_on_gets_everything() {
    let upstream = Upstream::start().await;
    let inject = "[apps.inject]\nheaders = { X-End-User = \"{{claims.sub}}\" }";
    let builder = Gate::builder(&upstream).app("scoping = \"upstream\"").app(inject);
    let (gate, made) = over_tls(builder.set("listen.write_timeout=1s")).await;
    let token = gate.token("ada").mint().await;
    let path = "/api/v1/tasks/task_1/stream";
    for reads in [false, true] {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(path, behaviour);
        let mut wire = Wire::over(client(&made).connect(gate.public).await.expect("connected"));
        wire.send(format!("{}\r\n", head("GET", path, &token))).await;
        wire.head().await;
        // Far more than the sockets on the way hold, in pieces of which TLS makes several records.
        for n in 0..400 {
            stream.chunk(format!("{n}:{}", "x".repeat(40_000)));
        }
        if reads {
            tokio::time::sleep(Duration::from_millis(300)).await;
            stream.chunk("the end");
            stream.end();
            wire.until("the end\r\n0\r\n\r\n").await;
        } else {
            within(stream.closed()).await;
        }
        drop(wire);
        assert_nothing_left(&gate).await;
    }
}

#[tokio::test]
async fn a_tls_connection_that_idles_or_is_told_to_close_ends_with_a_word() {
    let upstream = Upstream::start().await;
    let (gate, made) = over_tls(Gate::builder(&upstream).set("listen.head_timeout=500ms")).await;
    let token = gate.token("ada").mint().await;
    for fields in ["", "Connection: close\r\n"] {
        let mut io = client(&made).connect(gate.public).await.expect("connected");
        io.write_all(format!("{}{fields}\r\n", head("GET", TASKS, &token)).as_bytes()).await.expect("sent");
        let mut all = String::new();
        within(io.read_to_string(&mut all)).await.expect("an end that is one");
        assert!(all.starts_with("HTTP/1.1 200 "), "{all}");
    }
}

#[tokio::test]
async fn an_origin_in_a_head_that_was_not_read_is_echoed_only_if_an_app_lists_it() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let cases = [
        (format!("Origin: {SHOP}"), Some(SHOP)),
        (format!("oRiGiN:\t {SHOP} "), Some(SHOP)),
        (format!("Origin: {SHOP}.evil.example"), None),
        (format!("Origin: {SHOP}\rX: 1"), None),
        (format!("Origin: {SHOP}, {SHOP}"), None),
        (format!("X: 1\rOrigin: {SHOP}"), None),
        (format!("X-Origin: {SHOP}"), None),
        ("Origin: null".to_owned(), None),
        ("Origin:".to_owned(), None),
    ];
    for (line, allowed) in cases {
        let answer = ask(&gate, format!("GET {TASKS} HTTP/1.1\r\n{line}\r\nHost : gate\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (400, allowed), "{line:?}");
    }
}

#[tokio::test]
async fn every_pipelined_request_is_recorded_once() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let fields = page(&gate, &token);
    let mut raw = Raw::connect(gate.public).await;
    let list = format!("GET {TASKS} HTTP/1.1\r\n{fields}\r\n");
    raw.send(format!("{list}GET /nowhere HTTP/1.1\r\n{fields}\r\n{list}BROKEN\r\n\r\n{list}")).await;
    for status in [200, 404, 200, 400] {
        assert_eq!(raw.answer().await.status, status);
    }
    assert_eq!(raw.closed().await, "", "nothing is read behind what could not be");
    assert_nothing_left(&gate).await;
    assert_eq!(recorded(&gate, 4, [200, 404, 400, 499]).await, [2, 1, 1, 0]);
}
