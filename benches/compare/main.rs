//! The comparison bench: every proxy on one core, load and upstream on the other, alternating rounds, medians.
//!
//! `cargo bench --bench compare` runs it; `-- --help` lists the flags. It is made of sections (`sections/`), a file
//! each: a section starts its rows' proxies, proves that each does what it claims (`probe`), loads them in turn
//! (`rounds`) and hands back a table and JSON. `report` prints the tables and then every target with its measured value,
//! writes `target/bench/compare.json` and has it drawn (`plot`). Any error under load voids the section and fails the bench.

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks and the environment; the bans are for the program")]

mod connection;
mod flags;
mod lab;
mod load;
mod load_many;
mod load_open;
mod machine;
mod plot;
mod postgres;
mod probe;
mod process;
mod programs;
mod report;
mod rounds;
mod rows;
mod sample;
mod sections;
mod stats;
mod stores;
mod table;
mod tabulate;
mod targets;
mod token;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

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
        writeln!(std::io::stdout(), "{}\n\nSections:\n{}", flags::HELP, sections::list())?;
        return Ok(());
    };
    if let Some(file) = &flags.plot_only {
        return plot::from_file(file, &flags.out);
    }
    let sections = sections::chosen(&flags)?;
    programs::require(&sections, &flags)?;
    // Before this program itself has one core only.
    let machine = machine::facts()?;
    process::pin_self(lab::LOAD_CORE)?;
    let lab = lab::Lab::open()?;
    let mut report = report::Report::new(machine, &flags);
    for section in sections {
        say(&format!("{}: {}", section.name, section.about));
        let started = Instant::now();
        match (section.run)(&lab, &flags, report.done()) {
            Ok(outcome) => report.add(section, outcome)?,
            Err(error) => report.void(section, &error.to_string())?,
        }
        say(&format!("  took {:.0} s", started.elapsed().as_secs_f64()));
    }
    report.finish()
}

/// Progress and failures go to standard error, tables to standard output.
fn say(line: &str) {
    // A closed standard error is no reason to stop measuring.
    let _ = writeln!(std::io::stderr(), "{line}");
}
