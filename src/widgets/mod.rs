//! Widgets at run time (ChatBotKit): read from the registry when they are first asked for, kept at hand, and forgotten
//! when they or their blueprints have changed, whoever changed them; and what an app's API does with them.

mod change;
mod kept;
mod served;
mod usage;

pub use change::Account;
pub use kept::Kept;
pub use served::Served;
pub use usage::Tally;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;
use sidegate_core::id::ObjectId;

use self::served::Known;
use crate::store::{Entries, Mark, ObjectKind, Unavailable};

/// How many are kept at hand.
const KEPT: usize = 50_000;

/// The widgets that were asked for lately.
pub struct Widgets {
    registry: Arc<dyn Entries>,
    known: Cache<ObjectId, Known>,
    /// How often blueprints have changed: what was read meanwhile is not kept.
    blueprints: AtomicU64,
    /// Up to where changes have been heard of.
    mark: Mutex<Mark>,
    /// How much they are used.
    pub tally: Tally,
}

impl Widgets {
    /// None known yet; changes from now on are heard of.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open(registry: Arc<dyn Entries>) -> Result<Self, Unavailable> {
        let mark = Mutex::new(registry.last_change().await?);
        Ok(Self { registry, known: Cache::new(KEPT), blueprints: AtomicU64::new(0), mark, tally: Tally::default() })
    }

    /// Where they are kept.
    #[must_use]
    pub fn registry(&self) -> &dyn Entries {
        &*self.registry
    }

    /// The widget of an id. One that was read a while ago is used, and read again beside that.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn find(self: &Arc<Self>, id: &ObjectId) -> Result<Option<Arc<Served>>, Unavailable> {
        if let Some(known) = self.known.get(id) {
            if known.is_old() {
                let (this, id) = (Arc::clone(self), id.clone());
                // While the registry is silent, what is known goes on.
                tokio::spawn(async move { this.read_again(&id).await });
            }
            return Ok(known.served);
        }
        let blueprints = self.blueprints.load(Ordering::Acquire);
        let read = async { Served::read(&*self.registry, id).await.map(Known::now) };
        let known = self.known.get_or_insert_async(id, read).await?;
        self.forget_if_changed(id, blueprints);
        Ok(known.served)
    }

    async fn read_again(&self, id: &ObjectId) {
        let blueprints = self.blueprints.load(Ordering::Acquire);
        let Ok(served) = Served::read(&*self.registry, id).await else { return };
        // One that was forgotten meanwhile stays so.
        if self.known.replace(id.clone(), Known::now(served), false).is_ok() {
            self.forget_if_changed(id, blueprints);
        }
    }

    /// It may have been read with a blueprint of before.
    fn forget_if_changed(&self, id: &ObjectId, blueprints: u64) {
        if self.blueprints.load(Ordering::Acquire) != blueprints {
            self.known.remove(id);
        }
    }

    /// Forgets what has changed: a widget, or all that follow a blueprint.
    pub fn forget(&self, kind: ObjectKind, id: &str) {
        match kind {
            ObjectKind::Widget => {
                if let Ok(id) = ObjectId::parse(id) {
                    self.known.remove(&id);
                }
            }
            ObjectKind::Blueprint => {
                self.blueprints.fetch_add(1, Ordering::AcqRel);
                self.known.retain(|_, known| !known.follows(id));
            }
            ObjectKind::Contact | ObjectKind::LanguageMap => {}
        }
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
                self.blueprints.fetch_add(1, Ordering::AcqRel);
                self.known.clear();
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
