//! What it costs to set two fields into the JSON body of each request.

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::Flags;
use crate::lab::Lab;
use crate::rounds::Entrants;
use crate::rows::{self, SIDEGATE};
use crate::targets::{Bound, Target, median};

pub(crate) const SECTION: Section =
    Section { name: "inject", about: "two fields set into the body of 1 KiB", needs: &[], run, targets };

/// The name of `rows::sidegate_inject`.
const INJECTING: &str = "sidegate-inject";

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let mut entrants = Entrants::start(vec![rows::sidegate(flags), rows::sidegate_inject(flags)], lab, flags)?;
    entrants.load(lab, flags.effort)?;
    Ok(entrants.outcome(flags.effort, &[SIDEGATE]))
}

fn targets(done: &Done) -> Vec<Target> {
    let cost = |row| median(done, SECTION.name, "cpu_us_per_request", row);
    let added = || Some(cost(INJECTING)? - cost(SIDEGATE)?);
    vec![Target::of("inject: CPU per request that two body fields add", "µs", Bound::AtMost(3.0), added())]
}
