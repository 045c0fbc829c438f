//! The comparison bench: every proxy on one core, load and upstream on the other, alternating rounds, medians.
//!
//! `cargo bench --bench compare` runs it; `-- --help` lists the flags. It starts each row's proxy once, proves that
//! the row does what it claims (`probe`), loads the rows in turn (`rounds`), prints a table and writes
//! `target/bench/compare.json` (`report`). Any error under load voids the run.

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks and the environment; the bans are for the program")]

mod flags;
mod lab;
mod load;
mod machine;
mod probe;
mod process;
mod programs;
mod report;
mod rounds;
mod rows;
mod stats;
mod table;
mod token;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

/// Any failure, with what was being done in its message.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("compare: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(flags) = flags::parse(std::env::args().skip(1))? else {
        writeln!(std::io::stdout(), "{}", flags::HELP)?;
        return Ok(());
    };
    let rows = rows::chosen(&flags)?;
    programs::require(&rows)?;
    let lab = lab::Lab::open()?;
    let mut entrants = Vec::new();
    for row in &rows {
        let entrant = rounds::Entrant::start(row, &lab)?;
        probe::check(row, &entrant.proxy, &lab)?;
        entrants.push(entrant);
    }
    let machine = machine::facts()?;
    rounds::run(&mut entrants, &lab, &flags)?;
    report::publish(&entrants, &machine, &flags)
}

/// Progress and failures go to standard error, the table to standard output.
fn say(line: &str) {
    // A closed standard error is no reason to stop measuring.
    let _ = writeln!(std::io::stderr(), "{line}");
}
