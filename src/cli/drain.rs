//! `sidegate drain`, `sidegate reload` and `sidegate upgrade`: what a hook of the platform or an operator tells the running gate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::serve::control_runtime;
use super::service_token::overlap;
use super::{ConfigArgs, Exit};
use crate::control;

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    told: ToldArgs,
    /// Tell it only after this time: for a load balancer that learns of the end at the same moment
    #[arg(long, value_name = "SPAN", value_parser = overlap)]
    delay: Option<Duration>,
    /// Return as soon as the gate has been told, and not only when it has ended
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn drain(args: DrainArgs) -> Result<(), Exit> {
    let path = control_socket(args.told)?;
    std::thread::sleep(args.delay.unwrap_or_default());
    let pid = tell(&path, control::drain(&path, !args.no_wait))?;
    let outcome = if args.no_wait { "drains" } else { "has ended" };
    println!("the gate, process {pid}, {outcome}");
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct ToldArgs {
    /// The gate's control socket; the configuration's own (listen.control) if not given
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn reload(args: ToldArgs) -> Result<(), Exit> {
    let path = control_socket(args)?;
    let generation = tell(&path, control::reload(&path))?;
    println!("the new configuration is in force (generation {generation})");
    Ok(())
}

pub(super) fn upgrade(args: ToldArgs) -> Result<(), Exit> {
    let path = control_socket(args)?;
    let pid = tell(&path, control::upgrade(&path))?;
    println!("a new gate, process {pid}, has taken over");
    Ok(())
}

/// Where the running gate listens for commands.
fn control_socket(of: ToldArgs) -> Result<PathBuf, Exit> {
    if let Some(path) = of.control {
        return Ok(path);
    }
    let configured = of.config.load()?.settings.listen.control;
    configured.ok_or_else(|| Exit::Usage("the configuration has no listen.control: set it, or give --control".into()))
}

/// What it answers.
fn tell<T, E: std::fmt::Display>(path: &Path, told: impl Future<Output = Result<T, E>>) -> Result<T, Exit> {
    control_runtime()?.block_on(told).map_err(|fault| Exit::Failure(format!("{}: {fault}", path.display())))
}
