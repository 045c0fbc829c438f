//! The result: a table for each section, then the targets, on standard output; the same with every sample as JSON.

use crate::flags::Flags;
use crate::machine::load_average;
use crate::sections::{self, Done, Outcome, Section};
use crate::table::aligned;
use crate::{Result, plot, say, targets};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

const SCHEMA: &str = "sidegate-bench-compare/2";

/// Grows with each section. The file is written each time, so that what was measured outlives a broken run.
pub(crate) struct Report {
    machine: Value,
    settings: Value,
    out: PathBuf,
    started: Instant,
    done: Done,
    void: Vec<&'static str>,
}

impl Report {
    pub(crate) fn new(machine: Value, flags: &Flags) -> Self {
        let settings = json!({
            "rounds": flags.effort.rounds,
            "seconds": flags.effort.seconds,
            "warmup_seconds": flags.effort.warmup,
            "connections": flags.effort.connections,
        });
        let out = flags.out.clone();
        Self { machine, settings, out, started: Instant::now(), done: Done::new(), void: Vec::new() }
    }

    /// What the sections so far found out.
    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    pub(crate) fn add(&mut self, section: &'static Section, outcome: Outcome) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "## {}: {}", section.name, section.about)?;
        writeln!(out, "{}\n{}\n", aligned(&outcome.table), outcome.note)?;
        self.done.insert(section.name.to_owned(), outcome.json);
        self.write()
    }

    /// Without numbers: some request failed, so they would mean nothing.
    pub(crate) fn void(&mut self, section: &'static Section, why: &str) -> Result<()> {
        say(&format!("compare: {} is void: {why}", section.name));
        writeln!(std::io::stdout(), "## {}: void, {why}\n", section.name)?;
        self.done.insert(section.name.to_owned(), json!({ "void": why }));
        self.void.push(section.name);
        self.write()
    }

    /// Prints the targets and draws the pictures; fails if a section was void.
    pub(crate) fn finish(self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "## targets\n{}", aligned(&targets::table(&sections::targets(&self.done))))?;
        writeln!(out, "all in {:.0} s; {}", self.started.elapsed().as_secs_f64(), self.out.display())?;
        plot::draw(&Value::Object(self.done), &self.out)?;
        if self.void.is_empty() { Ok(()) } else { Err(format!("void: {}", self.void.join(", ")).into()) }
    }

    fn write(&self) -> Result<()> {
        let document = json!({
            "schema": SCHEMA,
            "machine": self.machine,
            "load_average_after": load_average()?,
            "duration_seconds": self.started.elapsed().as_secs(),
            "settings": self.settings,
            "sections": self.done,
            "targets": targets::list(&sections::targets(&self.done)),
        });
        if let Some(folder) = self.out.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(&self.out, format!("{document:#}\n"))?)
    }
}
