//! Service tokens at run time: looked up by what a caller shows, changed through the registry, read
//! anew when it has changed.

mod shown;
mod silence;
mod tally;

pub use shown::Shown;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use secrecy::{ExposeSecret as _, SecretString};
use sidegate_core::clock::{Clock, Timestamp};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::entropy::Entropy;
use sidegate_core::id::ServiceTokenId;
use sidegate_core::secret::SecretDigest;
use sidegate_core::service_token::{NewServiceToken, ServiceToken, Uses};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::silence::Silence;
use self::tally::Tally;
use crate::store::{Entries, Entry, EntryKind, Unavailable};

/// Characters of a secret that is looked up.
const MAX_SECRET: usize = 512;

/// How often a change is tried anew that another one has overtaken.
const TRIES: usize = 8;

/// A service token, and how often it was used.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The token.
    pub token: ServiceToken,
    /// As far as is known here: other replicas tell theirs every few seconds.
    pub uses: Uses,
}

/// All service tokens, and where they are kept.
pub struct ServiceTokens {
    entries: Arc<dyn Entries>,
    /// The one of the configuration, which is not kept; a reload may put another one in its place.
    bootstrap: ArcSwapOption<ServiceToken>,
    known: ArcSwap<Known>,
    /// Of the registry, as the task that follows it finds.
    silence: Silence,
    tally: Tally,
    /// Held while the registry is read: what was read later is never replaced by what was read before.
    reading: Mutex<()>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Default)]
struct Known {
    generation: u64,
    /// By the digests of their secrets: those of a rotation under way, too.
    by_digest: HashMap<SecretDigest, Arc<ServiceToken>>,
}

impl ServiceTokens {
    /// Reads what is kept.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn open(
        entries: Arc<dyn Entries>,
        bootstrap: Option<ServiceToken>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Unavailable> {
        let (known, silence, tally, reading) = (ArcSwap::default(), Silence::new(), Tally::default(), Mutex::default());
        let bootstrap = ArcSwapOption::from(bootstrap.map(Arc::new));
        let tokens = Self { entries, bootstrap, known, silence, tally, reading, clock, entropy };
        tokens.refresh().await?;
        Ok(tokens)
    }

    /// The registry's generation when it was last read.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.known.load().generation
    }

    /// Notes whether the registry has answered a question of this time.
    pub fn heard(&self, asked: Instant, answered: bool) {
        self.silence.note(asked, answered);
        if self.entries.is_shared() {
            self.silence.tell();
        }
    }

    /// Whether the registry answered when it was last asked.
    #[must_use]
    pub fn reach_registry(&self) -> bool {
        self.silence.is_over()
    }

    /// Whether others may have revoked some without our knowing.
    fn are_stale(&self) -> bool {
        self.entries.is_shared() && self.silence.is_too_long()
    }

    /// Takes this one of the configuration from now on, in the place of the one of before.
    pub fn set_bootstrap(&self, token: Option<ServiceToken>) {
        self.bootstrap.store(token.map(Arc::new));
    }

    /// Reads all anew.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then all stays as it is.
    pub async fn refresh(&self) -> Result<(), Unavailable> {
        let _alone = self.reading.lock().await;
        let generation = self.entries.generation().await?;
        let mut by_digest = HashMap::new();
        let kept = self.entries.entries(EntryKind::ServiceToken).await?;
        // One that cannot be read is refused; the others go on.
        let kept = kept.iter().filter_map(|entry| parse(entry).ok()).map(Arc::new);
        for token in kept {
            // Whether a digest is still good is asked when it is shown.
            let previous = token.previous.as_ref().map(|previous| previous.digest.clone());
            for digest in std::iter::once(token.digest.clone()).chain(previous) {
                by_digest.insert(digest, Arc::clone(&token));
            }
        }
        self.known.store(Arc::new(Known { generation, by_digest }));
        Ok(())
    }

    /// Adds the uses that were counted here to those that the registry keeps. Called every few seconds, and
    /// at the end.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer; then they are kept for the next time.
    pub async fn keep_uses(&self) -> Result<(), Unavailable> {
        self.tally.write(&*self.entries).await
    }

    /// The service token of a secret that somebody shows, which counts as a use if it is good. Only the
    /// secret's digest is compared, so how long that takes says nothing of it.
    ///
    /// # Errors
    /// [`Code::InvalidServiceToken`]; [`Code::StoreUnavailable`] if a shared registry has been silent for
    /// too long. The token of the configuration is revoked nowhere else, so it is good all the same.
    pub fn authenticate(&self, shown: &SecretString) -> Result<Arc<ServiceToken>, Denial> {
        let (token, now) = (self.recognise(shown)?, self.now());
        if !self.is_bootstrap(&token) && token.check_end(now).is_ok() {
            self.tally.count(&token.id, now);
        }
        Ok(token)
    }

    fn is_bootstrap(&self, token: &Arc<ServiceToken>) -> bool {
        self.bootstrap.load().as_ref().is_some_and(|own| Arc::ptr_eq(own, token))
    }

    /// The token that somebody shows, without counting it as used.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub fn recognise(&self, shown: &SecretString) -> Result<Arc<ServiceToken>, Denial> {
        if shown.expose_secret().len() > MAX_SECRET {
            return Err(Code::InvalidServiceToken.into());
        }
        let digest = SecretDigest::of(shown);
        let bootstrap = self.bootstrap.load_full().filter(|token| token.digest == digest);
        let is_bootstrap = bootstrap.is_some();
        let token = bootstrap.or_else(|| self.known.load().by_digest.get(&digest).cloned());
        let token = token.filter(|token| token.digests(self.now()).any(|good| *good == digest));
        if self.are_stale() && !is_bootstrap {
            return Err(Code::StoreUnavailable.into());
        }
        token.ok_or_else(|| Code::InvalidServiceToken.into())
    }

    /// The time, as these tokens see it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// All that are kept, in the order of their names.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`].
    pub async fn list(&self) -> Result<Vec<Kept>, Denial> {
        let entries = self.entries.entries(EntryKind::ServiceToken).await?;
        let uses = self.tally.all(&*self.entries).await?;
        let kept = |token: ServiceToken| Kept { uses: uses.get(&token.id).copied().unwrap_or_default(), token };
        Ok(entries.iter().filter_map(|entry| parse(entry).ok()).map(kept).collect())
    }

    /// The one of a name.
    ///
    /// # Errors
    /// [`Code::NotFound`], [`Code::StoreUnavailable`].
    pub async fn get(&self, id: &ServiceTokenId) -> Result<Kept, Denial> {
        let token = parse(&self.entry(id).await?)?;
        Ok(Kept { token, uses: self.uses(id).await? })
    }

    /// Makes one.
    ///
    /// # Errors
    /// As [`NewServiceToken::check`]; [`Code::Conflict`] if its name is taken, [`Code::StoreUnavailable`].
    pub async fn create(&self, asked: NewServiceToken) -> Result<(Kept, SecretString), Denial> {
        asked.check()?;
        let (token, secret) = ServiceToken::new(asked, &*self.entropy, self.now()).map_err(|_| Code::Internal)?;
        if !self.entries.add(&entry_of(&token, 1)?).await? {
            return Err(Denial::because(Code::Conflict, "A service token of this name exists already"));
        }
        self.refresh().await?;
        // No name is ever free again, so nobody has used it.
        Ok((Kept { token, uses: Uses::default() }, secret))
    }

    /// Gives one a new secret.
    ///
    /// # Errors
    /// [`Code::NotFound`], [`Code::ServiceTokenRevoked`], [`Code::Conflict`], [`Code::StoreUnavailable`].
    pub async fn rotate(
        &self,
        id: &ServiceTokenId,
        overlap: Duration,
        lifetime: Option<Duration>,
    ) -> Result<(Kept, SecretString), Denial> {
        let now = self.now();
        self.change(id, |token| {
            if token.revoked.is_some() {
                return Err(Code::ServiceTokenRevoked.into());
            }
            Ok(token.rotate(overlap, lifetime, &*self.entropy, now).map_err(|_| Code::Internal)?)
        })
        .await
    }

    /// Ends one before its time.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub async fn revoke(&self, id: &ServiceTokenId, reason: &str) -> Result<Kept, Denial> {
        let now = self.now();
        let changed = self.change(id, |token| {
            token.revoke(reason.to_owned(), now);
            Ok(())
        });
        Ok(changed.await?.0)
    }

    async fn change<T>(
        &self,
        id: &ServiceTokenId,
        change: impl Fn(&mut ServiceToken) -> Result<T, Denial>,
    ) -> Result<(Kept, T), Denial> {
        // Asked first: once there is a new secret, nothing may keep it from its owner.
        let uses = self.uses(id).await?;
        for _ in 0..TRIES {
            let entry = self.entry(id).await?;
            let mut token = parse(&entry)?;
            let outcome = change(&mut token)?;
            if self.entries.change(&entry_of(&token, entry.revision)?).await? {
                self.refresh().await?;
                return Ok((Kept { token, uses }, outcome));
            }
        }
        Err(Code::Conflict.into())
    }

    async fn uses(&self, id: &ServiceTokenId) -> Result<Uses, Denial> {
        Ok(self.tally.all(&*self.entries).await?.get(id).copied().unwrap_or_default())
    }

    async fn entry(&self, id: &ServiceTokenId) -> Result<Entry, Denial> {
        let entry = self.entries.entry(EntryKind::ServiceToken, id.as_str()).await?;
        entry.ok_or_else(|| Code::NotFound.into())
    }
}

fn parse(entry: &Entry) -> Result<ServiceToken, Unavailable> {
    let token: Option<ServiceToken> = serde_json::from_str(&entry.document).ok();
    token.filter(|token| token.id.as_str() == entry.id).ok_or_else(|| {
        tracing::error!(id = entry.id, "a service token in the registry cannot be read");
        Unavailable
    })
}

fn entry_of(token: &ServiceToken, revision: u64) -> Result<Entry, Denial> {
    let document = serde_json::to_string(token).map_err(|_| Code::Internal)?;
    Ok(Entry { kind: EntryKind::ServiceToken, id: token.id.as_str().to_owned(), revision, document })
}

impl From<Unavailable> for Denial {
    fn from(_: Unavailable) -> Self {
        Code::StoreUnavailable.into()
    }
}
