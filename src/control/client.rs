//! The other side of the socket: what `sidegate drain`, `reload` and `upgrade` do.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Command, MAX_LINE, MAX_REASONS, Reply, line_of, read_line_of};

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
    /// The gate has found mistakes in its new configuration: the first of them, and how many more.
    Rejected(Vec<String>, usize),
    /// The process with this id goes on beyond its time.
    StillRunning(u32),
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGate(fault) => write!(f, "no gate answers there: {fault}"),
            Self::NoAnswer => f.write_str("the gate does not answer"),
            Self::Refused(reason) => write!(f, "the gate refuses: {reason}"),
            Self::Rejected(reasons, more) => {
                f.write_str("the gate refuses the new configuration, and goes on as it was:")?;
                reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))?;
                if *more > 0 { write!(f, "\n  and {more} more: see its log") } else { Ok(()) }
            }
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
    let reply = timeout(PATIENCE, ask(&mut gate, Command::Drain {}, MAX_LINE)).await;
    match reply.unwrap_or(None).ok_or(ClientFault::NoAnswer)? {
        Reply::Refused { reason } => Err(ClientFault::Refused(reason)),
        Reply::Draining { pid, drain_timeout_ms } if wait => {
            let patience = Duration::from_millis(drain_timeout_ms).saturating_add(GRACE);
            timeout(patience, ended(&mut gate)).await.map(|()| pid).map_err(|_| ClientFault::StillRunning(pid))
        }
        Reply::Draining { pid, .. } => Ok(pid),
        _ => Err(ClientFault::NoAnswer),
    }
}

/// Tells the gate at `path` to start the program anew and have it take over; returns when it has. The new process.
/// How long that takes depends on the store.
///
/// # Errors
/// [`ClientFault`]; the running gate then goes on.
pub async fn upgrade(path: &Path) -> Result<u32, ClientFault> {
    let mut gate = UnixStream::connect(path).await.map_err(ClientFault::NoGate)?;
    match ask(&mut gate, Command::Upgrade {}, MAX_LINE).await.ok_or(ClientFault::NoAnswer)? {
        Reply::Succeeded { pid } => Ok(pid),
        Reply::Refused { reason } => Err(ClientFault::Refused(reason)),
        _ => Err(ClientFault::NoAnswer),
    }
}

/// Tells the gate at `path` to read its configuration anew; returns when that is in force. How many came before it.
/// How long that takes depends on the store.
///
/// # Errors
/// [`ClientFault`]; the gate then goes on as it was.
pub async fn reload(path: &Path) -> Result<u64, ClientFault> {
    let mut gate = UnixStream::connect(path).await.map_err(ClientFault::NoGate)?;
    match ask(&mut gate, Command::Reload {}, MAX_REASONS).await.ok_or(ClientFault::NoAnswer)? {
        Reply::Reloaded { generation } => Ok(generation),
        Reply::Rejected { reasons, more } => Err(ClientFault::Rejected(reasons, more)),
        Reply::Refused { reason } => Err(ClientFault::Refused(reason)),
        _ => Err(ClientFault::NoAnswer),
    }
}

/// A command, and its answer of at most so many bytes.
async fn ask(gate: &mut UnixStream, command: Command, most: u64) -> Option<Reply> {
    gate.write_all(line_of(&command).as_bytes()).await.ok()?;
    serde_json::from_str(&read_line_of(gate, most).await?).ok()
}

/// Until the other end is closed, which its process does by ending.
async fn ended(gate: &mut UnixStream) {
    let mut rest = [0; 64];
    while gate.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}
