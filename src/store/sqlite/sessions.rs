//! Chat sessions.

use bytes::Bytes;
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, SessionDigest};
use sidegate_core::session::{ResumeKey, SessionKey};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row as _, query};

use super::Sqlite;
use super::batch::{Change, millis};
use super::cache::OfSession as Key;
use super::tokens::time_of;
use crate::store::sessions::day;
use crate::store::{
    Activity, Answer, CLOSED_KEPT, COUNTED_DAYS, Closed, Cursor, Mark, Page, Session, SessionCounts, Sessions,
    Unavailable,
};

/// What can be asked of the writer.
pub(super) enum SessionChange {
    /// A new one; not if its id is taken.
    Open(Session),
    /// Something happened; not if it is closed.
    Touch(Activity),
    /// Its end; not if it is closed.
    Close,
    /// Another seal; not if it is no longer that of before.
    Reseal { old: Bytes, new: Bytes },
}

fn owned(key: SessionKey<'_>) -> Key {
    (key.session.clone(), key.app.clone())
}

impl Sqlite {
    async fn change_session(&self, key: SessionKey<'_>, change: SessionChange) -> Result<bool, Unavailable> {
        self.writer.write(Change::Session { key: owned(key), change }).await
    }

    async fn read_session(&self, (session, app): &Key) -> Result<Option<Session>, Unavailable> {
        let found = query("select * from sessions where session = ? and app = ?")
            .bind(session.as_str().to_owned())
            .bind(app.as_str().to_owned());
        let pool = self.reads.pool();
        let row = self.reads.ask(async move { found.fetch_optional(&pool).await }).await?;
        row.map(|row| session_of(&row).map(|(.., session)| session).ok_or(Unavailable)).transpose()
    }
}

impl Sessions for Sqlite {
    fn open_session<'a>(&'a self, key: SessionKey<'a>, session: Session) -> Answer<'a, ()> {
        Box::pin(async move {
            self.change_session(key, SessionChange::Open(session)).await?.then_some(()).ok_or(Unavailable)
        })
    }

    fn session<'a>(&'a self, key: SessionKey<'a>, now: Timestamp) -> Answer<'a, Option<Session>> {
        Box::pin(async move {
            let key = owned(key);
            if self.cache.is_shared() {
                let session = self.read_session(&key).await?;
                return Ok(session.filter(|session| session.expires_at > now));
            }
            let session = match self.cache.sessions.get_value_or_guard_async(&key).await {
                Ok(session) => Some(session),
                Err(vacancy) => {
                    let session = self.read_session(&key).await?;
                    // One that was changed meanwhile is not kept.
                    session.inspect(|session| drop(vacancy.insert(session.clone())))
                }
            };
            Ok(session.filter(|session| session.expires_at > now))
        })
    }

    fn last_session<'a>(
        &'a self,
        app: &'a AppId,
        resume: ResumeKey,
        now: Timestamp,
    ) -> Answer<'a, Option<(SessionDigest, Session)>> {
        Box::pin(async move {
            let last = "select * from sessions where app = ? and resume = ? order by opened_at desc limit 1";
            let last = query(last).bind(app.as_str().to_owned()).bind(resume.as_bytes().to_vec());
            let pool = self.reads.pool();
            let row = self.reads.ask(async move { last.fetch_optional(&pool).await }).await?;
            let found = row.map(|row| session_of(&row).ok_or(Unavailable)).transpose()?;
            Ok(found.filter(|(.., session)| session.expires_at > now).map(|(_, id, session)| (id, session)))
        })
    }

    fn touch_session<'a>(&'a self, key: SessionKey<'a>, activity: Activity) -> Answer<'a, bool> {
        Box::pin(self.change_session(key, SessionChange::Touch(activity)))
    }

    fn close_session<'a>(&'a self, key: SessionKey<'a>) -> Answer<'a, bool> {
        Box::pin(self.change_session(key, SessionChange::Close))
    }

    fn closed_since(&self, mark: Mark) -> Answer<'_, Closed> {
        Box::pin(async move {
            let mut closed = Closed { sessions: Vec::new(), mark };
            let after = i64::try_from(mark.0).unwrap_or(i64::MAX);
            let later = query("select mark, session from closings where mark > ? order by mark").bind(after);
            let pool = self.reads.pool();
            for row in self.reads.ask(async move { later.fetch_all(&pool).await }).await? {
                let (mark, session) = closing_of(&row).ok_or(Unavailable)?;
                closed.mark = mark;
                closed.sessions.push(session);
            }
            Ok(closed)
        })
    }

    fn reseal_session<'a>(&'a self, key: SessionKey<'a>, old: &'a Session, new: Bytes) -> Answer<'a, bool> {
        Box::pin(self.change_session(key, SessionChange::Reseal { old: old.sealed.clone(), new }))
    }

    fn sessions_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(AppId, SessionDigest, Session)>> {
        const STATEMENT: &str = "select * from sessions where (session, app) > (?, ?) order by session, app limit ?";
        Box::pin(self.page_of(STATEMENT, from, session_of, |(app, session, _)| (session.as_str(), app.as_str())))
    }

    fn count_session<'a>(&'a self, app: &'a AppId, at: Timestamp, identified: bool) -> Answer<'a, ()> {
        Box::pin(
            async move { self.writer.write(Change::CountSession { app: app.clone(), at, identified }).await.map(drop) },
        )
    }

    fn session_counts<'a>(&'a self, app: &'a AppId, since: Timestamp) -> Answer<'a, SessionCounts> {
        Box::pin(async move {
            let sums = "select coalesce(sum(opened), 0) as opened, coalesce(sum(identified), 0) as identified, \
                        max(last_identified) as last_identified from session_days where app = ? and day >= ?";
            let sums = query(sums).bind(app.as_str().to_owned()).bind(i64::try_from(day(since)).unwrap_or(i64::MAX));
            let pool = self.reads.pool();
            let row = self.reads.ask(async move { sums.fetch_one(&pool).await }).await?;
            counts_of(&row).ok_or(Unavailable)
        })
    }
}

/// Within the writer's transaction.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    (session, app): &Key,
    change: &SessionChange,
) -> sqlx::Result<bool> {
    let statement = match change {
        SessionChange::Open(kept) => query(
            "insert into sessions (session, app, resume, opened_at, active_at, expires_at, started, closed, sealed) \
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) on conflict do nothing",
        )
        .bind(session.as_str())
        .bind(app.as_str())
        .bind(kept.resume.map(|key| key.as_bytes().to_vec()))
        .bind(millis(kept.opened_at))
        .bind(millis(kept.active_at))
        .bind(millis(kept.expires_at))
        .bind(kept.started)
        .bind(kept.closed)
        .bind(&kept.sealed[..]),
        SessionChange::Touch(Activity { at, expires_at, started, .. }) => query(
            "update sessions set active_at = max(active_at, ?3), expires_at = max(expires_at, ?4), \
             started = started or ?5 where session = ?1 and app = ?2 and not closed",
        )
        .bind(session.as_str())
        .bind(app.as_str())
        .bind(millis(*at))
        .bind(millis(*expires_at))
        .bind(*started),
        SessionChange::Close => return close(connection, session, app).await,
        SessionChange::Reseal { old, new } => {
            query("update sessions set sealed = ?4 where session = ?1 and app = ?2 and sealed = ?3")
                .bind(session.as_str())
                .bind(app.as_str())
                .bind(&old[..])
                .bind(&new[..])
        }
    };
    Ok(statement.execute(connection).await?.rows_affected() > 0)
}

async fn close(connection: &mut SqliteConnection, session: &SessionDigest, app: &AppId) -> sqlx::Result<bool> {
    let closed = query("update sessions set closed = 1 where session = ?1 and app = ?2 and not closed")
        .bind(session.as_str())
        .bind(app.as_str())
        .execute(&mut *connection)
        .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    query("insert into closings (session) values (?)").bind(session.as_str()).execute(&mut *connection).await?;
    query("delete from closings where mark <= (select max(mark) from closings) - ?")
        .bind(i64::try_from(CLOSED_KEPT).unwrap_or(i64::MAX))
        .execute(connection)
        .await?;
    Ok(true)
}

/// Within the writer's transaction; forgets days that are over by the way.
pub(super) async fn count(
    connection: &mut SqliteConnection,
    app: &AppId,
    at: Timestamp,
    identified: bool,
) -> sqlx::Result<bool> {
    let number = |day: u64| i64::try_from(day).unwrap_or(i64::MAX);
    let today = day(at);
    query("delete from session_days where app = ?1 and day <= ?2")
        .bind(app.as_str())
        .bind(number(today) - number(COUNTED_DAYS))
        .execute(&mut *connection)
        .await?;
    query(
        "insert into session_days (app, day, opened, identified, last_identified) values (?1, ?2, 1, ?3, ?4) \
         on conflict do update set opened = opened + 1, identified = identified + excluded.identified, \
         last_identified = coalesce(max(last_identified, excluded.last_identified), last_identified, \
         excluded.last_identified)",
    )
    .bind(app.as_str())
    .bind(number(today))
    .bind(identified)
    .bind(identified.then(|| millis(at)))
    .execute(connection)
    .await?;
    Ok(true)
}

/// `None` if it is not as we write it.
fn closing_of(row: &SqliteRow) -> Option<(Mark, SessionDigest)> {
    let mark = row.try_get::<i64, _>("mark").ok()?.try_into().ok()?;
    Some((Mark(mark), row.try_get::<&str, _>("session").ok()?.parse().ok()?))
}

/// `None` if it is not as we write it.
fn session_of(row: &SqliteRow) -> Option<(AppId, SessionDigest, Session)> {
    let text = |column| row.try_get::<&str, _>(column).ok();
    let flag = |column| row.try_get::<bool, _>(column).ok();
    let resume = match row.try_get::<Option<&[u8]>, _>("resume").ok()? {
        Some(bytes) => Some(ResumeKey::from_bytes(bytes)?),
        None => None,
    };
    let session = Session {
        sealed: Bytes::copy_from_slice(row.try_get("sealed").ok()?),
        resume,
        opened_at: time_of(row, "opened_at")?,
        active_at: time_of(row, "active_at")?,
        expires_at: time_of(row, "expires_at")?,
        started: flag("started")?,
        closed: flag("closed")?,
    };
    Some((text("app")?.parse().ok()?, text("session")?.parse().ok()?, session))
}

fn counts_of(row: &SqliteRow) -> Option<SessionCounts> {
    let number = |column| row.try_get::<i64, _>(column).ok().and_then(|number| u64::try_from(number).ok());
    let last = row.try_get::<Option<i64>, _>("last_identified").ok()?;
    Some(SessionCounts {
        all: number("opened")?,
        identified: number("identified")?,
        last_identified: last.and_then(|at| u64::try_from(at).ok()).map(Timestamp::from_millis),
    })
}
