//! Apps of the registry: read and served beside those of the configuration, and changed.
//!
//! An app is one sealed entry (`document`). What was read last is kept as `known`; whatever has
//! changed since is read anew, and the apps that can be served are put into the [`Registry`]. Requests
//! see no difference between an app of the registry and one of the configuration.

mod change;
mod document;
mod known;
mod settings;
mod shown;
#[cfg(test)]
mod tests;

pub use document::AppSettings;
pub use shown::{Shown, WithSecret};

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sidegate_core::app::App;
use sidegate_core::clock::{Clock, Timestamp};
use sidegate_core::context::seal::Sealer;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::entropy::Entropy;
use sidegate_core::id::AppId;
use tokio::sync::Mutex;

use self::known::Known;
use crate::config::{KeyUses, Settings, UpstreamSettings, Written};
use crate::leash::Changes;
use crate::registry::Registry;
use crate::store::{Entries, EntryKind, Unavailable};

/// Apps of the registry, and where they are kept.
pub struct Apps {
    entries: Arc<dyn Entries>,
    sealer: Option<Arc<Sealer>>,
    configured: Configured,
    known: ArcSwap<Known>,
    /// Held while entries are read: what was read later is never replaced by what was read before. It may get an
    /// older generation, and then is read once more.
    reading: Mutex<()>,
    /// Where they are served, if they are, and who hears of changes.
    served: Option<(Arc<ArcSwap<Registry>>, Changes)>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What the configuration says that apps of the registry are held against.
#[derive(Debug)]
pub struct Configured {
    upstreams: Vec<UpstreamSettings>,
    keys: KeyUses,
    /// Its own apps, which stand above those of the registry.
    apps: BTreeMap<String, Written>,
}

impl Configured {
    /// That of these settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let apps =
            settings.apps.iter().map(|configured| (configured.app.id.as_str().to_owned(), configured.written.clone()));
        Self { upstreams: settings.upstreams.clone(), keys: settings.keys.clone(), apps: apps.collect() }
    }
}

impl Apps {
    /// Reads what is kept, and serves it by `served`, if given, whose changes are told.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn open(
        entries: Arc<dyn Entries>,
        sealer: Option<Arc<Sealer>>,
        configured: Configured,
        served: Option<(Arc<ArcSwap<Registry>>, Changes)>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Unavailable> {
        let (known, reading) = (ArcSwap::default(), Mutex::default());
        let apps = Self { entries, sealer, configured, known, reading, served, clock, entropy };
        apps.refresh().await?;
        Ok(apps)
    }

    /// Reads anew what has changed; what is known and served then is at least as new as this call.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then all stays as it is.
    pub async fn refresh(&self) -> Result<(), Unavailable> {
        self.read().await.map(drop)
    }

    async fn read(&self) -> Result<Arc<Known>, Unavailable> {
        // Nobody waits for others to find out that the store does not answer.
        let generation = self.entries.generation().await?;
        let _alone = self.reading.lock().await;
        let before = self.known.load_full();
        if before.generation == Some(generation) {
            return Ok(self.end_over(before));
        }
        let entries = self.entries.entries(EntryKind::App).await?;
        let sealer = self.sealer.as_deref();
        let known = Known::read(generation, &entries, &before, &self.configured, sealer, self.now());
        Ok(self.publish(known))
    }

    /// Ends what ends by time alone: previous secrets.
    pub async fn end_secrets(&self) {
        let _alone = self.reading.lock().await;
        self.end_over(self.known.load_full());
    }

    fn end_over(&self, known: Arc<Known>) -> Arc<Known> {
        match known.without_ended(self.now()) {
            Some(known) => self.publish(known),
            None => known,
        }
    }

    fn publish(&self, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        self.known.store(Arc::clone(&known));
        if let Some((served, changes)) = &self.served {
            let before = served.load_full();
            warn_of_any_origin(&before, &known);
            served.store(Arc::new(before.with(known.enabled(), known.disabled())));
            changes.tell();
        }
        known
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The registry's generation when it was last read.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.known.load().generation
    }

    /// How many cannot be served, as last read.
    #[must_use]
    pub fn unusable(&self) -> usize {
        self.known.load().unusable()
    }

    /// Those of the registry that are to be served, as last read.
    #[must_use]
    pub fn enabled(&self) -> Vec<Arc<App>> {
        self.known.load().enabled().map(|(app, _)| Arc::clone(app)).collect()
    }

    /// Those of the registry that can be read, disabled ones included, as last read.
    #[must_use]
    pub fn readable(&self) -> Vec<Arc<App>> {
        let known = self.known.load();
        known.enabled().map(|(app, _)| Arc::clone(app)).chain(known.disabled()).collect()
    }

    /// All apps, those of the configuration included, in the order of their ids.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`].
    pub async fn list(&self) -> Result<Vec<Shown>, Denial> {
        let known = self.read().await?;
        let configured = self.configured.apps.iter().map(|(id, written)| Shown::configured(id, written));
        let kept = known.apps.iter().map(|(id, known)| Shown::kept(id, known));
        let mut all: Vec<_> = configured.chain(kept).collect();
        // That of the configuration first, where both have one id.
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// The app of an id; that of the configuration, if both have one.
    ///
    /// # Errors
    /// [`Code::NotFound`], [`Code::StoreUnavailable`].
    pub async fn get(&self, id: &AppId) -> Result<Shown, Denial> {
        if let Some(written) = self.configured.apps.get(id.as_str()) {
            return Ok(Shown::configured(id.as_str(), written));
        }
        let known = self.read().await?;
        let app = known.apps.get(id.as_str()).ok_or(Code::NotFound)?;
        Ok(Shown::kept(id.as_str(), app))
    }
}

/// Says which apps any page may use, when they come to be served.
fn warn_of_any_origin(before: &Registry, known: &Known) {
    for (app, _) in known.enabled().filter(|(app, _)| app.origins.is_empty()) {
        let told = before.was(&app.id).is_some_and(|registered| registered.app.origins.is_empty());
        if !told {
            tracing::warn!(app = app.id.as_str(), "origins is empty: pages of any origin may use this app's tokens");
        }
    }
}
