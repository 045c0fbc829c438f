//! What the registry keeps of apps, as this gate has read it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sidegate_core::app::App;
use sidegate_core::authorize::Authorize;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::seal::Sealer;
use sidegate_core::dialect::chat9::IdentityKeys;
use sidegate_core::secret::SecretDigests;
use sidegate_core::token::KeyRing;

use super::Configured;
use super::document::Document;
use crate::config::{KeyUses, TokenOf, Written, read_kept, workspace_fingerprints};
use crate::store::Entry;

/// All apps of the registry at one moment.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of the registry; `None` before it was read.
    pub(super) generation: Option<u64>,
    pub(super) apps: BTreeMap<String, Arc<KnownApp>>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct KnownApp {
    pub(super) revision: u64,
    /// The end of its sealed document, which no other sealing has.
    seal: String,
    /// `None` if its document cannot be opened.
    pub(super) view: Option<View>,
    /// The app with the name of its upstream, or all reasons why it cannot be served.
    pub(super) app: Result<(Arc<App>, String), Vec<String>>,
    /// When its previous secrets end, if they are still good.
    pub(super) ends: Ends,
}

/// When the previous secrets of an app end, if they are still good.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    /// That of its callers.
    pub(super) secret: Option<Timestamp>,
    /// That of identity tokens.
    pub(super) identity: Option<Timestamp>,
}

impl Ends {
    /// Those that are over.
    fn over(self, now: Timestamp) -> Self {
        let over = |until: Option<Timestamp>| until.filter(|until| *until <= now);
        Self { secret: over(self.secret), identity: over(self.identity) }
    }

    const fn is_some(self) -> bool {
        self.secret.is_some() || self.identity.is_some()
    }
}

/// What may be shown of it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) written: Written,
    pub(super) created_at: Timestamp,
    pub(super) changed_at: Timestamp,
    pub(super) disabled_at: Option<Timestamp>,
    pub(super) ends: Ends,
}

impl KnownApp {
    /// Whether it is to be served.
    pub(super) fn is_enabled(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.disabled_at.is_none())
    }

    fn created_at(&self) -> Option<Timestamp> {
        self.view.as_ref().map(|view| view.created_at)
    }

    pub(super) fn read(entry: &Entry, configured: &Configured, sealer: Option<&Sealer>, now: Timestamp) -> Self {
        let (revision, seal) = (entry.revision, seal_of(entry).to_owned());
        let unusable =
            |view, reasons| Self { revision, seal: seal.clone(), view, app: Err(reasons), ends: Ends::default() };
        let mut document = match Document::open(entry, sealer) {
            Ok(document) => document,
            Err(reason) => return unusable(None, vec![reason.to_owned()]),
        };
        document.tidy(now);
        let (written, app) =
            document.settings.as_value(|settings| (Written::of(settings), read_kept(settings, &configured.upstreams)));
        let ends = Ends { secret: document.previous_secret_until, identity: document.previous_identity_until };
        let view = View {
            written,
            created_at: document.created_at,
            changed_at: document.changed_at,
            disabled_at: document.disabled_at,
            ends,
        };
        if configured.apps.contains_key(&entry.id) {
            return unusable(Some(view), vec!["an app of the configuration has its id".to_owned()]);
        }
        match app {
            Ok((app, upstream)) => Self { revision, seal, view: Some(view), app: Ok((Arc::new(app), upstream)), ends },
            Err(problems) => unusable(Some(view), problems.by_key()),
        }
    }
}

impl Known {
    /// Reads all entries. What has not changed since `before` stays the same in memory; what cannot be
    /// used is logged once.
    pub(super) fn read(
        generation: u64,
        entries: &[Entry],
        before: &Self,
        configured: &Configured,
        sealer: Option<&Sealer>,
        now: Timestamp,
    ) -> Self {
        let read = |entry: &Entry| {
            // A store that lost its data begins anew with revisions: the seal tells.
            let same = |known: &&Arc<KnownApp>| known.revision == entry.revision && known.seal == seal_of(entry);
            let same = before.apps.get(&entry.id).filter(same).filter(|known| known.app.is_ok());
            let read = || Arc::new(KnownApp::read(entry, configured, sealer, now));
            (entry.id.clone(), same.map_or_else(read, Arc::clone))
        };
        let mut known = Self { generation: Some(generation), apps: entries.iter().map(read).collect() };
        known.refuse_shared_keys(configured.keys.clone());
        known.log_unusable(before);
        known
    }

    /// A key serves one app: that which was there first.
    fn refuse_shared_keys(&mut self, mut uses: KeyUses) {
        let mut in_order: Vec<_> = self.apps.iter_mut().collect();
        in_order.sort_by(|(one, app), (other, than)| (app.created_at(), one).cmp(&(than.created_at(), other)));
        for (_, known) in in_order {
            let Ok((app, upstream)) = &known.app else { continue };
            let clashes = claim(app, upstream, &mut uses);
            if !clashes.is_empty() {
                *known = Arc::new(KnownApp { app: Err(clashes), ..KnownApp::clone(known) });
            }
        }
    }

    fn log_unusable(&self, before: &Self) {
        for (id, known) in &self.apps {
            let Err(reasons) = &known.app else { continue };
            let told = |before: &Arc<KnownApp>| before.revision == known.revision && before.app.is_err();
            if !before.apps.get(id).is_some_and(told) {
                let reasons = reasons.join("; ");
                tracing::error!(
                    app = id,
                    revision = known.revision,
                    reasons,
                    "an app of the registry cannot be served"
                );
            }
        }
    }

    /// How many cannot be served although they are not disabled.
    pub(super) fn unusable(&self) -> usize {
        let disabled = |known: &KnownApp| known.view.is_some() && !known.is_enabled();
        self.apps.values().filter(|known| known.app.is_err() && !disabled(known)).count()
    }

    /// Those that are to be served, with the names of their upstreams.
    pub(super) fn enabled(&self) -> impl Iterator<Item = (&Arc<App>, &str)> {
        let usable = |known: &'_ Arc<KnownApp>| known.is_enabled();
        self.apps.values().filter(move |known| usable(known)).filter_map(|known| {
            let (app, upstream) = known.app.as_ref().ok()?;
            Some((app, upstream.as_str()))
        })
    }

    /// Those that are not.
    pub(super) fn disabled(&self) -> Vec<Arc<App>> {
        let disabled = self.apps.values().filter(|known| !known.is_enabled());
        disabled.filter_map(|known| Some(Arc::clone(&known.app.as_ref().ok()?.0))).collect()
    }

    /// The same without previous secrets whose time is over; `None` if there are none.
    pub(super) fn without_ended(&self, now: Timestamp) -> Option<Self> {
        let over = |known: &KnownApp| known.ends.over(now).is_some();
        let ended: HashSet<_> = self.apps.iter().filter(|(_, known)| over(known)).map(|(id, _)| id).collect();
        if ended.is_empty() {
            return None;
        }
        let apps = self.apps.iter().map(|(id, known)| {
            let known = if ended.contains(id) { Arc::new(known.without_previous(now)) } else { Arc::clone(known) };
            (id.clone(), known)
        });
        Some(Self { generation: self.generation, apps: apps.collect() })
    }

    /// What the keys of all apps but `id` are for, those of the configuration included.
    pub(super) fn key_uses(&self, configured: &Configured, id: &str) -> KeyUses {
        let mut uses = configured.keys.clone();
        for (_, known) in self.apps.iter().filter(|(other, _)| *other != id) {
            if let Ok((app, upstream)) = &known.app {
                claim(app, upstream, &mut uses);
            }
        }
        uses
    }
}

impl KnownApp {
    fn without_previous(&self, now: Timestamp) -> Self {
        let over = self.ends.over(now);
        let end = |(app, upstream): &(Arc<App>, String)| {
            let mut app = App::clone(app);
            if over.secret.is_some() {
                app.secrets = app.secrets.as_ref().map(SecretDigests::without_previous);
            }
            if over.identity.is_some() {
                app.bot.identity = app.bot.identity.as_ref().map(IdentityKeys::without_previous);
            }
            (Arc::new(app), upstream.clone())
        };
        let left = |until: Option<Timestamp>| until.filter(|until| *until > now);
        let ends = Ends { secret: left(self.ends.secret), identity: left(self.ends.identity) };
        let mut view = self.view.clone();
        if let Some(view) = &mut view {
            view.ends = ends;
            if over.secret.is_some() {
                view.written.secrets = view.written.secrets.min(1);
            }
        }
        Self {
            revision: self.revision,
            seal: self.seal.clone(),
            view,
            app: self.app.as_ref().map(end).map_err(Clone::clone),
            ends,
        }
    }
}

/// Of AES-GCM's tag, in base64url.
const SEAL: usize = 22;

fn seal_of(entry: &Entry) -> &str {
    let document = entry.document.as_str();
    document.get(document.len().saturating_sub(SEAL)..).unwrap_or_default()
}

/// Notes what an app's keys and workflows are for; a message for each that serves another purpose
/// already.
pub(super) fn claim(app: &App, upstream: &str, uses: &mut KeyUses) -> Vec<String> {
    let of = TokenOf { dialect: Some(app.dialect), app: Some(&app.id), upstream: Some(upstream) };
    let keys = app.token.iter().flat_map(|policy| KeyRing::fingerprints(&policy.keys));
    let keys = keys.filter_map(|key| uses.claim_signing_key(key, of).err()).map(|clash| format!("token.key: {clash}"));
    let mut clashes: Vec<_> = keys.collect();
    for (index, workflow) in app.workflows.all().iter().enumerate() {
        if let Err(clash) = uses.claim_workflow(&workflow.id, app.id.as_str()) {
            clashes.push(format!("workflows[{index}].id: {clash}"));
        }
    }
    for (index, host) in app.hosts.iter().enumerate() {
        if let Err(clash) = uses.claim_host(host, app.id.as_str()) {
            clashes.push(format!("hosts[{index}]: {clash}"));
        }
    }
    if let Some(Authorize::Jwt(rule)) = &app.authorize {
        let keys = rule.keys.fingerprints().filter_map(|key| uses.claim_login_key(key).err());
        clashes.extend(keys.map(|clash| format!("authorize.keys: {clash}")));
    }
    let identity = app.bot.identity.iter().flat_map(IdentityKeys::fingerprints);
    let identity = identity.filter_map(|key| uses.claim_identity_secret(key, app.id.as_str()).err());
    clashes.extend(identity.map(|clash| format!("identity.secret: {clash}")));
    let workspace = workspace_fingerprints(app.widget.keys.as_ref(), app.widget.minting.as_ref());
    let workspace = workspace.filter_map(|key| uses.claim_workspace_key(key, app.id.as_str()).err());
    clashes.extend(workspace.map(|clash| format!("identity.encryption_keys: {clash}")));
    clashes
}
