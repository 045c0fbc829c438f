//! WebSockets say goodbye: to the browser why, to the upstream that it is over.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use super::revoke;
use crate::support::admin::builder;
use crate::support::gate::APP;
use crate::support::upstream::Upstream;
use crate::support::wire::{Wire, metric_becomes, stream_path, within};
use crate::websocket::{open_as, raw_tunnel};

/// A Close frame of the gate's to a browser.
fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = vec![0x88, u8::try_from(2 + reason.len()).expect("short")];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}

/// A Close frame to an upstream, read: masked, and what it says.
fn unmasked(frame: &[u8]) -> Vec<u8> {
    let [0x88, length, mask @ ..] = frame else { panic!("no Close frame: {frame:?}") };
    assert_eq!((length & 0x80, usize::from(length & 0x7f)), (0x80, mask.len() - 4), "{frame:?}");
    let (mask, payload) = mask.split_at(4);
    payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

async fn exactly(wire: &mut Wire, bytes: &[u8]) {
    assert_eq!(wire.take(bytes.len()).await, bytes);
}

#[tokio::test]
async fn a_revoked_one_is_told_so_and_its_upstream_that_it_is_over() {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let mut of_ada = open_as(&gate, &stream_path(&gate, &ada).await, &ada).await;
    let mut of_eve = open_as(&gate, &stream_path(&gate, &eve).await, &eve).await;
    for socket in [&mut of_ada, &mut of_eve] {
        within(socket.send(Message::text("hello"))).await.expect("sent");
        assert_eq!(within(socket.next()).await.expect("open").expect("a message"), Message::text("hello"));
    }
    revoke(&gate, json!({ "app": APP, "end_user": "ada" })).await;
    let Some(Ok(Message::Close(Some(frame)))) = within(of_ada.next()).await else { panic!("no goodbye") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4001, "TOKEN_REVOKED"));
    assert!(within(of_ada.next()).await.is_none(), "then it is closed");
    within(upstream.wait_until(|seen| seen.websockets_closed == 1)).await;
    within(of_eve.send(Message::text("still here"))).await.expect("sent");
    assert_eq!(within(of_eve.next()).await.expect("open").expect("a message"), Message::text("still here"));
    metric_becomes(&gate, "sidegate_streams_ended_total{reason=\"revoked\"}", 1.0).await;
    metric_becomes(&gate, "sidegate_forwards", 1.0).await;
}

#[tokio::test]
async fn one_whose_token_expires_is_told_between_two_frames() {
    let (gate, mut browser, mut upstream) = raw_tunnel("2s").await;
    // Whole frames, one in two pieces.
    upstream.send(&[0x81, 2, b'h']).await;
    exactly(&mut browser, &[0x81, 2, b'h']).await;
    upstream.send(b"i").await;
    exactly(&mut browser, b"i").await;
    browser.send(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await;
    exactly(&mut upstream, &[0x81, 0x81, 0, 0, 0, 0, b'x']).await;
    assert_eq!(browser.closed_bytes().await, close(4001, "TOKEN_EXPIRED"));
    assert_eq!(unmasked(&upstream.closed_bytes().await), 1001u16.to_be_bytes());
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn within_a_frame_nothing_is_said() {
    let (_gate, mut browser, mut upstream) = raw_tunnel("2s").await;
    upstream.send(&[0x82, 126, 1, 0, 7, 7]).await;
    exactly(&mut browser, &[0x82, 126, 1, 0, 7, 7]).await;
    browser.send(&[0x82, 0xfe, 1]).await;
    exactly(&mut upstream, &[0x82, 0xfe, 1]).await;
    assert_eq!(browser.closed_bytes().await, b"");
    assert_eq!(upstream.closed_bytes().await, b"");
}

#[tokio::test]
async fn behind_a_goodbye_nothing_is_said() {
    let (_gate, mut browser, mut upstream) = raw_tunnel("2s").await;
    upstream.send(&[0x88, 2, 3, 0xe8]).await;
    exactly(&mut browser, &[0x88, 2, 3, 0xe8]).await;
    assert_eq!(browser.closed_bytes().await, b"");
}

#[tokio::test]
async fn a_browser_that_answers_is_not_kept_waiting() {
    let (gate, mut browser, mut upstream) = raw_tunnel("2s").await;
    let goodbye = close(4001, "TOKEN_EXPIRED");
    exactly(&mut browser, &goodbye).await;
    browser.send(&[0x88, 0x80, 1, 2, 3, 4]).await;
    assert_eq!(unmasked(&upstream.take(8).await), 1001u16.to_be_bytes());
    upstream.send(&[0x88, 0]).await;
    assert_eq!(browser.closed_bytes().await, b"");
    assert_eq!(upstream.closed_bytes().await, b"", "what the browser says to it stays here");
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn who_never_reads_holds_nothing() {
    let (gate, browser, mut upstream) = raw_tunnel("2s").await;
    // More than both sockets hold, in one frame.
    let mut head = vec![0x82, 127];
    head.extend((1u64 << 40).to_be_bytes());
    upstream.send(&head).await;
    let piece = vec![7; 64 * 1024];
    let patience = std::time::Duration::from_millis(300);
    while matches!(tokio::time::timeout(patience, upstream.io.write_all(&piece)).await, Ok(Ok(()))) {}
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    drop(browser);
}

/// A length that no frame may have.
#[tokio::test]
async fn what_is_no_websocket_is_ended_as_well() {
    let (gate, mut browser, mut upstream) = raw_tunnel("2s").await;
    upstream.send(&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 1]).await;
    assert_eq!(browser.closed_bytes().await, [0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 1]);
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    drop(upstream);
}
