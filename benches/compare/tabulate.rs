//! The samples of rows as a table for people and as JSON.

use crate::rounds::Entrant;
use crate::sample::Sample;
use crate::stats::{Spread, spread};
use serde_json::{Value, json};

const HEADING: [&str; 10] =
    ["row", "CPU µs/req", "(low–high)", "of it user", "req/s", "busy", "p50 µs", "p99 µs", "p99.9 µs", "RSS MiB"];

/// Medians, with the heading; one column for each baseline that ran.
pub(crate) fn table(entrants: &[Entrant], baselines: &[&str]) -> Vec<Vec<String>> {
    let of_baseline = baselines.iter().filter_map(|name| Some((name, cost_of(name, entrants)?)));
    let baselines: Vec<_> = of_baseline.collect();
    let mut heading = HEADING.map(str::to_owned).to_vec();
    heading.extend(baselines.iter().map(|(name, _)| format!("× {name}")));
    let line = |entrant: &Entrant| {
        let mut cells = cells(entrant);
        let cost = cpu(entrant).median;
        cells.extend(baselines.iter().map(|(_, baseline)| format!("{:.2}", cost / baseline)));
        cells
    };
    std::iter::once(heading).chain(entrants.iter().map(line)).collect()
}

/// What each row does, a line each.
pub(crate) fn legend(entrants: &[Entrant]) -> String {
    let lines: Vec<String> = entrants.iter().map(|one| format!("  {}: {}", one.row.name, one.row.does)).collect();
    lines.join("\n")
}

fn cost_of(name: &str, entrants: &[Entrant]) -> Option<f64> {
    entrants.iter().find(|one| one.row.name == name).map(|one| cpu(one).median)
}

fn cells(entrant: &Entrant) -> Vec<String> {
    let cpu = cpu(entrant);
    let median = Sample::median(&entrant.samples);
    vec![
        entrant.row.name.clone(),
        format!("{:.2}", cpu.median),
        format!("({:.2}–{:.2})", cpu.low, cpu.high),
        format!("{:.2}", median.user_us_per_request),
        format!("{:.0}", median.requests_per_second),
        format!("{:.0} %", 100.0 * median.busy),
        format!("{:.0}", median.p50_us),
        format!("{:.0}", median.p99_us),
        format!("{:.0}", median.p999_us),
        format!("{:.1}", median.resident_mib),
    ]
}

/// Every row with its samples and their medians.
pub(crate) fn rows(entrants: &[Entrant]) -> Vec<Value> {
    entrants.iter().map(row).collect()
}

fn row(entrant: &Entrant) -> Value {
    json!({
        "name": entrant.row.name,
        "does": entrant.row.does,
        "version": entrant.version,
        "samples": entrant.samples.iter().map(Sample::json).collect::<Vec<_>>(),
        "median": Sample::median(&entrant.samples).json(),
    })
}

fn cpu(entrant: &Entrant) -> Spread {
    spread(entrant.samples.iter().map(|sample| sample.cpu_us_per_request))
}
