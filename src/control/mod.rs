//! The control socket: how an operator, or a hook of the platform, tells the running gate what to do.
//!
//! A Unix socket with mode 0600, one line of JSON for a command and one for its answer:
//! `{"command":"drain"}` and `{"outcome":"draining","pid":7,"drain_timeout_ms":25000}`. Only processes of the
//! gate's own user and root's are heard. A new gate gets the listening sockets here, too ([`handover`]). The socket
//! is served by the control runtime, and what a command does is done by the loop that also waits for signals ([`Ask`]).

mod client;
pub mod handover;
mod server;
mod socket;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};

pub use client::{ClientFault, drain, upgrade};
pub use server::serve;
pub use socket::{ControlSocket, Place};

/// What may be asked of a running gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Stop as at SIGTERM: accept nothing more, let what is under way end, exit. Asked of a gate that is
    /// stopping already, it changes nothing. The connection stays open until the process has ended.
    Drain {},
    /// Start the program anew, as this gate was started, and have it take over. Answered when it has, or has failed.
    Upgrade {},
    /// Hand out the listening sockets, and go on as before.
    TakeOver {},
    /// From who got them: it is ready to accept. Stop accepting, and drain.
    Ready {},
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Reply {
    /// The gate stops.
    Draining {
        /// Its process.
        pid: u32,
        /// How long that may take, in milliseconds.
        drain_timeout_ms: u64,
    },
    /// Another gate has taken over.
    Succeeded {
        /// Its process.
        pid: u32,
    },
    /// The listening sockets come with this line (`SCM_RIGHTS`).
    Sockets {
        /// The process that they come from.
        pid: u32,
        /// What each of them is, in their order.
        names: Vec<String>,
    },
    /// It does nothing.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

impl Reply {
    /// This process stops, within `drain_timeout`.
    #[must_use]
    pub fn draining(drain_timeout: Duration) -> Self {
        let drain_timeout_ms = u64::try_from(drain_timeout.as_millis()).unwrap_or(u64::MAX);
        Self::Draining { pid: std::process::id(), drain_timeout_ms }
    }

    /// Nothing happens, and why.
    #[must_use]
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}

/// A command on its way to who carries it out.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub command: Command,
    /// The process that asks.
    pub process: Option<u32>,
    answer: oneshot::Sender<Reply>,
    told: oneshot::Receiver<()>,
}

impl Ask {
    /// Answers, and waits until that is on its way, as the program may end right after. Who asked may have left.
    pub async fn answer(self, reply: Reply) {
        if self.answer.send(reply).is_ok() {
            // The other end is dropped when there is nothing more to do, whatever came of it.
            let _ = self.told.await;
        }
    }
}

/// Commands that wait to be carried out; none ever, as it comes.
#[derive(Debug, Default)]
pub struct Asks(Option<mpsc::Receiver<Ask>>);

impl Asks {
    /// What is asked, and where to ask it.
    #[must_use]
    pub fn new() -> (mpsc::Sender<Ask>, Self) {
        let (sender, asks) = mpsc::channel(1);
        (sender, Self(Some(asks)))
    }

    /// The next one; never, if nobody can ask.
    pub async fn next(&mut self) -> Ask {
        let asked = match &mut self.0 {
            Some(asks) => asks.recv().await,
            None => None,
        };
        match asked {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }
}

/// Bytes of one line, its end included. Commands and answers are far shorter.
const MAX_LINE: u64 = 4 * 1024;

/// A whole line without its end; an empty one if it is too long or no text, and `None` at the connection's end.
/// Nothing may follow it until it is answered.
async fn read_line(from: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    let read = BufReader::new(from.take(MAX_LINE)).read_until(b'\n', &mut line).await.ok()?;
    if read == 0 {
        return None;
    }
    let whole = line.pop() == Some(b'\n');
    Some(if whole { String::from_utf8(line).unwrap_or_default() } else { String::new() })
}

/// The line for a command or an answer. What is ours always has one.
fn line_of(message: &impl Serialize) -> String {
    let mut line = serde_json::to_string(message).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_answers_are_one_line_each() {
        assert_eq!(line_of(&Command::Drain {}), "{\"command\":\"drain\"}\n");
        let refused = Reply::refused("two\nlines");
        assert_eq!(line_of(&refused), "{\"outcome\":\"refused\",\"reason\":\"two\\nlines\"}\n");
        let Reply::Draining { drain_timeout_ms, .. } = Reply::draining(Duration::from_millis(1_500)) else { panic!() };
        assert_eq!(drain_timeout_ms, 1_500);
    }

    #[test]
    fn a_command_is_nothing_but_a_command() {
        for text in ["{}", "[]", "{\"command\":\"fly\"}", "{\"command\":\"drain\",\"now\":true}", "drain", ""] {
            assert!(serde_json::from_str::<Command>(text).is_err(), "{text}");
        }
    }
}
