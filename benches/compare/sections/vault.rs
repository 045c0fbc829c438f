//! What a chat request costs that needs its token's env: the context is read from where it is kept, opened, and injected.
//!
//! Nothing else asks the store here: there is no limit, and the upstream knows whose task is whose. Many tokens take turns,
//! so that a store that keeps few contexts at hand reads nearly each of them anew.

use super::exchange::proof;
use super::{Done, Outcome, Section};
use crate::flags::{Effort, Flags};
use crate::lab::{Lab, Proxy};
use crate::load::{self, Plan};
use crate::rounds::{Entrant, Entrants};
use crate::rows::{self, Row, SIDEGATE};
use crate::stores::{self, Redis};
use crate::token::{self, APP, END_USER, Tokens};
use crate::{Result, probe};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

pub(crate) const SECTION: Section = Section {
    name: "vault",
    about: "a chat request that needs its token's env, kept in memory, SQLite or Redis",
    needs: &[stores::NEEDS_REDIS],
    run,
    // What a context costs is shown, nothing is promised.
    targets: |_| Vec::new(),
};

const REDIS: &str = "sidegate-redis";
/// That take turns.
const TOKENS: usize = 1_024;
/// Room for some thirty contexts.
const TINY: &str = "16KiB";
/// What `sidegate.toml` has the digest of.
const SECRET: &str = "test";
/// Which user it is, the upstream is told by a header; so whose task it is, is the upstream's business.
const APP_LINES: &str = "scoping = \"upstream\"";

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let effort = flags.effort.fewer_rounds();
    let servers = [Redis::start(REDIS, "always", lab)?];
    let rows = rows(flags, &servers[0]);
    let mut entrants = Entrants::proven(rows, lab, flags, &|row, proxy, lab| {
        let tokens = mint(row, proxy)?;
        let valid = tokens.first().ok_or("no token")?.clone();
        fs::write(tokens_path(row, lab), tokens.join("\n") + "\n")?;
        probe::check_with(row, proxy, lab, &Tokens { valid, ..Tokens::usual()? })
    })?;
    for entrant in &mut entrants.0 {
        let plan = Plan { seconds: effort.warmup.max(1), ..plan(entrant, lab, effort)? };
        entrant.answered += load::run(&plan)?.requests;
    }
    entrants.rounds(effort.rounds, |entrant| {
        let plan = plan(entrant, lab, effort)?;
        entrant.sample(|| load::run(&plan))
    })?;
    let outcome = entrants.outcome(effort, &[SIDEGATE]);
    let note = format!("{}; {TOKENS} tokens in turn{}", outcome.note, stores::costs(&servers, &entrants));
    Ok(Outcome { note, ..outcome })
}

fn rows(flags: &Flags, server: &Redis) -> Vec<Row> {
    let usual = include_str!("../sidegate_checks.toml");
    // The limits, which come last, are left out.
    let headers = usual.split_once("[apps.limits]").map_or(usual, |(headers, _)| headers);
    let plain = rows::sidegate(flags).with("app", APP_LINES).with("checks", headers);
    let with = |name: &str, does: &str, store: &str| {
        let headers = headers.replace("\"bench\"", "\"{{env.TENANT}}\"");
        plain.clone().named(name, does).with("checks", &headers).with("store", store)
    };
    vec![
        plain.clone().named(SIDEGATE, "without a context: three headers, one of them constant"),
        with("sidegate-memory", "that one from the token's env (memory store)", stores::MEMORY),
        with("sidegate-sqlite", "the same (SQLite, kept at hand)", &stores::sqlite("sidegate-sqlite")),
        with("sidegate-sqlite-cold", "the same (SQLite, read from the file)", &cold()),
        with(REDIS, "the same (Redis)", &server.lines()),
    ]
}

fn cold() -> String {
    format!("{}\nmemory = \"{TINY}\"", stores::sqlite("sidegate-sqlite-cold"))
}

/// Tokens from the row's own private listener, each with a context of its own if the row needs one.
fn mint(row: &Row, proxy: &Proxy) -> Result<Vec<String>> {
    let mut body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": END_USER, "expiresIn": "1h" });
    if row.name != SIDEGATE {
        body["env"] = json!({ "TENANT": "bench", "REGION": "eu-central-1" });
        body["secrets"] = json!({ "API_TOKEN": "sk-0123456789abcdef" });
    }
    let body = body.to_string();
    let one = |_| {
        let answer = proof::ask(proxy.spare[0], &body, 200)?;
        let token = answer["data"]["token"].as_str().ok_or_else(|| format!("{}: no token in {answer}", row.name))?;
        Ok(token.to_owned())
    };
    (0..TOKENS).map(one).collect()
}

fn tokens_path(row: &Row, lab: &Lab) -> PathBuf {
    lab.path(&format!("{}.tokens", row.name))
}

fn plan(entrant: &Entrant, lab: &Lab, effort: Effort) -> Result<Plan> {
    let tokens = tokens_path(&entrant.row, lab).display().to_string();
    let row = entrant.row.clone().with("first", "0").with("count", &TOKENS.to_string()).with("tokens", &tokens);
    let row = row.with("body", &lab.request_body).with("origin", token::ORIGIN);
    let script = lab.script(&row, include_str!("../pool.lua"))?;
    Ok(Plan { script, ..Plan::chat(entrant.proxy.address, lab, effort) })
}
