//! The exchange of an app's secret for a token, next to servers that a customer would write for it: Express with
//! jsonwebtoken, FastAPI with PyJWT, one process each (`exchange/`). All check the secret by its digest, sign the same
//! claims with the same key and answer the same JSON; with env and secrets all seal them and keep them in memory. What it
//! costs to keep them elsewhere is the question of the section `durable`.

pub(super) mod proof;

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::{Effort, Flags};
use crate::lab::Lab;
use crate::load::{self, Plan};
use crate::rounds::{Entrant, Entrants};
use crate::rows::{Row, SIDEGATE};
use crate::stores;
use crate::targets::{Bound, Target, ratio};
use crate::token::{APP, END_USER};
use std::path::Path;

pub(crate) const SECTION: Section = Section {
    name: "exchange",
    about: "an app's secret for a token, next to Express and FastAPI servers",
    needs: &[("node", "nodejs")],
    run,
    targets,
};

const EXPRESS: &str = "express";
const FASTAPI: &str = "fastapi";

/// Where `scripts/setup.sh bench` puts what the two servers need.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench/express/node_modules");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench/fastapi/bin/python");
const SERVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/compare/exchange");

/// The app's secret, and what a server may know of it.
const SECRET: &str = "wsec_589f753807f8c83266bfa9c8c63bde54f5c01ce586f294a0fe0b81e53af055c2";
const DIGEST: &str = "5d0bd157677bfab9a5e307badf3ec7fe291b192ec9fe7fa1a076b3ef4590813b";
pub(super) const WITH_CONTEXT: &str =
    r#","env":{"TENANT":"acme","REGION":"eu-central-1"},"secrets":{"API_TOKEN":"sk-0123456789abcdef"}"#;

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    if let Some(missing) = [MODULES, PYTHON].into_iter().find(|path| !Path::new(path).exists()) {
        return Err(format!("{missing} is missing: scripts/setup.sh bench").into());
    }
    let effort = flags.effort.fewer_rounds();
    Ok(measure(rows(flags), lab, flags, effort)?.outcome(effort, &[EXPRESS]))
}

/// Starts the rows, proves that they exchange, and loads them.
pub(super) fn measure(rows: Vec<Row>, lab: &Lab, flags: &Flags, effort: Effort) -> Result<Entrants> {
    let mut entrants = Entrants::proven(rows, lab, flags, &proof::check)?;
    for entrant in &mut entrants.0 {
        // Once is enough: V8's compiler, which it is for, forgets nothing between rounds.
        let plan = Plan { seconds: effort.warmup.max(1), ..plan(entrant, lab, effort)? };
        entrant.answered += load::run(&plan)?.requests;
    }
    entrants.rounds(effort.rounds, |entrant| {
        let plan = plan(entrant, lab, effort)?;
        entrant.sample(|| load::run(&plan))
    })?;
    Ok(entrants)
}

fn plan(entrant: &Entrant, lab: &Lab, effort: Effort) -> Result<Plan> {
    // A row may have a number of its own.
    let connections = entrant.row.value("connections").parse().unwrap_or(effort.connections);
    Ok(Plan {
        connections,
        url: format!("http://{}{}", entrant.proxy.address, proof::PATH),
        script: lab.script(&entrant.row, include_str!("../exchange/load.lua"))?,
        seconds: effort.seconds,
    })
}

fn targets(done: &Done) -> Vec<Target> {
    let cost = |row, baseline| ratio(done, "exchange", "cpu_us_per_request", row, baseline);
    vec![Target::ratio("exchange: Express's CPU to Sidegate's", Bound::AtLeast(15.0), cost(EXPRESS, SIDEGATE))]
}

fn rows(flags: &Flags) -> Vec<Row> {
    let with = |row: Row, name, does| row.with("body", &body(WITH_CONTEXT)).named(name, does);
    vec![
        sidegate(flags),
        express(),
        fastapi(),
        with(sidegate(flags), "sidegate-context", "with env + secrets (memory store)"),
        with(express(), "express-context", "with env + secrets (sealed, in a Map)"),
        with(fastapi(), "fastapi-context", "with env + secrets (sealed, in a dict)"),
    ]
}

pub(super) fn sidegate(flags: &Flags) -> Row {
    let mut values = server(SIDEGATE, "").values;
    values.push(("store", stores::MEMORY.to_owned()));
    Row {
        values,
        program: flags.sidegate.display().to_string(),
        version_arg: "version",
        args: ["serve", "-c", "@config@"].map(str::to_owned).to_vec(),
        config: include_str!("../exchange/sidegate.toml"),
        ..server(SIDEGATE, "all of its checks, limits counted")
    }
}

fn express() -> Row {
    Row {
        program: "node".to_owned(),
        version_arg: "--version",
        args: vec![format!("{SERVERS}/express/server.js"), "@config@".to_owned()],
        ..server(EXPRESS, "express + jsonwebtoken, no access log")
    }
}

fn fastapi() -> Row {
    Row {
        program: PYTHON.to_owned(),
        version_arg: "--version",
        args: vec![format!("{SERVERS}/fastapi/server.py"), "@config@".to_owned()],
        ..server(FASTAPI, "fastapi + uvicorn (uvloop, httptools) + PyJWT, no access log")
    }
}

/// What all rows have in common.
fn server(name: &str, does: &str) -> Row {
    let values = [("body", body("")), ("digest", DIGEST.to_owned()), ("modules", MODULES.to_owned())];
    Row {
        name: name.to_owned(),
        does: does.to_owned(),
        program: String::new(),
        version_arg: "",
        args: Vec::new(),
        config: include_str!("../exchange/servers.json"),
        values: values.to_vec(),
        cores: "0",
        claims: &[],
    }
}

pub(super) fn body(more: &str) -> String {
    format!(r#"{{"appId":"{APP}","appSecret":"{SECRET}","endUserId":"{END_USER}","expiresIn":"1h"{more}}}"#)
}
