//! Exchanges whose env and secrets are kept, in each engine and by each rule of when they are on the disk.

use super::exchange::{self, WITH_CONTEXT, body};
use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::Flags;
use crate::lab::Lab;
use crate::rows::{Row, SIDEGATE};
use crate::stores::{self, Redis};
use crate::targets::{Bound, Target, ratio};

pub(crate) const SECTION: Section = Section {
    name: "durable",
    about: "an exchange with env and secrets, kept in memory, SQLite or Redis",
    needs: &[stores::NEEDS_REDIS],
    run,
    targets,
};

/// With env and secrets in a file, and with `CROWD` requests at a time.
const CROWDED: &str = "sidegate-durable-1024";
/// Connections of the rows whose name says so; the others have as many as the flags say.
const CROWD: &str = "1024";

/// A row's name, and what its server does about the disk.
const REDIS: [(&str, &str); 4] = [
    ("sidegate-redis-always", "always"),
    ("sidegate-redis-always-1024", "always"),
    ("sidegate-redis-everysec", "everysec"),
    ("sidegate-redis-everysec-1024", "everysec"),
];

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let servers = REDIS.map(|(row, appendfsync)| Redis::start(row, appendfsync, lab));
    let servers = servers.into_iter().collect::<Result<Vec<_>>>()?;
    let effort = flags.effort.fewer_rounds();
    let entrants = exchange::measure(rows(flags, &servers), lab, flags, effort)?;
    let outcome = entrants.outcome(effort, &[SIDEGATE]);
    Ok(Outcome { note: outcome.note + " where no name says 1024" + &stores::costs(&servers, &entrants), ..outcome })
}

fn targets(done: &Done) -> Vec<Target> {
    let cost = ratio(done, SECTION.name, "cpu_us_per_request", CROWDED, SIDEGATE);
    let what = "exchange: CPU with env + secrets, durable, 1,024 at a time, to without";
    vec![Target::ratio(what, Bound::AtMost(2.0), cost)]
}

fn rows(flags: &Flags, servers: &[Redis]) -> Vec<Row> {
    let with = |name: &str, does: &str, store: &str| {
        let row = exchange::sidegate(flags).named(name, does).with("body", &body(WITH_CONTEXT)).with("store", store);
        if name.ends_with(CROWD) { row.with("connections", CROWD) } else { row }
    };
    let same = "the same, 1,024 connections";
    let mut rows = vec![
        exchange::sidegate(flags).named(SIDEGATE, "without env and secrets"),
        with("sidegate-context", "with them (memory store)", stores::MEMORY),
        with("sidegate-context-1024", same, stores::MEMORY),
        with("sidegate-durable", "with them (SQLite, on the disk before the answer)", &stores::sqlite("durable")),
        with(CROWDED, same, &stores::sqlite(CROWDED)),
    ];
    rows.extend(REDIS.iter().zip(servers).map(|((name, appendfsync), server)| {
        let first = format!("with them (Redis, appendfsync {appendfsync})");
        with(name, if name.ends_with(CROWD) { same } else { &first }, &server.lines())
    }));
    rows
}
