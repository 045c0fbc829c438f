//! Service tokens: what a customer's servers and operators show to the gate's own API.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::entropy::{self, Entropy, EntropyUnavailable};
use crate::id::{AppId, ServiceTokenId};
use crate::secret::SecretDigest;

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
    /// How long it is good; `None` for ever.
    pub lifetime: Option<Duration>,
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
        let NewServiceToken { id, mut scopes, apps, lifetime } = asked;
        scopes.sort();
        scopes.dedup();
        let id = id.map_or_else(|| ServiceTokenId::new(entropy), Ok)?;
        let secret = new_secret(entropy)?;
        let token = Self {
            id,
            scopes,
            apps,
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

    /// Whether it may do what `scope` says, now, to `app`, or to any app if `None`.
    ///
    /// # Errors
    /// [`Code::ServiceTokenRevoked`], [`Code::ServiceTokenExpired`], [`Code::MissingScope`].
    pub fn allows(&self, scope: &str, app: Option<&AppId>, now: Timestamp) -> Result<(), Denial> {
        if self.revoked.is_some() {
            return Err(Code::ServiceTokenRevoked.into());
        }
        if self.expires_at.is_some_and(|end| now >= end) {
            return Err(Code::ServiceTokenExpired.into());
        }
        let of_app = self.apps.is_empty() || app.is_some_and(|app| self.apps.contains(app));
        if of_app && self.scopes.iter().any(|held| held.as_str() == scope) {
            return Ok(());
        }
        Err(Denial::because(Code::MissingScope, format!("The service token lacks {scope} here")))
    }

    /// Whether it may hand out, take over or end a service token with these rights: nobody makes
    /// more of their own.
    ///
    /// # Errors
    /// As [`Self::allows`].
    pub fn governs(&self, scopes: &[Scope], apps: &[AppId], now: Timestamp) -> Result<(), Denial> {
        self.allows(Scope::TOKENS_WRITE, apps.first(), now)?;
        for scope in scopes {
            match apps {
                [] => self.allows(scope.as_str(), None, now)?,
                apps => apps.iter().try_for_each(|app| self.allows(scope.as_str(), Some(app), now))?,
            }
        }
        Ok(())
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
        NewServiceToken { id: None, scopes, apps: Vec::new(), lifetime: Some(Duration::from_secs(60)) }
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
        let governs = |held: &[&str], apps: &[AppId]| token.governs(&scopes(held), apps, at(1)).is_ok();
        assert!(governs(&[Scope::REVOKE], std::slice::from_ref(&one)));
        assert!(!governs(&[Scope::REVOKE], &[]), "of all apps");
        assert!(!governs(&[Scope::REVOKE], &[one.clone(), other]));
        assert!(!governs(&[Scope::APPS_READ], &[one]));
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
