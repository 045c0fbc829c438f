//! Whether a million widgets cost what a thousand do (ChatBotKit), in SQLite and in PostgreSQL: a customer's server that asks
//! the API, and pages that open sessions.

mod api;
mod fill;
mod ids;
mod loads;
mod measure;
mod proof;

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::Flags;
use crate::lab::Lab;
use crate::postgres::{NEEDS_POSTGRES, Postgres};
use crate::rounds::Entrants;
use crate::rows::{self, Row};
use crate::say;
use crate::stores;
use crate::targets::{Bound, Target, ratio};
use std::time::Instant;

pub(crate) const SECTION: Section = Section {
    name: "widgets",
    about: "a million widgets and a thousand, in SQLite and in PostgreSQL",
    needs: &[NEEDS_POSTGRES],
    run,
    targets,
};

/// Engines, and each row's name; the baseline first.
const ROWS: [(&str, [&str; 2]); 2] =
    [("SQLite", ["sqlite-1k", "sqlite-1m"]), ("PostgreSQL", ["postgres-1k", "postgres-1m"])];
const COUNTS: [u64; 2] = [1_000, 1_000_000];
/// Of each row's widgets that the API has made itself.
const TEMPLATES: u64 = 2;

/// What the slowest hundredth may wait, to that with a thousandth of the widgets.
const GROWTH: f64 = 2.0;

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let effort = flags.effort.fewer_rounds();
    let servers = servers(lab, flags)?;
    let rows = rows::wanted(rows(flags, &servers), flags)?;
    for row in &rows {
        let started = Instant::now();
        fill::fill(row, servers.iter().find(|server| server.row == row.name), lab)?;
        say(&format!("  {}: filled in {:.0} s", row.name, started.elapsed().as_secs_f64()));
    }
    let mut entrants = Entrants::proven(rows, lab, flags, &proof::check)?;
    let mut lines = Vec::new();
    for ask in loads::all() {
        say(&format!("  {}: {}", ask.name, ask.does));
        lines.extend(measure::rounds(&ask, &mut entrants, &servers, lab, effort)?);
    }
    Ok(measure::outcome(&lines, effort))
}

fn targets(done: &Done) -> Vec<Target> {
    let of_engine = |(engine, [few, many]): (&'static str, [&'static str; 2])| {
        loads::all().into_iter().map(move |ask| {
            let name = |row| measure::name(ask.name, row);
            let growth = ratio(done, SECTION.name, "p99_us", &name(many), &name(few));
            let what = format!("widgets: {} in {engine}, p99 with 1,000,000 to that with 1,000", ask.name);
            Target::ratio(&what, Bound::AtMost(GROWTH), growth)
        })
    };
    ROWS.into_iter().flat_map(of_engine).collect()
}

fn servers(lab: &Lab, flags: &Flags) -> Result<Vec<Postgres>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let [_, (_, names)] = ROWS;
    let wanted = names.iter().filter(|name| flags.only.is_empty() || flags.only.iter().any(|only| only == *name));
    wanted.map(|name| runtime.block_on(Postgres::start(name, lab))).collect()
}

fn rows(flags: &Flags, servers: &[Postgres]) -> Vec<Row> {
    let of_engine = |(engine, names): (&'static str, [&'static str; 2])| {
        names.into_iter().zip(COUNTS).map(move |(name, count)| {
            let server = servers.iter().find(|server| server.row == name);
            let store = server.map_or_else(|| stores::sqlite(name), Postgres::lines);
            row(flags).named(name, "").with("engine", engine).with("count", &count.to_string()).with("store", &store)
        })
    };
    ROWS.into_iter().flat_map(of_engine).collect()
}

fn row(flags: &Flags) -> Row {
    Row { config: include_str!("sidegate.toml"), ..super::exchange::sidegate(flags) }.with("bootstrap", api::BOOTSTRAP)
}

/// The widgets of a row that were not made by the API.
fn copies(row: &Row) -> Result<u64> {
    Ok(row.value("count").parse::<u64>()? - TEMPLATES)
}
