//! The command line: few flags, every one with a default.

use crate::Result;
use std::path::PathBuf;
use std::str::FromStr;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Compares Sidegate with nginx and HAProxy on this machine; needs two cores (0: proxy, 1: load and upstream).

  --rounds N           alternating rounds (5)
  --seconds N          load of one row in one round (4)
  --warmup N           seconds of load before it that do not count (1)
  --connections N      keep-alive connections (64)
  --sidegate PATH      another sidegate program than the one just built
  --only A,B           these rows only
  --also NAME=COMMAND  one more pass-through proxy; @listen@ and @upstream@ in COMMAND become addresses (repeatable)
  --out FILE           the JSON report (target/bench/compare.json)";

/// The command line, checked.
pub(crate) struct Flags {
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) warmup: u32,
    pub(crate) connections: u32,
    pub(crate) sidegate: PathBuf,
    pub(crate) only: Vec<String>,
    pub(crate) also: Vec<(String, String)>,
    pub(crate) out: PathBuf,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            rounds: 5,
            seconds: 4,
            warmup: 1,
            connections: 64,
            sidegate: PathBuf::from(env!("CARGO_BIN_EXE_sidegate")),
            only: Vec::new(),
            also: Vec::new(),
            out: PathBuf::from("target/bench/compare.json"),
        }
    }
}

/// Reads the arguments after the program's name; `None` asks for the help text.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Flags>> {
    let mut flags = Flags::default();
    while let Some(name) = args.next() {
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            // cargo bench passes it to every bench program.
            "--bench" => {}
            _ => flags.set(&name, &args.next().ok_or_else(|| format!("{name} needs a value, see --help"))?)?,
        }
    }
    Ok(Some(flags))
}

impl Flags {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--rounds" => self.rounds = at_least(name, value, 1)?,
            "--seconds" => self.seconds = at_least(name, value, 1)?,
            "--warmup" => self.warmup = at_least(name, value, 0)?,
            "--connections" => self.connections = at_least(name, value, 1)?,
            "--sidegate" => self.sidegate = PathBuf::from(value),
            "--only" => self.only = value.split(',').map(str::to_owned).collect(),
            "--also" => self.also.push(named_command(value)?),
            "--out" => self.out = PathBuf::from(value),
            _ => return Err(format!("unknown flag {name}, see --help").into()),
        }
        Ok(())
    }
}

fn at_least(name: &str, value: &str, minimum: u32) -> Result<u32> {
    match u32::from_str(value) {
        Ok(number) if number >= minimum => Ok(number),
        _ => Err(format!("{name} takes a number from {minimum}, not {value}").into()),
    }
}

fn named_command(value: &str) -> Result<(String, String)> {
    match value.split_once('=') {
        Some((name, command)) => Ok((name.to_owned(), command.to_owned())),
        None => Err(format!("--also takes NAME=COMMAND, not {value}").into()),
    }
}
