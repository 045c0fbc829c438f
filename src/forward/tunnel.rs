//! A WebSocket's bytes, copied both ways until one side closes or what admitted it ends. Then both sides are told why, each
//! between two frames, and have a while to answer.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use sidegate_core::ending::Ending;
use sidegate_core::websocket::{Frames, close_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::stream::{Leash, UnderWay};
use crate::leash::Held;
use crate::wire::Io;

/// For how long the other side may go on when one has closed, or both may answer a goodbye.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// For how long a frame that has begun may go on when the gate must end it.
const UNFINISHED: Duration = Duration::from_millis(300);

/// Bytes that are copied at once.
const PIECE: usize = 8 * 1024;

/// To the upstream it is "going away", whatever the reason (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// The upstream's side of a WebSocket.
pub struct Tunnel {
    io: Io,
    /// Bytes that came right behind its 101.
    first: Bytes,
    leash: Leash,
    _under_way: UnderWay,
}

impl Tunnel {
    pub(super) const fn new(io: Io, first: Bytes, leash: Leash, under_way: UnderWay) -> Self {
        Self { io, first, leash, _under_way: under_way }
    }

    /// Copies between it and a client, who has sent `read` already, until either side closes, takes nothing for `patience`, or
    /// it must end.
    pub async fn carry(self, client: Io, read: Bytes, patience: Duration) {
        let (client_reads, client_writes) = tokio::io::split(client);
        let (upstream_reads, upstream_writes) = tokio::io::split(self.io);
        let mut up = Way::new(io::Cursor::new(read).chain(client_reads), upstream_writes);
        let mut down = Way::new(io::Cursor::new(self.first).chain(upstream_reads), client_writes);
        // However that ends, both sockets close.
        tokio::select! {
            _ = copy(&mut up, &mut down, &self.leash.held, patience) => {}
            ending = ended(&self.leash) => {
                self.leash.held.count(ending);
                let mask = self.leash.held.mask();
                say_goodbye(&mut up, &mut down, ending, mask).await;
            }
        }
    }
}

async fn ended(leash: &Leash) -> Ending {
    tokio::select! {
        ending = poll_fn(|cx| leash.held.poll_ending(cx)) => ending,
        () = tokio::time::sleep_until(leash.ends_at) => leash.why,
    }
}

/// Copies both ways until one side closes; what the other then still says passes, for a while.
/// (A WebSocket has no use for a half-closed connection, RFC 6455 section 7.1.1.)
async fn copy(
    up: &mut Way<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    down: &mut Way<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    held: &Held,
    patience: Duration,
) -> io::Result<()> {
    let (up, down) = (up.copy(patience, |_| {}), down.copy(patience, |bytes| held.sent(bytes)));
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        done = &mut up => { done?; timeout(LAST_WORDS, down).await? }
        done = &mut down => { done?; timeout(LAST_WORDS, up).await? }
    }
}

/// Tells both sides, and waits for what they say to it.
async fn say_goodbye(
    up: &mut Way<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    down: &mut Way<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    ending: Ending,
    mask: [u8; 4],
) {
    let to_upstream = close_frame(GOING_AWAY, "", Some(mask));
    let to_browser = close_frame(ending.close_code(), ending.code().name(), None);
    let said = join(timeout(UNFINISHED, up.close(&to_upstream)), timeout(UNFINISHED, down.close(&to_browser)));
    // Who does not take it, or has left, does without.
    let _ = said.await;
    // What one side says to it would go to the other, which has been told.
    let _ = timeout(LAST_WORDS, join(up.discard(), down.discard())).await;
    let _ = timeout(UNFINISHED, join(up.to.shutdown(), down.to.shutdown())).await;
}

/// One direction. What was read and not yet written stays in it, so that copying can be left off at any point.
struct Way<R, W> {
    from: R,
    to: W,
    piece: Box<[u8]>,
    written: usize,
    read: usize,
    frames: Frames,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Way<R, W> {
    fn new(from: R, to: W) -> Self {
        let piece = vec![0; PIECE].into_boxed_slice();
        Self { from, to, piece, written: 0, read: 0, frames: Frames::default() }
    }

    /// Copies until nothing more comes, and passes that on, too. While the one side takes nothing the other is not heard, not
    /// even when it leaves: so that must not last.
    async fn copy(&mut self, patience: Duration, sent: impl Fn(usize)) -> io::Result<()> {
        loop {
            while self.written < self.read {
                let taken = timeout(patience, self.to.write(&self.piece[self.written..self.read])).await??;
                if taken == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.frames.pass(&self.piece[self.written..self.written + taken]);
                self.written += taken;
                sent(taken);
            }
            timeout(patience, self.to.flush()).await??;
            if self.read().await? == 0 {
                return timeout(patience, self.to.shutdown()).await?;
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        let read = self.from.read(&mut self.piece).await?;
        (self.written, self.read) = (0, read);
        Ok(read)
    }

    /// Finishes the frame that has begun, then says goodbye with this one, unless that was said.
    async fn close(&mut self, frame: &[u8]) -> io::Result<()> {
        while !self.frames.may_close() && !self.frames.is_over() {
            if self.written == self.read && self.read().await? == 0 {
                return Ok(());
            }
            let rest = self.frames.finish(&self.piece[self.written..self.read]);
            self.to.write_all(&self.piece[self.written..self.written + rest]).await?;
            self.written += rest;
        }
        if self.frames.may_close() {
            self.to.write_all(frame).await?;
        }
        self.to.flush().await
    }

    /// Reads until the one that speaks says goodbye or leaves.
    async fn discard(&mut self) -> io::Result<()> {
        loop {
            self.frames.pass(&self.piece[self.written..self.read]);
            if self.frames.is_over() || self.read().await? == 0 {
                return Ok(());
            }
        }
    }
}
