//! Crowds: fifteen thousand connections that nobody uses, and those for whom there is no room.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use crate::downgrade::{TRUSTED, good};
use crate::floods::stream;
use crate::frames::{ACK, END_HEADERS, END_STREAM, Frames, HEADERS, PING, block, frame, status};
use crate::siege::{PUBLIC, Siege, all};
use crate::support::raw::Raw;
use crate::support::upstream::{Behaviour, Reply};
use crate::support::wire::{metric_becomes, within};

const CROWD: usize = 15_000;
/// Descriptors that this process and the program need for it.
const DESCRIPTORS: usize = CROWD + 2_000;
/// Memory in KiB for each of them, while it lasts.
const EACH: u64 = 8;

/// Lets this process, and with it the program that it starts, open so many files.
fn raise_the_limit() {
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={DESCRIPTORS}:"));
    let raised = Command::new("prlimit").args(["--pid", &pid, &limit]).output().expect("prlimit runs");
    let fault = String::from_utf8_lossy(&raised.stderr);
    assert!(raised.status.success(), "this test needs {DESCRIPTORS} open files (ulimit -Hn): {fault}");
}

/// A connection from an address of its own, or almost: a port that was left is not used again for a minute.
async fn connect(to: SocketAddr, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % 200 + 1).expect("small"));
    socket.bind((from, 0).into()).expect("an address");
    within(socket.connect(to)).await.expect("a connection")
}

async fn gather(to: SocketAddr) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(CROWD);
    for first in (0..CROWD).step_by(500) {
        crowd.extend(all((first..first + 500).map(|number| connect(to, number))).await);
    }
    crowd
}

/// At the limit, the next one is told so, and whoever comes when there is room is served.
#[tokio::test]
async fn a_crowd_that_came_for_nothing_leaves_nothing() {
    raise_the_limit();
    let siege =
        Siege::with(|gate| gate.set(&format!("listen.max_connections={CROWD}")).set("listen.head_timeout=1m")).await;
    siege
        .rounds(async || {
            let before = siege.resident();
            let mut crowd = gather(siege.gate.public).await;
            metric_becomes(&siege.gate, PUBLIC, 15_000.0).await;
            let taken = siege.resident().saturating_sub(before);
            println!("{taken} KiB for {CROWD}");
            assert!(taken <= EACH * CROWD as u64, "{taken} KiB");
            let mut next = Raw::connect(siege.gate.public).await;
            next.send(siege.get("/api/v1/tasks", "")).await;
            assert_eq!(next.answer().await.status, 503);
            next.closed().await;
            assert_eq!(siege.gate.ops("/livez").send().await.expect("an answer").status(), 200);
            drop(crowd.pop());
            metric_becomes(&siege.gate, PUBLIC, 14_999.0).await;
            let mut last = Raw::connect(siege.gate.public).await;
            siege.expect(1);
            last.send(siege.get("/api/v1/tasks", "")).await;
            assert_eq!(last.answer().await.status, 200);
            // Half of them with a reset.
            for (number, socket) in crowd.iter().enumerate() {
                if number % 2 == 0 {
                    socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).expect("a reset to come");
                }
            }
        })
        .await;
}

/// Asks on and on, until the gate closes; the status of the first answer. Pings are answered but for the first one, by which the gate
/// asks whether its GOAWAY has come.
async fn keep_asking(siege: &Siege) -> u16 {
    let (mut frames, page) = (Frames::open(siege.gate.public).await, block(&good(siege)));
    let (mut told, mut pings) = (None, 0);
    for number in 0.. {
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &page)).await;
        while let Ok(next) = tokio::time::timeout(Duration::from_millis(20), frames.read()).await {
            let Some(next) = next else { return told.expect("an answer") };
            match next.kind {
                HEADERS if told.is_none() => told = Some(status(&next.payload)),
                PING if next.flags & ACK == 0 => {
                    pings += 1;
                    if pings > 1 {
                        frames.send(frame(PING, ACK, 0, &next.payload)).await;
                    }
                }
                _ => {}
            }
        }
    }
    unreachable!("numbers do not end")
}

/// There are few places for those who are told so, and others wait for them.
#[tokio::test]
async fn who_is_told_that_there_is_no_room_leaves() {
    let siege = Siege::with(|gate| {
        let gate = gate.set(TRUSTED).set("listen.max_connections=1");
        gate.set("listen.head_timeout=1s").set("listen.write_timeout=1s")
    });
    let siege = siege.await;
    siege
        .rounds(async || {
            let pagination = json!({ "total": 0, "limit": 50, "offset": 0, "hasMore": false });
            let list = json!({ "success": true, "data": [], "pagination": pagination });
            let (behaviour, release) = Behaviour::held(Reply::json(200, &list));
            siege.upstream.once("/api/v1/tasks", behaviour);
            siege.expect(1);
            let mut first = Raw::connect(siege.gate.public).await;
            first.send(siege.get("/api/v1/tasks", "")).await;
            metric_becomes(&siege.gate, "sidegate_forwards", 1.0).await;
            assert_eq!(within(keep_asking(&siege)).await, 503);
            release.release();
            assert_eq!(first.answer().await.status, 200);
        })
        .await;
}
