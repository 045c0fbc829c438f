//! Chat sessions, as stores keep them: what each is about is sealed.

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, SessionDigest};
use sidegate_core::session::{ResumeKey, SessionKey};

use super::{Answer, Cursor, Mark, Page};

/// Chat sessions.
pub trait Sessions: Send + Sync {
    /// Keeps a new session until its end; durable when this answers. A second one of its id is refused.
    fn open_session<'a>(&'a self, key: SessionKey<'a>, session: Session) -> Answer<'a, ()>;

    /// A session; `None` if there is none, or its time is over.
    fn session<'a>(&'a self, key: SessionKey<'a>, now: Timestamp) -> Answer<'a, Option<Session>>;

    /// The session that was opened last under this key, if its time is not over.
    fn last_session<'a>(
        &'a self,
        app: &'a AppId,
        resume: ResumeKey,
        now: Timestamp,
    ) -> Answer<'a, Option<(SessionDigest, Session)>>;

    /// Notes that something happened in a session; whether there is one, and it is open. Times never go
    /// back.
    fn touch_session<'a>(&'a self, key: SessionKey<'a>, activity: Activity) -> Answer<'a, bool>;

    /// Closes a session for good; whether it was open. Durable when this answers.
    fn close_session<'a>(&'a self, key: SessionKey<'a>) -> Answer<'a, bool>;

    /// Sessions that were closed after `mark`, on any replica: the latest [`CLOSED_KEPT`] are told. None where nobody else can
    /// have closed them.
    fn closed_since(&self, mark: Mark) -> Answer<'_, Closed> {
        Box::pin(async move { Ok(Closed { mark, sessions: Vec::new() }) })
    }

    /// Puts `new` in the place of what `old` seals if that is still there; whether it was.
    fn reseal_session<'a>(&'a self, key: SessionKey<'a>, old: &'a Session, new: Bytes) -> Answer<'a, bool>;

    /// Some sessions; pages as those of [`super::Vault::page`].
    fn sessions_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, SessionDigest, Session)>>;

    /// Counts a session that was opened.
    fn count_session<'a>(&'a self, app: &'a AppId, at: Timestamp, identified: bool) -> Answer<'a, ()>;

    /// The sessions that were counted since the beginning of the day, in UTC, of `since`. Days are
    /// remembered for [`COUNTED_DAYS`].
    fn session_counts<'a>(&'a self, app: &'a AppId, since: Timestamp) -> Answer<'a, SessionCounts>;
}

/// How many closed sessions are remembered, for those who have streams of them.
pub const CLOSED_KEPT: usize = 1_024;

/// Sessions that were closed, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub sessions: Vec<SessionDigest>,
    /// Where to go on.
    pub mark: Mark,
}

/// For how many days counts are kept, the one of now included.
pub const COUNTED_DAYS: u64 = 8;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What it is about.
    pub sealed: Bytes,
    /// By what its visitor finds it again, if that one may.
    pub resume: Option<ResumeKey>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When last something happened in it, as far as that was noted.
    pub active_at: Timestamp,
    /// When it is over, unless something happens in it.
    pub expires_at: Timestamp,
    /// Whether the visitor has said something.
    pub started: bool,
    /// Whether the chat has ended.
    pub closed: bool,
}

/// Something that happens in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// When.
    pub at: Timestamp,
    /// When the session is over now.
    pub expires_at: Timestamp,
    /// Whether it is a message.
    pub started: bool,
    /// As [`Session::resume`].
    pub resume: Option<ResumeKey>,
}

/// How many sessions were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// All of them.
    pub all: u64,
    /// Those of identified visitors.
    pub identified: u64,
    /// When the last of those was opened.
    pub last_identified: Option<Timestamp>,
}

impl SessionCounts {
    /// One more.
    pub(super) fn add(&mut self, at: Timestamp, identified: bool) {
        self.all += 1;
        self.identified += u64::from(identified);
        self.last_identified = self.last_identified.max(identified.then_some(at));
    }

    /// These and those.
    pub(super) fn and(self, others: Self) -> Self {
        Self {
            all: self.all.saturating_add(others.all),
            identified: self.identified.saturating_add(others.identified),
            last_identified: self.last_identified.max(others.last_identified),
        }
    }
}

/// The number of a day, in UTC.
pub(super) const fn day(at: Timestamp) -> u64 {
    at.seconds() / (24 * 3_600)
}
