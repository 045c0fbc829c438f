//! What somebody asks to be revoked, as what is kept.

use std::time::Duration;

use sidegate_core::app::App;
use sidegate_core::clock::Timestamp;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::Dialect;
use sidegate_core::id::{AppId, EndUserId, TokenId};
use sidegate_core::revocation::Revocation;
use sidegate_core::secret::SecretDigest;
use sidegate_core::token::CLOCK_LEEWAY;

/// A revocation is kept for this long at least: sessions may be older than the longest life of today.
const KEPT_AT_LEAST: Duration = Duration::from_secs(31 * DAY);

/// One of all tokens, or all of an app's. There are few, and they are what is left when a key or a secret has leaked: tokens
/// that come from elsewhere, and apps that cannot be served now, are to be covered as well.
const KEPT_FOR_ALL: Duration = Duration::from_secs(400 * DAY);

const DAY: u64 = 24 * 3_600;

/// Whose tokens are to be refused.
#[derive(Debug)]
pub enum Target {
    /// This one.
    Token(String),
    /// The one with this `jti`.
    Id(AppId, TokenId),
    /// An end user's.
    EndUser(AppId, EndUserId),
    /// An app's.
    App(AppId),
    /// All.
    All,
}

impl Target {
    /// The app that it names.
    #[must_use]
    pub const fn app(&self) -> Option<&AppId> {
        match self {
            Self::Id(app, _) | Self::EndUser(app, _) | Self::App(app) => Some(app),
            Self::Token(_) | Self::All => None,
        }
    }
}

/// The revocation, and the time by which all that it takes in are over.
#[derive(Debug)]
pub struct Resolved {
    /// What is kept.
    pub revocation: Revocation,
    /// For how long.
    pub until: Timestamp,
    /// The app that it is for; `None` for all.
    pub app: Option<AppId>,
}

/// Finds what is meant among `apps`.
///
/// # Errors
/// [`Code::NotFound`] for an app that is not there, [`Code::InvalidToken`] for a token that no app's
/// keys verify, [`Code::InvalidRequest`] for an end user of ChatBotKit.
pub fn resolve<'a>(target: Target, apps: impl Iterator<Item = &'a App>, now: Timestamp) -> Result<Resolved, Denial> {
    let issued_before = now;
    let (app, revocation) = match target {
        Target::Token(text) => return one_token(&text, &apps.collect::<Vec<_>>(), now),
        Target::Id(app, jti) => (Some(app.clone()), Revocation::Id { app, jti }),
        Target::EndUser(app, end_user) => (Some(app.clone()), Revocation::EndUser { app, end_user, issued_before }),
        Target::App(app) => (Some(app.clone()), Revocation::App { app, issued_before }),
        Target::All => (None, Revocation::All { issued_before }),
    };
    let meant: Vec<_> = apps.filter(|known| app.as_ref().is_none_or(|app| *app == known.id)).collect();
    if app.is_some() && meant.is_empty() {
        return Err(Denial::because(Code::NotFound, "There is no such app"));
    }
    let of_end_user = matches!(revocation, Revocation::EndUser { .. });
    if of_end_user && meant.iter().any(|app| app.dialect == Dialect::ChatBotKit) {
        // Its tokens name a session, and no end user.
        return Err(Denial::because(Code::InvalidRequest, "sessions of ChatBotKit have a token, a jti and an app"));
    }
    let mut until = all_over(&meant, now);
    if matches!(revocation, Revocation::App { .. } | Revocation::All { .. }) {
        until = until.max(now.plus(KEPT_FOR_ALL));
    }
    Ok(Resolved { revocation, until, app })
}

/// When all tokens and sessions of these apps are over that there are now.
fn all_over(apps: &[&App], now: Timestamp) -> Timestamp {
    let sessions = apps.iter().filter(|app| app.dialect.has_sessions()).map(|app| app.sessions.max_age);
    let tokens = apps.iter().filter_map(|app| app.token.as_ref()).map(|policy| policy.max_ttl);
    let longest = sessions.chain(tokens).max();
    now.plus(longest.unwrap_or_default().max(KEPT_AT_LEAST)).plus(CLOCK_LEEWAY)
}

/// A token that its app's keys verify, by its digest, until it would be refused anyway. One of a session stands for the
/// others, and does so when it is over: they get new ones for themselves. So they are revoked together, by the id that they
/// have in common.
fn one_token(text: &str, apps: &[&App], now: Timestamp) -> Result<Resolved, Denial> {
    let (app, claims) = Dialect::verify_any(text, apps)?;
    let (revocation, until) = match claims.id.as_ref().filter(|_| app.dialect.has_sessions()) {
        Some(jti) => (Revocation::Id { app: claims.app.clone(), jti: jti.clone() }, all_over(&[app], now)),
        None => (Revocation::Token { digest: SecretDigest::of_token(text) }, claims.refused_from()),
    };
    Ok(Resolved { revocation, until, app: Some(claims.app) })
}
