//! The main job: a verified chat request of 1 KiB each way, next to proxies that do the same, less, or nothing.

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::Flags;
use crate::lab::Lab;
use crate::rounds::Entrants;
use crate::rows::{self, HAPROXY_JWT, NGINX, SIDEGATE};
use crate::targets::{Bound, Target, ratio};

pub(crate) const SECTION: Section = Section {
    name: "forward",
    about: "a chat request through every proxy, no access log",
    needs: &[rows::NEEDS_HAPROXY],
    run,
    targets,
};

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let mut rows =
        vec![rows::nginx(), rows::haproxy(), rows::haproxy_jwt(), rows::sidegate(flags), rows::sidegate_least(flags)];
    rows.extend(flags.also.iter().map(|(name, command)| rows::also(name, command)));
    let mut entrants = Entrants::start(rows, lab, flags)?;
    entrants.load(lab, flags.effort)?;
    Ok(entrants.outcome(flags.effort, &[NGINX, HAPROXY_JWT]))
}

fn targets(done: &Done) -> Vec<Target> {
    let cost = |baseline| ratio(done, "forward", "cpu_us_per_request", SIDEGATE, baseline);
    vec![
        Target::ratio("forward: CPU per request to haproxy-jwt's", Bound::AtMost(0.58), cost(HAPROXY_JWT)),
        Target::ratio("forward: CPU per request to nginx's", Bound::AtMost(1.25), cost(NGINX)).stretch(1.10),
    ]
}
