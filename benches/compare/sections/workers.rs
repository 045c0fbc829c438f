//! Whether a second worker makes each request dearer: one and two workers on the same two cores, as fast as they go.
//!
//! At a low rate two workers would wake up for half as many events each. That is the price of waiting, not of work, and
//! says more about the rate than about the workers.

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::Flags;
use crate::lab::Lab;
use crate::rounds::Entrants;
use crate::rows::{self, Row};
use crate::targets::{self, Bound, Target};

pub(crate) const SECTION: Section =
    Section { name: "workers", about: "one worker and two, both on two cores", needs: &[], run, targets };

const ONE: &str = "sidegate-1";
const TWO: &str = "sidegate-2";

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let effort = flags.effort.fewer_rounds();
    let rows = vec![row(flags, ONE, "1", "one worker"), row(flags, TWO, "2", "two workers")];
    let mut entrants = Entrants::start(rows, lab, flags)?;
    entrants.load(lab, effort)?;
    Ok(entrants.outcome(effort, &[ONE]))
}

fn row(flags: &Flags, name: &str, workers: &str, does: &str) -> Row {
    Row { cores: "0,1", ..rows::sidegate(flags).named(name, does).with("workers", workers) }
}

fn targets(done: &Done) -> Vec<Target> {
    let ratio = targets::ratio(done, SECTION.name, "cpu_us_per_request", TWO, ONE);
    vec![Target::ratio("workers: CPU per request with two to that with one", Bound::AtMost(1.1), ratio)]
}
