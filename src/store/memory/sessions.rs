//! Chat sessions.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, SessionDigest};
use sidegate_core::session::{ResumeKey, SessionKey};

use super::{ENTRY_COST, Entry, Memory, State, pages};
use crate::store::sessions::day;
use crate::store::{Activity, Answer, COUNTED_DAYS, Cursor, Page, Session, SessionCounts, Sessions, Unavailable};

/// A session of an app.
pub(super) type Key = (SessionDigest, AppId);

/// All sessions, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Kept {
    sessions: BTreeMap<Key, Session>,
    last: HashMap<(AppId, ResumeKey), SessionDigest>,
    days: BTreeMap<(u64, AppId), SessionCounts>,
}

impl Kept {
    /// Drops a session; what it cost.
    pub(super) fn drop(&mut self, key: &Key) -> usize {
        let Some(session) = self.sessions.remove(key) else { return 0 };
        if let Some(resume) = session.resume {
            let place = (key.1.clone(), resume);
            if self.last.get(&place) == Some(&key.0) {
                self.last.remove(&place);
            }
        }
        cost(key, &session)
    }

    pub(super) fn forget_days(&mut self, now: Timestamp) {
        self.days.retain(|(counted, _), _| counted + COUNTED_DAYS > day(now));
    }
}

fn owned(key: SessionKey<'_>) -> Key {
    (key.session.clone(), key.app.clone())
}

/// Two entries: the session, and that it is its visitor's last.
fn cost((session, app): &Key, kept: &Session) -> usize {
    2 * (ENTRY_COST + session.as_str().len() + app.as_str().len()) + kept.sealed.len()
}

impl State {
    fn open(&mut self, key: Key, session: Session, capacity: usize) -> Result<(), Unavailable> {
        if self.sessions.sessions.contains_key(&key) {
            return Err(Unavailable);
        }
        let cost = cost(&key, &session);
        let chatting =
            self.chatting.checked_add(cost).filter(|chatting| *chatting <= capacity / 2).ok_or(Unavailable)?;
        if cost > self.room_beside_contexts(capacity) {
            return Err(Unavailable);
        }
        self.reserve(cost, capacity)?;
        self.chatting = chatting;
        self.expiries.insert((session.expires_at, Entry::Session(key.clone())));
        if let Some(resume) = session.resume {
            let place = (key.1.clone(), resume);
            let of_last = self.sessions.last.get(&place).map(|last| (last.clone(), key.1.clone()));
            let last = of_last.and_then(|last| self.sessions.sessions.get(&last));
            if last.is_none_or(|last| last.opened_at <= session.opened_at) {
                self.sessions.last.insert(place, key.0.clone());
            }
        }
        self.sessions.sessions.insert(key, session);
        Ok(())
    }

    fn touch(&mut self, key: &Key, activity: Activity) -> bool {
        let Some(session) = self.sessions.sessions.get_mut(key).filter(|session| !session.closed) else {
            return false;
        };
        let before = session.expires_at;
        session.active_at = session.active_at.max(activity.at);
        session.expires_at = before.max(activity.expires_at);
        session.started |= activity.started;
        let after = session.expires_at;
        self.expiries.remove(&(before, Entry::Session(key.clone())));
        self.expiries.insert((after, Entry::Session(key.clone())))
    }
}

impl Sessions for Memory {
    fn open_session<'a>(&'a self, key: SessionKey<'a>, session: Session) -> Answer<'a, ()> {
        Box::pin(async move { self.state().open(owned(key), session, self.capacity) })
    }

    fn session<'a>(&'a self, key: SessionKey<'a>, now: Timestamp) -> Answer<'a, Option<Session>> {
        Box::pin(async move {
            let state = self.state();
            Ok(state.sessions.sessions.get(&owned(key)).filter(|session| session.expires_at > now).cloned())
        })
    }

    fn last_session<'a>(
        &'a self,
        app: &'a AppId,
        resume: ResumeKey,
        now: Timestamp,
    ) -> Answer<'a, Option<(SessionDigest, Session)>> {
        Box::pin(async move {
            let state = self.state();
            let Some(id) = state.sessions.last.get(&(app.clone(), resume)) else { return Ok(None) };
            let session = state.sessions.sessions.get(&(id.clone(), app.clone()));
            Ok(session.filter(|session| session.expires_at > now).map(|session| (id.clone(), session.clone())))
        })
    }

    fn touch_session<'a>(&'a self, key: SessionKey<'a>, activity: Activity) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.state().touch(&owned(key), activity)) })
    }

    fn close_session<'a>(&'a self, key: SessionKey<'a>) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut state = self.state();
            let session = state.sessions.sessions.get_mut(&owned(key));
            Ok(session.is_some_and(|session| !std::mem::replace(&mut session.closed, true)))
        })
    }

    fn reseal_session<'a>(&'a self, key: SessionKey<'a>, old: &'a Session, new: Bytes) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut state = self.state();
            let known = state.sessions.sessions.get_mut(&owned(key));
            let Some(session) = known.filter(|session| session.sealed == old.sealed) else { return Ok(false) };
            let before = std::mem::replace(&mut session.sealed, new);
            let grown = session.sealed.len();
            state.used = (state.used + grown).saturating_sub(before.len());
            state.chatting = (state.chatting + grown).saturating_sub(before.len());
            Ok(true)
        })
    }

    fn sessions_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, SessionDigest, Session)>> {
        Box::pin(async move {
            pages::page(&self.state().sessions.sessions, from.as_deref(), |(session, app), kept| {
                (app.clone(), session.clone(), kept.clone())
            })
        })
    }

    fn count_session<'a>(&'a self, app: &'a AppId, at: Timestamp, identified: bool) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut state = self.state();
            state.sessions.days.entry((day(at), app.clone())).or_default().add(at, identified);
            Ok(())
        })
    }

    fn session_counts<'a>(&'a self, app: &'a AppId, since: Timestamp) -> Answer<'a, SessionCounts> {
        Box::pin(async move {
            let state = self.state();
            let days = state.sessions.days.iter().filter(|((counted, of), _)| *counted >= day(since) && of == app);
            Ok(days.fold(SessionCounts::default(), |sum, (_, counts)| sum.and(*counts)))
        })
    }
}
