//! What is asked about the widgets.

use super::api::{BOOTSTRAP, WIDGETS};
use super::{fill, ids};
use crate::Result;
use crate::flags::Effort;
use crate::lab::Lab;
use crate::load::Plan;
use crate::rounds::Entrant;
use crate::token::ORIGIN;

/// One kind of request.
pub(super) struct Ask {
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    by: By,
    /// The path around the id.
    before: String,
    after: String,
    /// Whether it goes through a hundred widgets, or all of them.
    few: bool,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The customer's server, on the private listener.
    Server,
    /// A page, on the public one.
    Page,
}

/// Widgets that the cache holds with ease.
const FEW: u64 = 100;
/// So many are older than any cursor, that every page is full, filtered ones, too.
const BEHIND: u64 = 200;

/// All of them.
pub(super) fn all() -> [Ask; 5] {
    let by_server = |name, does, before: String, after: &str| Ask {
        name,
        does,
        by: By::Server,
        before,
        after: after.to_owned(),
        few: false,
    };
    let session = |name, does, few| Ask {
        name,
        does,
        by: By::Page,
        before: format!("{WIDGETS}/"),
        after: "/session/create".to_owned(),
        few,
    };
    let (list, meta) = (format!("{WIDGETS}/list?take=100&cursor="), format!("&{}", fill::FILTER));
    [
        by_server("fetch", "one of all widgets, by its id", format!("{WIDGETS}/"), "/fetch"),
        by_server("list", "a hundred of them from anywhere on", list.clone(), ""),
        by_server("list-meta", "the same of those that pass two filters, every second one", list, &meta),
        session("session", "a session with one of all widgets", false),
        session("session-few", "a session with one of a hundred widgets", true),
    ]
}

impl Ask {
    /// The load of an entrant.
    pub(super) fn plan(&self, entrant: &Entrant, lab: &Lab, effort: Effort) -> Result<Plan> {
        let copies = super::copies(&entrant.row)?;
        let lowest = if self.few { copies / 2 } else { BEHIND };
        let highest = if self.few { lowest + FEW } else { copies } - 1;
        let (method, body, credential, proof, address) = match self.by {
            By::Server => ("GET", "", "Authorization", format!("Bearer {BOOTSTRAP}"), entrant.proxy.spare[0]),
            By::Page => ("POST", "{}", "Origin", ORIGIN.to_owned(), entrant.proxy.address),
        };
        let row = entrant.row.clone().with("method", method).with("body", body);
        let row = row.with("credential", credential).with("proof", &proof);
        let row = row.with("before", &self.before).with("after", &self.after);
        let row = row.with("lowest", &lowest.to_string()).with("highest", &highest.to_string());
        let row = ids::values().into_iter().fold(row, |row, (name, value)| row.with(name, &value));
        Ok(Plan {
            url: format!("http://{address}"),
            script: lab.script(&row, include_str!("load.lua"))?,
            connections: effort.connections,
            seconds: effort.seconds,
        })
    }
}
