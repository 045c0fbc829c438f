//! What is revoked, as every request sees it: a list in memory, kept current by a task that asks the
//! store for what is new.

mod target;

pub use target::{Resolved, Target, resolve};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use sidegate_core::clock::Timestamp;
use sidegate_core::denial::Code;
use sidegate_core::revocation::RevocationList;
use tokio::time::Instant;

use crate::follow::INTERVAL;
use crate::leash::Changes;
use crate::steady::Steady;
use crate::store::{Kind, Mark, Store, Unavailable};

/// For how long a shared store may be silent before requests are refused: what was revoked
/// elsewhere meanwhile must not pass.
const PATIENCE: Duration = Duration::from_secs(5);

/// The list that requests are held against.
#[derive(Debug, Default)]
pub struct Revoked {
    list: ArcSwap<RevocationList>,
    stale: AtomicBool,
}

impl Revoked {
    /// The list as it is now.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`] if it may lack something.
    pub fn current(&self) -> Result<Guard<Arc<RevocationList>>, Code> {
        if self.is_stale() { Err(Code::StoreUnavailable) } else { Ok(self.list.load()) }
    }

    /// The list as it was last read, whether or not it may lack something.
    #[must_use]
    pub fn list(&self) -> Arc<RevocationList> {
        self.list.load_full()
    }

    /// Whether the list may lack something.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}

/// Follows a store's revocations.
pub struct Follower {
    store: Arc<dyn Store>,
    revoked: Arc<Revoked>,
    mark: Mark,
    changes: Changes,
    /// When the store last answered.
    answered: Instant,
}

impl Follower {
    /// Reads all revocations that the store has. What comes later is told to `changes`.
    ///
    /// # Errors
    /// [`Unavailable`] if it does not answer.
    pub async fn start(store: Arc<dyn Store>, changes: Changes) -> Result<Self, Unavailable> {
        let mut follower =
            Self { store, revoked: Arc::default(), mark: Mark::default(), changes, answered: Instant::now() };
        follower.read().await?;
        Ok(follower)
    }

    /// The list that is kept current.
    #[must_use]
    pub fn revoked(&self) -> Arc<Revoked> {
        Arc::clone(&self.revoked)
    }

    /// Keeps the list current, until the task is aborted.
    pub async fn run(mut self, now: impl Fn() -> Timestamp) {
        let mut steady = Steady::default();
        loop {
            let now = steady.now(now());
            tokio::time::sleep(INTERVAL).await;
            if self.read().await.is_ok() {
                self.answered = Instant::now();
            }
            self.say_whether_stale();
            self.forget(now);
        }
    }

    async fn read(&mut self) -> Result<(), Unavailable> {
        let news = self.store.revoked_since(self.mark).await?;
        self.mark = news.mark;
        if !news.revocations.is_empty() {
            let mut list = RevocationList::clone(&self.revoked.list.load());
            for (revocation, until) in news.revocations {
                list.add(revocation, until);
            }
            self.revoked.list.store(Arc::new(list));
            self.changes.tell();
        }
        Ok(())
    }

    /// In a store of this machine alone nobody else revokes, and what it answered was all.
    fn say_whether_stale(&self) {
        let stale = self.store.kind() == Kind::Shared && self.answered.elapsed() > PATIENCE;
        if self.revoked.stale.swap(stale, Ordering::Relaxed) != stale {
            match stale {
                true => tracing::error!("the store does not tell what is revoked: requests are refused until it does"),
                false => tracing::info!("the store tells what is revoked again"),
            }
        }
    }

    fn forget(&self, now: Timestamp) {
        let list = self.revoked.list.load();
        if list.has_some_over(now) {
            let mut list = RevocationList::clone(&list);
            list.forget(now);
            self.revoked.list.store(Arc::new(list));
        }
    }
}
