//! Widgets at run time (ChatBotKit): read from the registry when they are first asked for, kept at hand, and forgotten
//! when they or their blueprints have changed, whoever changed them; what an app's API does with them; and their setup,
//! which translates what they say.

mod change;
mod kept;
mod languages;
mod served;
mod setups;
mod translate;
mod usage;

pub use change::Account;
pub use kept::Kept;
pub use served::Served;
pub use setups::Setups;
pub use translate::Translations;
pub use usage::Tally;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::ObjectId;

use self::languages::Answers;
use self::served::{Known, Weigh};
use crate::leash::Changes;
use crate::limits::NetworkRate;
use crate::store::{Entries, Mark, ObjectKind, Unavailable};

/// About how many are kept at hand, and bytes of them.
const KEPT: usize = 50_000;
const KEPT_BYTES: u64 = 128 * 1024 * 1024;

/// How many ids are remembered of which there is no widget.
const ABSENT: usize = 10_000;

/// Between two tries to read a widget again, while the registry is silent.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a change is tried anew that another one has overtaken.
const TRIES: usize = 8;

/// The widgets that were asked for lately.
pub struct Widgets {
    registry: Arc<dyn Entries>,
    known: Cache<ObjectId, Known, Weigh>,
    absent: Cache<ObjectId, ()>,
    /// How often something was forgotten: what was read meanwhile is not kept.
    changes: AtomicU64,
    /// Told of it afterwards.
    told: Changes,
    /// Up to where changes have been heard of.
    mark: Mutex<Mark>,
    /// Who names widgets that there are not.
    pub guesses: NetworkRate,
    /// What they say in their languages.
    answers: Answers,
    /// How much they are used.
    pub tally: Tally,
    /// Setups that wait or run.
    pub setups: Arc<Setups>,
}

impl Widgets {
    /// None known yet; changes from now on are heard of, and told.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open(registry: Arc<dyn Entries>, told: Changes) -> Result<Self, Unavailable> {
        let mark = Mutex::new(registry.last_change().await?);
        Ok(Self {
            registry,
            known: Cache::with_weighter(KEPT, KEPT_BYTES, Weigh),
            absent: Cache::new(ABSENT),
            changes: AtomicU64::new(0),
            told,
            mark,
            guesses: NetworkRate::default(),
            answers: Answers::default(),
            tally: Tally::default(),
            setups: Arc::default(),
        })
    }

    /// Where they are kept.
    #[must_use]
    pub fn registry(&self) -> &dyn Entries {
        &*self.registry
    }

    /// The widget of an id that a stranger names, at this address.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::RateLimited`] for a network that has named too many that there are not;
    /// [`Code::StoreUnavailable`].
    pub async fn find_for(self: &Arc<Self>, id: &ObjectId, address: IpAddr) -> Result<Arc<Served>, Denial> {
        self.guesses.may_ask(address)?;
        let found = self.find(id).await?;
        if found.is_none() {
            self.guesses.count(address);
        }
        found.ok_or_else(|| Code::NotFound.into())
    }

    /// The widget of an id. One that was read a while ago is used, and read again beside that.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn find(self: &Arc<Self>, id: &ObjectId) -> Result<Option<Arc<Served>>, Unavailable> {
        if let Some(known) = self.known.get(id) {
            if known.is_due() {
                let (this, id, known) = (Arc::clone(self), id.clone(), known.clone());
                tokio::spawn(async move { this.read_again(&id, &known).await });
            }
            return Ok(Some(known.served));
        }
        if self.absent.get(id).is_some() {
            return Ok(None);
        }
        let changes = self.changes.load(Ordering::Acquire);
        let Some(served) = Served::read(&*self.registry, id).await? else {
            self.absent.insert(id.clone(), ());
            self.forget_if_changed(id, changes);
            return Ok(None);
        };
        let known = Known::now(served);
        self.known.insert(id.clone(), known.clone());
        self.forget_if_changed(id, changes);
        Ok(Some(known.served))
    }

    /// While the registry is silent, what is known goes on.
    async fn read_again(&self, id: &ObjectId, known: &Known) {
        let changes = self.changes.load(Ordering::Acquire);
        match Served::read(&*self.registry, id).await {
            Ok(Some(served)) => {
                self.known.insert(id.clone(), Known::now(served));
                self.forget_if_changed(id, changes);
            }
            Ok(None) => drop(self.known.remove(id)),
            Err(Unavailable) => {
                tokio::time::sleep(PATIENCE).await;
                known.stays();
            }
        }
    }

    /// What was read may be of before a change that was heard of meanwhile.
    fn forget_if_changed(&self, id: &ObjectId, changes: u64) {
        if self.changes.load(Ordering::Acquire) != changes {
            self.known.remove(id);
            self.absent.remove(id);
        }
    }

    /// Forgets what has changed: a widget or what it says in its languages, or all that follow a blueprint.
    pub fn forget(&self, kind: ObjectKind, id: &str) {
        // Contacts are not kept, and no stream hangs on one.
        if kind == ObjectKind::Contact {
            return;
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        match kind {
            ObjectKind::Widget | ObjectKind::LanguageMap => {
                if let Ok(id) = ObjectId::parse(id) {
                    self.known.remove(&id);
                    self.absent.remove(&id);
                }
            }
            ObjectKind::Blueprint => self.known.retain(|_, known| !known.follows(id)),
            ObjectKind::Contact => {} // Not here.
        }
        self.told.tell();
    }

    /// Forgets what has changed since this was last called.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn follow(&self) -> Result<(), Unavailable> {
        loop {
            let from = *self.mark();
            let changed = self.registry.changed_since(from).await?;
            changed.ids.iter().for_each(|(kind, id)| self.forget(*kind, id));
            *self.mark() = changed.mark;
            // A registry that has lost what it had begins anew.
            if changed.mark < from {
                self.changes.fetch_add(1, Ordering::AcqRel);
                self.known.clear();
                self.absent.clear();
                self.told.tell();
            }
            if changed.mark <= from {
                return Ok(());
            }
        }
    }

    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Widgets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Widgets").field("known", &self.known.len()).finish_non_exhaustive()
    }
}
