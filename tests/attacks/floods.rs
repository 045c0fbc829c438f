//! Floods of HTTP/2 frames that cost their sender little. The gate ends such a connection, or bears it without
//! keeping anything of it, while it is still open and unread as well.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;

use crate::downgrade::{TRUSTED, good};
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, kept, setting,
};
use crate::siege::{Siege, all};
use crate::support::forge;
use crate::support::gate::SHOP;
use crate::support::wire::within;

const DEAF: &str = "a-key-of-an-app-that-is-deaf-0123456789abcdef";
/// Frames, or groups of them, in a flood.
const MANY: u32 = 5_000;
/// How many go out at once.
const BATCH: u32 = 100;
/// Memory in KiB that a flood may take while it lasts, with all that one connection may have under way.
const ROOM: u64 = 16 * 1024;
/// When a peer has taken nothing for so long, it has stopped reading.
const STOPPED: Duration = Duration::from_millis(500);

/// By then the gate has read what was sent; it ends no connection for another reason so soon.
const READ_BY: Duration = Duration::from_secs(10);

/// What became of a flood.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum End {
    /// The gate ended the connection.
    Cut,
    /// It took all.
    Borne,
    /// It stopped reading.
    Stopped,
}

struct Flood {
    name: &'static str,
    settings: Vec<u8>,
    opening: Vec<u8>,
    /// The frames of a number, which is no stream yet.
    wave: Box<dyn Fn(u32) -> Vec<u8>>,
    ends: &'static [End],
}

/// The stream of a client's request of this number.
pub fn stream(number: u32) -> u32 {
    2 * number + 3
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// Sends it until it is over; whoever does not read lets the gate's answers pile up.
async fn send(mut writer: OwnedWriteHalf, flood: &Flood) -> (OwnedWriteHalf, End) {
    if writer.write_all(&flood.opening).await.is_err() {
        return (writer, End::Cut);
    }
    for first in (0..MANY).step_by(usize::try_from(BATCH).expect("small")) {
        let wave: Vec<u8> = (first..first + BATCH).flat_map(|number| (flood.wave)(number)).collect();
        let end = match tokio::time::timeout(STOPPED, writer.write_all(&wave)).await {
            Ok(Ok(())) => continue,
            Ok(Err(_)) => End::Cut,
            Err(_) => End::Stopped,
        };
        return (writer, end);
    }
    if flood.ends != [End::Cut] {
        return (writer, End::Borne);
    }
    // All of it may have fitted into buffers before the gate had read enough: it goes on, slowly, until that has.
    let goes_on = async {
        for number in MANY.. {
            if writer.write_all(&(flood.wave)(number)).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let is_cut = tokio::time::timeout(READ_BY, goes_on).await.is_ok();
    (writer, if is_cut { End::Cut } else { End::Borne })
}

/// How it ends, and the memory that the gate has taken by then.
async fn run(siege: &Siege, flood: &Flood, reads: bool) -> (End, u64) {
    let before = siege.resident();
    let frames = Frames::with(siege.gate.public, &flood.settings).await;
    let (mut reader, writer) = frames.into_socket().into_split();
    if !reads {
        let (_writer, end) = send(writer, flood).await;
        return (end, siege.resident().saturating_sub(before));
    }
    let mut bytes = vec![0; 1 << 16];
    let mut drain = async || while reader.read(&mut bytes).await.is_ok_and(|got| got > 0) {};
    tokio::select! {
        biased;
        (_writer, end) = send(writer, flood) => (end, siege.resident().saturating_sub(before)),
        () = drain() => (End::Cut, siege.resident().saturating_sub(before)),
    }
}

fn flood(name: &'static str, opening: &[u8], ends: &'static [End], wave: impl Fn(u32) -> Vec<u8> + 'static) -> Flood {
    Flood { name, settings: Vec::new(), opening: opening.to_vec(), wave: Box::new(wave), ends }
}

/// Of requests, and of their ends.
fn of_requests(siege: &Siege) -> Vec<Flood> {
    let page = good(siege);
    let stranger: Vec<_> = page.iter().filter(|(name, _)| name != "authorization").cloned().collect();
    let (page, stranger) = (block(&page), block(&stranger));
    let asked = move |number: u32, flags: u8| frame(HEADERS, END_HEADERS | flags, stream(number), &stranger);
    let (first, second, third, fourth) = (asked.clone(), asked.clone(), asked.clone(), asked);
    vec![
        flood("rapid reset", &[], &[End::Cut], move |n| [first(n, END_STREAM), reset(stream(n))].concat()),
        flood("resets that the gate is made to send", &[], &[End::Cut, End::Borne], move |n| {
            [second(n, 0), window(stream(n), 0)].concat()
        }),
        flood("resets of a body beyond its window", &[], &[End::Cut, End::Borne], move |n| {
            [third(n, 0), window(stream(n), 0x7fff_ffff)].concat()
        }),
        flood("more streams than there may be", &[], &[End::Cut, End::Borne], move |n| fourth(n, 0)),
        flood("bodies that never come", &[], &[End::Cut, End::Borne], move |n| {
            frame(HEADERS, END_HEADERS, stream(n), &page)
        }),
        flood("resets of what never was", &[], &[End::Cut], |n| reset(stream(n))),
        flood("promises", &[], &[End::Cut], |_| frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
    ]
}

/// Of heads.
fn of_heads() -> Vec<Flood> {
    let large = kept("x", &"x".repeat(3_000));
    let bomb = [block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]), vec![0xbe; 4_000]].concat();
    vec![
        flood("a head without end", &frame(HEADERS, 0, 1, &[]), &[End::Cut], |_| {
            frame(CONTINUATION, 0, 1, &block(&[("x-more", "x".repeat(1_000))]))
        }),
        flood("a head without end or content", &frame(HEADERS, 0, 1, &[]), &[End::Cut], |_| {
            frame(CONTINUATION, 0, 1, &[])
        }),
        flood("a field without end", &frame(HEADERS, 0, 1, &[0, 0x7f, 0x80]), &[End::Cut], |_| {
            frame(CONTINUATION, 0, 1, &[0x80; 1_000])
        }),
        flood(
            "heads that unfold",
            &frame(HEADERS, END_HEADERS | END_STREAM, 1, &large),
            &[End::Cut, End::Borne],
            move |n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &bomb),
        ),
    ]
}

/// Of pieces of a body, and of windows for some.
fn of_bodies(siege: &Siege) -> Vec<Flood> {
    let begun = frame(HEADERS, END_HEADERS, 1, &block(&good(siege)));
    vec![
        flood("empty pieces of a body", &begun, &[End::Cut, End::Borne], |_| frame(DATA, 0, 1, &[])),
        flood("pieces of padding alone", &begun, &[End::Cut, End::Borne], |_| frame(DATA, PADDED, 1, &[255; 256])),
        flood("windows that open a bit", &begun, &[End::Cut, End::Borne], |_| window(1, 1)),
        flood("a connection's window that opens too far", &begun, &[End::Cut], |_| window(0, 0x7fff_ffff)),
    ]
}

/// Of what is said about the connection.
fn of_control() -> Vec<Flood> {
    vec![
        flood("settings", &[], &[End::Cut, End::Borne, End::Stopped], |n| {
            frame(SETTINGS, 0, 0, &setting(4, 65_535 + n))
        }),
        flood("a table of headers that grows", &[], &[End::Cut, End::Borne, End::Stopped], |_| {
            frame(SETTINGS, 0, 0, &setting(1, u32::MAX))
        }),
        flood("settings that nobody knows", &[], &[End::Cut, End::Borne, End::Stopped], |_| {
            frame(SETTINGS, 0, 0, &[0xfa; 600])
        }),
        flood("settings acknowledged that were not sent", &[], &[End::Cut, End::Borne], |_| {
            frame(SETTINGS, ACK, 0, &[])
        }),
        flood("pings", &[], &[End::Cut, End::Borne, End::Stopped], |_| frame(PING, 0, 0, &[7; 8])),
        flood("pongs", &[], &[End::Cut, End::Borne], |_| frame(PING, ACK, 0, &[7; 8])),
        flood("priorities", &[], &[End::Cut, End::Borne], |n| frame(PRIORITY, 0, stream(n), &[0x80, 0, 0, 1, 255])),
        flood("farewells", &[], &[End::Cut, End::Borne], |_| frame(GOAWAY, 0, 0, &[0; 8])),
        flood("frames that nobody knows", &[], &[End::Cut, End::Borne], |_| frame(0xfa, 0xff, 0, &[0; 100])),
        flood("frames that are too long", &[], &[End::Cut], |_| frame(PING, 0, 0, &vec![0; 20_000])),
    ]
}

#[tokio::test]
async fn a_flood_is_cut_off_or_leaves_nothing() {
    let siege = Siege::with(|gate| gate.set(TRUSTED)).await;
    let kinds = [of_requests(&siege), of_heads(), of_bodies(&siege), of_control()];
    for flood in kinds.into_iter().flatten() {
        for reads in [true, false] {
            println!("{}, {}", flood.name, if reads { "read" } else { "unread" });
            siege
                .rounds(async || {
                    let (end, taken) = run(&siege, &flood, reads).await;
                    println!("{end:?} after {taken} KiB");
                    assert!(flood.ends.contains(&end), "{end:?}");
                    assert!(taken <= ROOM, "{taken} KiB");
                })
                .await;
        }
    }
}

/// With a good token as well: what was reset before it was looked at never goes upstream.
#[tokio::test]
async fn a_rapid_reset_with_a_good_token_is_cut_off() {
    let siege = Siege::with(|gate| gate.set(TRUSTED)).await;
    let mut get = good(&siege);
    get[0].1 = "GET".into();
    let page = block(&get);
    let flood = Flood {
        name: "rapid reset",
        settings: Vec::new(),
        opening: Vec::new(),
        wave: Box::new(move |n| {
            [frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &page), reset(stream(n))].concat()
        }),
        ends: &[End::Cut],
    };
    siege
        .rounds(async || {
            let before = siege.upstream.progress().heads;
            assert_eq!(run(&siege, &flood, true).await.0, End::Cut);
            siege.is_idle().await;
            let asked = siege.upstream.progress().heads - before;
            assert!(asked < 200, "{asked} of {MANY} requests went upstream");
            siege.forget().await;
        })
        .await;
}

/// Many that ask for more than they ever read: their answers wait for a window that never opens.
#[tokio::test]
async fn answers_that_nobody_takes_are_few() {
    let siege =
        Siege::with(|gate| gate.set(TRUSTED).set("listen.write_timeout=1s").set("listen.head_timeout=1s")).await;
    let get: Vec<_> = good(&siege).into_iter().filter(|(name, _)| name != "authorization").collect();
    let get = block(&get);
    siege
        .rounds(async || {
            let before = siege.resident();
            let clients = (0..50).map(async |_| {
                let mut frames = Frames::with(siege.gate.public, &setting(4, 0)).await;
                let wave = |n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &get);
                frames.send((0..128).flat_map(wave).collect::<Vec<u8>>()).await;
                frames
            });
            let mut clients = all(clients).await;
            let taken = siege.resident().saturating_sub(before);
            assert!(taken <= 3 * ROOM, "{taken} KiB for 6,400 answers");
            for client in &mut clients {
                client.closed().await;
            }
        })
        .await;
}

/// A form whose upstream reads no more, so that the gate does not either: what costs no window must not pile up in it.
#[tokio::test]
async fn empty_pieces_do_not_pile_up_behind_an_upstream_that_waits() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    socket2::SockRef::from(&listener).set_recv_buffer_size(4 * 1024).expect("a small buffer");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let app = format!(
        "[[upstreams]]\nname = \"deaf\"\nurl = \"{url}\"\n[[apps]]\nid = \"wapp_deaf\"\ndialect = \"sigmic\"\n\
         upstream = \"deaf\"\norigins = [\"{SHOP}\"]\ntoken.key = {{ value = \"{DEAF}\" }}"
    );
    let siege = Siege::with(|gate| gate.set(TRUSTED).toml(&app)).await;
    let mut fields = good(&siege);
    fields[5].1 = format!("Bearer {}", forge::token_of("wapp_deaf", DEAF, &json!({})));
    fields[6].1 = "multipart/form-data; boundary=x".into();
    siege
        .rounds(async || {
            let before = siege.resident();
            let mut frames = Frames::open(siege.gate.public).await;
            frames.send(frame(HEADERS, END_HEADERS, 1, &block(&fields))).await;
            let (deaf, _) = within(listener.accept()).await.expect("a connection");
            fill(&mut frames).await;
            let full = siege.resident().saturating_sub(before);
            let empty = frame(DATA, 0, 1, &[]).repeat(1_000);
            let mut taken = 0;
            while taken < 1_000 && tokio::time::timeout(STOPPED, frames.send(&empty)).await.unwrap_or(false) {
                taken += 1;
            }
            let grown = siege.resident().saturating_sub(before + full);
            println!("{full} KiB for a window, {grown} KiB for {taken} thousand empty pieces");
            assert!(grown <= ROOM, "{grown} KiB for {taken} thousand empty pieces");
            drop((frames, deaf));
        })
        .await;
}

/// Sends as much of a body as is taken.
async fn fill(frames: &mut Frames) {
    let (mut stream, mut connection) = (65_535_i64, 65_535_i64);
    loop {
        while stream >= 16_384 && connection >= 16_384 {
            frames.send(frame(DATA, 0, 1, &[b'x'; 16_384])).await;
            stream -= 16_384;
            connection -= 16_384;
        }
        let Ok(Some(next)) = tokio::time::timeout(STOPPED, frames.read()).await else { return };
        if next.kind == WINDOW_UPDATE {
            let more = i64::from(u32::from_be_bytes(next.payload[..4].try_into().expect("four bytes")));
            *(if next.stream == 0 { &mut connection } else { &mut stream }) += more;
        }
    }
}
