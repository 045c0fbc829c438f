//! `sidegate store`: work on a store from outside, while gates use it or not.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use sidegate_core::clock::Clock;

use super::private_file::{Output, buffered};
use super::serve::control_runtime;
use super::{ConfigArgs, Exit};
use crate::config::{Settings, StateSettings};
use crate::store::{self, Entries, Stores, backup};
use crate::system::System;

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Seal contexts and apps anew that the first of store.seal_keys did not seal, while gates go on
    Rekey(ConfigArgs),
    /// Write what the store keeps as JSON lines; contexts and apps stay sealed
    Export(ExportArgs),
    /// Put what an export wrote into the store, and replace nothing there
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file to write, for its owner alone; standard output if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "out")]
    force: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file to read, or `-` for standard input
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(command: StoreCommand) -> Result<(), Exit> {
    control_runtime()?.block_on(async {
        match command {
            StoreCommand::Rekey(args) => rekey(args).await,
            StoreCommand::Export(args) => export(args).await,
            StoreCommand::Import(args) => import(args).await,
        }
    })
}

/// Refuses a state that no command can reach.
pub(super) fn check_reachable(settings: &Settings) -> Result<(), Exit> {
    if matches!(settings.store.state, StateSettings::Memory) {
        return Err(Exit::Usage(
            "store.state: \"memory\" lives in the running gate and ends with it; it cannot be reached from outside"
                .into(),
        ));
    }
    Ok(())
}

/// The stores of the gates that have these settings.
pub(super) async fn open(settings: &Settings) -> Result<Stores, Exit> {
    check_reachable(settings)?;
    store::open(&settings.store).await.map_err(Exit::Failure)
}

/// The registry alone of the gates that have these settings.
pub(super) async fn open_registry(settings: &Settings) -> Result<Arc<dyn Entries>, Exit> {
    if !settings.store.registry.is_apart() {
        check_reachable(settings)?;
    }
    store::open_registry(&settings.store).await.map_err(Exit::Failure)
}

async fn rekey(args: ConfigArgs) -> Result<(), Exit> {
    let settings = args.load()?.settings;
    let stores = open(&settings).await?;
    let sealer = settings.store.sealer.ok_or_else(|| Exit::Usage("store.seal_keys: is required".into()))?;
    let done = store::rekey(&*stores.state, &*stores.registry, &sealer, &System, System.now()).await;
    let done = done.map_err(|fault| Exit::Failure(format!("{fault}; what was sealed anew is good: run it again")))?;
    report(&done)?;
    match done.unreadable {
        0 => Ok(()),
        count => Err(Exit::Failure(format!("no key opens {count} of the records; they were left as they are"))),
    }
}

async fn export(args: ExportArgs) -> Result<(), Exit> {
    let settings = args.config.load()?.settings;
    let stores = open(&settings).await?;
    let Some(path) = args.out else {
        let done =
            backup::export(&*stores.state, &*stores.registry, BufWriter::new(io::stdout().lock()), System.now()).await;
        return done.map(drop).map_err(|fault| Exit::Failure(fault.to_string()));
    };
    let output = Output::create(&path, args.force).map_err(|fault| cannot("write", &path, &fault))?;
    let done = backup::export(&*stores.state, &*stores.registry, BufWriter::new(output.file()), System.now()).await;
    let done = done.map_err(|fault| Exit::Failure(fault.to_string()))?;
    output.keep().map_err(|fault| cannot("write", &path, &fault))?;
    report(&done)
}

async fn import(args: ImportArgs) -> Result<(), Exit> {
    let settings = args.config.load()?.settings;
    let stores = open(&settings).await?;
    let file = if args.file == Path::new("-") { buffered(io::stdin().lock()) } else { File::open(&args.file) };
    let file = file.map_err(|fault| cannot("read", &args.file, &fault))?;
    let done = backup::import(&*stores.state, &*stores.registry, BufReader::new(file), System.now()).await;
    let done = done.map_err(|fault| Exit::Failure(format!("cannot import {}: {fault}", args.file.display())))?;
    report(&done)?;
    match done.conflicts {
        0 => Ok(()),
        count => Err(Exit::Failure(format!("{count} entries say otherwise than the store; it was left as it is"))),
    }
}

fn report(done: &impl Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(done).map_err(|fault| Exit::Failure(fault.to_string()))?;
    println!("{text}");
    Ok(())
}

fn cannot(what: &str, path: &Path, fault: &io::Error) -> Exit {
    Exit::Failure(format!("cannot {what} {}: {fault}", path.display()))
}
