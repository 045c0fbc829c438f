//! Where a gate keeps things, as lines of its table `[store]`, and the Redis server of a row.

use crate::Result;
use crate::lab::{LOAD_CORE, Lab, free_address, wait_for};
use crate::process::Process;
use crate::rounds::Entrants;
use std::fs;
use std::net::SocketAddr;

/// Program and Debian package, for `Section::needs`.
pub(crate) const NEEDS_REDIS: (&str, &str) = ("redis-server", "redis-server");

/// In the process.
pub(crate) const MEMORY: &str = "state = \"memory\"";

/// In a file of the row's own.
pub(crate) fn sqlite(row: &str) -> String {
    format!("state = \"embedded\"\npath = \"@dir@/{row}.db\"")
}

/// A server for one row, so that what it spends is known for each.
pub(crate) struct Redis {
    row: String,
    address: SocketAddr,
    process: Process,
}

impl Redis {
    /// Starts a server on the core of load and upstream: the gate's core is its own. It writes a log of all changes, which
    /// is flushed as `appendfsync` says, and never rewritten, as no run is that long.
    pub(crate) fn start(row: &str, appendfsync: &str, lab: &Lab) -> Result<Self> {
        let (address, folder) = (free_address()?, lab.path(&format!("{row}-redis")));
        fs::create_dir(&folder)?;
        let (port, folder) = (address.port().to_string(), folder.display().to_string());
        let mut args = vec!["--bind", "127.0.0.1", "--port", &port, "--dir", &folder, "--save", ""];
        args.extend(["--appendonly", "yes", "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", "0"]);
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let log = lab.path(&format!("{row}-redis.log"));
        let mut process = Process::start("redis-server", LOAD_CORE, "redis-server", &args, log)?;
        wait_for(address, &mut process)?;
        Ok(Self { row: row.to_owned(), address, process })
    }

    /// In this server.
    pub(crate) fn lines(&self) -> String {
        format!("state = \"redis\"\nredis = {{ url = \"redis://{}\", timeout = \"5s\" }}", self.address)
    }

    /// What the server itself has spent on each request of its row.
    fn cost_us(&self, entrants: &Entrants) -> Option<f64> {
        let entrant = entrants.0.iter().find(|one| one.row.name == self.row)?;
        let cpu = self.process.cpu();
        Some((cpu.user + cpu.system).as_secs_f64() * 1e6 / entrant.answered)
    }
}

/// For the note below a table.
pub(crate) fn costs(servers: &[Redis], entrants: &Entrants) -> String {
    let cost = |server: &Redis| Some(format!("; Redis of {} {:.1} µs/request", server.row, server.cost_us(entrants)?));
    servers.iter().filter_map(cost).collect()
}
