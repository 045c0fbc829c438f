//! Descriptors: this process holds two sockets for each stream, and so does every proxy.

use crate::{Result, programs};
use std::fs;
use std::process::{Command, Stdio, id};

/// Listeners, logs and the like.
const SPARE: usize = 200;

/// Raises the soft limit, which proxies inherit, to the hard one; fails if that is too low for so many streams.
pub(super) fn raise(streams: usize) -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)).ok_or("no limit of open files in /proc")?;
    let wanted = 2 * streams + SPARE;
    if hard.parse().is_ok_and(|hard: usize| hard < wanted) {
        return Err(format!("{streams} streams need {wanted} descriptors, allowed are {hard}; see --streams").into());
    }
    let status = Command::new(programs::find("prlimit").ok_or("prlimit not found")?)
        .args(["--pid", &id().to_string(), &format!("--nofile={hard}:{hard}")])
        .stdin(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("prlimit: {status}").into()) }
}
