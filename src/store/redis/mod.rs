//! The state in a Redis or Valkey server, shared by all replicas. Each call is one command or one
//! script, so it happens as a whole or not at all, whoever else calls meanwhile.

mod entries;
mod fault;
mod keys;
mod limits;
mod link;
mod objects;
mod open;
mod owners;
mod pages;
mod scripts;
mod sessions;
mod time;
mod tokens;
mod use_counts;

use std::sync::Arc;

use redis::cmd;
use sidegate_core::clock::Timestamp;
use tokio::task::JoinHandle;

use self::keys::Keys;
use self::link::Link;
use self::scripts::Scripts;
use super::{Answer, Counters, Kind, Store, Unavailable};

/// The server keeps a key for so long after its time, by its own clock. A replica whose clock is
/// behind by less still finds that a token was used. Nobody gets what is over: readers compare times.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(600);

/// Milliseconds that a double holds exactly; what is kept longer is kept until then.
const LAST: u64 = (1 << 53) - 1;

/// Everything, in a server that all replicas share.
pub struct Redis {
    link: Arc<Link>,
    keys: Keys,
    scripts: Scripts,
    keeper: JoinHandle<()>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Store for Redis {
    fn kind(&self) -> Kind {
        Kind::Shared
    }

    /// The server drops records, sessions and first uses itself; revocations are dropped here. What fails is
    /// done by the next sweep, of any replica.
    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        /// Revocations that are dropped in one step.
        const STEP: u64 = 256;
        Box::pin(async move {
            let mut script = self.scripts.sweep.key(self.keys.revocations());
            script.key(self.keys.revocations_by_time()).arg(now.millis()).arg(STEP);
            while self.link.run::<u64>(&script).await == Ok(STEP) {}
            Ok(())
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async { self.link.call(&cmd("PING")).await.map_err(|_| Unavailable) })
    }

    fn counters(&self) -> Option<&dyn Counters> {
        Some(self)
    }
}

/// From when on the server may forget what is over at `time`.
fn forgotten(time: Timestamp) -> u64 {
    time.plus(MARGIN).millis().min(LAST)
}
