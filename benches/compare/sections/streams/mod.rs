//! Thousands of open event streams, each with an event every 10 s: what they cost in memory, and how long events take.
//!
//! This process is chat service and browsers at once, in one thread on the load's core, so that an event's delay is the
//! difference of two readings of one clock. Proxies run one after the other, each alone on its core. Any stream that is
//! refused or ends, and any event that is lost or late, voids the section.

mod client;
mod descriptors;
mod figures;
mod measure;
mod tally;
mod upstream;
mod wire;

use super::{Done, Outcome, Section};
use crate::flags::Flags;
use crate::lab::Lab;
use crate::rows::{self, HAPROXY_JWT, NGINX, Row, SIDEGATE};
use crate::targets::{Bound, Target, ratio};
use crate::{Result, programs, say};
use figures::Figures;
use serde_json::json;

pub(crate) const SECTION: Section = Section {
    name: "streams",
    about: "open event streams, each with an event every 10 s",
    needs: &[rows::NEEDS_HAPROXY, ("prlimit", "util-linux")],
    run,
    targets,
};

/// A proxy and what its streams cost.
struct Entrant {
    row: Row,
    version: String,
    figures: Figures,
}

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    descriptors::raise(flags.streams)?;
    let mut entrants = Vec::new();
    for row in rows(flags) {
        let figures = measure::run(&row, lab, flags.streams).map_err(|error| format!("{}: {error}", row.name))?;
        say(&format!("  {}: {:.1} KiB per stream", row.name, figures.kib_per_stream()));
        let version = programs::version(&row.program, row.version_arg);
        entrants.push(Entrant { row, version, figures });
    }
    Ok(Outcome { table: table(&entrants), note: note(&entrants, flags.streams), json: document(&entrants) })
}

/// The usual configurations, made to pass each event on at once.
fn rows(flags: &Flags) -> Vec<Row> {
    let rows = [
        rows::nginx().with("more", "proxy_buffering off;"),
        // Without it, HAProxy holds an event back for 200 ms, waiting for more.
        rows::haproxy_jwt().with("more", "option http-no-delay"),
        rows::sidegate(flags),
    ];
    rows.into_iter().filter(|row| flags.wants(row)).collect()
}

fn table(entrants: &[Entrant]) -> Vec<Vec<String>> {
    let nginx = entrants.iter().find(|one| one.row.name == NGINX).map(|one| one.figures.kib_per_stream());
    let line = |one: &Entrant| {
        let ratio =
            nginx.map_or_else(|| "-".to_owned(), |nginx| format!("{:.2}", one.figures.kib_per_stream() / nginx));
        [vec![one.row.name.clone()], one.figures.cells(), vec![ratio]].concat()
    };
    let heading = ["row"].into_iter().chain(figures::HEADING).chain(["memory × nginx"]);
    std::iter::once(heading.map(str::to_owned).collect()).chain(entrants.iter().map(line)).collect()
}

fn note(entrants: &[Entrant], streams: usize) -> String {
    let mut lines: Vec<String> = entrants.iter().map(|one| format!("  {}: {}", one.row.name, one.row.does)).collect();
    let (periods, period) = (measure::PERIODS, measure::PERIOD.as_secs());
    lines.push(format!("{streams} streams; their events evenly spread over {periods} periods of {period} s"));
    lines.join("\n")
}

fn document(entrants: &[Entrant]) -> serde_json::Value {
    let row = |one: &Entrant| {
        json!({
            "name": one.row.name,
            "does": one.row.does,
            "version": one.version,
            "curve": one.figures.curve_json(),
            // One run that is long enough; the name is that of the other sections.
            "median": one.figures.json(),
        })
    };
    json!({ "rows": entrants.iter().map(row).collect::<Vec<_>>() })
}

fn targets(done: &Done) -> Vec<Target> {
    let to_nginx = |field, row| ratio(done, SECTION.name, field, row, NGINX);
    let memory = to_nginx("kib_per_stream", SIDEGATE);
    let memory = Target::ratio("streams: memory of each to nginx's", Bound::AtMost(1.0), memory);
    let delay = to_nginx("delay_p99_us", SIDEGATE);
    vec![
        // The wish is HAProxy's memory, in the unit of the promise.
        Target { stretch: to_nginx("kib_per_stream", HAPROXY_JWT), ..memory },
        Target::ratio("streams: p99 of an event's delay to nginx's", Bound::AtMost(1.0), delay),
    ]
}
