//! Chat sessions: the server's side of a visitor's chat, where the vendor has one (Chat9's `session_id`).
//!
//! What a session is about is sealed, its id with it; a store sees a digest of the id, when it was active, whether it
//! is open, and a digest by which its visitor is found again.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::context::SessionContext;
use crate::denial::{Code, Denial};
use crate::dialect::Dialect;
use crate::dialect::orcheo::Workspaces;
use crate::entropy::hex;
use crate::id::{AppId, EndUserId, SessionDigest, SessionId};
use crate::leash::Leash;
use crate::token::Claims;

/// Whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey<'a> {
    /// The app.
    pub app: &'a AppId,
    /// The digest of its id.
    pub session: &'a SessionDigest,
}

/// What is known of a session's visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The customer's server vouches for who it is.
    Identified,
    /// What that one has filled in.
    Guest,
    /// Nothing.
    Anonymous,
}

impl Mode {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Identified, Self::Guest, Self::Anonymous];

    /// As the vendors' answers have it, metrics, and the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identified => "identified",
            Self::Guest => "guest",
            Self::Anonymous => "anonymous",
        }
    }
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// A session without activity for so long is over.
    pub idle: Duration,
    /// A session is over after so long, whatever happens in it.
    pub max_age: Duration,
    /// Whether an identified visitor who comes back goes on with the session of before.
    pub resume: bool,
}

impl Default for SessionPolicy {
    /// A day, as Chat9's document has it (seeds/002, "Session continuity"); 30 days; resumed.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        Self { idle: DAY, max_age: 30 * DAY, resume: true }
    }
}

impl SessionPolicy {
    /// What holds for an app of a dialect that says nothing. Mitigate's visitors come in with another identity token,
    /// so their sessions are short.
    #[must_use]
    pub fn of(dialect: Dialect) -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        match dialect {
            Dialect::Mitigate => Self { idle: HOUR / 2, max_age: 24 * HOUR, resume: false },
            // Its sessions end when they were said to, whatever happens in them.
            Dialect::ChatBotKit => Self { idle: 24 * HOUR, max_age: 24 * HOUR, resume: false },
            Dialect::Sigmic | Dialect::Orcheo | Dialect::Chat9 => Self::default(),
        }
    }

    /// When a session is over that was opened and last active then.
    #[must_use]
    pub fn expires_at(&self, opened_at: Timestamp, active_at: Timestamp) -> Timestamp {
        active_at.plus(self.idle).min(opened_at.plus(self.max_age))
    }
}

/// What a session is about.
#[derive(Clone, Debug)]
pub struct ChatSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub end_user: EndUserId,
    /// What is known of that one.
    pub mode: Mode,
    /// The origin that it was opened from, and is bound to; `None` if none was sent.
    pub origin: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// What templates may place into its requests.
    pub context: SessionContext,
}

/// As [`ChatSession`], readable by serde; see [`SessionContext::to_plaintext`].
#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    end_user: Cow<'a, str>,
    mode: Mode,
    #[serde(borrow)]
    origin: Option<Cow<'a, str>>,
    opened_at: Timestamp,
    #[serde(borrow)]
    context: &'a serde_json::value::RawValue,
}

impl ChatSession {
    /// The plaintext that is sealed, wiped when dropped.
    ///
    /// # Errors
    /// [`Code::Internal`] if it cannot be written, which no session is.
    pub fn to_plaintext(&self) -> Result<Zeroizing<Vec<u8>>, Denial> {
        let written = || {
            let context = self.context.to_plaintext().ok()?;
            let plain = Plain {
                id: self.id.as_str().into(),
                end_user: self.end_user.as_str().into(),
                mode: self.mode,
                origin: self.origin.as_deref().map(Cow::from),
                opened_at: self.opened_at,
                context: serde_json::from_slice(&context).ok()?,
            };
            serde_json::to_vec(&plain).ok().map(Zeroizing::new)
        };
        written().ok_or_else(|| Code::Internal.into())
    }

    /// Reads what [`Self::to_plaintext`] wrote; `None` if it did not.
    #[must_use]
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        let plain: Plain<'_> = serde_json::from_slice(plaintext).ok()?;
        Some(Self {
            id: SessionId::parse(&plain.id).ok()?,
            end_user: EndUserId::parse(&plain.end_user).ok()?,
            mode: plain.mode,
            origin: plain.origin.map(Cow::into_owned),
            opened_at: plain.opened_at,
            context: SessionContext::from_plaintext(plain.context.get().as_bytes())?,
        })
    }

    /// The same as the claims of a token would say it: what decides about requests is one.
    ///
    /// # Errors
    /// [`Code::Internal`], which no session id causes.
    pub fn claims(&self, app: &AppId, expires_at: Timestamp) -> Result<Claims, Denial> {
        Ok(Claims {
            app: app.clone(),
            subject: self.end_user.clone(),
            origins: self.origin.iter().cloned().collect(),
            id: Some(self.id.as_str().parse().map_err(|_| Code::Internal)?),
            workflow: None,
            workspaces: Workspaces::default(),
            leash: Leash::default(),
            details: serde_json::Map::new(),
            issued_at: Timestamp::from_seconds(self.opened_at.seconds()),
            not_before: None,
            expires_at,
        })
    }
}

/// By what a visitor's last session is found: a digest of app, end user and origin. It names nobody; who can guess all
/// three can tell whether it is theirs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResumeKey([u8; 32]);

impl std::fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResumeKey(…)")
    }
}

impl ResumeKey {
    /// The key of an end user of an app, who comes from this origin.
    #[must_use]
    pub fn new(app: &AppId, end_user: &EndUserId, origin: Option<&str>) -> Self {
        // No id and no origin can hold a NUL.
        let text = ["sidegate resume", app.as_str(), end_user.as_str(), origin.unwrap_or_default()].join("\0");
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }

    /// As it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Lower-case hexadecimal.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Reads what [`Self::as_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, EntropyUnavailable};

    struct Ones;

    impl Entropy for Ones {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
            bytes.fill(0xff);
            Ok(())
        }
    }

    fn session(origin: Option<&str>) -> ChatSession {
        ChatSession {
            id: SessionId::new(&Ones).expect("an id"),
            end_user: "Zoë \"7\"".parse().expect("an id"),
            mode: Mode::Identified,
            origin: origin.map(str::to_owned),
            opened_at: Timestamp::from_millis(1_700_000_000_123),
            context: SessionContext::of_user([("email".to_owned(), "canary@example.com".to_owned())]),
        }
    }

    #[test]
    fn a_session_reads_what_it_writes_and_prints_nothing_of_it() {
        for origin in [None, Some("https://shop.example.com")] {
            let written = session(origin).to_plaintext().expect("JSON");
            let read = ChatSession::from_plaintext(&written).expect("our own");
            assert_eq!(
                (read.end_user.as_str(), read.mode, read.origin.as_deref()),
                ("Zoë \"7\"", Mode::Identified, origin)
            );
            assert_eq!(read.opened_at, Timestamp::from_millis(1_700_000_000_123));
            assert!(read.context.user("email").is_some());
            assert!(!format!("{read:?}").contains("canary"));
        }
        assert!(ChatSession::from_plaintext(b"{}").is_none());
    }

    #[test]
    fn its_claims_bind_it_to_app_user_and_origin() {
        let (app, id) = ("ch_1".parse().expect("an id"), SessionId::new(&Ones).expect("an id"));
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let until = Timestamp::from_seconds(1_700_000_600);
        let claims = session(Some("https://a.example")).claims(&app, until);
        let claims = claims.expect("claims");
        assert_eq!((&claims.app, claims.subject.as_str(), claims.expires_at), (&app, "Zoë \"7\"", until));
        assert_eq!(claims.origins, ["https://a.example"]);
        assert_eq!(claims.id.as_ref().map(crate::id::TokenId::as_str), Some(id.as_str()));
    }

    #[test]
    fn an_end_is_the_sooner_of_two() {
        let policy = SessionPolicy::default();
        let (opened, day) = (Timestamp::from_seconds(0), 24 * 3_600);
        assert_eq!(policy.expires_at(opened, Timestamp::from_seconds(5)), Timestamp::from_seconds(day + 5));
        assert_eq!(policy.expires_at(opened, Timestamp::from_seconds(30 * day - 1)), Timestamp::from_seconds(30 * day));
    }

    #[test]
    fn a_resume_key_is_of_one_app_user_and_origin() {
        let key = |app: &str, user: &str, origin| {
            ResumeKey::new(&app.parse().expect("id"), &user.parse().expect("id"), origin)
        };
        let one = key("a", "ada", Some("https://x"));
        assert_eq!(ResumeKey::from_bytes(one.as_bytes()), Some(one));
        for other in [key("b", "ada", Some("https://x")), key("a", "bob", Some("https://x")), key("a", "ada", None)] {
            assert_ne!(one, other);
        }
    }
}
