//! Alternating rounds (A B C, A B C, …), so that a slow minute of the machine hits every row alike.

use crate::flags::{Effort, Flags};
use crate::lab::{Lab, Proxy};
use crate::load::{self, Load, Plan};
use crate::process::Cpu;
use crate::rows::Row;
use crate::sections::Outcome;
use crate::{Result, probe, programs, say, tabulate};
use serde_json::{Value, json};

/// What one round found out about one row.
pub(crate) struct Sample {
    /// CPU time of the proxy, user and system, over completed requests.
    pub(crate) cpu_us_per_request: f64,
    /// The part of it in the program's own code; the rest is the kernel's, mostly TCP.
    pub(crate) user_us_per_request: f64,
    pub(crate) requests_per_second: f64,
    /// Cores that the proxy kept busy; clearly below what it has, something else was the limit.
    pub(crate) busy: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) resident_mib: f64,
}

impl Sample {
    pub(crate) fn json(&self) -> Value {
        json!({
            "cpu_us_per_request": self.cpu_us_per_request,
            "user_us_per_request": self.user_us_per_request,
            "requests_per_second": self.requests_per_second,
            "busy": self.busy,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
            "resident_mib": self.resident_mib,
        })
    }
}

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
    fn start(row: Row, lab: &Lab) -> Result<Self> {
        let version = match row.version_arg {
            "" => String::new(),
            argument => programs::version(&row.program, argument),
        };
        let proxy = lab.start(&row)?;
        probe::check(&row, &proxy, lab)?;
        Ok(Self { row, version, proxy, samples: Vec::new(), answered: 0.0 })
    }

    /// Warms up, then measures one load, as all sections do that have nothing else in mind.
    pub(crate) fn chat(&mut self, lab: &Lab, effort: Effort) -> Result<()> {
        let mut plan = Plan::chat(self.proxy.address, lab, effort);
        if effort.warmup > 0 {
            self.answered += load::run(&Plan { seconds: effort.warmup, ..plan.clone() })?.requests;
        }
        plan.seconds = effort.seconds;
        self.sample(|| load::run(&plan))
    }

    /// Keeps what `load` and the kernel count while it runs.
    pub(crate) fn sample(&mut self, load: impl FnOnce() -> Result<Load>) -> Result<()> {
        let process = &mut self.proxy.process;
        let before = process.cpu();
        let load = load()?;
        let spent = process.cpu();
        process.alive()?;
        self.answered += load.requests;
        let resident_kib = process.resident_kib();
        self.samples.push(Sample::of(&load, before, spent, resident_kib)?);
        Ok(())
    }
}

impl Sample {
    fn of(load: &Load, before: Cpu, after: Cpu, resident_kib: u64) -> Result<Self> {
        let (cpu_seconds, user_seconds) = after.seconds_since(before);
        Ok(Self {
            cpu_us_per_request: cpu_seconds * 1e6 / load.requests,
            user_us_per_request: user_seconds * 1e6 / load.requests,
            requests_per_second: load.requests / load.seconds,
            busy: cpu_seconds / load.seconds,
            p50_us: load.p50_us,
            p99_us: load.p99_us,
            p999_us: load.p999_us,
            resident_mib: f64::from(u32::try_from(resident_kib)?) / 1024.0,
        })
    }
}

/// The rows of a section, all running; they end when this is dropped.
pub(crate) struct Entrants(pub(crate) Vec<Entrant>);

impl Entrants {
    /// Starts the rows that the flags ask for, and proves what each claims.
    pub(crate) fn start(rows: Vec<Row>, lab: &Lab, flags: &Flags) -> Result<Self> {
        let wanted = |row: &Row| flags.only.is_empty() || flags.only.contains(&row.name);
        rows.into_iter().filter(wanted).map(|row| Entrant::start(row, lab)).collect::<Result<_>>().map(Self)
    }

    /// All rounds of the usual load.
    pub(crate) fn load(&mut self, lab: &Lab, effort: Effort) -> Result<()> {
        self.rounds(effort.rounds, |entrant| entrant.chat(lab, effort))
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
        Outcome {
            table: tabulate::table(&self.0, baselines),
            note: format!(
                "{}\nmedians of {} rounds of {} s, {} connections",
                tabulate::legend(&self.0),
                effort.rounds,
                effort.seconds,
                effort.connections
            ),
            json: json!({ "rows": tabulate::rows(&self.0) }),
        }
    }
}

fn latest(entrant: &Entrant) -> String {
    let cost = entrant.samples.last().map_or(0.0, |sample| sample.cpu_us_per_request);
    format!("{} {cost:.1} µs", entrant.row.name)
}
