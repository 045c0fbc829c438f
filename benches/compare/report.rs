//! The result: a table on standard output and the same, with every sample, as JSON.

use crate::Result;
use crate::flags::Flags;
use crate::machine::load_average;
use crate::rounds::{Entrant, Sample};
use crate::rows::{HAPROXY_JWT, NGINX};
use crate::stats::{Spread, spread};
use crate::table::aligned;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;

const SCHEMA: &str = "sidegate-bench-compare/1";
const HEADING: [&str; 12] = [
    "row",
    "CPU µs/req",
    "(low–high)",
    "of it user",
    "req/s",
    "busy",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "RSS MiB",
    "× nginx",
    "× haproxy-jwt",
];

/// Prints the table and writes the JSON file.
pub(crate) fn publish(entrants: &[Entrant], machine: &Value, flags: &Flags) -> Result<()> {
    let heading = HEADING.map(str::to_owned).to_vec();
    let cells: Vec<Vec<String>> =
        std::iter::once(heading).chain(entrants.iter().map(|one| cells(one, entrants))).collect();
    if let Some(folder) = flags.out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&flags.out, format!("{:#}\n", document(entrants, machine, flags)?))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", aligned(&cells))?;
    writeln!(
        out,
        "medians of {} rounds of {} s, {} connections; {}",
        flags.rounds,
        flags.seconds,
        flags.connections,
        flags.out.display()
    )?;
    Ok(())
}

fn cells(entrant: &Entrant, all: &[Entrant]) -> Vec<String> {
    let cpu = of(entrant, |sample| sample.cpu_us_per_request);
    let middle = |pick: fn(&Sample) -> f64| of(entrant, pick).median;
    vec![
        entrant.row.name.clone(),
        format!("{:.2}", cpu.median),
        format!("({:.2}–{:.2})", cpu.low, cpu.high),
        format!("{:.2}", middle(|sample| sample.user_us_per_request)),
        format!("{:.0}", middle(|sample| sample.requests_per_second)),
        format!("{:.0} %", 100.0 * middle(|sample| sample.busy)),
        format!("{:.0}", middle(|sample| sample.p50_us)),
        format!("{:.0}", middle(|sample| sample.p99_us)),
        format!("{:.0}", middle(|sample| sample.p999_us)),
        format!("{:.1}", middle(|sample| sample.resident_mib)),
        ratio(entrant, NGINX, all).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
        ratio(entrant, HAPROXY_JWT, all).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
    ]
}

fn of(entrant: &Entrant, pick: impl Fn(&Sample) -> f64) -> Spread {
    spread(entrant.samples.iter().map(pick))
}

/// Median CPU per request over the baseline's; `None` if the baseline did not run.
fn ratio(entrant: &Entrant, baseline: &str, all: &[Entrant]) -> Option<f64> {
    let baseline = all.iter().find(|one| one.row.name == baseline)?;
    let cpu = |one: &Entrant| of(one, |sample| sample.cpu_us_per_request).median;
    Some(cpu(entrant) / cpu(baseline))
}

fn document(entrants: &[Entrant], machine: &Value, flags: &Flags) -> Result<Value> {
    let rows: Vec<Value> = entrants.iter().map(|one| row(one, entrants)).collect();
    Ok(json!({
        "schema": SCHEMA,
        "machine": machine,
        "load_average_after": load_average()?,
        "settings": {
            "rounds": flags.rounds,
            "seconds": flags.seconds,
            "warmup_seconds": flags.warmup,
            "connections": flags.connections,
        },
        "rows": rows,
    }))
}

fn row(entrant: &Entrant, all: &[Entrant]) -> Value {
    let median = Sample {
        cpu_us_per_request: of(entrant, |sample| sample.cpu_us_per_request).median,
        user_us_per_request: of(entrant, |sample| sample.user_us_per_request).median,
        requests_per_second: of(entrant, |sample| sample.requests_per_second).median,
        busy: of(entrant, |sample| sample.busy).median,
        p50_us: of(entrant, |sample| sample.p50_us).median,
        p99_us: of(entrant, |sample| sample.p99_us).median,
        p999_us: of(entrant, |sample| sample.p999_us).median,
        resident_mib: of(entrant, |sample| sample.resident_mib).median,
    };
    json!({
        "name": entrant.row.name,
        "does": entrant.row.does,
        "version": entrant.version,
        "median": median.json(),
        "samples": entrant.samples.iter().map(Sample::json).collect::<Vec<_>>(),
        "cpu_to_nginx": ratio(entrant, NGINX, all),
        "cpu_to_haproxy_jwt": ratio(entrant, HAPROXY_JWT, all),
    })
}
