//! The gate's side of the socket: a few connections at once, a line each within its time.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::handover::Handles;
use super::{Ask, Command, Place, Reply, line_of, read_line};

/// Connections at once; more wait in the kernel's queue. Those that wait for the end of a draining gate are
/// among them.
const MAX_CONNECTIONS: usize = 16;

/// For a command to arrive, and for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said to anything else.
const NO_COMMAND: &str = "not a command: one JSON object on a line, such as {\"command\":\"drain\"}";

/// What connections have in common.
struct Shared {
    /// The user whose processes are heard beside root's.
    owner: u32,
    asks: mpsc::Sender<Ask>,
    handles: Handles,
    /// One gate takes over at a time.
    successor: Arc<Semaphore>,
}

/// Hands commands on to `asks` until its task is aborted. Processes of root and of the owner of `place` are heard;
/// `handles` are what a gate that takes over gets.
pub fn serve(
    listener: Arc<UnixListener>,
    place: &Place,
    asks: mpsc::Sender<Ask>,
    handles: Handles,
) -> impl Future<Output = ()> + Send + use<> {
    accept(listener, Shared { owner: place.owner(), asks, handles, successor: place.successor() })
}

async fn accept(listener: Arc<UnixListener>, shared: Shared) {
    let shared = Arc::new(shared);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((peer, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if talk(peer, &shared).await == Some(Held) {
                place.forget();
            }
        });
    }
}

/// A connection that stays open as long as this process lives.
#[derive(PartialEq)]
struct Held;

/// One command and its answer.
async fn talk(mut peer: UnixStream, shared: &Shared) -> Option<Held> {
    let credentials = peer.peer_cred().ok()?;
    // Read first, whoever it is: a connection that is closed with something unread is reset, and its answer lost.
    let line = timeout(PATIENCE, read_line(&mut peer)).await.ok()??;
    if !may_ask(credentials.uid(), shared.owner) {
        tracing::warn!(user = credentials.uid(), "a process of another user was refused at listen.control");
        return say(&mut peer, &Reply::refused("only root and the gate's own user may ask")).await.and(None);
    }
    let process = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    match serde_json::from_str(&line) {
        Ok(Command::TakeOver {}) => hand_over(peer, process, shared).await,
        Ok(command @ (Command::Drain {} | Command::Reload {} | Command::Upgrade {})) => {
            obey(peer, command, process, shared).await
        }
        Ok(Command::Ready {}) | Err(_) => say(&mut peer, &Reply::refused(NO_COMMAND)).await.and(None),
    }
}

/// Has a command carried out.
async fn obey(mut peer: UnixStream, command: Command, process: Option<u32>, shared: &Shared) -> Option<Held> {
    let ((answer, answered), (_told, told)) = (oneshot::channel(), oneshot::channel());
    shared.asks.send(Ask { command, process, answer, told }).await.ok()?;
    let reply = answered.await.ok()?;
    say(&mut peer, &reply).await?;
    matches!(reply, Reply::Draining { .. }).then(|| hold(peer))
}

/// Hands out the sockets, and waits for as long as it takes until who has them is ready, or gone.
async fn hand_over(mut peer: UnixStream, process: Option<u32>, shared: &Shared) -> Option<Held> {
    let Ok(_one) = shared.successor.try_acquire() else {
        return say(&mut peer, &Reply::refused("another gate is taking over already")).await.and(None);
    };
    let Some(sockets) = shared.handles.duplicates() else {
        return say(&mut peer, &Reply::refused("it is draining, or short of file descriptors")).await.and(None);
    };
    timeout(PATIENCE, sockets.send(&peer)).await.ok()?.ok()?;
    drop(sockets);
    tracing::info!(process, "another gate is about to take over");
    match read_line(&mut peer).await.as_deref().map(serde_json::from_str) {
        Some(Ok(command @ Command::Ready {})) => obey(peer, command, process, shared).await,
        _ => {
            tracing::warn!(process, "the gate that was to take over has left: this one goes on");
            None
        }
    }
}

const fn may_ask(user: u32, owner: u32) -> bool {
    user == owner || user == 0
}

async fn say(peer: &mut UnixStream, reply: &Reply) -> Option<()> {
    timeout(PATIENCE, peer.write_all(line_of(reply).as_bytes())).await.ok()?.ok()
}

/// The peer learns from its end of the connection when this process has ended, however it ends: so nothing
/// here closes ours.
fn hold(peer: UnixStream) -> Held {
    if let Ok(peer) = peer.into_std() {
        std::mem::forget(peer);
    }
    Held
}

#[cfg(test)]
mod tests {
    use super::may_ask;

    #[test]
    fn the_own_user_and_root_are_heard() {
        assert!(may_ask(1_000, 1_000) && may_ask(0, 1_000) && may_ask(0, 0));
        assert!(!may_ask(1_001, 1_000) && !may_ask(1_000, 0));
    }
}
