//! A new gate takes over from the running one: it gets the listening sockets themselves, so nothing that waits in
//! their queues is lost, starts, and only when it could accept tells the old one to stop accepting.
//!
//! | new gate | old gate |
//! |---|---|
//! | `take_over` | |
//! | | `sockets`, with the descriptors |
//! | starts | goes on |
//! | `ready` | |
//! | | stops accepting, then `draining` |
//! | accepts | lets end what is under way, and ends |
//!
//! As long as `ready` is not said, the old gate goes on, whatever becomes of the new one.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;

use super::client::ClientFault;
use super::{Command, MAX_LINE, Reply, line_of, read_line};

/// Sockets that are handed over, at most.
const MAX_SOCKETS: usize = 4;

/// For the running gate to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What listens, as long as it does.
#[derive(Debug)]
pub struct Handles {
    /// The TCP listeners, each with its name.
    pub listeners: [(&'static str, Weak<TcpListener>); 3],
    /// The control socket.
    pub control: Weak<UnixListener>,
}

impl Handles {
    /// The listening sockets once more; `None` if one of them is closed, or there are no descriptors for them.
    pub(super) fn duplicates(&self) -> Option<Duplicates> {
        let mut duplicates = Duplicates { names: Vec::new(), sockets: Vec::new() };
        for (name, listener) in &self.listeners {
            duplicates.names.push((*name).to_owned());
            duplicates.sockets.push(listener.upgrade()?.as_fd().try_clone_to_owned().ok()?);
        }
        duplicates.names.push("control".to_owned());
        duplicates.sockets.push(self.control.upgrade()?.as_fd().try_clone_to_owned().ok()?);
        Some(duplicates)
    }
}

/// Descriptors on their way.
pub(super) struct Duplicates {
    names: Vec<String>,
    sockets: Vec<OwnedFd>,
}

impl Duplicates {
    /// Sends them, with the line that tells what they are.
    pub(super) async fn send(&self, to: &UnixStream) -> io::Result<()> {
        let line = line_of(&Reply::Sockets { pid: std::process::id(), names: self.names.clone() });
        let sent = to.async_io(Interest::WRITABLE, || self.try_send(to, line.as_bytes())).await?;
        // A line is far shorter than the emptiest buffer of a socket.
        if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn try_send(&self, to: &UnixStream, line: &[u8]) -> io::Result<usize> {
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::other("too many sockets"));
        }
        Ok(sendmsg(to, &[IoSlice::new(line)], &mut control, SendFlags::NOSIGNAL)?)
    }
}

/// The gate that is taken over from, and its sockets.
#[derive(Debug)]
pub struct Predecessor {
    /// Its process.
    pub pid: u32,
    connection: UnixStream,
}

/// What came with a line.
#[derive(Debug)]
pub struct Received {
    /// What each socket is.
    pub names: Vec<String>,
    /// The sockets.
    pub sockets: Vec<OwnedFd>,
}

impl Predecessor {
    /// Gets the sockets of the gate that listens at `path`. It goes on until it hears [`Predecessor::succeed`].
    ///
    /// # Errors
    /// [`ClientFault`].
    pub async fn find(path: &Path) -> Result<(Self, Received), ClientFault> {
        let mut connection = UnixStream::connect(path).await.map_err(ClientFault::NoGate)?;
        let asked = async {
            connection.write_all(line_of(&Command::TakeOver {}).as_bytes()).await?;
            receive(&connection).await
        };
        let (line, sockets) = timeout(PATIENCE, asked).await.ok().and_then(Result::ok).ok_or(ClientFault::NoAnswer)?;
        match serde_json::from_str(&line) {
            Ok(Reply::Sockets { pid, names }) => Ok((Self { pid, connection }, Received { names, sockets })),
            Ok(Reply::Refused { reason }) => Err(ClientFault::Refused(reason)),
            _ => Err(ClientFault::NoAnswer),
        }
    }

    /// Has it stop accepting, and returns when it does not accept any more: it may have died, too. What comes
    /// back waits for its end.
    pub async fn succeed(mut self) -> Ending {
        let said = self.connection.write_all(line_of(&Command::Ready {}).as_bytes()).await;
        let answer = match said {
            Ok(()) => read_line(&mut self.connection).await,
            Err(_) => None,
        };
        if !matches!(answer.as_deref().map(serde_json::from_str), Some(Ok(Reply::Draining { .. }))) {
            tracing::warn!(process = self.pid, "the gate that is taken over from has ended before its time");
        }
        Ending(self.connection)
    }
}

/// The last of a gate.
#[derive(Debug)]
pub struct Ending(UnixStream);

impl Ending {
    /// Returns when its process has ended.
    pub async fn wait(mut self) {
        let mut rest = [0; 64];
        while self.0.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    }
}

/// A line, and the descriptors that came with it.
async fn receive(from: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let (mut line, mut sockets) = (Vec::new(), Vec::new());
    while !line.ends_with(b"\n") {
        let read = from.async_io(Interest::READABLE, || try_receive(from, &mut line, &mut sockets)).await?;
        if read == 0 || line.len() as u64 > MAX_LINE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    line.pop();
    Ok((String::from_utf8(line).unwrap_or_default(), sockets))
}

fn try_receive(from: &UnixStream, line: &mut Vec<u8>, sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut bytes = [0; 1_024];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    line.extend_from_slice(&bytes[..received.bytes]);
    Ok(received.bytes)
}
