//! Chat sessions.

use bytes::{BufMut as _, Bytes, BytesMut};
use redis::cmd;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, SessionDigest};
use sidegate_core::session::{ResumeKey, SessionKey};

use super::{LAST, MARGIN, Redis, forgotten};
use crate::store::sessions::day;
use crate::store::{
    Activity, Answer, CLOSED_KEPT, COUNTED_DAYS, Closed, Cursor, Mark, Page, Session, SessionCounts, Sessions,
    Unavailable,
};

const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;

/// Bytes before what is sealed and, if its visitor may find it again, before the key for that: three times
/// and flags, as the scripts know them.
const HEAD: usize = 3 * size_of::<u64>() + 1;
const CLOSED: u8 = 1;
const STARTED: u8 = 2;
const RESUMED: u8 = 4;
const RESUME: usize = 32;

fn encode(session: &Session) -> Vec<u8> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let mut bytes = BytesMut::with_capacity(HEAD + RESUME + session.sealed.len());
    for time in [session.expires_at, session.active_at, session.opened_at] {
        // What the scripts compare are doubles.
        bytes.put_u64(time.millis().min(LAST));
    }
    let resumed = flag(session.resume.is_some(), RESUMED);
    bytes.put_u8(flag(session.closed, CLOSED) | flag(session.started, STARTED) | resumed);
    bytes.extend_from_slice(session.resume.as_ref().map_or(&[], |key| key.as_bytes()));
    bytes.extend_from_slice(&session.sealed);
    bytes.into()
}

fn decode(mut bytes: Bytes) -> Option<Session> {
    let time = |at: usize| -> Option<Timestamp> {
        let bytes = bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?;
        Some(Timestamp::from_millis(u64::from_be_bytes(bytes)))
    };
    let (expires_at, active_at, opened_at) = (time(0)?, time(1)?, time(2)?);
    let flags = *bytes.get(HEAD - 1)?;
    let resume = match flags & RESUMED {
        0 => None,
        _ => Some(ResumeKey::from_bytes(bytes.get(HEAD..HEAD + RESUME)?)?),
    };
    let sealed = bytes.split_off(before_seal(resume));
    let (started, closed) = (flags & STARTED != 0, flags & CLOSED != 0);
    Some(Session { sealed, resume, opened_at, active_at, expires_at, started, closed })
}

fn before_seal(resume: Option<ResumeKey>) -> usize {
    HEAD + if resume.is_some() { RESUME } else { 0 }
}

impl Redis {
    async fn read_session(&self, key: SessionKey<'_>) -> Result<Option<Session>, Unavailable> {
        let found: Option<Bytes> =
            self.link.call(cmd("GET").arg(self.keys.session(key))).await.map_err(|_| Unavailable)?;
        found.map(|bytes| decode(bytes).ok_or(Unavailable)).transpose()
    }
}

impl Sessions for Redis {
    fn open_session<'a>(&'a self, key: SessionKey<'a>, session: Session) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut script = self.scripts.open_session.key(self.keys.session(key));
            if let Some(resume) = session.resume {
                script.key(self.keys.last_session(key.app, resume));
            }
            script.arg(encode(&session)).arg(key.session.as_str()).arg(forgotten(session.expires_at));
            script.arg(session.opened_at.millis().min(LAST));
            let kept: bool = self.link.run(&script).await.map_err(|_| Unavailable)?;
            kept.then_some(()).ok_or(Unavailable)
        })
    }

    fn session<'a>(&'a self, key: SessionKey<'a>, now: Timestamp) -> Answer<'a, Option<Session>> {
        Box::pin(async move { Ok(self.read_session(key).await?.filter(|session| session.expires_at > now)) })
    }

    fn last_session<'a>(
        &'a self,
        app: &'a AppId,
        resume: ResumeKey,
        now: Timestamp,
    ) -> Answer<'a, Option<(SessionDigest, Session)>> {
        Box::pin(async move {
            let name = self.keys.last_session(app, resume);
            let last: Option<String> = self.link.call(cmd("GET").arg(name)).await.map_err(|_| Unavailable)?;
            let Some(last) = last else { return Ok(None) };
            // With when it was opened.
            let id = last.split(':').next().and_then(|digest| digest.parse().ok()).ok_or(Unavailable)?;
            let session = self.session(SessionKey { app, session: &id }, now).await?;
            Ok(session.map(|session| (id, session)))
        })
    }

    fn touch_session<'a>(&'a self, key: SessionKey<'a>, activity: Activity) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut script = self.scripts.touch_session.key(self.keys.session(key));
            if let Some(resume) = activity.resume {
                script.key(self.keys.last_session(key.app, resume));
            }
            let millis = |at: Timestamp| at.millis().min(LAST);
            script.arg(key.session.as_str()).arg(millis(activity.expires_at)).arg(millis(activity.at));
            let margin = u64::try_from(MARGIN.as_millis()).unwrap_or(LAST);
            script.arg(u8::from(activity.started)).arg(margin).arg(LAST);
            self.link.run(&script).await.map_err(|_| Unavailable)
        })
    }

    fn close_session<'a>(&'a self, key: SessionKey<'a>) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut script = self.scripts.close_session.key(self.keys.session(key));
            script.key(self.keys.last_closing()).key(self.keys.closings());
            script.arg(key.session.as_str()).arg(CLOSED_KEPT);
            self.link.run(&script).await.map_err(|_| Unavailable)
        })
    }

    fn closed_since(&self, mark: Mark) -> Answer<'_, Closed> {
        Box::pin(async move {
            let mut script = self.scripts.marked_since.key(self.keys.last_closing());
            script.key(self.keys.closings()).arg(mark.0);
            let (mark, closed): (u64, Vec<String>) = self.link.run(&script).await.map_err(|_| Unavailable)?;
            let sessions = closed.iter().map(|digest| digest.parse()).collect::<Result<_, _>>();
            Ok(Closed { sessions: sessions.map_err(|_| Unavailable)?, mark: Mark(mark) })
        })
    }

    fn reseal_session<'a>(&'a self, key: SessionKey<'a>, old: &'a Session, new: Bytes) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut script = self.scripts.replace.key(self.keys.session(key));
            script.arg(&old.sealed[..]).arg(&new[..]).arg(before_seal(old.resume));
            self.link.run(&script).await.map_err(|_| Unavailable)
        })
    }

    fn sessions_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, SessionDigest, Session)>> {
        Box::pin(async move {
            let read = |name: &str, value| {
                let (app, session) = self.keys.of_session(name)?;
                Some((app, session, decode(value)?))
            };
            self.page_of(self.keys.any_session(), from, read).await
        })
    }

    fn count_session<'a>(&'a self, app: &'a AppId, at: Timestamp, identified: bool) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut script = self.scripts.count_session.key(self.keys.sessions_of_day(app, day(at)));
            script.arg(u8::from(identified)).arg(at.millis().min(LAST)).arg(COUNTED_DAYS * DAY_MILLIS);
            let _done: bool = self.link.run(&script).await.map_err(|_| Unavailable)?;
            Ok(())
        })
    }

    fn session_counts<'a>(&'a self, app: &'a AppId, since: Timestamp) -> Answer<'a, SessionCounts> {
        Box::pin(async move {
            let days = (day(since)..=day(since) + COUNTED_DAYS).map(|day| self.keys.sessions_of_day(app, day));
            let counted: Vec<Option<String>> =
                self.link.call(cmd("MGET").arg(days.collect::<Vec<_>>())).await.map_err(|_| Unavailable)?;
            let mut counted = counted.iter().flatten().map(|text| counts(text).ok_or(Unavailable));
            counted.try_fold(SessionCounts::default(), |sum, counts| Ok(sum.and(counts?)))
        })
    }
}

/// `None` if it is not as the script writes it.
fn counts(text: &str) -> Option<SessionCounts> {
    let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (all, identified, last) = (next()?, next()?, next()?);
    let last_identified = (last > 0).then(|| Timestamp::from_millis(last));
    Some(SessionCounts { all, identified, last_identified })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_reads_what_it_writes() {
        let at = Timestamp::from_millis;
        for (resume, started, closed) in [(None, false, false), (ResumeKey::from_bytes(&[7; 32]), true, true)] {
            let sealed = Bytes::from_static(b"\0\xff");
            let session =
                Session { sealed, resume, opened_at: at(1), active_at: at(2), expires_at: at(LAST), started, closed };
            assert_eq!(decode(encode(&session).into()), Some(session));
        }
        assert_eq!(decode(Bytes::from_static(b"short")), None);
    }
}
