//! The section `forward` again, with an access log in every proxy.

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::Flags;
use crate::lab::Lab;
use crate::rounds::Entrants;
use crate::rows::{self, HAPROXY_JWT, NGINX, Row};
use std::fs::File;
use std::io::Read;

pub(crate) const SECTION: Section = Section {
    name: "forward_logged",
    about: "the same with a line for each request in a file",
    needs: &[rows::NEEDS_HAPROXY],
    run,
    // What a line costs is shown, nothing is promised.
    targets: |_| Vec::new(),
};

/// Lines that the proxies may owe at most: a gate may drop some rather than wait for its log.
const LEAST_LINES_PER_REQUEST: f64 = 0.99;

/// A big buffer, as nginx's own documentation advises for busy servers.
const NGINX_LOG: &str = "access_log @dir@/nginx-access.log combined buffer=64k flush=1s;";
/// To its standard output, which is a file: cheaper than a datagram for each line, and where Sidegate's lines go.
const HAPROXY_LOG: &str = "log global\n    option httplog";

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let effort = flags.effort.fewer_rounds();
    let mut entrants = Entrants::start(rows(flags), lab, flags)?;
    entrants.load(lab, effort)?;
    let mut outcome = entrants.outcome(effort, &[NGINX, HAPROXY_JWT]);
    let answered: Vec<(String, f64)> = entrants.0.iter().map(|one| (one.row.name.clone(), one.answered)).collect();
    // Ends the proxies, and so writes what their buffers hold.
    drop(entrants);
    for (name, requests) in answered {
        let lines = lines(lab, &name)? / requests;
        if lines < LEAST_LINES_PER_REQUEST {
            return Err(format!("{name} wrote {lines:.3} lines for each request").into());
        }
        outcome.note += &format!("; {name} {lines:.2} lines/request");
    }
    Ok(outcome)
}

fn rows(flags: &Flags) -> Vec<Row> {
    vec![
        rows::nginx().with("log", NGINX_LOG),
        rows::haproxy().with("log", HAPROXY_LOG),
        rows::haproxy_jwt().with("log", HAPROXY_LOG),
        rows::sidegate(flags).with("access", "true"),
    ]
}

/// Line ends in the access log of a row.
fn lines(lab: &Lab, row: &str) -> Result<f64> {
    let name = if row == NGINX { "nginx-access.log".to_owned() } else { format!("{row}.log") };
    let mut file = File::open(lab.path(&name))?;
    let mut chunk = vec![0; 1 << 20];
    let mut lines = 0.0;
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            return Ok(lines);
        }
        lines += f64::from(u32::try_from(chunk[..length].iter().filter(|byte| **byte == b'\n').count())?);
    }
}
