//! The exchange of an app's secret for a token, next to servers that a customer would write for it: Express with
//! jsonwebtoken, FastAPI with PyJWT, one process each (`exchange/`). All check the secret by its digest, sign the same
//! claims with the same key and answer the same JSON; with env and secrets all seal them and keep them in memory. Sidegate
//! also keeps them in a file, and answers when the disk has them.

mod proof;

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::{Effort, Flags};
use crate::lab::Lab;
use crate::load::{self, Plan};
use crate::rounds::{Entrant, Entrants};
use crate::rows::{Row, SIDEGATE};
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
/// Sidegate with env and secrets in a file, and with `CROWD` requests at a time.
const CROWDED: &str = "sidegate-durable-1024";
const CROWD: u32 = 1024;

/// Where `scripts/setup.sh bench` puts what the two servers need.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench/express/node_modules");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench/fastapi/bin/python");
const SERVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/compare/exchange");

/// The app's secret, and what a server may know of it.
const SECRET: &str = "wsec_589f753807f8c83266bfa9c8c63bde54f5c01ce586f294a0fe0b81e53af055c2";
const DIGEST: &str = "5d0bd157677bfab9a5e307badf3ec7fe291b192ec9fe7fa1a076b3ef4590813b";
const WITH_CONTEXT: &str =
    r#","env":{"TENANT":"acme","REGION":"eu-central-1"},"secrets":{"API_TOKEN":"sk-0123456789abcdef"}"#;

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    if let Some(missing) = [MODULES, PYTHON].into_iter().find(|path| !Path::new(path).exists()) {
        return Err(format!("{missing} is missing: scripts/setup.sh bench").into());
    }
    let effort = flags.effort.fewer_rounds();
    let mut entrants = Entrants::proven(rows(flags), lab, flags, &proof::check)?;
    for entrant in &entrants.0 {
        // Once is enough: V8's compiler, which it is for, forgets nothing between rounds.
        load::run(&Plan { seconds: effort.warmup.max(1), ..plan(entrant, lab, effort)? })?;
    }
    entrants.rounds(effort.rounds, |entrant| {
        let plan = plan(entrant, lab, effort)?;
        entrant.sample(|| load::run(&plan))
    })?;
    Ok(entrants.outcome(effort, &[EXPRESS]))
}

fn plan(entrant: &Entrant, lab: &Lab, effort: Effort) -> Result<Plan> {
    Ok(Plan {
        url: format!("http://{}{}", entrant.proxy.address, proof::PATH),
        script: lab.script(&entrant.row, include_str!("../exchange/load.lua"))?,
        connections: if entrant.row.name == CROWDED { CROWD } else { effort.connections },
        seconds: effort.seconds,
    })
}

fn targets(done: &Done) -> Vec<Target> {
    let cost = |row, baseline| ratio(done, "exchange", "cpu_us_per_request", row, baseline);
    vec![
        Target::ratio("exchange: Express's CPU to Sidegate's", Bound::AtLeast(15.0), cost(EXPRESS, SIDEGATE)),
        Target::ratio(
            "exchange: CPU with env + secrets, durable, 1,024 at a time, to without",
            Bound::AtMost(2.0),
            cost(CROWDED, SIDEGATE),
        ),
    ]
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
        with(durable(flags, "64"), "sidegate-durable", "with env + secrets (SQLite, on the disk before the answer)"),
        with(durable(flags, "1024"), CROWDED, "the same, 1,024 connections"),
    ]
}

fn durable(flags: &Flags, connections: &str) -> Row {
    sidegate(flags).with("state", "embedded").with("connections", connections)
}

fn sidegate(flags: &Flags) -> Row {
    let mut values = server(SIDEGATE, "").values;
    values.extend([("state", "memory".to_owned()), ("connections", String::new())]);
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

fn body(more: &str) -> String {
    format!(r#"{{"appId":"{APP}","appSecret":"{SECRET}","endUserId":"{END_USER}","expiresIn":"1h"{more}}}"#)
}
