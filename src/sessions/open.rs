//! A page asks for a session: who is vouched for goes on with the one of before, or begins another; so does
//! everybody else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use sidegate_core::app::App;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::SessionContext;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chat9::{self, Init};
use sidegate_core::id::{EndUserId, SessionId};
use sidegate_core::origin::RequestOrigin;
use sidegate_core::policy::{self, Moment, Provenance};
use sidegate_core::session::{ChatSession, Mode, ResumeKey, SessionKey};

use super::vouched::{REVOKED, Vouched};
use super::{Live, read};
use crate::gate::Gate;
use crate::limits::{Counted, Sender, stranger};
use crate::metrics::{Metrics, SessionOutcome};
use crate::registry::Registered;
use crate::store::{Activity, Session};

/// A session that a page has now.
#[derive(Debug)]
pub struct Opened {
    /// Its id.
    pub id: SessionId,
    /// What is known of its visitor.
    pub mode: Mode,
}

/// Opens a session, or resumes one.
///
/// # Errors
/// [`Code::OriginNotAllowed`]; [`Code::RateLimited`]; [`Code::IdentityRequired`]; [`Code::StoreUnavailable`];
/// [`Code::Internal`] without randomness.
pub async fn open(
    gate: &Gate,
    metrics: &Metrics,
    registered: &Arc<Registered>,
    init: Init,
    (from, sender): (Provenance<'_>, Sender<'_>),
) -> Result<Opened, Denial> {
    let app = &registered.app;
    policy::check_origin(app, from, gate.own_origin())?;
    let visitor = identify(gate, metrics, app, &init)?;
    let counted_as = visitor.as_ref().map_or_else(|| stranger(sender.address), |(end_user, _)| Ok(end_user.clone()))?;
    gate.count(registered.limits.exchange.as_ref(), Counted::of(sender, &counted_as)).await?;
    if visitor.is_none() && app.bot.require_identity {
        return Err(Code::IdentityRequired.into());
    }
    let session = about(gate, visitor, init.locale, sent_origin(from))?;
    let mode = session.mode;
    if let Some(id) = resume(gate, app, &session, from).await? {
        metrics.session(SessionOutcome::Resumed);
        return Ok(Opened { id, mode });
    }
    let live = begin(gate, app, session).await?;
    metrics.session(SessionOutcome::of(mode));
    Ok(Opened { id: live.about.id, mode })
}

/// The origin that a session is bound to.
#[must_use]
pub fn sent_origin(from: Provenance<'_>) -> Option<String> {
    match from.origin {
        RequestOrigin::Sent(origin) => Some(origin.to_owned()),
        RequestOrigin::Absent | RequestOrigin::Malformed => None,
    }
}

/// Who the customer's server says that it is, if a token says so that is good. Why one is not is for those
/// who run the gate, not for the browser.
fn identify(
    gate: &Gate,
    metrics: &Metrics,
    app: &App,
    init: &Init,
) -> Result<Option<(EndUserId, SessionContext)>, Denial> {
    let Some(token) = init.identity_token.as_deref() else { return Ok(None) };
    let nobody = |reason: &'static str| {
        metrics.identity(reason);
        tracing::info!(app = app.id.as_str(), reason, "an identity token identifies nobody");
        Ok(None)
    };
    let identity = match chat9::verify(token, app.bot.identity.as_ref(), gate.now()) {
        Ok(identity) => identity,
        Err(reason) => return nobody(reason.name()),
    };
    let vouched = Vouched { end_user: &identity.user_id, issued_at: identity.issued_at, jti: None, text: token };
    if vouched.is_revoked(gate, app)? {
        return nobody(REVOKED);
    }
    metrics.identity("verified");
    Ok(Some((identity.user_id.clone(), identity.into_context())))
}

fn about(
    gate: &Gate,
    visitor: Option<(EndUserId, SessionContext)>,
    locale: Option<String>,
    origin: Option<String>,
) -> Result<ChatSession, Denial> {
    let (mode, (end_user, context)) = match visitor {
        Some(visitor) => (Mode::Identified, visitor),
        None => {
            let nobody = EndUserId::anonymous(&*gate.entropy).map_err(|_| Code::Internal)?;
            (Mode::Anonymous, (nobody, SessionContext::default()))
        }
    };
    let context = match locale {
        Some(locale) => context.and_unverified("locale", locale),
        None => context,
    };
    let id = SessionId::new(&*gate.entropy).map_err(|_| Code::Internal)?;
    Ok(ChatSession { id, end_user, mode, origin, opened_at: gate.now(), context })
}

/// By what a visitor's session is found again, if it may be.
fn resume_key(app: &App, session: &ChatSession) -> Option<ResumeKey> {
    let resumes = app.sessions.resume && session.mode == Mode::Identified;
    resumes.then(|| ResumeKey::new(&app.id, &session.end_user, session.origin.as_deref()))
}

/// How often a resumption is tried anew that another page of the visitor has overtaken.
const TRIES: usize = 4;

/// The open session of before of the same visitor, from the same origin; with what is known of that one now.
async fn resume(
    gate: &Gate,
    app: &Arc<App>,
    session: &ChatSession,
    from: Provenance<'_>,
) -> Result<Option<SessionId>, Denial> {
    let Some(resume) = resume_key(app, session) else { return Ok(None) };
    let now = gate.now();
    for tried in 1..=TRIES {
        let Some((digest, kept)) = gate.store.last_session(&app.id, resume, now).await? else { return Ok(None) };
        let place = SessionKey { app: &app.id, session: &digest };
        let about = if kept.closed { None } else { read(gate, place, &kept) };
        let Some(before) = about.map(|about| Live { kept, about }) else { return Ok(None) };
        if !may_go_on(gate, app, &before, from)? {
            return Ok(None);
        }
        let renewed = ChatSession { id: before.about.id, opened_at: before.about.opened_at, ..session.clone() };
        let resealed = gate.store.reseal_session(place, &before.kept, seal(gate, place, &renewed)?).await?;
        // At last what another of its pages has brought will do: it is the same visitor.
        if !resealed && tried < TRIES {
            continue;
        }
        let expires_at = app.sessions.expires_at(before.kept.opened_at, now);
        let activity = Activity { at: now, expires_at, started: false, resume: before.kept.resume };
        return Ok(gate.store.touch_session(place, activity).await?.then_some(renewed.id));
    }
    Ok(None)
}

/// Whether a request of it would be admitted now.
fn may_go_on(gate: &Gate, app: &Arc<App>, before: &Live, from: Provenance<'_>) -> Result<bool, Denial> {
    let revoked = gate.revoked.current()?;
    let moment = Moment { now: gate.now(), revoked: &revoked, own_origin: gate.own_origin() };
    Ok(policy::admit_session(app, before.claims(app)?, from, moment).is_ok())
}

/// For how long a session is kept in which nothing was said. Anybody may open one.
const UNSAID: Duration = Duration::from_secs(3_600);

/// A new session.
pub(super) async fn begin(gate: &Gate, app: &App, session: ChatSession) -> Result<Live, Denial> {
    let now = session.opened_at;
    let expires_at = app.sessions.expires_at(now, now).min(now.plus(UNSAID));
    begin_until(gate, app, session, expires_at).await
}

/// A new session that ends then, unless something keeps it alive.
pub(super) async fn begin_until(
    gate: &Gate,
    app: &App,
    session: ChatSession,
    expires_at: Timestamp,
) -> Result<Live, Denial> {
    let place = SessionKey { app: &app.id, session: &session.id.digest() };
    let (now, resume) = (session.opened_at, resume_key(app, &session));
    let kept = Session {
        sealed: seal(gate, place, &session)?,
        resume,
        opened_at: now,
        active_at: now,
        expires_at,
        started: false,
        closed: false,
    };
    let counted = gate.store.count_session(&app.id, now, session.mode == Mode::Identified);
    let (opened, counted) = join(gate.store.open_session(place, kept.clone()), counted).await;
    opened?;
    if counted.is_err() {
        tracing::warn!(app = app.id.as_str(), "a session was opened, and not counted");
    }
    Ok(Live { kept, about: session })
}

fn seal(gate: &Gate, place: SessionKey<'_>, session: &ChatSession) -> Result<Bytes, Denial> {
    let sealer = gate.sealer.as_ref().ok_or(Code::ContextNotConfigured)?;
    let sealed = sealer.seal(place, &session.to_plaintext()?, &*gate.entropy).map_err(|_| Code::Internal)?;
    Ok(sealed.into())
}
