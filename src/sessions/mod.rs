//! Chat sessions at run time: opened and resumed, found again for each request, kept alive by what happens
//! in them, closed when the chat has ended.

mod converse;
mod enter;
mod open;
mod replay;
mod token;
mod vouched;

pub use converse::{Conversation, Opening, new_conversation};
pub use enter::Door;
pub use open::{Opened, open, sent_origin};
pub use replay::{Claim, First, REPLAYED, Replay, digested};
pub use token::{of_claims, refreshed};

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sidegate_core::app::App;
use sidegate_core::clock::Timestamp;
use sidegate_core::context::SessionContext;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::id::{AppId, SessionId};
use sidegate_core::session::{ChatSession, SessionKey};
use sidegate_core::token::Claims;

use crate::gate::Gate;
use crate::store::{Activity, Session, Store, Unavailable};

/// Activity is written down once in so long: each message would else be a commit of its own.
const NOTED_EVERY: Duration = Duration::from_secs(30);

/// A session as it was found.
#[derive(Clone, Debug)]
pub struct Live {
    kept: Session,
    about: ChatSession,
}

impl Live {
    /// Finds a session of an app.
    ///
    /// # Errors
    /// [`Code::SessionNotFound`]; [`Code::StoreUnavailable`].
    pub async fn find(gate: &Gate, app: &App, id: &SessionId) -> Result<Self, Denial> {
        let key = SessionKey { app: &app.id, session: &id.digest() };
        let kept = gate.store.session(key, gate.now()).await?.ok_or(Code::SessionNotFound)?;
        // One that no key opens is as good as lost: its page begins another.
        let about = read(gate, key, &kept).ok_or(Code::SessionNotFound)?;
        Ok(Self { kept, about })
    }

    /// What it says, as the claims of a token would.
    ///
    /// # Errors
    /// As [`ChatSession::claims`].
    pub fn claims(&self, app: &App) -> Result<Claims, Denial> {
        self.about.claims(&app.id, self.kept.expires_at)
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.about.id
    }

    /// The origin that it was opened from, if one was sent.
    #[must_use]
    pub fn opened_from(&self) -> Option<&str> {
        self.about.origin.as_deref()
    }

    /// Whether the chat has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.kept.closed
    }

    /// Whether the visitor has said something.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.kept.started
    }

    /// When it is over if nothing happens from now on.
    #[must_use]
    pub fn ends_at(&self, app: &App, now: Timestamp) -> Timestamp {
        app.sessions.expires_at(self.kept.opened_at, now).max(self.kept.expires_at)
    }

    /// What templates may place into its requests.
    #[must_use]
    pub const fn context(&self) -> &SessionContext {
        &self.about.context
    }

    /// Notes that something happens in it, a message if `says` so.
    ///
    /// # Errors
    /// [`Code::SessionClosed`] if it was closed meanwhile; [`Code::StoreUnavailable`].
    pub async fn touch(&self, store: &dyn Store, app: &App, now: Timestamp, says: bool) -> Result<(), Denial> {
        let noted_lately = now.since(self.kept.active_at) < NOTED_EVERY.min(app.sessions.idle / 4);
        if noted_lately && (self.kept.started || !says) {
            return Ok(());
        }
        let expires_at = app.sessions.expires_at(self.kept.opened_at, now);
        let activity = Activity { at: now, expires_at, started: says, resume: self.kept.resume };
        let key = SessionKey { app: &app.id, session: &self.about.id.digest() };
        if store.touch_session(key, activity).await? { Ok(()) } else { Err(Code::SessionClosed.into()) }
    }

    /// What closes it, for an answer that says so as it passes.
    pub fn closing(&self, store: &Arc<dyn Store>, app: &AppId) -> Closing {
        let (store, app, id) = (Arc::clone(store), app.clone(), self.about.id.digest());
        Box::pin(async move { store.close_session(SessionKey { app: &app, session: &id }).await.map(drop) })
    }
}

/// A session that is being closed.
pub type Closing = Pin<Box<dyn Future<Output = Result<(), Unavailable>>>>;

/// What a session is about; `None` if no key opens it.
fn read(gate: &Gate, key: SessionKey<'_>, kept: &Session) -> Option<ChatSession> {
    ChatSession::from_plaintext(&gate.sealer.as_ref()?.open(key, &kept.sealed)?)
}
