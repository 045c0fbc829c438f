//! Apps and upstreams as looked up at run time. Immutable: a change of the config makes a new one.

use std::collections::HashMap;
use std::sync::Arc;

use sidegate_core::app::App;
use sidegate_core::dialect::Dialect;
use sidegate_core::id::AppId;
use sidegate_core::origin::OriginSet;

use crate::config::UpstreamSettings;
use crate::forward::Upstream;
use crate::limits::Limits;

/// An app with what serving it needs.
#[derive(Debug)]
pub struct Registered {
    /// The app.
    pub app: Arc<App>,
    /// Its chat service.
    pub upstream: Arc<Upstream>,
    /// Its counters.
    pub limits: Limits,
}

/// All apps and upstreams.
#[derive(Debug)]
pub struct Registry {
    apps: HashMap<AppId, Arc<Registered>>,
    upstreams: Vec<Arc<Upstream>>,
    unions: HashMap<Dialect, PageOrigins>,
}

/// The origins that any app of a dialect names: what decides about CORS until the app is proven.
#[derive(Debug, Default)]
struct PageOrigins {
    /// An app that does not check origins is among them.
    any: bool,
    listed: OriginSet,
}

impl Registry {
    /// Prepares all upstreams and apps.
    ///
    /// # Errors
    /// Every message, not only the first.
    pub fn new(upstreams: &[UpstreamSettings], apps: Vec<(App, String)>) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut ready: Vec<Arc<Upstream>> = Vec::with_capacity(upstreams.len());
        for settings in upstreams {
            match Upstream::new(settings.clone(), ready.len()) {
                Ok(upstream) => ready.push(Arc::new(upstream)),
                Err(fault) => faults.push(fault),
            }
        }
        let mut registry = Self { apps: HashMap::new(), upstreams: ready, unions: HashMap::new() };
        for (app, upstream) in apps {
            let found = registry.upstreams.iter().find(|known| known.settings.name == upstream).cloned();
            match found {
                Some(upstream) => registry.add(app, upstream),
                None => faults.push(format!("app {}: upstream {upstream} is not ready", app.id.as_str())),
            }
        }
        if faults.is_empty() { Ok(registry) } else { Err(faults) }
    }

    fn add(&mut self, app: App, upstream: Arc<Upstream>) {
        let union = self.unions.entry(app.dialect).or_default();
        union.any |= app.origins.is_empty();
        union.listed.extend(&app.origins);
        let registered = Registered { limits: Limits::new(&app), app: Arc::new(app), upstream };
        self.apps.insert(registered.app.id.clone(), Arc::new(registered));
    }

    /// The app of an id.
    #[must_use]
    pub fn app(&self, id: &str) -> Option<&Arc<Registered>> {
        self.apps.get(id)
    }

    /// All apps.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.apps.values()
    }

    /// All upstreams.
    #[must_use]
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Whether any app of `dialect` (of any, if `None`) would let a page of `origin` in.
    #[must_use]
    pub fn any_allows(&self, dialect: Option<Dialect>, origin: &str) -> bool {
        let of_dialect = self.unions.iter().filter(|(known, _)| dialect.is_none_or(|dialect| dialect == **known));
        of_dialect.into_iter().any(|(_, union)| union.any || union.listed.contains(origin))
    }

    /// Whether an app injects this header, so that pages may not ask to send it.
    #[must_use]
    pub fn injects_header(&self, name: &str) -> bool {
        self.apps.values().any(|registered| registered.app.injection.header_names().any(|ours| ours == name))
    }
}
