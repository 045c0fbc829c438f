//! Alternating rounds (A B C, A B C, …), so that a slow minute of the machine hits every row alike.

use crate::flags::{Effort, Flags};
use crate::lab::{Lab, Proxy};
use crate::load::{self, Load, Plan};
use crate::load_open::Pace;
use crate::rows::{self, Row};
use crate::sample::Sample;
use crate::sections::Outcome;
use crate::{Result, load_many, load_open, probe, programs, say, tabulate};
use serde_json::json;

/// A row with its running proxy and what has been measured so far.
pub(crate) struct Entrant {
    pub(crate) row: Row,
    pub(crate) version: String,
    pub(crate) proxy: Proxy,
    pub(crate) samples: Vec<Sample>,
    /// Requests of all loads so far.
    pub(crate) answered: f64,
}

impl Entrant {
    /// Starts the row's proxy, and proves what the row claims.
    pub(crate) fn start(row: Row, lab: &Lab, prove: Proof<'_>) -> Result<Self> {
        let version = match row.version_arg {
            "" => String::new(),
            argument => programs::version(&row.program, argument),
        };
        let proxy = lab.start(&row)?;
        prove(&row, &proxy, lab)?;
        Ok(Self { row, version, proxy, samples: Vec::new(), answered: 0.0 })
    }

    /// As many chat requests as the connections can take: warms up, then measures.
    pub(crate) fn chat(&mut self, lab: &Lab, effort: Effort) -> Result<()> {
        let plan = Plan::chat(self.proxy.address, lab, effort);
        self.warm(effort, |seconds| load::run(&Plan { seconds, ..plan.clone() }))?;
        self.sample(|| load::run(&plan))
    }

    /// Chat requests at a fixed rate.
    fn chat_paced(&mut self, lab: &Lab, pace: Pace, effort: Effort) -> Result<()> {
        let address = self.proxy.address;
        self.warm(effort, |seconds| load_open::run(address, lab, pace, seconds))?;
        self.sample(|| load_open::run(address, lab, pace, effort.seconds))
    }

    /// As `chat`, but over thousands of connections.
    pub(crate) fn chat_many(&mut self, lab: &Lab, effort: Effort) -> Result<()> {
        let process = &mut self.proxy.process;
        let window = load_many::run(self.proxy.address, lab, effort, || process.cpu())?;
        process.alive()?;
        let resident_kib = process.resident_kib();
        self.samples.push(Sample::of(&window.load, window.cpu_before, window.cpu_after, resident_kib)?);
        Ok(())
    }

    fn warm(&mut self, effort: Effort, load: impl FnOnce(u32) -> Result<Load>) -> Result<()> {
        if effort.warmup > 0 {
            self.answered += load(effort.warmup)?.requests;
        }
        Ok(())
    }

    /// Keeps what `load` and the kernel count while it runs.
    pub(crate) fn sample(&mut self, load: impl FnOnce() -> Result<Load>) -> Result<()> {
        let process = &mut self.proxy.process;
        let before = process.cpu();
        let load = load()?;
        let after = process.cpu();
        process.alive()?;
        self.answered += load.requests;
        self.samples.push(Sample::of(&load, before, after, process.resident_kib())?);
        Ok(())
    }
}

/// Fails if a started row does not do what it claims.
pub(crate) type Proof<'a> = &'a dyn Fn(&Row, &Proxy, &Lab) -> Result<()>;

/// The rows of a section, all running; they end when this is dropped.
pub(crate) struct Entrants(pub(crate) Vec<Entrant>);

impl Entrants {
    /// Starts the rows that the flags ask for, and proves what each claims.
    pub(crate) fn start(rows: Vec<Row>, lab: &Lab, flags: &Flags) -> Result<Self> {
        Self::proven(rows, lab, flags, &probe::check)
    }

    /// The same for rows that claim something else.
    pub(crate) fn proven(rows: Vec<Row>, lab: &Lab, flags: &Flags, prove: Proof<'_>) -> Result<Self> {
        Self::start_each(rows::wanted(rows, flags)?.into_iter(), lab, prove)
    }

    /// Starts all rows, whatever the flags ask for.
    pub(crate) fn start_all(rows: Vec<Row>, lab: &Lab) -> Result<Self> {
        Self::start_each(rows.into_iter(), lab, &probe::check)
    }

    fn start_each(rows: impl Iterator<Item = Row>, lab: &Lab, prove: Proof<'_>) -> Result<Self> {
        rows.map(|row| Entrant::start(row, lab, prove)).collect::<Result<_>>().map(Self)
    }

    /// All rounds of `Entrant::chat`.
    pub(crate) fn load(&mut self, lab: &Lab, effort: Effort) -> Result<()> {
        self.rounds(effort.rounds, |entrant| entrant.chat(lab, effort))
    }

    /// All rounds at a fixed rate.
    pub(crate) fn load_paced(&mut self, lab: &Lab, pace: Pace, effort: Effort) -> Result<()> {
        self.rounds(effort.rounds, |entrant| entrant.chat_paced(lab, pace, effort))
    }

    /// Runs all rounds of `measure`, which adds a sample; the first error ends them.
    pub(crate) fn rounds(&mut self, rounds: u32, mut measure: impl FnMut(&mut Entrant) -> Result<()>) -> Result<()> {
        for round in 1..=rounds {
            for entrant in &mut self.0 {
                measure(entrant).map_err(|error| format!("round {round}, {}: {error}", entrant.row.name))?;
            }
            let costs: Vec<String> = self.0.iter().map(latest).collect();
            say(&format!("  round {round}/{rounds}: {}", costs.join(", ")));
        }
        Ok(())
    }

    /// The usual table and JSON; CPU per request is also shown over that of each baseline.
    pub(crate) fn outcome(&self, effort: Effort, baselines: &[&str]) -> Outcome {
        let Effort { rounds, seconds, connections, .. } = effort;
        Outcome {
            table: tabulate::table(&self.0, baselines),
            note: format!(
                "{}\nmedians of {rounds} rounds of {seconds} s, {connections} connections",
                tabulate::legend(&self.0),
            ),
            json: json!({ "rows": tabulate::rows(&self.0) }),
        }
    }

    /// The same after `load_paced`.
    pub(crate) fn outcome_paced(&self, pace: Pace, effort: Effort, baselines: &[&str]) -> Outcome {
        let outcome = self.outcome(effort, baselines);
        let late_us = self.0.iter().map(|one| Sample::median(&one.samples).late_us).fold(0.0, f64::max);
        Outcome {
            note: format!(
                "{}, {:.0} requests/s in an open loop, which was late itself by {late_us:.0} µs (p99)",
                outcome.note, pace.per_second
            ),
            json: json!({ "rate": pace.per_second, "rows": tabulate::rows(&self.0) }),
            ..outcome
        }
    }
}

fn latest(entrant: &Entrant) -> String {
    let cost = entrant.samples.last().map_or(0.0, |sample| sample.cpu_us_per_request);
    format!("{} {cost:.1} µs", entrant.row.name)
}
