//! What each algorithm of tokens costs: at the first request with a token, and at those that follow.
//!
//! A worker remembers the tokens that it has verified. For a first use, more tokens take turns than it has places for:
//! until a token's turn comes again, others have taken its place. HAProxy remembers none, so that every use is a first.

mod signer;

use super::{Done, Outcome, Section};
use crate::flags::{Effort, Flags};
use crate::lab::Lab;
use crate::load::{self, Plan};
use crate::rounds::{Entrant, Entrants};
use crate::rows::{self, Row};
use crate::{Result, probe, token};
use sidegate_core::token::Algorithm;
use signer::Signer;

pub(crate) const SECTION: Section = Section {
    name: "algorithms",
    about: "RS256, ES256 and EdDSA: the first use of a token, and its use again",
    needs: &[rows::NEEDS_HAPROXY],
    run,
    // What an algorithm costs is shown, nothing is promised.
    targets: |_| Vec::new(),
};

/// That take turns where each use is to be the first.
const TOKENS: usize = 16_384;
/// For verified tokens in a worker; each token has one of them, which the next token there takes over.
const PLACES: f64 = 4096.0;
/// What the section `forward` measures.
const USUAL: &str = "sidegate-hs256-again";

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    // Half as long as elsewhere: there are many rows.
    let effort = Effort { seconds: flags.effort.seconds.div_ceil(2), ..flags.effort.fewer_rounds() };
    let signers = Algorithm::ALL.into_iter().map(Signer::new).collect::<Result<Vec<_>>>()?;
    let rows = rows::wanted(rows(&signers, lab, flags), flags)?;
    for signer in signers.iter().filter(|signer| rows.iter().any(|row| is_of(row, signer))) {
        signer.write(lab, TOKENS)?;
    }
    let mut entrants = Entrants::proven(rows, lab, flags, &|row, proxy, lab| {
        let signer = signers.iter().find(|signer| is_of(row, signer)).ok_or("a row without an algorithm")?;
        probe::check_with(row, proxy, lab, &signer.proof()?)
    })?;
    // Without warming up: no row compiles while it runs, and all places are taken within a part of the first round.
    entrants.rounds(effort.rounds, |entrant| {
        let plan = plan(entrant, lab, effort)?;
        entrant.sample(|| load::run(&plan))
    })?;
    let outcome = entrants.outcome(effort, &[USUAL]);
    Ok(Outcome { note: outcome.note + &still_known(), ..outcome })
}

/// Goes on where the row's last load ended: each of its connections may have sent one token more than were answered.
fn plan(entrant: &Entrant, lab: &Lab, effort: Effort) -> Result<Plan> {
    let unanswered = entrant.samples.len() as f64 * f64::from(effort.connections);
    let first = entrant.answered + unanswered;
    let row = entrant.row.clone().with("first", &format!("{first:.0}"));
    let row = row.with("body", &lab.request_body).with("origin", token::ORIGIN);
    let script = lab.script(&row, include_str!("../../pool.lua"))?;
    Ok(Plan { script, ..Plan::chat(entrant.proxy.address, lab, effort) })
}

/// Places are as good as drawn by lot, so that some tokens keep theirs: those that none of the others drew.
fn still_known() -> String {
    let others = (TOKENS - 1) as f64;
    let share = 100.0 * (1.0 - 1.0 / PLACES).powf(others);
    format!(
        "; first uses: {TOKENS} tokens in turn, {share:.1} % of them still known to sidegate when it is their turn again"
    )
}

fn rows(signers: &[Signer], lab: &Lab, flags: &Flags) -> Vec<Row> {
    let sidegate = signers.iter().flat_map(|signer| sidegate(signer, lab, flags));
    // It knows no EdDSA, and HS256 is in the section `forward`.
    let known = |signer: &&Signer| matches!(signer.algorithm, Algorithm::Rs256 | Algorithm::Es256);
    let haproxy = signers.iter().filter(known).map(|signer| haproxy(signer, lab));
    sidegate.chain(haproxy).collect()
}

/// With each token used once, and with one token.
fn sidegate(signer: &Signer, lab: &Lab, flags: &Flags) -> [Row; 2] {
    let name = name("sidegate", signer);
    // As a string in TOML.
    let key = signer.key.private.replace('\n', "\\n");
    let row = of(rows::sidegate(flags), signer, lab).with("key", &key);
    let (first, again) = (format!("{}, first use", signer.algorithm), format!("{}, used again", signer.algorithm));
    [row.clone().named(&name, &first), row.with("count", "1").named(&format!("{name}-again"), &again)]
}

fn haproxy(signer: &Signer, lab: &Lab) -> Row {
    let does = format!("{}, which it verifies at every use; the checks of haproxy-jwt", signer.algorithm);
    let key = signer.public_path(lab).display().to_string();
    of(rows::haproxy_jwt(), signer, lab).with("key", &key).named(&name("haproxy", signer), &does)
}

fn name(program: &str, signer: &Signer) -> String {
    format!("{program}-{}", signer.algorithm.name().to_lowercase())
}

fn of(row: Row, signer: &Signer, lab: &Lab) -> Row {
    row.with("algorithm", signer.algorithm.name())
        .with("tokens", &signer.tokens_path(lab).display().to_string())
        .with("count", &TOKENS.to_string())
}

fn is_of(row: &Row, signer: &Signer) -> bool {
    row.value("algorithm") == signer.algorithm.name()
}
