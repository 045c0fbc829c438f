//! Uses of service tokens: counted in memory, and added to the registry's from time to time, together.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sidegate_core::clock::Timestamp;
use sidegate_core::id::ServiceTokenId;
use sidegate_core::service_token::Uses;

use crate::store::{Entries, Unavailable, Used};

/// What was counted since it was last written.
#[derive(Default)]
pub(super) struct Tally {
    counted: Mutex<HashMap<ServiceTokenId, Uses>>,
    /// Held while the store is asked: what is on its way there is neither missed nor seen twice.
    asking: tokio::sync::Mutex<()>,
}

impl Tally {
    /// Counts a use.
    pub(super) fn count(&self, token: &ServiceTokenId, now: Timestamp) {
        self.add(token, Uses { count: 1, last: Some(now) });
    }

    fn add(&self, token: &ServiceTokenId, uses: Uses) {
        let mut counted = self.counted();
        match counted.get_mut(token) {
            Some(known) => *known = known.and(uses),
            None => drop(counted.insert(token.clone(), uses)),
        }
    }

    /// Adds what was counted to what `store` keeps. What it does not take waits for the next time; what gets no
    /// answer, though it was taken, is so counted twice.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(super) async fn write(&self, store: &dyn Entries) -> Result<(), Unavailable> {
        let _alone = self.asking.lock().await;
        let counted = std::mem::take(&mut *self.counted());
        if counted.is_empty() {
            return Ok(());
        }
        let used = |(token, uses): (&ServiceTokenId, &Uses)| {
            Some(Used { token: token.clone(), count: uses.count, last: uses.last? })
        };
        let used: Vec<_> = counted.iter().filter_map(used).collect();
        let written = store.add_uses(&used).await;
        if written.is_err() {
            counted.iter().for_each(|(token, uses)| self.add(token, *uses));
        }
        written
    }

    /// What `store` keeps, and what was counted since.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub(super) async fn all(&self, store: &dyn Entries) -> Result<HashMap<ServiceTokenId, Uses>, Unavailable> {
        let _alone = self.asking.lock().await;
        let kept = store.use_counts().await?.into_iter();
        let mut all: HashMap<_, _> =
            kept.map(|Used { token, count, last }| (token, Uses { count, last: Some(last) })).collect();
        for (token, uses) in &*self.counted() {
            let known = all.entry(token.clone()).or_default();
            *known = known.and(*uses);
        }
        Ok(all)
    }

    /// A panic elsewhere cannot leave the map in disorder.
    fn counted(&self) -> MutexGuard<'_, HashMap<ServiceTokenId, Uses>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
