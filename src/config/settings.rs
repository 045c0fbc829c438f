//! The settings as the program means them, and the reading of their sections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sidegate_core::app::App;
use sidegate_core::context::ContextLimits;
use sidegate_core::dialect::orcheo::WorkflowId;
use sidegate_core::id::AppId;
use sidegate_core::secret::SecretDigest;
use tracing::Level;

use super::app::read_app;
use super::assets::{AssetSettings, read_assets};
use super::kept::Written;
use super::layered::parsers::{boolean, bytes, duration, integer, one_of, secret_source};
use super::layered::{Faults, Node, Reader, SecretSource, to_json};
use super::listen::{ListenSettings, read_listen};
use super::store::{StoreSettings, read_store};
use super::token::TokenOf;
use super::upstream::{UpstreamSettings, read_upstream};

/// Everything that the program was told.
#[derive(Debug)]
pub struct Settings {
    /// Listeners.
    pub listen: ListenSettings,
    /// Sizes.
    pub limits: LimitSettings,
    /// For how long a browser may remember a preflight.
    pub cors_max_age: Duration,
    /// What is kept, and how.
    pub store: StoreSettings,
    /// ChatKit's files.
    pub assets: AssetSettings,
    /// The service token of the configuration, which may do everything; for the first steps.
    pub bootstrap_token: Option<SecretString>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_level: Level,
    /// Whether each request has a line.
    pub access_log: bool,
    /// Whether the configuration is read anew when one of its files has changed.
    pub watch: bool,
    /// Chat services.
    pub upstreams: Vec<UpstreamSettings>,
    /// Apps of the configuration.
    pub apps: Vec<ConfiguredApp>,
    /// What each key in it is for.
    pub keys: KeyUses,
}

/// An app of the configuration.
#[derive(Debug)]
pub struct ConfiguredApp {
    /// The app.
    pub app: App,
    /// The name of its upstream.
    pub upstream: String,
    /// Its table, as far as it may be shown.
    pub written: Written,
}

/// Limits on what comes from outside, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    /// An exchange's body.
    pub exchange_body: usize,
    /// A chat request's JSON body.
    pub json_body: usize,
    /// A chat request's form.
    pub form_body: usize,
    /// An upstream answer that is read.
    pub read_answer: usize,
    /// A token's env and secrets.
    pub context: ContextLimits,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Turns a secret's source into the secret.
pub(super) type Resolve<'a> = dyn Fn(&SecretSource) -> Result<SecretString, String> + 'a;

/// A parser of secrets, wherever they come from.
pub(super) fn secret<'a>(resolve: &'a Resolve<'_>) -> impl Fn(&Node) -> Result<SecretString, Faults> + 'a {
    move |node| Ok(resolve(&secret_source(node)?)?)
}

/// Whether two secrets are one.
pub(super) fn is_same_secret(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(SecretDigest::of) == other.map(SecretDigest::of)
}

/// What a key, by its digest, or a workflow already serves: none serves two.
#[derive(Clone, Default)]
pub struct KeyUses {
    keys: HashMap<SecretDigest, String>,
    workflows: HashMap<WorkflowId, String>,
    hosts: HashMap<String, String>,
}

impl KeyUses {
    /// Notes that the key of `digest` serves `purpose`.
    ///
    /// # Errors
    /// A message that names the purpose which it serves already.
    pub fn claim(&mut self, digest: &SecretDigest, purpose: &str) -> Result<(), String> {
        match self.keys.entry(digest.clone()) {
            Entry::Occupied(earlier) => Err(format!("the same key also serves {}; give each its own", earlier.get())),
            Entry::Vacant(free) => {
                free.insert(purpose.to_owned());
                Ok(())
            }
        }
    }

    fn share(&mut self, digest: &SecretDigest, purpose: &str) -> Result<(), String> {
        if self.keys.get(digest).is_some_and(|earlier| earlier == purpose) {
            return Ok(());
        }
        self.claim(digest, purpose)
    }

    /// Notes what a key of an app's tokens is for. Where the upstream verifies them, too, apps of one
    /// upstream may share a key: a token names its app by its workflow.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_signing_key(&mut self, digest: &SecretDigest, of: TokenOf<'_>) -> Result<(), String> {
        match of.shares_key() {
            true => self.share(digest, &format!("upstream {}", of.upstream.unwrap_or_default())),
            false => self.claim(digest, &format!("app {}", of.app.map_or("", AppId::as_str))),
        }
    }

    /// Notes that identity tokens of an app are signed with the secret of `digest`.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_identity_secret(&mut self, digest: &SecretDigest, app: &str) -> Result<(), String> {
        self.claim(digest, &format!("identity tokens of app {app}"))
    }

    /// Notes what a key of a workspace's identity tokens is for: it may be there as either half.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_workspace_key(&mut self, digest: &SecretDigest, app: &str) -> Result<(), String> {
        self.share(digest, &format!("identity tokens of app {app}"))
    }

    /// Notes that the logins of a customer are verified with the key of `digest`: for several apps, if need be.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub fn claim_login_key(&mut self, digest: &SecretDigest) -> Result<(), String> {
        self.share(digest, "to verify logins")
    }

    /// Notes that `app` lists a workflow.
    ///
    /// # Errors
    /// A message that names the app which lists it already.
    pub fn claim_workflow(&mut self, id: &WorkflowId, app: &str) -> Result<(), String> {
        let rule = "a token names its app by it";
        self.workflows.insert(id.clone(), app.to_owned()).map_or(Ok(()), |other| Err(taken(&other, rule)))
    }

    /// Notes that `app` has a host name for itself.
    ///
    /// # Errors
    /// As [`Self::claim_workflow`].
    pub fn claim_host(&mut self, host: &str, app: &str) -> Result<(), String> {
        let rule = "a request names its app by it";
        self.hosts.insert(host.to_owned(), app.to_owned()).map_or(Ok(()), |other| Err(taken(&other, rule)))
    }
}

fn taken(app: &str, rule: &str) -> String {
    format!("stands in app {app} already; {rule}")
}

impl std::fmt::Debug for KeyUses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyUses({} keys)", self.keys.len())
    }
}

pub(super) fn read_settings(root: &Reader<'_>, resolve: &Resolve<'_>) -> Option<Settings> {
    let mut keys = KeyUses::default();
    let listen = read_listen(root);
    let limits = read_limits(root.section("limits"));
    let cors = root.section("cors");
    let cors_max_age = cors.required("max_age", duration);
    cors.finish();
    let store = read_store(root.section("store"), resolve, &mut keys);
    let assets = read_assets(root.section("assets"), resolve);
    let bootstrap_token = read_admin(root.section("admin"), resolve, &mut keys);
    let (log_format, log_level, access_log) = read_log(root.section("log"));
    let reload = root.section("reload");
    let watch = reload.required("watch", boolean);
    reload.finish();
    let upstreams: Vec<_> = root.tables("upstreams").into_iter().map(|table| read_upstream(table, resolve)).collect();
    let known: Vec<_> = upstreams.iter().flatten().collect();
    let tables = root.tables("apps");
    let written = root.node("apps").and_then(Node::as_array).unwrap_or_default();
    let apps = tables.into_iter().zip(written).map(|(table, written)| {
        let (app, upstream) = read_app(table, resolve, &known, &mut keys)?;
        Some(ConfiguredApp { app, upstream, written: Written::of(&to_json(written).unwrap_or_default()) })
    });
    let apps: Vec<_> = apps.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
    check_seal_keys(root, store.as_ref(), &apps);
    unique(root, "apps", apps.iter().map(|configured| configured.app.id.as_str()));
    unique(root, "upstreams", known.iter().map(|upstream| upstream.name.as_str()));
    Some(Settings {
        listen: listen?,
        limits: limits?,
        cors_max_age: cors_max_age?,
        store: store?,
        assets: assets?,
        bootstrap_token,
        log_format: log_format?,
        log_level: log_level?,
        access_log: access_log?,
        watch: watch?,
        upstreams: upstreams.into_iter().collect::<Option<_>>()?,
        apps,
        keys,
    })
}

/// Sessions are kept sealed.
fn check_seal_keys(root: &Reader<'_>, store: Option<&StoreSettings>, apps: &[ConfiguredApp]) {
    let sealed = store.is_none_or(|store| store.sealer.is_some());
    if let Some(ConfiguredApp { app, .. }) = apps.iter().find(|configured| configured.app.dialect.has_sessions())
        && !sealed
    {
        root.problem("store", &format!("needs seal_keys: app {} has sessions, which are kept sealed", app.id.as_str()));
    }
}

fn read_limits(table: Reader<'_>) -> Option<LimitSettings> {
    let exchange_body = table.required("exchange_body", bytes);
    let json_body = table.required("json_body", bytes);
    let form_body = table.required("form_body", bytes);
    let read_answer = table.required("read_answer", bytes);
    let entries = table.required("context_entries", integer(0..=10_000_usize));
    let name = table.required("context_name", bytes);
    let value = table.required("context_value", bytes);
    let total = table.required("context_total", bytes);
    table.finish();
    Some(LimitSettings {
        exchange_body: exchange_body?,
        json_body: json_body?,
        form_body: form_body?,
        read_answer: read_answer?,
        context: ContextLimits { max_entries: entries?, max_name: name?, max_value: value?, max_total: total? },
    })
}

fn read_admin(table: Reader<'_>, resolve: &Resolve<'_>, keys: &mut KeyUses) -> Option<SecretString> {
    /// Characters: with letters and digits alone some 190 random bits.
    const SHORTEST: usize = 32;
    let token = table.optional("bootstrap_token", |node| -> Result<_, Faults> {
        let token = secret(resolve)(node)?;
        keys.claim(&SecretDigest::of(&token), "as the bootstrap token")?;
        let length = token.expose_secret().len();
        if length < SHORTEST { Err("must have 32 characters or more".to_owned().into()) } else { Ok(token) }
    });
    table.finish();
    token
}

fn read_log(table: Reader<'_>) -> (Option<LogFormat>, Option<Level>, Option<bool>) {
    let format = table.required("format", one_of(&[("json", LogFormat::Json), ("text", LogFormat::Text)]));
    let level = table.required(
        "level",
        one_of(&[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ]),
    );
    let access = table.required("access", boolean);
    table.finish();
    (format, level, access)
}

fn unique<'a>(root: &Reader<'_>, key: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            root.problem(key, &format!("`{name}` stands there twice"));
        }
    }
}
