//! Service tokens: what a customer's servers and operators show to the gate's own API.

use std::fmt;
use std::str::FromStr;
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

/// What a service token may do, such as `admin:apps:read`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// See apps of the registry.
    pub const APPS_READ: &str = "admin:apps:read";
    /// Create, change and disable apps of the registry.
    pub const APPS_WRITE: &str = "admin:apps:write";
    /// See service tokens, never their secrets.
    pub const TOKENS_READ: &str = "admin:tokens:read";
    /// Create, rotate and revoke service tokens.
    pub const TOKENS_WRITE: &str = "admin:tokens:write";
    /// Revoke widget tokens.
    pub const REVOKE: &str = "admin:revoke";

    /// Ask for session tokens of end users (Orcheo).
    pub const CHATKIT_SESSION: &str = "chatkit:session";

    /// Every scope that is asked for anywhere.
    pub const ALL: [&str; 6] =
        [Self::APPS_READ, Self::APPS_WRITE, Self::TOKENS_READ, Self::TOKENS_WRITE, Self::REVOKE, Self::CHATKIT_SESSION];

    /// What a service token may do that is for workspaces: all else is for apps of every workspace, or of none.
    pub const OF_WORKSPACES: [&str; 2] = [Self::TOKENS_WRITE, Self::CHATKIT_SESSION];

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScope;

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be one of {}", Scope::ALL.join(", "))
    }
}

impl std::error::Error for UnknownScope {}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        if Self::ALL.contains(&text) { Ok(Self(text.to_owned())) } else { Err(UnknownScope) }
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

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
        let secret = new_secret(entropy)?;
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
        let secret = new_secret(entropy)?;
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

/// `sgst_` and 64 hexadecimal digits: 256 random bits.
fn new_secret(entropy: &dyn Entropy) -> Result<SecretString, EntropyUnavailable> {
    let random = zeroize::Zeroizing::new(entropy::bytes::<32>(entropy)?);
    Ok(format!("{PREFIX}{}", entropy::hex(random.as_slice())).into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Ok(())
        }
    }

    fn entropy() -> Counting {
        Counting(0.into())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn asked(scopes: &[&str]) -> NewServiceToken {
        let scopes = scopes.iter().map(|scope| scope.parse().expect("a scope")).collect();
        let (apps, workspaces) = (Vec::new(), Vec::new());
        NewServiceToken { id: None, scopes, apps, workspaces, lifetime: Some(Duration::from_secs(60)) }
    }

    fn code(token: &ServiceToken, scope: &str, app: Option<&str>, now: u64) -> Option<Code> {
        let app = app.map(|app| app.parse().expect("id"));
        token.allows(scope, app.as_ref(), at(now)).err().map(|denial| denial.code)
    }

    #[test]
    fn it_allows_its_scopes_until_it_ends() {
        let (mut token, secret) = ServiceToken::new(asked(&[Scope::APPS_READ]), &entropy(), at(0)).expect("a token");
        assert!(secret.expose_secret().starts_with(PREFIX));
        assert_eq!(token.digest, SecretDigest::of(&secret));
        assert_eq!(code(&token, Scope::APPS_READ, None, 59), None);
        assert_eq!(code(&token, Scope::APPS_WRITE, None, 59), Some(Code::MissingScope));
        assert_eq!(code(&token, Scope::APPS_READ, None, 60), Some(Code::ServiceTokenExpired));
        token.revoke("leaked".into(), at(5));
        token.revoke("again".into(), at(6));
        assert_eq!(code(&token, Scope::APPS_READ, None, 6), Some(Code::ServiceTokenRevoked));
        assert_eq!(token.revoked, Some(Revoked { at: at(5), reason: "leaked".into() }));
    }

    #[test]
    fn one_of_an_app_is_of_that_app_alone() {
        let asked = NewServiceToken { apps: vec!["a".parse().expect("id")], ..asked(&[Scope::REVOKE]) };
        let (token, _) = ServiceToken::new(asked, &entropy(), at(0)).expect("a token");
        assert_eq!(code(&token, Scope::REVOKE, Some("a"), 1), None);
        assert_eq!(code(&token, Scope::REVOKE, Some("b"), 1), Some(Code::MissingScope));
        assert_eq!(code(&token, Scope::REVOKE, None, 1), Some(Code::MissingScope), "what is of no app is of all");
    }

    #[test]
    fn nobody_makes_more_of_their_rights() {
        let (one, other): (AppId, AppId) = ("a".parse().expect("id"), "b".parse().expect("id"));
        let rights = [Scope::TOKENS_WRITE, Scope::REVOKE];
        let asked = NewServiceToken { apps: vec![one.clone()], ..asked(&rights) };
        let (token, _) = ServiceToken::new(asked, &entropy(), at(0)).expect("a token");
        let scopes =
            |texts: &[&str]| -> Vec<Scope> { texts.iter().map(|text| text.parse().expect("a scope")).collect() };
        let governs = |held: &[&str], apps: &[AppId]| {
            token.governs(Rights { scopes: &scopes(held), apps, workspaces: &[] }, at(1)).is_ok()
        };
        assert!(governs(&[Scope::REVOKE], std::slice::from_ref(&one)));
        assert!(!governs(&[Scope::REVOKE], &[]), "of all apps");
        assert!(!governs(&[Scope::REVOKE], &[one.clone(), other]));
        assert!(!governs(&[Scope::APPS_READ], &[one]));
    }

    fn workspace(text: &str) -> WorkspaceId {
        text.parse().expect("id")
    }

    #[test]
    fn one_of_workspaces_is_for_their_apps_and_their_service_tokens_alone() {
        let (one, other) = (workspace("one"), workspace("other"));
        let rights = [Scope::TOKENS_WRITE, Scope::CHATKIT_SESSION, Scope::APPS_WRITE];
        let asked = NewServiceToken { workspaces: vec![other.clone(), one.clone(), one.clone()], ..asked(&rights) };
        let (token, _) = ServiceToken::new(asked, &entropy(), at(0)).expect("a token");
        assert_eq!(token.workspaces, [one.clone(), other.clone()], "in order, each once");
        assert!(token.enters(Some(&one)).is_ok() && token.enters(Some(&other)).is_ok());
        for workspace in [None, Some(workspace("third"))] {
            let refused = token.enters(workspace.as_ref()).expect_err("it is not one of its own");
            assert_eq!(refused.code, Code::WorkspaceForbidden, "{workspace:?}");
        }
        assert_eq!(code(&token, Scope::CHATKIT_SESSION, None, 1), None);
        assert_eq!(code(&token, Scope::APPS_WRITE, None, 1), Some(Code::WorkspaceForbidden), "apps are of all");
        let scopes = ["chatkit:session".parse().expect("a scope")];
        let governs = |workspaces: &[WorkspaceId]| {
            token.governs(Rights { scopes: &scopes, apps: &[], workspaces }, at(1)).is_ok()
        };
        assert!(governs(std::slice::from_ref(&one)) && governs(&[one.clone(), other]));
        assert!(!governs(&[]) && !governs(&[one, workspace("third")]));
        let of_all = ServiceToken { workspaces: Vec::new(), ..token };
        assert!(of_all.enters(None).is_ok() && of_all.enters(Some(&workspace("third"))).is_ok());
    }

    #[test]
    fn what_cannot_be_held_to_workspaces_is_refused_with_them() {
        let check = |scopes: &[&str], workspaces: usize| {
            let workspaces = (0..workspaces).map(|index| workspace(&index.to_string())).collect();
            NewServiceToken { workspaces, ..asked(scopes) }.check().is_ok()
        };
        assert!(check(&[Scope::REVOKE], 0) && check(&Scope::OF_WORKSPACES, 32));
        assert!(!check(&[Scope::CHATKIT_SESSION, Scope::REVOKE], 1));
        assert!(!check(&[Scope::CHATKIT_SESSION], 33) && !check(&[], 0));
    }

    #[test]
    fn a_rotation_keeps_the_old_secret_for_its_overlap() {
        let entropy = entropy();
        let (mut token, first) = ServiceToken::new(asked(&[Scope::REVOKE]), &entropy, at(0)).expect("a token");
        let second = token.rotate(Duration::from_secs(10), None, &entropy, at(20)).expect("a secret");
        let (first, second) = (SecretDigest::of(&first), SecretDigest::of(&second));
        assert_eq!(token.digests(at(29)).collect::<Vec<_>>(), [&second, &first]);
        assert_eq!(token.digests(at(30)).collect::<Vec<_>>(), [&second]);
        token.rotate(Duration::ZERO, None, &entropy, at(21)).expect("a secret");
        assert!(token.digests(at(21)).all(|digest| *digest != second && *digest != first), "no overlap");
    }

    #[test]
    fn it_reads_what_it_writes_and_nothing_of_its_secret_is_in_it() {
        let (token, secret) = ServiceToken::new(asked(&[Scope::REVOKE]), &entropy(), at(0)).expect("a token");
        let document = serde_json::to_string(&token).expect("JSON");
        assert!(!document.contains(secret.expose_secret()));
        assert_eq!(serde_json::from_str::<ServiceToken>(&document).expect("read"), token);
        assert!("admin:everything".parse::<Scope>().is_err());
    }
}
