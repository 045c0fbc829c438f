//! `sidegate app`: apps of the registry, made and changed at the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chat9::PREVIOUS_SECRET;
use sidegate_core::id::AppId;
use sidegate_core::service_token::OVERLAP;

use super::serve::control_runtime;
use super::service_token::overlap;
use super::store::open_registry;
use super::{ConfigArgs, Exit, secrets};
use crate::apps::{AppSettings, Apps, Configured, Shown, WithSecret};
use crate::config::{self, Input, Settings};
use crate::store::Entries;
use crate::system::System;

#[derive(Debug, Subcommand)]
pub(super) enum AppCommand {
    /// Print a new app secret and its digest; the secret is shown only here
    NewSecret,
    /// Make an app in the registry; its secret is shown only here
    Create {
        /// Its id; a random one if not given
        #[arg(long)]
        id: Option<AppId>,
        /// Its wire format: sigmic, which is the default, chat9, or orcheo, whose workflows and key stand in the file
        /// of --from
        #[arg(long)]
        dialect: Option<String>,
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Show all apps, those of the configuration included; never secrets, keys or templates
    List(ConfigArgs),
    /// Show one app
    Show(Named),
    /// Change an app of the registry: what the flags say, or all that a file says
    Update {
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        named: Named,
    },
    /// Serve an app of the registry no more, within a second on every replica; its tokens are refused
    Disable(Named),
    /// Serve a disabled app again
    Enable(Named),
    /// Give an app of the registry a new secret, which is shown only here
    RotateSecret {
        /// For how long the old secret is good beside the new one, such as 5m, or 0s; if not given 5m, and 1h for an
        /// identity secret
        #[arg(long, value_name = "SPAN", value_parser = overlap)]
        overlap: Option<Duration>,
        /// The secret that identity tokens are signed with (chat9), and not that of the app; the first one is made, too
        #[arg(long)]
        identity: bool,
        #[command(flatten)]
        named: Named,
    },
    /// Sign an app's tokens with a new key; the old one still verifies
    RotateKey {
        /// A file that holds the new key; one is made if not given
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Drop the keys that were retired before
        #[arg(long)]
        drop_retired: bool,
        #[command(flatten)]
        named: Named,
    },
}

/// An app's settings; flags are laid over the file.
#[derive(Debug, Args)]
pub(super) struct SettingsArgs {
    /// A file with the keys of one [[apps]] table, in TOML; its secrets may be { env } or { file } and are stored
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The name of its [[upstreams]]
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// A page that may use it, such as https://shop.example.com; repeat it for more
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// How long its tokens are good if nothing is asked for, such as 1h
    #[arg(long, value_name = "SPAN")]
    ttl: Option<String>,
    /// The longest that may be asked for, such as 7d
    #[arg(long, value_name = "SPAN")]
    max_ttl: Option<String>,
    /// Whether a token admits one request
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    single_use: Option<bool>,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its id
    id: AppId,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(command: AppCommand) -> Result<(), Exit> {
    use AppCommand::{Create, Disable, Enable, List, NewSecret, RotateKey, RotateSecret, Show, Update};
    match command {
        NewSecret => secrets::new_app_secret(),
        Create { id, dialect, settings, config } => create(id, dialect, &settings, config),
        List(config) => with(config, async |apps| {
            println!("{:#}", json!({ "apps": apps.list().await.map_err(failed)? }));
            Ok(())
        }),
        Show(Named { id, config }) => with(config, async |apps| printed(apps.get(&id).await)),
        Update { settings, named: Named { id, config } } => update(&id, &settings, config),
        Disable(Named { id, config }) => with(config, async |apps| printed(apps.disable(&id).await)),
        Enable(Named { id, config }) => with(config, async |apps| printed(apps.enable(&id).await)),
        RotateSecret { overlap, identity, named: Named { id, config } } => with(config, async |apps| {
            let (app, secret) = match identity {
                true => rotate_identity(&apps, &id, overlap.unwrap_or(PREVIOUS_SECRET)).await,
                false => apps.rotate_secret(&id, overlap.unwrap_or(OVERLAP)).await,
            }
            .map_err(failed)?;
            print(&app, Some(&secret));
            Ok(())
        }),
        RotateKey { key, drop_retired, named: Named { id, config } } => {
            let key = key.map(|path| config::read_secret(&path)).transpose().map_err(Exit::Usage)?;
            with(config, async |apps| printed(apps.rotate_key(&id, key, drop_retired).await))
        }
    }
}

/// A new secret for identity tokens, be it the first.
async fn rotate_identity(apps: &Apps, id: &AppId, overlap: Duration) -> Result<(Shown, SecretString), Denial> {
    match apps.rotate_identity(id, overlap).await {
        Err(denial) if denial.code == Code::IdentityNotConfigured => apps.new_identity(id).await,
        rotated => rotated,
    }
}

fn create(id: Option<AppId>, dialect: Option<String>, args: &SettingsArgs, config: ConfigArgs) -> Result<(), Exit> {
    let mut settings = AppSettings::from(args.file()?.unwrap_or_default());
    if let Some(id) = id {
        settings.set("id", id.as_str());
    }
    match dialect {
        Some(dialect) => settings.set("dialect", dialect),
        None if settings.get("dialect").is_none() => settings.set("dialect", "sigmic"),
        None => {}
    }
    args.lay_over(&mut settings);
    with(config, async |apps| {
        let (app, secret) = apps.create(settings).await.map_err(failed)?;
        print(&app, secret.as_ref());
        Ok(())
    })
}

/// Without a file what is shown of the app is changed and given back, if it is still that.
fn update(id: &AppId, args: &SettingsArgs, config: ConfigArgs) -> Result<(), Exit> {
    let file = args.file()?;
    with(config, async |apps| {
        let (base, expected) = match file {
            Some(file) => (file, None),
            None => match apps.get(id).await.map_err(failed)? {
                Shown { settings: Some(Value::Object(settings)), revision, .. } => (settings, revision),
                _ => return Err(Exit::Failure("the app's settings cannot be read; give all of them by --from".into())),
            },
        };
        let mut settings = AppSettings::from(base);
        args.lay_over(&mut settings);
        printed(apps.update(id, &settings, expected).await)
    })
}

impl SettingsArgs {
    fn file(&self) -> Result<Option<Map<String, Value>>, Exit> {
        let input = Input::from_process(Vec::new(), Vec::new());
        let read = self.from.as_ref().map(|path| config::read_file(path, &input)).transpose();
        read.map_err(|problems| Exit::Usage(problems.to_string()))
    }

    fn lay_over(&self, settings: &mut AppSettings) {
        if let Some(upstream) = &self.upstream {
            settings.set("upstream", upstream.as_str());
        }
        if !self.origins.is_empty() {
            settings.set("origins", self.origins.clone());
        }
        for (name, span) in [("ttl", &self.ttl), ("max_ttl", &self.max_ttl)] {
            if let Some(span) = span {
                settings.set_token(name, span.as_str().into());
            }
        }
        if let Some(single_use) = self.single_use {
            settings.set_token("single_use", single_use.into());
        }
    }
}

/// Does something with the apps of the store that the configuration names.
fn with(config: ConfigArgs, work: impl AsyncFnOnce(Apps) -> Result<(), Exit>) -> Result<(), Exit> {
    let mut settings = config.load()?.settings;
    control_runtime()?.block_on(async {
        let registry = open_registry(&settings).await?;
        work(apps_of(&mut settings, registry).await?).await
    })
}

/// The apps of this registry. Takes the seal keys out of the settings.
pub(super) async fn apps_of(settings: &mut Settings, entries: Arc<dyn Entries>) -> Result<Apps, Exit> {
    let (configured, sealer) = (Configured::of(settings), settings.store.sealer.take().map(Arc::new));
    let system = Arc::new(System);
    let apps = Apps::open(entries, sealer, configured, None, Arc::clone(&system) as _, system).await;
    apps.map_err(|fault| Exit::Failure(fault.to_string()))
}

fn failed(denial: Denial) -> Exit {
    Exit::Failure(denial.message.into())
}

fn printed(app: Result<Shown, Denial>) -> Result<(), Exit> {
    print(&app.map_err(failed)?, None);
    Ok(())
}

fn print(app: &Shown, secret: Option<&SecretString>) {
    println!("{:#}", json!(WithSecret::new(app, secret)));
    if secret.is_some() {
        eprintln!("The secret is shown only here.");
    }
}
