//! Apps and upstreams as looked up at run time. Immutable: a change of an app makes a new one, and so does a reload.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::HeaderName;
use sidegate_core::app::App;
use sidegate_core::authorize::Authorize;
use sidegate_core::dialect::chatbotkit::Translator;
use sidegate_core::dialect::orcheo::WorkflowId;
use sidegate_core::dialect::{Dialect, UnverifiedTarget};
use sidegate_core::id::AppId;
use sidegate_core::origin::OriginUnion;

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
    /// The customer's server that says who a visitor is, if its rule asks one.
    pub authorizer: Option<Arc<Upstream>>,
    /// Who says whether a visitor is a program, if it wants to know.
    pub challenger: Option<Arc<Upstream>>,
    /// Who translates what its widgets say, if a server does.
    pub translator: Option<Arc<Upstream>>,
    /// Its counters.
    pub limits: Limits,
}

/// All apps and upstreams.
#[derive(Debug)]
pub struct Registry {
    /// Apps of the configuration; the others come and go.
    configured: Arc<[Arc<Registered>]>,
    apps: HashMap<AppId, Arc<Registered>>,
    /// Apps of before a reload, until those of the store have been read: their limits go on counting.
    former: HashMap<AppId, Arc<Registered>>,
    disabled: Vec<Arc<App>>,
    /// Which app lists a workflow; no two do.
    workflows: HashMap<WorkflowId, AppId>,
    /// Which app has a host name for itself.
    hosts: HashMap<String, AppId>,
    /// Whether any workflow is for those without a token.
    publishes: bool,
    /// The one app that hands out tokens to pages, if it is the only one.
    only_issuer: Option<AppId>,
    upstreams: Arc<[Arc<Upstream>]>,
    unions: HashMap<Dialect, PageOrigins>,
    /// Names of the header fields that any app injects.
    injected: HashSet<HeaderName>,
}

/// The origins that any app of a dialect names: what decides about CORS until the app is proven.
#[derive(Debug, Default)]
struct PageOrigins {
    /// An app that does not check origins is among them.
    any: bool,
    listed: OriginUnion,
}

impl Registered {
    /// Whether it is the app that somebody names, or none is named. By id: a change of the app may come between.
    #[must_use]
    pub fn is_meant_by(&self, named: Option<&Arc<Self>>) -> bool {
        named.is_none_or(|named| named.app.id == self.app.id)
    }

    fn new(app: Arc<App>, upstream: Arc<Upstream>, upstreams: &[Arc<Upstream>], before: Option<&Limits>) -> Arc<Self> {
        let limits = Limits::new(&app, before);
        let authorizer = match &app.authorize {
            Some(Authorize::Request(rule)) => named(upstreams, &rule.upstream),
            _ => None,
        };
        let challenger = app.widget.challenge.as_ref().and_then(|challenge| named(upstreams, &challenge.upstream));
        let translator = match &app.translator {
            Some(Translator::Service(service)) => named(upstreams, &service.upstream),
            _ => None,
        };
        Arc::new(Self { app, upstream, authorizer, challenger, translator, limits })
    }
}

impl Registry {
    /// Prepares all upstreams, and the apps of the configuration with the names of theirs. What is as in `before`
    /// goes on: an upstream with its connections and places, and a limit whose rate has not changed.
    ///
    /// # Errors
    /// Every message, not only the first.
    pub fn new(
        upstreams: &[UpstreamSettings],
        apps: Vec<(App, String)>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<String>> {
        let (ready, mut faults) = prepare(upstreams, before.map_or(&[][..], |before| &before.upstreams[..]));
        let mut configured = Vec::with_capacity(apps.len());
        for (app, name) in apps {
            let before = before.and_then(|before| before.app(app.id.as_str())).map(|before| &before.limits);
            match named(&ready, &name) {
                Some(upstream) => configured.push(Registered::new(app.into(), upstream, &ready, before)),
                None => faults.push(format!("app {}: upstream {name} is not ready", app.id.as_str())),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let former = before.map(|before| before.apps.clone()).unwrap_or_default();
        Ok(Self { former, ..Self::of(configured.into(), ready.into(), &[], Vec::new()) })
    }

    /// The same upstreams and apps of the configuration, and beside them `kept` apps with the names of
    /// their upstreams, and `disabled` ones. Whatever has not changed stays the same in memory, and a
    /// limit whose rate has not changed goes on counting.
    #[must_use]
    pub fn with<'a>(&self, kept: impl Iterator<Item = (&'a Arc<App>, &'a str)>, disabled: Vec<Arc<App>>) -> Self {
        let register = |(app, upstream): (&'a Arc<App>, &str)| {
            let before = self.was(&app.id);
            if let Some(before) = before.filter(|before| Arc::ptr_eq(&before.app, app)) {
                return Some(Arc::clone(before));
            }
            let upstream = named(&self.upstreams, upstream)?;
            Some(Registered::new(Arc::clone(app), upstream, &self.upstreams, before.map(|before| &before.limits)))
        };
        let kept: Vec<_> = kept.filter_map(register).collect();
        Self::of(Arc::clone(&self.configured), Arc::clone(&self.upstreams), &kept, disabled)
    }

    fn of(
        configured: Arc<[Arc<Registered>]>,
        upstreams: Arc<[Arc<Upstream>]>,
        kept: &[Arc<Registered>],
        disabled: Vec<Arc<App>>,
    ) -> Self {
        let mut apps = HashMap::with_capacity(configured.len() + kept.len());
        let mut unions: HashMap<Dialect, PageOrigins> = HashMap::new();
        let (mut injected, mut workflows, mut hosts) = (HashSet::new(), HashMap::new(), HashMap::new());
        for registered in kept.iter().chain(&*configured) {
            let app = &registered.app;
            let union = unions.entry(app.dialect).or_default();
            union.any |= app.origins.is_empty();
            union.listed.extend(&app.origins);
            union.listed.extend(&app.frame_origins);
            injected.extend(app.injection.header_names().cloned());
            workflows.extend(app.workflows.all().iter().map(|workflow| (workflow.id.clone(), app.id.clone())));
            hosts.extend(app.hosts.iter().map(|host| (host.clone(), app.id.clone())));
            apps.insert(app.id.clone(), Arc::clone(registered));
        }
        let publishes = apps.values().any(|registered: &Arc<Registered>| registered.app.workflows.are_published());
        let mut issuers = apps.values().filter(|registered| registered.app.authorize.is_some());
        let only_issuer = issuers.next().filter(|_| issuers.next().is_none()).map(|only| only.app.id.clone());
        let former = HashMap::new();
        Self {
            configured,
            apps,
            former,
            disabled,
            workflows,
            hosts,
            publishes,
            only_issuer,
            upstreams,
            unions,
            injected,
        }
    }

    /// The app of an id, as it is or as it was before a reload.
    #[must_use]
    pub fn was(&self, id: &AppId) -> Option<&Arc<Registered>> {
        self.apps.get(id).or_else(|| self.former.get(id))
    }

    /// The app of an id.
    #[must_use]
    pub fn app(&self, id: &str) -> Option<&Arc<Registered>> {
        self.apps.get(id)
    }

    /// The app that a token means.
    #[must_use]
    pub fn find(&self, unverified: UnverifiedTarget<'_>) -> Option<&Arc<Registered>> {
        match unverified {
            UnverifiedTarget::App(id) => self.app(id),
            UnverifiedTarget::Workflow(id) => self.of_workflow(&id.parse().ok()?),
        }
    }

    /// The app that lists a workflow.
    #[must_use]
    pub fn of_workflow(&self, id: &WorkflowId) -> Option<&Arc<Registered>> {
        self.apps.get(self.workflows.get(id)?)
    }

    /// Whether any workflow is for those without a token.
    #[must_use]
    pub const fn publishes(&self) -> bool {
        self.publishes
    }

    /// Whether any app has a host name for itself.
    #[must_use]
    pub fn has_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// The app that hands out tokens to pages, if only one does.
    #[must_use]
    pub fn only_issuer(&self) -> Option<&Arc<Registered>> {
        self.apps.get(self.only_issuer.as_ref()?)
    }

    /// The app that has a host name for itself; without its port, in any case.
    #[must_use]
    pub fn of_host(&self, host: &str) -> Option<&Arc<Registered>> {
        self.apps.get(self.hosts.get(&host.to_ascii_lowercase())?)
    }

    /// The app of a dialect, if there is only one.
    #[must_use]
    pub fn only_of(&self, dialect: Dialect) -> Option<&Arc<Registered>> {
        let mut found = self.apps.values().filter(|registered| registered.app.dialect == dialect);
        found.next().filter(|_| found.next().is_none())
    }

    /// Apps of the configuration that any page may use, and that none could before.
    pub fn opened_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a App> {
        let is_open = |app: &App| app.origins.is_empty();
        let apps = self.configured.iter().map(|registered| &*registered.app);
        apps.filter(move |app| is_open(app) && !before.was(&app.id).is_some_and(|was| is_open(&was.app)))
    }

    /// All apps that are served.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.apps.values()
    }

    /// All apps whose tokens can be about: also the disabled ones.
    pub fn known(&self) -> impl Iterator<Item = &App> {
        let served = self.apps.values().map(|registered| &*registered.app);
        served.chain(self.disabled.iter().map(AsRef::as_ref))
    }

    /// All upstreams.
    #[must_use]
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Whether there is any app of `dialect`.
    #[must_use]
    pub fn serves(&self, dialect: Dialect) -> bool {
        self.unions.contains_key(&dialect)
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
        HeaderName::try_from(name).is_ok_and(|name| self.injected.contains(&name))
    }
}

/// The place in workers' pools of what is no upstream of apps: the CDN of the assets.
pub const CDN_INDEX: usize = 0;

/// All upstreams, and what is wrong with others. One that is as before keeps its place in the workers' pools, new ones
/// take those that are free.
fn prepare(settings: &[UpstreamSettings], before: &[Arc<Upstream>]) -> (Vec<Arc<Upstream>>, Vec<String>) {
    let taken: HashSet<_> = before.iter().map(|upstream| upstream.index).chain([CDN_INDEX]).collect();
    let before: HashMap<_, _> = before.iter().map(|known| (&*known.settings.name, known)).collect();
    let mut free = (0..).filter(|index| !taken.contains(index));
    let (mut ready, mut faults) = (Vec::with_capacity(settings.len()), Vec::new());
    for settings in settings {
        let index = || free.next().unwrap_or_default();
        match Upstream::renewed(settings, index, before.get(&*settings.name).copied()) {
            Ok(upstream) => ready.push(upstream),
            Err(fault) => faults.push(fault),
        }
    }
    (ready, faults)
}

fn named(upstreams: &[Arc<Upstream>], name: &str) -> Option<Arc<Upstream>> {
    upstreams.iter().find(|known| known.settings.name == name).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Input, load};

    fn upstreams(tables: &[(&str, &str)]) -> Vec<UpstreamSettings> {
        let table = |(name, url): &(&str, &str)| format!("[[upstreams]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        let documents = vec![("test.toml".into(), tables.iter().map(table).collect())];
        load(&Input { documents, ..Input::default() }).expect("good").settings.upstreams
    }

    #[test]
    fn an_upstream_that_is_as_before_keeps_its_place_and_no_two_have_one() {
        let tables = [("a", "http://127.0.0.1:1"), ("b", "http://127.0.0.1:2"), ("c", "http://127.0.0.1:3")];
        let mut before = Registry::new(&upstreams(&tables), Vec::new(), None).expect("ready");
        for round in 0..10 {
            let changed = format!("http://127.0.0.1:{}", 10 + round);
            let tables = [("d", &*changed), ("c", "http://127.0.0.1:3"), ("a", &*changed)];
            let after = Registry::new(&upstreams(&tables), Vec::new(), Some(&before)).expect("ready");
            assert!(Arc::ptr_eq(&named(&before.upstreams, "c").expect("c"), &named(&after.upstreams, "c").expect("c")));
            let all = before.upstreams().iter().chain(after.upstreams());
            let places: HashMap<_, _> = all.map(|upstream| (upstream.index, upstream.number)).collect();
            assert_eq!(places.len(), 5, "of both together no two share a place but the one that stays");
            assert!(places.keys().all(|place| *place != CDN_INDEX && *place <= 6), "{places:?}");
            before = after;
        }
    }
}
