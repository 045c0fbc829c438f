//! One load after the other, each in rounds, and their table.

use super::loads::{self, Ask};
use crate::Result;
use crate::flags::Effort;
use crate::lab::Lab;
use crate::load::{self, Plan};
use crate::postgres::Postgres;
use crate::process::Cpu;
use crate::rounds::{Entrant, Entrants};
use crate::sample::Sample;
use crate::sections::Outcome;
use crate::stats::spread;
use serde_json::{Value, json};

const HEADING: [&str; 12] = [
    "what",
    "engine",
    "widgets",
    "CPU µs/req",
    "(low–high)",
    "of it user",
    "req/s",
    "busy",
    "p50 µs",
    "p99 µs",
    "RSS MiB",
    "server µs/req",
];

/// One kind of request, asked of one row.
pub(super) struct Line {
    name: String,
    what: &'static str,
    engine: String,
    count: String,
    version: String,
    samples: Vec<Sample>,
    /// What the database spends on each request, where it is a program of its own.
    server_us: Option<f64>,
}

/// A line's name, for the JSON.
pub(super) fn name(ask: &str, row: &str) -> String {
    format!("{ask} {row}")
}

/// All rounds of one kind of request.
pub(super) fn rounds(
    ask: &Ask,
    entrants: &mut Entrants,
    servers: &[Postgres],
    lab: &Lab,
    effort: Effort,
) -> Result<Vec<Line>> {
    for entrant in &mut entrants.0 {
        load::run(&Plan { seconds: effort.warmup.max(1), ..ask.plan(entrant, lab, effort)? })?;
        entrant.answered = 0.0;
    }
    let mut spent: Vec<Spent> = servers.iter().map(Spent::nothing).collect();
    entrants.rounds(effort.rounds, |entrant| {
        let plan = ask.plan(entrant, lab, effort)?;
        let spent = spent.iter_mut().find(|spent| spent.server.row == entrant.row.name);
        match spent {
            Some(spent) => spent.during(|| entrant.sample(|| load::run(&plan))),
            None => entrant.sample(|| load::run(&plan)),
        }
    })?;
    let line = |entrant: &mut Entrant| {
        let spent = spent.iter().find(|spent| spent.server.row == entrant.row.name);
        Line {
            name: name(ask.name, &entrant.row.name),
            what: ask.name,
            engine: entrant.row.value("engine").to_owned(),
            count: entrant.row.value("count").to_owned(),
            version: entrant.version.clone(),
            samples: std::mem::take(&mut entrant.samples),
            server_us: spent.map(|spent| spent.seconds * 1e6 / entrant.answered),
        }
    };
    Ok(entrants.0.iter_mut().map(line).collect())
}

/// What a server spends while its row is loaded.
struct Spent<'a> {
    server: &'a Postgres,
    seconds: f64,
}

impl<'a> Spent<'a> {
    fn nothing(server: &'a Postgres) -> Self {
        Self { server, seconds: 0.0 }
    }

    fn during(&mut self, load: impl FnOnce() -> Result<()>) -> Result<()> {
        let before: Cpu = self.server.cpu();
        load()?;
        self.seconds += self.server.cpu().seconds_since(before).0;
        Ok(())
    }
}

/// The table, and the same as JSON.
pub(super) fn outcome(lines: &[Line], effort: Effort) -> Outcome {
    let heading = HEADING.map(str::to_owned).to_vec();
    let Effort { rounds, seconds, connections, .. } = effort;
    let legend: Vec<String> = loads::all().iter().map(|ask| format!("  {}: {}", ask.name, ask.does)).collect();
    Outcome {
        table: std::iter::once(heading).chain(lines.iter().map(Line::cells)).collect(),
        note: format!(
            "{}\nmedians of {rounds} rounds of {seconds} s, {connections} connections; the server is PostgreSQL",
            legend.join("\n")
        ),
        json: json!({ "rows": lines.iter().map(Line::json).collect::<Vec<_>>() }),
    }
}

impl Line {
    fn cells(&self) -> Vec<String> {
        let cpu = spread(self.samples.iter().map(|sample| sample.cpu_us_per_request));
        let median = Sample::median(&self.samples);
        vec![
            self.what.to_owned(),
            self.engine.clone(),
            self.count.clone(),
            format!("{:.1}", cpu.median),
            format!("({:.1}–{:.1})", cpu.low, cpu.high),
            format!("{:.1}", median.user_us_per_request),
            format!("{:.0}", median.requests_per_second),
            format!("{:.0} %", 100.0 * median.busy),
            format!("{:.0}", median.p50_us),
            format!("{:.0}", median.p99_us),
            format!("{:.0}", median.resident_mib),
            self.server_us.map_or_else(String::new, |cost| format!("{cost:.1}")),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "what": self.what,
            "engine": self.engine,
            "widgets": self.count,
            "version": self.version,
            "samples": self.samples.iter().map(Sample::json).collect::<Vec<_>>(),
            "median": Sample::median(&self.samples).json(),
            "server_us_per_request": self.server_us,
        })
    }
}
