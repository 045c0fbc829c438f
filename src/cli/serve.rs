//! `sidegate serve`.

use tokio::signal::unix::{SignalKind, signal};

use super::Exit;
use crate::app::{Addresses, Sidegate};
use crate::config::{Loaded, Settings};
use crate::store::Kind;
use crate::telemetry;

/// Threads of the control runtime: it accepts, answers ops and sweeps; workers do the rest.
const CONTROL_THREADS: usize = 2;

pub(super) fn control_runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(CONTROL_THREADS).thread_name("control").enable_all().build();
    runtime.map_err(|fault| Exit::Failure(format!("cannot start: {fault}")))
}

pub(super) fn serve(loaded: Loaded) -> Result<(), Exit> {
    // Lines that are still queued are written when the guard is dropped, after the last one.
    let _flush = telemetry::start(&loaded.settings);
    control_runtime()?.block_on(run(loaded.settings))
}

async fn run(settings: Settings) -> Result<(), Exit> {
    warn_of_gaps(&settings);
    let (mut terminate, mut interrupt) = signals()?;
    tokio::spawn(refuse_reload(register(SignalKind::hangup())?));
    let registry_is_apart = settings.store.registry.is_apart();
    let gate = Sidegate::start(settings).await.map_err(|fault| Exit::Failure(fault.to_string()))?;
    if !gate.serves_apps() {
        tracing::warn!("no [[apps]] are configured, and none are in the registry: every token will be refused");
    }
    say_kept(gate.store);
    say_registry(registry_is_apart);
    say_listening(&gate.addresses);
    wait(&mut terminate, &mut interrupt).await;
    tracing::info!("draining");
    let finished = tokio::select! {
        finished = gate.stop() => finished,
        // A second signal: at once.
        () = wait(&mut terminate, &mut interrupt) => false,
    };
    say_stopped(finished);
    Ok(())
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

/// SIGHUP would end the program; operators mean "reload" by it, which takes a restart so far.
async fn refuse_reload(mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        tracing::warn!("SIGHUP is ignored: restart to read the configuration anew");
    }
}

fn warn_of_gaps(settings: &Settings) {
    for app in settings.apps.iter().map(|configured| &configured.app).filter(|app| app.origins.is_empty()) {
        tracing::warn!(app = app.id.as_str(), "origins is empty: pages of any origin may use this app's tokens");
    }
    warn_of_store(settings);
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
