//! The other side of the socket: what `sidegate drain` does.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Command, Reply, line_of, read_line};

/// For the gate to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long beyond its time to drain a gate may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// Why a command came to nothing.
#[derive(Debug)]
pub enum ClientFault {
    /// Nobody listens at the socket, or this user may not connect.
    NoGate(io::Error),
    /// Whoever listens did not answer, or not in our words.
    NoAnswer,
    /// The gate said no.
    Refused(String),
    /// The process with this id goes on beyond its time.
    StillRunning(u32),
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGate(fault) => write!(f, "no gate answers there: {fault}"),
            Self::NoAnswer => f.write_str("the gate does not answer"),
            Self::Refused(reason) => write!(f, "the gate refuses: {reason}"),
            Self::StillRunning(pid) => write!(f, "the gate, process {pid}, still runs after its time to drain"),
        }
    }
}

impl std::error::Error for ClientFault {}

/// Tells the gate at `path` to drain; with `wait` it returns when the gate's process has ended. The process.
///
/// # Errors
/// [`ClientFault`].
pub async fn drain(path: &Path, wait: bool) -> Result<u32, ClientFault> {
    let mut gate = UnixStream::connect(path).await.map_err(ClientFault::NoGate)?;
    let reply = timeout(PATIENCE, ask(&mut gate, Command::Drain {})).await;
    match reply.unwrap_or(None).ok_or(ClientFault::NoAnswer)? {
        Reply::Refused { reason } => Err(ClientFault::Refused(reason)),
        Reply::Draining { pid, drain_timeout_ms } if wait => {
            let patience = Duration::from_millis(drain_timeout_ms).saturating_add(GRACE);
            timeout(patience, ended(&mut gate)).await.map(|()| pid).map_err(|_| ClientFault::StillRunning(pid))
        }
        Reply::Draining { pid, .. } => Ok(pid),
        Reply::Sockets { .. } | Reply::Succeeded { .. } => Err(ClientFault::NoAnswer),
    }
}

/// Tells the gate at `path` to start the program anew and have it take over; returns when it has. The new process.
/// How long that takes depends on the store.
///
/// # Errors
/// [`ClientFault`]; the running gate then goes on.
pub async fn upgrade(path: &Path) -> Result<u32, ClientFault> {
    let mut gate = UnixStream::connect(path).await.map_err(ClientFault::NoGate)?;
    match ask(&mut gate, Command::Upgrade {}).await.ok_or(ClientFault::NoAnswer)? {
        Reply::Succeeded { pid } => Ok(pid),
        Reply::Refused { reason } => Err(ClientFault::Refused(reason)),
        Reply::Draining { .. } | Reply::Sockets { .. } => Err(ClientFault::NoAnswer),
    }
}

async fn ask(gate: &mut UnixStream, command: Command) -> Option<Reply> {
    gate.write_all(line_of(&command).as_bytes()).await.ok()?;
    serde_json::from_str(&read_line(gate).await?).ok()
}

/// Until the other end is closed, which its process does by ending.
async fn ended(gate: &mut UnixStream) {
    let mut rest = [0; 64];
    while gate.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}
