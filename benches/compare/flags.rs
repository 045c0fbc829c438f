//! The command line: few flags, every one with a default.

use crate::Result;
use crate::rows::Row;
use std::path::PathBuf;
use std::str::FromStr;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Compares Sidegate with nginx and HAProxy on this machine; needs two cores (0: proxy, 1: load and upstream).

  --sections A,B       these sections only
  --only A,B           these rows only
  --rounds N           alternating rounds; some sections take fewer (5)
  --seconds N          load of one row in one round (2)
  --warmup N           seconds of load before it that do not count (1)
  --connections N      keep-alive connections where the section does not say (64)
  --streams N          open streams in the section \"streams\", up to 9000 (9000)
  --sidegate PATH      another sidegate program than the one just built
  --also NAME=COMMAND  one more pass-through proxy in the section \"forward\"; @listen@ and @upstream@ in COMMAND become
                       addresses (repeatable)
  --out FILE           the JSON report, and where pictures of it go (target/bench/compare.json)
  --plot-only FILE     measure nothing; draw the pictures of this report";

/// What the proxies are set up for; each stream takes two of the 20,000 descriptors that many machines allow.
const MOST_STREAMS: usize = 9000;

/// The command line, checked.
pub(crate) struct Flags {
    pub(crate) effort: Effort,
    pub(crate) sections: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) streams: usize,
    pub(crate) sidegate: PathBuf,
    pub(crate) also: Vec<(String, String)>,
    pub(crate) out: PathBuf,
    pub(crate) plot_only: Option<PathBuf>,
}

/// How long and with how many connections to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) warmup: u32,
    pub(crate) connections: u32,
}

impl Effort {
    /// Three rounds in five, for sections that would otherwise take too much of the time that all have.
    pub(crate) fn fewer_rounds(self) -> Self {
        Self { rounds: (self.rounds * 3).div_ceil(5), ..self }
    }
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            effort: Effort { rounds: 5, seconds: 2, warmup: 1, connections: 64 },
            sections: Vec::new(),
            only: Vec::new(),
            streams: MOST_STREAMS,
            sidegate: PathBuf::from(env!("CARGO_BIN_EXE_sidegate")),
            also: Vec::new(),
            out: PathBuf::from("target/bench/compare.json"),
            plot_only: None,
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
    /// Whether a row shall run.
    pub(crate) fn wants(&self, row: &Row) -> bool {
        self.only.is_empty() || self.only.contains(&row.name)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--rounds" => self.effort.rounds = at_least(name, value, 1)?,
            "--seconds" => self.effort.seconds = at_least(name, value, 1)?,
            "--warmup" => self.effort.warmup = at_least(name, value, 0)?,
            "--connections" => self.effort.connections = at_least(name, value, 1)?,
            "--sections" => self.sections = names(value),
            "--only" => self.only = names(value),
            "--streams" => self.streams = streams(value)?,
            "--sidegate" => self.sidegate = PathBuf::from(value),
            "--also" => self.also.push(named_command(value)?),
            "--out" => self.out = PathBuf::from(value),
            "--plot-only" => self.plot_only = Some(PathBuf::from(value)),
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

fn streams(value: &str) -> Result<usize> {
    match value.parse() {
        Ok(number) if (1..=MOST_STREAMS).contains(&number) => Ok(number),
        _ => Err(format!("--streams takes a number from 1 to {MOST_STREAMS}, not {value}").into()),
    }
}

fn names(value: &str) -> Vec<String> {
    value.split(',').map(str::to_owned).collect()
}

fn named_command(value: &str) -> Result<(String, String)> {
    match value.split_once('=') {
        Some((name, command)) => Ok((name.to_owned(), command.to_owned())),
        None => Err(format!("--also takes NAME=COMMAND, not {value}").into()),
    }
}
