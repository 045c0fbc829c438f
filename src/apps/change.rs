//! Changes of apps. Each is written only in the place of what was read, and tried anew if another one
//! was faster, so that none is lost.

mod rotate;

use secrecy::SecretString;
use sidegate_core::context::seal::Sealer;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::id::AppId;
use sidegate_core::secret::new_app_secret;
use sidegate_core::token::Algorithm;

use super::document::Document;
use super::known::{KnownApp, claim};
use super::{AppSettings, Apps, Shown};
use crate::config::read_kept;
use crate::store::{Entry, EntryKind};
use crate::system::new_signing_key;

/// Apps that a registry may hold.
const MAX_APPS: usize = 10_000;

/// How often a change is tried anew that another one has overtaken.
const TRIES: usize = 8;

/// The most problems that are told at once.
const MAX_TOLD: usize = 50;

impl Apps {
    /// Makes an app. What the settings leave open is made up: an id, a secret, a key of their algorithm.
    /// The secret, if one was made, cannot be asked for again.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] with all problems; [`Code::Conflict`] if the id is taken or there is no
    /// room; [`Code::ContextNotConfigured`] without a seal key; [`Code::PayloadTooLarge`];
    /// [`Code::StoreUnavailable`].
    pub async fn create(&self, mut settings: AppSettings) -> Result<(Shown, Option<SecretString>), Denial> {
        let sealer = self.sealer()?;
        let dialect = settings.dialect();
        if settings.get("id").is_none() {
            let id = if dialect == Some(Dialect::Chat9) {
                AppId::new_bot(&*self.entropy)
            } else {
                AppId::new(&*self.entropy)
            };
            settings.set("id", id.map_err(|_| Code::Internal)?.as_str());
        }
        // Where the upstream has the key, callers show service tokens, and a key made up here would be no use.
        let own = !dialect.is_some_and(Dialect::shares_key);
        let secret = match settings.get("secret_digests") {
            None if own => Some(self.new_secret()?),
            _ => None,
        };
        if let Some(secret) = &secret {
            settings.add_secret(secret, false);
        }
        let algorithm = settings.algorithm();
        let has_tokens = dialect.is_none_or(Dialect::has_tokens) && !settings.is_upstreams();
        if settings.lacks_token("algorithm") && has_tokens {
            settings.set_token("algorithm", algorithm.name().into());
        }
        if settings.lacks_token("key") && own && has_tokens {
            settings.set_key(&new_key(algorithm).await?);
        }
        let id = self.check(&mut settings).await?;
        self.refuse_configured(&id)?;
        if self.known.load().apps.len() >= MAX_APPS {
            return Err(Denial::because(Code::Conflict, format!("The registry holds {MAX_APPS} apps already")));
        }
        let now = self.now();
        let document = Document::new(settings, now);
        let entry = document.seal(&id, 1, sealer, &*self.entropy)?;
        if !self.entries.add(&entry).await? {
            return Err(Denial::because(Code::Conflict, "An app of this id exists already"));
        }
        Ok((self.written(&entry).await, secret))
    }

    /// Replaces an app's settings, if its revision is still `expected`, where that is given. What is
    /// never shown stays unless it is given; see the documents on the API.
    ///
    /// # Errors
    /// As [`Self::create`], and [`Code::NotFound`], [`Code::PreconditionFailed`].
    pub async fn update(&self, id: &AppId, settings: &AppSettings, expected: Option<u64>) -> Result<Shown, Denial> {
        if settings.get("id").is_some_and(|given| given.as_str() != Some(id.as_str())) {
            return Err(Denial::because(Code::InvalidRequest, "id: cannot be changed"));
        }
        let changed = self.change(id, expected, Checked::Yes, |document| {
            let mut new = settings.copy();
            new.set("id", id.as_str());
            new.keep_hidden(&document.settings);
            if settings.get("secret_digests").is_some() {
                document.previous_secret_until = None;
            }
            if settings.get("identity").is_some_and(|identity| identity.get("secret").is_some()) {
                document.previous_identity_until = None;
            }
            document.settings = new;
            Ok(())
        });
        Ok(changed.await?.0)
    }

    /// Serves an app no more; its tokens and secrets are refused as those of an unknown app.
    ///
    /// # Errors
    /// [`Code::NotFound`], [`Code::Conflict`], [`Code::ContextNotConfigured`], [`Code::StoreUnavailable`].
    pub async fn disable(&self, id: &AppId) -> Result<Shown, Denial> {
        let now = self.now();
        let changed = self.change(id, None, Checked::No, |document| {
            document.disabled_at.get_or_insert(now);
            Ok(())
        });
        Ok(changed.await?.0)
    }

    /// Serves a disabled app again.
    ///
    /// # Errors
    /// As [`Self::disable`].
    pub async fn enable(&self, id: &AppId) -> Result<Shown, Denial> {
        let changed = self.change(id, None, Checked::No, |document| {
            document.disabled_at = None;
            Ok(())
        });
        Ok(changed.await?.0)
    }

    async fn change<T>(
        &self,
        id: &AppId,
        expected: Option<u64>,
        checked: Checked,
        change: impl Fn(&mut Document) -> Result<T, Denial>,
    ) -> Result<(Shown, T), Denial> {
        self.refuse_configured(id)?;
        let sealer = self.sealer()?;
        for _ in 0..TRIES {
            let entry = self.entry(id).await?;
            if expected.is_some_and(|expected| expected != entry.revision) {
                return Err(Code::PreconditionFailed.into());
            }
            let mut document = self.document(&entry)?;
            document.tidy(self.now());
            let outcome = change(&mut document)?;
            document.changed_at = self.now();
            if matches!(checked, Checked::Yes) {
                self.check(&mut document.settings).await?;
            }
            let mut entry = document.seal(id, entry.revision, sealer, &*self.entropy)?;
            if self.entries.change(&entry).await? {
                entry.revision += 1;
                return Ok((self.written(&entry).await, outcome));
            }
        }
        Err(Code::Conflict.into())
    }

    /// What was just written, served from now on. It is done, so it is told, too (a new secret would
    /// be lost), even if the registry cannot be read now: it is followed anyway.
    async fn written(&self, entry: &Entry) -> Shown {
        if self.refresh().await.is_err() {
            tracing::warn!(app = entry.id, "an app was changed, and the registry cannot be read");
        }
        let known = KnownApp::read(entry, &self.configured, self.sealer.as_deref(), self.now());
        Shown::kept(&entry.id, &known)
    }

    /// Refuses settings that could not be served; the id in them.
    async fn check(&self, settings: &mut AppSettings) -> Result<AppId, Denial> {
        let known = self.read().await?;
        let read = settings.as_value(|settings| read_kept(settings, &self.configured.upstreams));
        let mut problems = match &read {
            Ok((app, upstream)) => claim(app, upstream, &mut known.key_uses(&self.configured, app.id.as_str())),
            Err(problems) => problems.by_key(),
        };
        if settings.has_too_many_keys() {
            problems.push("token.retired_keys: may be 8 at most; drop older ones".to_owned());
        }
        match read {
            Ok((app, _)) if problems.is_empty() => Ok(app.id),
            _ => Err(refused(&problems)),
        }
    }

    fn refuse_configured(&self, id: &AppId) -> Result<(), Denial> {
        const RULE: &str = "This app comes from the configuration file; change it there";
        let configured = self.configured.apps.contains_key(id.as_str());
        if configured { Err(Denial::because(Code::Conflict, RULE)) } else { Ok(()) }
    }

    fn sealer(&self) -> Result<&Sealer, Denial> {
        const RULE: &str = "Apps of the registry need a seal key, and none is configured";
        self.sealer.as_deref().ok_or_else(|| Denial::because(Code::ContextNotConfigured, RULE))
    }

    fn document(&self, entry: &Entry) -> Result<Document, Denial> {
        let fault = |reason| Denial::because(Code::ContextNotConfigured, format!("The app cannot be read: {reason}"));
        Document::open(entry, Some(self.sealer()?)).map_err(fault)
    }

    fn new_secret(&self) -> Result<SecretString, Denial> {
        new_app_secret(&*self.entropy).map_err(|_| Code::Internal.into())
    }

    async fn entry(&self, id: &AppId) -> Result<Entry, Denial> {
        self.entries.entry(EntryKind::App, id.as_str()).await?.ok_or_else(|| Code::NotFound.into())
    }
}

/// Whether a change may leave an app that cannot be served.
#[derive(Clone, Copy)]
enum Checked {
    Yes,
    /// It leaves it as it was, in this respect: what cannot be served can still be disabled.
    No,
}

/// A new key; on a thread where nobody waits for anything else, as an RSA key takes some 100 ms.
async fn new_key(algorithm: Algorithm) -> Result<SecretString, Denial> {
    let made = tokio::task::spawn_blocking(move || new_signing_key(algorithm)).await;
    made.ok().and_then(Result::ok).ok_or_else(|| Code::Internal.into())
}

fn refused(problems: &[String]) -> Denial {
    let mut message = format!("The app is refused: {}", problems[..problems.len().min(MAX_TOLD)].join("; "));
    if problems.len() > MAX_TOLD {
        message.push_str(&format!("; and {} more", problems.len() - MAX_TOLD));
    }
    Denial::because(Code::InvalidRequest, message)
}
