//! `sidegate serve`.

use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::lifecycle::{Running, drain_on};
use super::{ConfigArgs, Exit};
use crate::app::Sidegate;
use crate::config::{ListenSettings, Read, Settings, read};
use crate::control::ClientFault;
use crate::control::handover::Predecessor;
use crate::notify::{Beats, Notifier};
use crate::reload::{Cause, Fixed, Origins, Reloads};
use crate::sockets::{Addresses, Inherited, Sockets};
use crate::store::Kind;
use crate::system;
use crate::telemetry;

/// Threads of the control runtime: it accepts, answers ops and sweeps; workers do the rest.
const CONTROL_THREADS: usize = 2;

pub(super) fn control_runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(CONTROL_THREADS).thread_name("control").enable_all().build();
    runtime.map_err(|fault| Exit::Failure(format!("cannot start: {fault}")))
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Take over from the gate that listens at listen.control: it goes on until this one is ready, then drains
    #[arg(long)]
    upgrade: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What was there before the gate, and around it.
struct Surroundings {
    /// Sockets of the service manager.
    inherited: Inherited,
    /// Whether another gate is to be taken over from.
    upgrade: bool,
    notifier: Arc<Notifier>,
}

pub(super) fn serve(args: ServeArgs) -> Result<(), Exit> {
    let (input, upgrade) = (args.config.input(), args.upgrade);
    let Read { outcome, files } = read(&input);
    let loaded = outcome.map_err(|problems| Exit::Usage(problems.to_string()))?;
    if upgrade && loaded.settings.listen.control.is_none() {
        return Err(Exit::Usage("--upgrade needs listen.control, by which the running gate is found".into()));
    }
    // Changes the environment, and so comes before there are threads.
    let inherited = Inherited::from_service_manager(&loaded.supervisor.sockets).map_err(Exit::Failure)?;
    let notifier = Arc::new(Notifier::new(&loaded.supervisor, upgrade).map_err(Exit::Failure)?);
    let settings = loaded.settings;
    // Lines that are still queued are written when it is dropped, after the last one.
    let logging = telemetry::start(&settings);
    let (fixed, watch, levels) = (Fixed::of(&settings), settings.watch, logging.levels.clone());
    let origins = Origins { input, files, fixed, watch, levels, notifier: Arc::clone(&notifier) };
    control_runtime()?.block_on(run(settings, origins, Surroundings { inherited, upgrade, notifier }))
}

async fn run(settings: Settings, origins: Origins, around: Surroundings) -> Result<(), Exit> {
    let Surroundings { inherited, upgrade, notifier } = around;
    warn_of_gaps(&settings);
    raise_descriptor_limit(&settings.listen);
    let (mut terminate, mut interrupt) = signals()?;
    let hangup = register(SignalKind::hangup())?;
    let registry_is_apart = settings.store.registry.is_apart();
    let (mut gate, predecessor) = tokio::select! {
        started = start(settings, inherited, upgrade) => started?,
        () = wait(&mut terminate, &mut interrupt) => return Err(Exit::Failure("told to stop before it was ready".into())),
    };
    say_apps(gate.serves_apps());
    say_kept(gate.store);
    say_registry(registry_is_apart);
    if let Some(predecessor) = predecessor {
        succeed(predecessor, &gate).await;
    }
    let (mut asks, mut place) = gate.accept();
    say_listening(&gate.addresses);
    notifier.ready();
    let reloads = gate.reloads(origins);
    tokio::spawn(reload_at(hangup, reloads.clone()));
    tokio::spawn(watch(Arc::clone(&notifier), gate.beats()));
    let stop = tokio::select! {
        () = wait(&mut terminate, &mut interrupt) => Stop::Signal,
        () = Running {
            gate: &mut gate,
            asks: &mut asks,
            place: &mut place,
            notifier: &notifier,
            reloads: reloads.as_ref(),
        }.serve() => Stop::Command,
    };
    notifier.stopping();
    say_draining();
    let drain_timeout = gate.drain_timeout();
    let finished = tokio::select! {
        finished = gate.stop() => finished,
        // A second signal: at once.
        () = hurry(stop, &mut terminate, &mut interrupt) => false,
        never = drain_on(&mut asks, &mut place, drain_timeout) => match never {},
    };
    say_stopped(finished);
    Ok(())
}

/// Waits until whoever stops the gate will not wait for it.
async fn hurry(stop: Stop, terminate: &mut Signal, interrupt: &mut Signal) {
    // What a preStop hook has begun, the platform's own signal follows up.
    if stop == Stop::Command {
        wait(terminate, interrupt).await;
    }
    wait(terminate, interrupt).await;
}

fn say_apps(there_are_some: bool) {
    if !there_are_some {
        tracing::warn!("no [[apps]] are configured, and none are in the registry: every token will be refused");
    }
}

fn say_draining() {
    tracing::info!("draining");
}

/// Binds, or takes over, what it listens on, and builds the rest.
async fn start(
    settings: Settings,
    inherited: Inherited,
    upgrade: bool,
) -> Result<(Sidegate, Option<Predecessor>), Exit> {
    let failure = |fault: String| Exit::Failure(fault);
    let (inherited, predecessor) = match &settings.listen.control {
        Some(path) if upgrade => {
            let fault = |fault: ClientFault| failure(format!("cannot take over at {}: {fault}", path.display()));
            let (predecessor, received) = Predecessor::find(path).await.map_err(fault)?;
            let inherited = Inherited::from_gate(&received.names, received.sockets).map_err(failure)?;
            (inherited.only_where(&settings.listen), Some(predecessor))
        }
        _ => (inherited, None),
    };
    let sockets = Sockets::bind(&settings.listen, inherited).await.map_err(|fault| failure(fault.to_string()))?;
    let gate = Sidegate::start(settings, sockets).await.map_err(|fault| failure(fault.to_string()))?;
    Ok((gate, predecessor))
}

/// Has the gate before this one stop accepting, and looks after its end.
async fn succeed(predecessor: Predecessor, gate: &Sidegate) {
    if gate.store == Kind::Memory {
        tracing::warn!("what the gate before this one keeps in memory ends with it: its tokens may be refused");
    }
    let state = gate.state();
    state.share(true);
    let process = predecessor.pid;
    let ending = predecessor.succeed().await;
    tracing::info!(process, "taken over");
    tokio::spawn(async move {
        ending.wait().await;
        state.share(false);
        tracing::info!(process, "the gate before this one has ended");
    });
}

async fn watch(notifier: Arc<Notifier>, beats: Beats) {
    notifier.watch(beats).await;
}

/// Why the gate stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Signal,
    Command,
}

fn say_listening(at: &Addresses) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        public = %at.public,
        private = %at.private,
        ops = %at.ops,
        "listening"
    );
}

fn say_stopped(finished: bool) {
    if finished {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped with requests under way");
    }
}

pub(super) type Signal = tokio::signal::unix::Signal;

pub(super) fn signals() -> Result<(Signal, Signal), Exit> {
    Ok((register(SignalKind::terminate())?, register(SignalKind::interrupt())?))
}

fn register(kind: SignalKind) -> Result<Signal, Exit> {
    signal(kind).map_err(|fault| Exit::Failure(format!("cannot wait for signals: {fault}")))
}

pub(super) async fn wait(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {},
        _ = interrupt.recv() => {},
    }
}

/// Signals that come while it reloads are one.
async fn reload_at(mut hangup: Signal, reloads: Option<Reloads>) {
    let Some(reloads) = reloads else { return };
    while hangup.recv().await.is_some() {
        // It says in the log what came of it.
        let _ = reloads.ask(Cause::Signal).await;
    }
}

fn warn_of_gaps(settings: &Settings) {
    for app in settings.apps.iter().map(|configured| &configured.app).filter(|app| app.origins.is_empty()) {
        tracing::warn!(app = app.id.as_str(), "origins is empty: pages of any origin may use this app's tokens");
    }
    warn_of_store(settings);
}

/// A connection needs one, and most that are busy another to the upstream.
fn raise_descriptor_limit(listen: &ListenSettings) {
    let needed = u64::try_from(listen.max_connections).unwrap_or(u64::MAX).saturating_mul(2);
    if let Some(allowed) = system::raise_descriptor_limit().filter(|allowed| *allowed < needed) {
        tracing::warn!(
            allowed,
            needed,
            "the system allows fewer open descriptors than listen.max_connections may need: connections beyond them wait"
        );
    }
}

fn warn_of_store(settings: &Settings) {
    if settings.store.sealer.is_none() {
        tracing::warn!("no store.seal_keys are configured: exchanges with env or secrets will be refused");
    }
}

fn say_kept(kind: Kind) {
    match kind {
        Kind::Memory => tracing::info!(
            "contexts, owners and used tokens are kept in memory and end with the program; limits are counted in this \
             process"
        ),
        Kind::Embedded => tracing::info!(
            "contexts, owners and used tokens are kept on this machine; limits are counted in this process"
        ),
        Kind::Shared => {
            tracing::info!("contexts, owners, used tokens and the counters of limits are shared with all replicas");
        }
    }
}

fn say_registry(is_apart: bool) {
    match is_apart {
        true => {
            tracing::info!("apps and service tokens of the registry are kept in PostgreSQL, shared with all replicas")
        }
        false => tracing::info!("apps and service tokens of the registry are kept with them"),
    }
}
