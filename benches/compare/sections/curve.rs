//! What a request costs as connections grow, each with a request under way at any time.

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::{Effort, Flags};
use crate::lab::Lab;
use crate::probe;
use crate::rounds::Entrant;
use crate::rows::{self, HAPROXY_JWT, NGINX, Row, SIDEGATE};
use crate::sample::Sample;
use crate::say;
use crate::targets::{Bound, Target};
use serde_json::{Value, json};

pub(crate) const SECTION: Section = Section {
    name: "curve",
    about: "CPU per request from one connection to 9,000",
    needs: &[rows::NEEDS_HAPROXY],
    run,
    targets,
};

/// A process may hold 20,000 descriptors on a plain machine, and a proxy needs two for each connection.
const CONNECTIONS: [u32; 6] = [1, 8, 64, 512, 2048, 9000];

/// A row, and its medians: one for each entry of `CONNECTIONS`.
struct Line {
    row: Row,
    points: Vec<Sample>,
}

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let rows = rows::wanted(vec![rows::nginx(), rows::haproxy_jwt(), rows::sidegate(flags)], flags)?;
    let mut lines: Vec<Line> = rows.into_iter().map(|row| Line { row, points: Vec::new() }).collect();
    for connections in CONNECTIONS {
        let points = measure(&lines, lab, effort(flags, connections))
            .map_err(|error| format!("{connections} connections, {error}"))?;
        let costs = lines.iter().zip(&points).map(|(line, point)| shown(&line.row.name, point));
        say(&format!("  {connections} connections: {}", costs.collect::<Vec<_>>().join(", ")));
        lines.iter_mut().zip(points).for_each(|(line, point)| line.points.push(point));
    }
    let effort = effort(flags, 1);
    let note = format!("medians of {} rounds of {} s", effort.rounds, effort.seconds);
    Ok(Outcome { table: table(&lines), note, json: document(&lines) })
}

/// Six points take their time, and a curve shows by its neighbours whether one of them is off.
fn effort(flags: &Flags, connections: u32) -> Effort {
    let Effort { rounds, seconds, .. } = flags.effort;
    Effort { rounds: rounds.div_ceil(3), seconds: seconds.div_ceil(2), connections, ..flags.effort }
}

/// The next point of each line, by alternating rounds. A proxy only runs while it is measured: the upstream has not
/// enough descriptors for the idle connections of all of them, and memory that was needed before would count.
fn measure(lines: &[Line], lab: &Lab, effort: Effort) -> Result<Vec<Sample>> {
    let mut samples: Vec<Vec<Sample>> = lines.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds {
        for (line, samples) in lines.iter().zip(&mut samples) {
            let mut entrant = Entrant::start(line.row.clone(), lab, &probe::check)?;
            entrant.chat_many(lab, effort).map_err(|error| format!("{}: {error}", line.row.name))?;
            samples.append(&mut entrant.samples);
        }
    }
    Ok(samples.iter().map(|samples| Sample::median(samples)).collect())
}

fn shown(name: &str, point: &Sample) -> String {
    format!("{name} {:.1} µs", point.cpu_us_per_request)
}

fn table(lines: &[Line]) -> Vec<Vec<String>> {
    let each = |unit: &'static str| lines.iter().map(move |line| format!("{} {unit}", line.row.name));
    let first = std::iter::once("connections".to_owned());
    let heading = first.chain(each("µs/req")).chain(each("p99 ms")).chain(each("RSS MiB")).collect();
    let body = CONNECTIONS.iter().enumerate().map(|(index, connections)| {
        let of = |pick: fn(&Sample) -> f64| lines.iter().map(move |line| line.points.get(index).map_or(0.0, pick));
        let figures = of(|sample| sample.cpu_us_per_request)
            .chain(of(|sample| sample.p99_us / 1000.0))
            .chain(of(|sample| sample.resident_mib));
        std::iter::once(connections.to_string()).chain(figures.map(|figure| format!("{figure:.2}"))).collect()
    });
    std::iter::once(heading).chain(body).collect()
}

fn document(lines: &[Line]) -> Value {
    let rows: Vec<Value> = lines.iter().map(row).collect();
    json!({ "connections": CONNECTIONS, "rows": rows })
}

fn row(line: &Line) -> Value {
    let each = |pick: fn(&Sample) -> f64| line.points.iter().map(pick).collect::<Vec<_>>();
    json!({
        "name": line.row.name,
        "cpu_us": each(|sample| sample.cpu_us_per_request),
        "user_us": each(|sample| sample.user_us_per_request),
        "requests_per_second": each(|sample| sample.requests_per_second),
        "busy": each(|sample| sample.busy),
        "p99_us": each(|sample| sample.p99_us),
        "resident_mib": each(|sample| sample.resident_mib),
    })
}

/// Linear means that a request costs the same. Caches make it dearer for everybody, so the measure is the others' growth.
fn targets(done: &Done) -> Vec<Target> {
    let growth = |row| growth(done.get(SECTION.name)?, row);
    let steepest = growth(NGINX).into_iter().chain(growth(HAPROXY_JWT)).reduce(f64::max);
    let what = "curve: CPU per request at 9,000 connections to that at 64, to the same of nginx or haproxy-jwt";
    let ratio = growth(SIDEGATE).zip(steepest).map(|(own, others)| own / others);
    vec![Target::ratio(what, Bound::AtMost(1.1), ratio)]
}

/// Cost with the most connections over that with 64.
fn growth(section: &Value, row: &str) -> Option<f64> {
    let rows = section["rows"].as_array()?;
    let costs = rows.iter().find(|one| one["name"] == row)?["cpu_us"].as_array()?;
    let usual = CONNECTIONS.iter().position(|count| *count == 64)?;
    Some(costs.last()?.as_f64()? / costs.get(usual)?.as_f64()?)
}
