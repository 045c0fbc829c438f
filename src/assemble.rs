//! From settings to a gate: the first at the start, another one at each reload. Everything that can fail is made here,
//! before anything of it is in force.

use std::sync::Arc;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use sidegate_core::app::App;
use sidegate_core::clock::Clock as _;
use sidegate_core::service_token::ServiceToken;
use tokio::sync::Semaphore;

use crate::apps::{Apps, Configured};
use crate::assets::Assets;
use crate::config::{Settings, StoreSettings, TlsFiles};
use crate::contacts::Contacts;
use crate::gate::{Gate, Lasting};
use crate::leash::{Changes, Closings, Spending};
use crate::registry::Registry;
use crate::revocations::Revoked;
use crate::rsa::RsaTurns;
use crate::service_tokens::ServiceTokens;
use crate::store::{Stores, Unavailable};
use crate::system::System;
use crate::tls::ServerTls;
use crate::trade::Trades;
use crate::visitor::MAX_VISITS;
use crate::widgets::Widgets;

/// How many used identity tokens are remembered here, so that who shows one again costs next to nothing.
const SPENT: usize = 10_000;

/// What settings and the files that they name make, without the store: ready, and not in force.
pub struct Prepared {
    settings: Settings,
    configured: Configured,
    registry: Registry,
    assets: Option<Arc<Assets>>,
    tls: Option<Arc<ServerTls>>,
    private_tls: Option<Arc<ServerTls>>,
}

impl Prepared {
    /// Reads the files and prepares the upstreams; what is as in `before` goes on. Waits for files, so it has no business
    /// in a worker.
    ///
    /// # Errors
    /// Every reason that is found, not only the first.
    pub fn new(mut settings: Settings, before: Option<&Gate>) -> Result<Self, Vec<String>> {
        let configured = Configured::of(&settings);
        let apps: Vec<(App, String)> =
            std::mem::take(&mut settings.apps).into_iter().map(|app| (app.app, app.upstream)).collect();
        let running = before.map(|before| before.registry.load_full());
        let mut faults = Vec::new();
        let mut tls = |files: Option<&TlsFiles>, before: Option<&Arc<ServerTls>>| {
            let read = files.map(|files| ServerTls::read(files, before)).transpose();
            read.map_err(|fault| faults.push(fault)).ok().flatten()
        };
        let public = tls(settings.listen.tls.as_ref(), before.and_then(|before| before.tls.as_ref()));
        let private = tls(settings.listen.private_tls.as_ref(), before.and_then(|before| before.private_tls.as_ref()));
        match Registry::new(&settings.upstreams, apps, running.as_deref()) {
            Ok(registry) => {
                let before = before.and_then(|before| before.assets.as_ref());
                let assets = Assets::start(&settings.assets, &registry, before);
                let assets = assets.map_err(|fault| faults.push(fault)).ok().flatten();
                let whole = Self { settings, configured, registry, assets, tls: public, private_tls: private };
                if faults.is_empty() { Ok(whole) } else { Err(faults) }
            }
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }

    /// What is kept, and how.
    #[must_use]
    pub const fn store(&self) -> &StoreSettings {
        &self.settings.store
    }

    /// The service token of the configuration.
    #[must_use]
    pub fn bootstrap(&self) -> Option<ServiceToken> {
        self.settings.bootstrap_token.as_ref().and_then(|secret| ServiceToken::bootstrap(secret, System.now()))
    }

    /// The gate, with the apps of the store.
    ///
    /// # Errors
    /// [`Unavailable`] if the store does not answer.
    pub async fn finish(self, lasting: Arc<Lasting>, generation: u64) -> Result<Gate, Unavailable> {
        let Self { settings, configured, registry, assets, tls, private_tls } = self;
        let registry = Arc::new(ArcSwap::from_pointee(registry));
        let sealer = settings.store.sealer.map(Arc::new);
        let (entries, served) = (Arc::clone(&lasting.entries), Some((Arc::clone(&registry), lasting.changes.clone())));
        let (clock, entropy) = (Arc::clone(&lasting.clock), Arc::clone(&lasting.entropy));
        let apps = Apps::open(entries, sealer.clone(), configured, served, clock, entropy).await?;
        Ok(Gate {
            lasting,
            generation,
            registry,
            apps: Arc::new(apps),
            assets,
            sealer,
            limits_on_error: settings.store.limits_on_error,
            limits: settings.limits,
            listen: settings.listen,
            tls,
            private_tls,
            cors_max_age: settings.cors_max_age,
            access_log: settings.access_log,
        })
    }
}

/// What lives as long as the program.
///
/// # Errors
/// [`Unavailable`] if the store does not answer.
pub async fn lasting(
    stores: Stores,
    registry_is_apart: bool,
    (revoked, changes): (Arc<Revoked>, Changes),
    bootstrap: Option<ServiceToken>,
) -> Result<Lasting, Unavailable> {
    let widgets = Widgets::open(Arc::clone(&stores.registry), changes.clone()).await?;
    let entries = Arc::clone(&stores.registry);
    let service_tokens = ServiceTokens::open(stores.registry, bootstrap, Arc::new(System), Arc::new(System)).await?;
    Ok(Lasting {
        vault: Arc::clone(&stores.state) as _,
        store: stores.state,
        entries,
        registry_is_apart,
        revoked,
        changes,
        closings: Closings::default(),
        spending: Spending::default(),
        widgets: Arc::new(widgets),
        contacts: Contacts::default(),
        service_tokens: Arc::new(service_tokens),
        visits: Semaphore::new(MAX_VISITS),
        rsa: RsaTurns::default(),
        spent: Cache::new(SPENT),
        trades: Trades::default(),
        clock: Arc::new(System),
        entropy: Arc::new(System),
    })
}
