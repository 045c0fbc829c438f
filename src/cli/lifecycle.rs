//! What a running gate is told, until it is to end: by its control socket, and by the end of a program that it has started.

use std::convert::Infallible;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command as Process};

use crate::app::Sidegate;
use crate::control::{Ask, Asks, Command, Place, Reply};
use crate::notify::Notifier;
use crate::reload::{Cause, Reloads};

/// A gate that serves.
pub(super) struct Running<'a> {
    pub(super) gate: &'a mut Sidegate,
    pub(super) asks: &'a mut Asks,
    pub(super) place: &'a mut Option<Place>,
    pub(super) notifier: &'a Notifier,
    pub(super) reloads: Option<&'a Reloads>,
}

/// A new program on its way, and who asked for it.
struct Upgrade {
    program: Child,
    ask: Ask,
}

impl Running<'_> {
    /// Does what is asked, until the gate is to drain.
    pub(super) async fn serve(mut self) {
        let mut upgrade = None;
        loop {
            let ask = tokio::select! {
                ask = self.asks.next() => ask,
                reason = failure(&mut upgrade) => {
                    tracing::error!(reason, "the upgrade failed: this gate goes on");
                    if let Some(Upgrade { ask, .. }) = upgrade.take() {
                        ask.answer(Reply::refused(reason)).await;
                    }
                    continue;
                }
            };
            match ask.command {
                Command::Upgrade {} => match begin(upgrade.is_some()) {
                    Ok(program) => upgrade = Some(Upgrade { program, ask }),
                    Err(reason) => ask.answer(Reply::refused(reason)).await,
                },
                Command::Reload {} => self.reload(ask).await,
                Command::Ready {} => return self.hand_over(ask, upgrade).await,
                Command::Drain {} | Command::TakeOver {} => {
                    return ask.answer(Reply::draining(self.gate.drain_timeout())).await;
                }
            }
        }
    }

    /// Has the configuration read anew, beside whatever else is asked meanwhile.
    async fn reload(&self, ask: Ask) {
        let Some(reloads) = self.reloads.cloned() else { return ask.answer(Reply::refused("it cannot reload")).await };
        tokio::spawn(async move {
            let reply = match reloads.ask(Cause::Command).await {
                Ok(generation) => Reply::Reloaded { generation },
                Err(refused) => Reply::rejected(refused.reasons),
            };
            ask.answer(reply).await;
        });
    }

    /// Leaves everything to the process that has asked.
    async fn hand_over(&mut self, ask: Ask, upgrade: Option<Upgrade>) {
        if let Some(place) = self.place.take() {
            place.leave();
        }
        self.gate.hand_over().await;
        let process = ask.process;
        // Without a number the service manager finds out when this process ends.
        if let Some(process) = process {
            self.notifier.succeeded(process);
        }
        tracing::info!(process, "handed over");
        ask.answer(Reply::draining(self.gate.drain_timeout())).await;
        if let (Some(Upgrade { ask, .. }), Some(pid)) = (upgrade, process) {
            ask.answer(Reply::Succeeded { pid }).await;
        }
    }
}

/// Answers a gate that drains already. Asking again does not hurry it, as a signal does.
pub(super) async fn drain_on(asks: &mut Asks, place: &mut Option<Place>, drain_timeout: Duration) -> Infallible {
    loop {
        let ask = asks.next().await;
        let reply = match ask.command {
            Command::Upgrade {} | Command::Reload {} => Reply::refused("it is draining"),
            Command::Ready {} => {
                // It had the sockets before draining began, and so they are all its own now.
                if let Some(place) = place.take() {
                    place.leave();
                }
                Reply::draining(drain_timeout)
            }
            Command::Drain {} | Command::TakeOver {} => Reply::draining(drain_timeout),
        };
        ask.answer(reply).await;
    }
}

/// Starts the program as this process was started: what stands under its name now, with the same arguments,
/// environment and output.
fn begin(is_under_way: bool) -> Result<Child, String> {
    if is_under_way {
        return Err("an upgrade is under way already".to_owned());
    }
    if std::process::id() == 1 {
        return Err("this gate is process 1, whose end is the end of its container: replace the container".to_owned());
    }
    let mut arguments = std::env::args_os();
    let program = arguments.next().ok_or("it does not know its own program")?;
    let flag = !std::env::args_os().any(|argument| argument == "--upgrade");
    let mut process = Process::new(program);
    process.args(arguments).args(flag.then_some("--upgrade")).stdin(Stdio::null());
    process.spawn().map_err(|fault| format!("the program cannot be started: {fault}"))
}

/// Why a new program has ended without taking over; never, as long as there is none.
async fn failure(upgrade: &mut Option<Upgrade>) -> String {
    match upgrade {
        None => std::future::pending().await,
        Some(upgrade) => match upgrade.program.wait().await {
            Ok(status) => format!("the new program has ended ({status}); its log says why"),
            Err(fault) => format!("the new program cannot be waited for: {fault}"),
        },
    }
}
