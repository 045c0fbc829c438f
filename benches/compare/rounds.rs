//! Alternating rounds (A B C, A B C, …), so that a slow minute of the machine hits every row alike.

use crate::flags::Flags;
use crate::lab::{Lab, Proxy};
use crate::rows::Row;
use crate::{Result, load, programs, say};
use serde_json::{Value, json};

/// What one round found out about one row.
pub(crate) struct Sample {
    /// CPU time of the proxy, user and system, over completed requests.
    pub(crate) cpu_us_per_request: f64,
    /// The part of it in the program's own code; the rest is the kernel's, mostly TCP.
    pub(crate) user_us_per_request: f64,
    pub(crate) requests_per_second: f64,
    /// Share of its core that the proxy used; clearly below 1, something else was the limit.
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
pub(crate) struct Entrant<'a> {
    pub(crate) row: &'a Row,
    pub(crate) version: String,
    pub(crate) proxy: Proxy,
    pub(crate) samples: Vec<Sample>,
}

impl<'a> Entrant<'a> {
    pub(crate) fn start(row: &'a Row, lab: &Lab) -> Result<Self> {
        let version = match row.version_arg {
            "" => String::new(),
            argument => programs::version(&row.program, argument),
        };
        Ok(Self { row, version, proxy: lab.start(row)?, samples: Vec::new() })
    }

    fn measure(&mut self, lab: &Lab, flags: &Flags) -> Result<()> {
        if flags.warmup > 0 {
            load::run(self.proxy.address, lab, flags.connections, flags.warmup)?;
        }
        let process = &mut self.proxy.process;
        let before = process.cpu();
        let load = load::run(self.proxy.address, lab, flags.connections, flags.seconds)?;
        let (cpu_seconds, user_seconds) = process.cpu().seconds_since(before);
        process.alive()?;
        self.samples.push(Sample {
            cpu_us_per_request: cpu_seconds * 1e6 / load.requests,
            user_us_per_request: user_seconds * 1e6 / load.requests,
            requests_per_second: load.requests / load.seconds,
            busy: cpu_seconds / load.seconds,
            p50_us: load.p50_us,
            p99_us: load.p99_us,
            p999_us: load.p999_us,
            resident_mib: f64::from(u32::try_from(process.resident_kib())?) / 1024.0,
        });
        Ok(())
    }
}

/// Runs all rounds; the first error under load ends the run.
pub(crate) fn run(entrants: &mut [Entrant], lab: &Lab, flags: &Flags) -> Result<()> {
    for round in 1..=flags.rounds {
        for entrant in &mut *entrants {
            let name = &entrant.row.name;
            entrant.measure(lab, flags).map_err(|error| format!("round {round}, {name}: {error}"))?;
        }
        let costs: Vec<String> = entrants.iter().map(latest).collect();
        say(&format!("round {round}/{}: {}", flags.rounds, costs.join(", ")));
    }
    Ok(())
}

fn latest(entrant: &Entrant) -> String {
    let cost = entrant.samples.last().map_or(0.0, |sample| sample.cpu_us_per_request);
    format!("{} {cost:.1} µs", entrant.row.name)
}
