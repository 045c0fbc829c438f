//! What all workers share: [`Lasting`], which lives as long as the program, and around it a [`Gate`] as the configuration
//! of now has it.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use sidegate_core::clock::{Clock, Timestamp};
use sidegate_core::context::seal::Sealer;
use sidegate_core::denial::Denial;
use sidegate_core::entropy::Entropy;
use sidegate_core::origin::Origin;
use sidegate_core::secret::SecretDigest;
use tokio::sync::Semaphore;

use crate::apps::Apps;
use crate::assets::Assets;
use crate::config::{LimitSettings, LimitsOnError, ListenSettings};
use crate::contacts::Contacts;
use crate::leash::{Changes, Closings, Spending};
use crate::limits::{Counted, Limit};
use crate::registry::Registry;
use crate::revocations::Revoked;
use crate::rsa::RsaTurns;
use crate::service_tokens::ServiceTokens;
use crate::store::{Entries, Store, Vault};
use crate::tls::ServerTls;
use crate::trade::Trades;
use crate::widgets::Widgets;

/// The gate of now. A reload puts another one there; who has taken one goes on with it to the end of its request.
pub type Gates = Arc<ArcSwap<Gate>>;

/// The gate as one configuration has it; workers hold it in an `Arc`. Everything in it that is not of the configuration
/// is in `lasting`, and is found here, too.
pub struct Gate {
    /// What every gate of this process shares.
    pub lasting: Arc<Lasting>,
    /// How many configurations came before this one.
    pub generation: u64,
    /// Apps and upstreams.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Apps that the configuration does not have.
    pub apps: Arc<Apps>,
    /// ChatKit's files, unless they are switched off.
    pub assets: Option<Arc<Assets>>,
    /// Seals contexts; without it env and secrets are refused.
    pub sealer: Option<Arc<Sealer>>,
    /// What becomes of limits while a shared store does not count.
    pub limits_on_error: LimitsOnError,
    /// Sizes.
    pub limits: LimitSettings,
    /// Listeners.
    pub listen: ListenSettings,
    /// TLS on the public listener.
    pub tls: Option<Arc<ServerTls>>,
    /// TLS on the private listener.
    pub private_tls: Option<Arc<ServerTls>>,
    /// How long browsers may remember a preflight.
    pub cors_max_age: Duration,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// What lives as long as the program, whatever its configuration becomes.
pub struct Lasting {
    /// What outlives a request.
    pub store: Arc<dyn Store>,
    /// The contexts in it.
    pub vault: Arc<dyn Vault>,
    /// Where apps, widgets and service tokens are kept.
    pub entries: Arc<dyn Entries>,
    /// Whether that is elsewhere than the state.
    pub registry_is_apart: bool,
    /// What of the store is revoked, as last read.
    pub revoked: Arc<Revoked>,
    /// Told when something changes by which streams are admitted.
    pub changes: Changes,
    /// Sessions that were closed lately.
    pub closings: Closings,
    /// What tokens have used of their leashes.
    pub spending: Spending,
    /// Widgets, by which pages open sessions (ChatBotKit).
    pub widgets: Arc<Widgets>,
    /// Who their visitors say to be.
    pub contacts: Contacts,
    /// Who may call the gate's own API.
    pub service_tokens: Arc<ServiceTokens>,
    /// Places for larger bodies of requests without a token, which are read before anything is known of them.
    pub visits: Semaphore,
    /// Private RSA operations.
    pub rsa: RsaTurns,
    /// Identity tokens that are used up: who shows one again costs no RSA operation.
    pub spent: Cache<SecretDigest, ()>,
    /// Tokens that upstreams have made.
    pub trades: Trades,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Deref for Gate {
    type Target = Lasting;

    fn deref(&self) -> &Lasting {
        &self.lasting
    }
}

impl Lasting {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Gate {
    /// The gate's own origin as browsers see it.
    #[must_use]
    pub const fn own_origin(&self) -> Option<&Origin> {
        self.listen.public_origin.as_ref()
    }

    /// Whether forwarding fields from this address are believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.listen.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Counts a request against a limit, if there is one.
    ///
    /// # Errors
    /// As [`Limit::check`].
    pub async fn count(&self, limit: Option<&Limit>, counted: Counted<'_>) -> Result<(), Denial> {
        match limit {
            Some(limit) => limit.check(self.store.counters(), self.limits_on_error, counted).await,
            None => Ok(()),
        }
    }

    /// Drops what is over at `now`. Called every few seconds.
    pub async fn sweep(&self, now: Timestamp) {
        if self.store.sweep(now).await.is_err() {
            tracing::warn!("the store could not be swept");
        }
        self.widgets.guesses.sweep();
        if let Some(assets) = &self.assets {
            assets.fetched.sweep();
        }
        for registered in self.registry.load().apps() {
            registered.limits.sweep();
        }
    }

    /// Its upstreams and CDN that `next` does not go on with are asked by no new request any more. Called before `next`
    /// takes its place.
    pub fn retire_for(&self, next: &Self) {
        let (registry, kept) = (self.registry.load(), next.registry.load());
        let goes_on = |upstream: &Arc<_>| kept.upstreams().iter().any(|kept| Arc::ptr_eq(kept, upstream));
        registry.upstreams().iter().filter(|upstream| !goes_on(upstream)).for_each(|upstream| upstream.retire());
        if let Some(assets) = &self.assets
            && !next.assets.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, assets))
        {
            assets.retire();
        }
    }
}
