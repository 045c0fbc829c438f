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

pub use client::{ClientFault, drain, reload, upgrade};
pub use server::serve;
pub use socket::{ControlSocket, Place};

/// What may be asked of a running gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Stop as at SIGTERM: accept nothing more, let what is under way end, exit. Asked of a gate that is
    /// stopping already, it changes nothing. The connection stays open until the process has ended.
    Drain {},
    /// Read the configuration anew. Answered when it is in force, or is refused.
    Reload {},
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
    /// The configuration was read anew, and is in force.
    Reloaded {
        /// How many came before it.
        generation: u64,
    },
    /// The configuration was read anew, and everything stays as it was.
    Rejected {
        /// Every mistake that was found; if that is too much for a line, the first ones.
        reasons: Vec<String>,
        /// How many there are beside them.
        more: usize,
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

    /// A configuration was refused, for these reasons.
    #[must_use]
    pub fn rejected(reasons: Vec<String>) -> Self {
        let (all, mut room) = (reasons.len(), REASONS);
        let fits = |reason: &String| {
            let left = room.checked_sub(line_of(reason).len());
            room = left.unwrap_or_default();
            left.is_some()
        };
        let reasons: Vec<_> = reasons.into_iter().take_while(fits).collect();
        Self::Rejected { more: all - reasons.len(), reasons }
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

/// Bytes of one line, its end included. Commands are far shorter, and so are answers but for one.
const MAX_LINE: u64 = 4 * 1024;

/// Bytes of the line of an answer to [`Command::Reload`].
const MAX_REASONS: u64 = 64 * 1024;

/// Bytes of all reasons in it. The rest of the line has room beside them.
const REASONS: usize = 60 * 1024;

/// A whole line without its end; an empty one if it is too long or no text, and `None` at the connection's end.
/// Nothing may follow it until it is answered.
async fn read_line(from: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    read_line_of(from, MAX_LINE).await
}

/// As [`read_line`], with a length of its own.
async fn read_line_of(from: &mut (impl AsyncRead + Unpin), most: u64) -> Option<String> {
    let mut line = Vec::new();
    let read = BufReader::new(from.take(most)).read_until(b'\n', &mut line).await.ok()?;
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
    fn as_many_reasons_as_fit_into_a_line_are_told() {
        let few = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(Reply::rejected(few.clone()), Reply::Rejected { reasons: few, more: 0 });
        // A quote takes two bytes on the line.
        for reason in ["x".repeat(1_000), "\"".repeat(1_000)] {
            let reply = Reply::rejected(vec![reason; 1_000]);
            assert!(line_of(&reply).len() as u64 <= MAX_REASONS);
            let Reply::Rejected { reasons, more } = reply else { panic!() };
            assert!(reasons.len() >= 29 && reasons.len() + more == 1_000);
        }
    }

    #[test]
    fn a_command_is_nothing_but_a_command() {
        for text in ["{}", "[]", "{\"command\":\"fly\"}", "{\"command\":\"drain\",\"now\":true}", "drain", ""] {
            assert!(serde_json::from_str::<Command>(text).is_err(), "{text}");
        }
    }
}
