//! Service tokens: what a customer's servers and operators show to the gate's own API.

mod scope;
#[cfg(test)]
mod tests;

pub use scope::{Scope, UnknownScope};

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::entropy::{self, Entropy, EntropyUnavailable};
use crate::id::{AppId, ServiceTokenId, WorkspaceId};
use crate::secret::SecretDigest;

/// For how long an old secret is good beside its new one, when nothing else is asked for.
pub const OVERLAP: Duration = Duration::from_secs(300);

/// Workspaces of one service token: the session tokens that it gets name them all, and travel in a header.
const MAX_WORKSPACES: usize = 32;

/// What begins the text of a service token: searches for leaked secrets can find it.
pub const PREFIX: &str = "sgst_";

/// The same for one that ChatBotKit's API alone takes: as the vendor's begin.
pub const CHATBOTKIT_PREFIX: &str = "sk-";

/// A service token as it is kept: its secret only as a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceToken {
    /// Its name.
    pub id: ServiceTokenId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The apps that it may do that with; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppId>,
    /// The workspaces whose apps it may do that with (Orcheo), in order; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<WorkspaceId>,
    /// The digest of its secret.
    pub digest: SecretDigest,
    /// The secret before the last rotation, and until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// When its secret was made.
    pub issued_at: Timestamp,
    /// When it ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When and why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
}

/// A secret that a rotation has replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its digest.
    pub digest: SecretDigest,
    /// Until when it is good.
    pub until: Timestamp,
}

/// The end of a service token before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// Why, in the words of whoever did it.
    pub reason: String,
}

/// What is asked for in a new service token.
#[derive(Clone, Debug)]
pub struct NewServiceToken {
    /// Its name; `None` for a random one.
    pub id: Option<ServiceTokenId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The apps that it may do that with; empty for all.
    pub apps: Vec<AppId>,
    /// The workspaces whose apps it may do that with (Orcheo); empty for all.
    pub workspaces: Vec<WorkspaceId>,
    /// How long it is good; `None` for ever.
    pub lifetime: Option<Duration>,
}

impl NewServiceToken {
    /// The rights that it would have.
    #[must_use]
    pub fn rights(&self) -> Rights<'_> {
        Rights { scopes: &self.scopes, apps: &self.apps, workspaces: &self.workspaces }
    }

    /// Whether there can be such a token.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] without a scope, with more than 32 workspaces, or for a scope that
    /// cannot be held to workspaces.
    pub fn check(&self) -> Result<(), Denial> {
        let refused = |rule: String| Err(Denial::because(Code::InvalidRequest, rule));
        if self.scopes.is_empty() {
            return refused("scopes must name one scope or more".to_owned());
        }
        if self.workspaces.len() > MAX_WORKSPACES {
            return refused(format!("a service token is for {MAX_WORKSPACES} workspaces at most, or for all"));
        }
        let of_all = |scope: &&Scope| !Scope::OF_WORKSPACES.contains(&scope.as_str());
        match self.scopes.iter().find(of_all) {
            Some(scope) if !self.workspaces.is_empty() => {
                refused(format!("{} cannot be held to workspaces", scope.as_str()))
            }
            _ => Ok(()),
        }
    }
}

/// What a service token may do.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    /// The scopes.
    pub scopes: &'a [Scope],
    /// The apps that they are for; empty for all.
    pub apps: &'a [AppId],
    /// The workspaces that they are for; empty for all.
    pub workspaces: &'a [WorkspaceId],
}

/// How often a service token was shown while it was good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Option<Timestamp>,
}

impl Uses {
    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self { count: self.count.saturating_add(others.count), last: self.last.max(others.last) }
    }
}

impl ServiceToken {
    /// A new service token, and its secret, which nobody can ask for again.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn new(
        asked: NewServiceToken,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<(Self, SecretString), EntropyUnavailable> {
        let NewServiceToken { id, mut scopes, apps, mut workspaces, lifetime } = asked;
        scopes.sort();
        scopes.dedup();
        workspaces.sort();
        workspaces.dedup();
        let id = id.map_or_else(|| ServiceTokenId::new(entropy), Ok)?;
        let secret = new_secret(&scopes, entropy)?;
        let token = Self {
            id,
            scopes,
            apps,
            workspaces,
            digest: SecretDigest::of(&secret),
            previous: None,
            issued_at: now,
            expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
            revoked: None,
        };
        Ok((token, secret))
    }

    /// The service token of the configuration: it may do everything, and has no end of its own.
    #[must_use]
    pub fn bootstrap(secret: &SecretString, now: Timestamp) -> Option<Self> {
        Some(Self {
            id: ServiceTokenId::parse("bootstrap").ok()?,
            scopes: Scope::ALL.iter().filter_map(|scope| scope.parse().ok()).collect(),
            apps: Vec::new(),
            workspaces: Vec::new(),
            digest: SecretDigest::of(secret),
            previous: None,
            issued_at: now,
            expires_at: None,
            revoked: None,
        })
    }

    /// Gives it a new secret, and a new end if `lifetime` is given; the old secret is good for `overlap`
    /// more. With an overlap of zero it ends now.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn rotate(
        &mut self,
        overlap: Duration,
        lifetime: Option<Duration>,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<SecretString, EntropyUnavailable> {
        let secret = new_secret(&self.scopes, entropy)?;
        let digest = std::mem::replace(&mut self.digest, SecretDigest::of(&secret));
        self.previous = (!overlap.is_zero()).then(|| Previous { digest, until: now.plus(overlap) });
        self.issued_at = now;
        self.expires_at = lifetime.map(|lifetime| now.plus(lifetime)).or(self.expires_at);
        Ok(secret)
    }

    /// Ends it. The first reason stays.
    pub fn revoke(&mut self, reason: String, now: Timestamp) {
        self.revoked.get_or_insert(Revoked { at: now, reason });
    }

    /// The digests that its secrets have now.
    pub fn digests(&self, now: Timestamp) -> impl Iterator<Item = &SecretDigest> {
        let previous = self.previous.iter().filter(move |previous| now < previous.until);
        std::iter::once(&self.digest).chain(previous.map(|previous| &previous.digest))
    }

    /// Whether it is good now.
    ///
    /// # Errors
    /// [`Code::ServiceTokenRevoked`], [`Code::ServiceTokenExpired`].
    pub fn check_end(&self, now: Timestamp) -> Result<(), Code> {
        if self.revoked.is_some() {
            return Err(Code::ServiceTokenRevoked);
        }
        if self.expires_at.is_some_and(|end| now >= end) {
            return Err(Code::ServiceTokenExpired);
        }
        Ok(())
    }

    /// Whether it may do what `scope` says, now, to `app`, or to any app if `None`.
    ///
    /// # Errors
    /// As [`Self::check_end`]; [`Code::MissingScope`]; [`Code::WorkspaceForbidden`] for one that is for
    /// workspaces and a scope that is not.
    pub fn allows(&self, scope: &str, app: Option<&AppId>, now: Timestamp) -> Result<(), Denial> {
        self.check_end(now)?;
        let of_app = self.apps.is_empty() || app.is_some_and(|app| self.apps.contains(app));
        if !of_app || !self.scopes.iter().any(|held| held.as_str() == scope) {
            return Err(Denial::because(Code::MissingScope, format!("The service token lacks {scope} here")));
        }
        if self.workspaces.is_empty() || Scope::OF_WORKSPACES.contains(&scope) {
            return Ok(());
        }
        Err(Code::WorkspaceForbidden.into())
    }

    /// Whether it is for apps of this workspace. What is of no workspace is of none of its own.
    ///
    /// # Errors
    /// [`Code::WorkspaceForbidden`].
    pub fn enters(&self, workspace: Option<&WorkspaceId>) -> Result<(), Denial> {
        if self.workspaces.is_empty() || workspace.is_some_and(|workspace| self.workspaces.contains(workspace)) {
            return Ok(());
        }
        Err(Code::WorkspaceForbidden.into())
    }

    /// Whether it may hand out, take over or end a service token with these rights: nobody makes
    /// more of their own.
    ///
    /// # Errors
    /// As [`Self::allows`] and [`Self::enters`].
    pub fn governs(&self, rights: Rights<'_>, now: Timestamp) -> Result<(), Denial> {
        let Rights { scopes, apps, workspaces } = rights;
        self.allows(Scope::TOKENS_WRITE, apps.first(), now)?;
        for scope in scopes {
            match apps {
                [] => self.allows(scope.as_str(), None, now)?,
                apps => apps.iter().try_for_each(|app| self.allows(scope.as_str(), Some(app), now))?,
            }
        }
        match workspaces {
            [] => self.enters(None),
            workspaces => workspaces.iter().try_for_each(|workspace| self.enters(Some(workspace))),
        }
    }

    /// Its rights.
    #[must_use]
    pub fn rights(&self) -> Rights<'_> {
        Rights { scopes: &self.scopes, apps: &self.apps, workspaces: &self.workspaces }
    }
}

/// `sgst_` or `sk-`, and 64 hexadecimal digits: 256 random bits.
fn new_secret(scopes: &[Scope], entropy: &dyn Entropy) -> Result<SecretString, EntropyUnavailable> {
    let is_chatbotkits = |scope: &Scope| Scope::OF_CHATBOTKIT.contains(&scope.as_str());
    let prefix = if scopes.iter().all(is_chatbotkits) { CHATBOTKIT_PREFIX } else { PREFIX };
    let random = zeroize::Zeroizing::new(entropy::bytes::<32>(entropy)?);
    Ok(format!("{prefix}{}", entropy::hex(random.as_slice())).into())
}
