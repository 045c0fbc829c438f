//! How much each widget is used: counted here, and added to what the registry keeps every few seconds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quick_cache::sync::Cache;
use sidegate_core::id::{ObjectId, TokenId};

use crate::store::{Counts, Objects, Unavailable, Usage};

/// Widgets that are written down at once: whoever else writes need not wait long, and a registry that takes its time for
/// very many has not failed.
const AT_ONCE: usize = 500;

/// Sessions of which it is remembered whose they are.
const SESSIONS: usize = 10_000;

/// What was counted since it was last written down.
#[derive(Debug)]
pub struct Tally {
    counted: Mutex<HashMap<ObjectId, Counts>>,
    /// The widgets of sessions that were admitted lately: a request that a limit refuses is to cost no look at the store.
    sessions: Cache<TokenId, ObjectId>,
    /// Held while the registry is asked: what is on its way there is neither missed nor seen twice.
    asking: tokio::sync::Mutex<()>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counted: Mutex::default(), sessions: Cache::new(SESSIONS), asking: tokio::sync::Mutex::default() }
    }
}

impl Tally {
    /// A session was admitted: what of it is refused from now on is its widget's.
    pub fn admitted(&self, session: &TokenId, widget: &ObjectId) {
        if self.sessions.get(session).is_none() {
            self.sessions.insert(session.clone(), widget.clone());
        }
    }

    /// A request of a session was refused by a limit.
    pub fn limited(&self, session: &TokenId) {
        if let Some(widget) = self.sessions.get(session) {
            self.add(&widget, Counts { refused: 1, ..Counts::default() });
        }
    }

    /// Counts for a widget.
    pub fn add(&self, widget: &ObjectId, counts: Counts) {
        let mut counted = self.counted();
        match counted.get_mut(widget) {
            Some(known) => *known = known.plus(counts),
            None => drop(counted.insert(widget.clone(), counts)),
        }
    }

    /// What the registry keeps of a widget, and what was counted here since.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn of(&self, widget: &ObjectId, registry: &dyn Objects) -> Result<Counts, Unavailable> {
        let _alone = self.asking.lock().await;
        let kept = registry.usage(widget.as_str()).await?;
        Ok(kept.plus(self.counted().get(widget).copied().unwrap_or_default()))
    }

    /// Adds what was counted to what the registry keeps. What gets no answer waits for the next time; if it was kept
    /// all the same, it is so counted twice.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn write(&self, registry: &dyn Objects) -> Result<(), Unavailable> {
        let _alone = self.asking.lock().await;
        let counted: Vec<_> = std::mem::take(&mut *self.counted()).into_iter().collect();
        let usage = |(widget, counts): &(ObjectId, Counts)| {
            let widget = widget.as_str().to_owned();
            Usage { widget, counts: *counts }
        };
        for (nth, some) in counted.chunks(AT_ONCE).enumerate() {
            let written = registry.add_usage(&some.iter().map(usage).collect::<Vec<_>>()).await;
            if written.is_err() {
                counted.iter().skip(nth * AT_ONCE).for_each(|(widget, counts)| self.add(widget, *counts));
                return written;
            }
        }
        Ok(())
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<ObjectId, Counts>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
