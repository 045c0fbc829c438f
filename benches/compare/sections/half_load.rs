//! Waiting times where a proxy should be run: at half of what the alternative can do at most, in an open loop.

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::{Effort, Flags};
use crate::lab::Lab;
use crate::load_open::Pace;
use crate::rounds::Entrants;
use crate::rows::{self, HAPROXY_JWT, SIDEGATE};
use crate::targets::{self, Bound, Target};

pub(crate) const SECTION: Section = Section {
    name: "half_load",
    about: "waiting times at a fixed rate, half of haproxy-jwt's most",
    needs: &[rows::NEEDS_HAPROXY],
    run,
    targets,
};

fn run(lab: &Lab, flags: &Flags, done: &Done) -> Result<Outcome> {
    let most = match targets::median(done, "forward", "requests_per_second", HAPROXY_JWT) {
        Some(most) => most,
        None => most(lab, flags)?,
    };
    let effort = flags.effort.fewer_rounds();
    let pace = Pace { per_second: most / 2.0, connections: effort.connections };
    let mut entrants = Entrants::start(vec![rows::haproxy_jwt(), rows::sidegate(flags)], lab, flags)?;
    entrants.load_paced(lab, pace, effort)?;
    Ok(entrants.outcome_paced(pace, effort, &[HAPROXY_JWT]))
}

/// For a run without the section "forward".
fn most(lab: &Lab, flags: &Flags) -> Result<f64> {
    let mut entrants = Entrants::start_all(vec![rows::haproxy_jwt()], lab)?;
    entrants.load(lab, Effort { rounds: 1, ..flags.effort })?;
    Ok(entrants.0.iter().flat_map(|one| &one.samples).map(|sample| sample.requests_per_second).fold(0.0, f64::max))
}

fn targets(done: &Done) -> Vec<Target> {
    let ratio = targets::ratio(done, SECTION.name, "p99_us", SIDEGATE, HAPROXY_JWT);
    vec![Target::ratio("half load: p99 to haproxy-jwt's", Bound::AtMost(1.0), ratio)]
}
