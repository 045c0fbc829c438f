//! What every engine promises of chat sessions.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use sidegate::store::{Activity, COUNTED_DAYS, Session, SessionCounts, Store, Unavailable};
use sidegate_core::clock::Timestamp;
use sidegate_core::id::{AppId, SessionDigest};
use sidegate_core::session::{ResumeKey, SessionKey};

use super::conformance::after;
use super::paging::on_all_pages;

/// A session by number.
pub fn id(number: u32) -> SessionDigest {
    format!("{number:08x}").repeat(8).parse().expect("a digest")
}

pub fn app(text: &str) -> AppId {
    text.parse().expect("an id")
}

pub fn resume(number: u8) -> ResumeKey {
    ResumeKey::from_bytes(&[number; 32]).expect("a key")
}

/// A session that was just opened.
pub fn session(sealed: &'static str, resume: Option<ResumeKey>, opened: u64) -> Session {
    Session {
        sealed: Bytes::from_static(sealed.as_bytes()),
        resume,
        opened_at: after(opened),
        active_at: after(opened),
        expires_at: after(opened + 100),
        started: false,
        closed: false,
    }
}

fn activity(at: u64, resume: Option<ResumeKey>) -> Activity {
    Activity { at: after(at), expires_at: after(at + 100), started: true, resume }
}

/// Every promise, each on a store of its own.
pub async fn all(open: &impl AsyncFn() -> Arc<dyn Store>) {
    they_live_until_their_time(&*open().await).await;
    what_happens_in_them_keeps_them(&*open().await).await;
    they_are_closed_once_and_for_good(&open().await).await;
    the_last_of_a_visitor_is_found(&*open().await).await;
    the_last_is_that_which_was_opened_last(&*open().await).await;
    they_are_sealed_anew_if_unchanged(&*open().await).await;
    pages_show_every_one(&*open().await).await;
    they_are_counted_by_day(&*open().await).await;
}

async fn they_live_until_their_time(store: &dyn Store) {
    let (one, other, id) = (app("a"), app("b"), id(1));
    let key = SessionKey { app: &one, session: &id };
    for (number, kept) in [session("\0one\u{ff}", None, 0), session("", Some(resume(1)), 5)].into_iter().enumerate() {
        let id = self::id(u32::try_from(number).expect("few") + 1);
        let key = SessionKey { app: &one, session: &id };
        store.open_session(key, kept.clone()).await.expect("kept");
        assert_eq!(store.session(key, after(99)).await, Ok(Some(kept)));
    }
    assert_eq!(store.open_session(key, session("another", None, 0)).await, Err(Unavailable), "the id is taken");
    assert_eq!(store.session(key, after(100)).await, Ok(None), "its time is over");
    assert_eq!(store.session(SessionKey { app: &other, session: &id }, after(1)).await, Ok(None), "another app's");
    store.open_session(SessionKey { app: &other, session: &id }, session("x", None, 0)).await.expect("another app's");
    store.sweep(after(102)).await.expect("swept");
    assert_eq!(store.session(key, after(102)).await, Ok(None));
    let (left, key) = (self::id(2), |id| SessionKey { app: &one, session: id });
    assert!(store.session(key(&left), after(102)).await.expect("an answer").is_some());
}

async fn what_happens_in_them_keeps_them(store: &dyn Store) {
    let (app, id, visitor) = (app("a"), id(1), resume(7));
    let key = SessionKey { app: &app, session: &id };
    assert_eq!(store.touch_session(key, activity(1, None)).await, Ok(false), "there is none");
    store.open_session(key, session("about", Some(visitor), 0)).await.expect("kept");
    assert_eq!(store.touch_session(key, activity(50, Some(visitor))).await, Ok(true));
    let expected =
        Session { active_at: after(50), expires_at: after(150), started: true, ..session("about", Some(visitor), 0) };
    assert_eq!(store.session(key, after(149)).await, Ok(Some(expected.clone())));
    // A replica whose clock is behind takes nothing back.
    let earlier = Activity { started: false, ..activity(20, Some(visitor)) };
    assert_eq!(store.touch_session(key, earlier).await, Ok(true));
    assert_eq!(store.session(key, after(149)).await, Ok(Some(expected.clone())));
    store.sweep(after(120)).await.expect("swept");
    assert_eq!(store.session(key, after(120)).await, Ok(Some(expected.clone())));
    assert_eq!(store.last_session(&app, visitor, after(149)).await, Ok(Some((id, expected))));
}

async fn they_are_closed_once_and_for_good(store: &Arc<dyn Store>) {
    let (app, id) = (app("a"), id(1));
    let key = SessionKey { app: &app, session: &id };
    assert_eq!(store.close_session(key).await, Ok(false), "there is none");
    let opened = session("about", Some(resume(1)), 0);
    store.open_session(key, opened.clone()).await.expect("kept");
    assert_eq!(store.session(key, after(1)).await, Ok(Some(opened.clone())));
    let closed = join_all((0..50).map(|_| store.close_session(key))).await;
    assert_eq!(closed.iter().filter(|outcome| **outcome == Ok(true)).count(), 1);
    assert_eq!(store.touch_session(key, activity(50, opened.resume)).await, Ok(false), "it is not opened again");
    let expected = Session { closed: true, ..opened };
    assert_eq!(store.session(key, after(99)).await, Ok(Some(expected)), "it can still be asked for");
    assert_eq!(store.session(key, after(100)).await, Ok(None));
}

async fn the_last_of_a_visitor_is_found(store: &dyn Store) {
    let (one, other, visitor) = (app("a"), app("b"), resume(1));
    assert_eq!(store.last_session(&one, visitor, after(1)).await, Ok(None));
    for (number, opened) in [(1, 0), (2, 10)] {
        let id = id(number);
        let key = SessionKey { app: &one, session: &id };
        store.open_session(key, session("about", Some(visitor), opened)).await.expect("kept");
    }
    let third = id(3);
    let nobodys = SessionKey { app: &one, session: &third };
    store.open_session(nobodys, session("about", None, 20)).await.expect("kept");
    let last = async |now| store.last_session(&one, visitor, after(now)).await.expect("an answer");
    assert_eq!(last(50).await.map(|(id, _)| id), Some(id(2)), "the one that was opened last");
    assert_eq!(store.last_session(&other, visitor, after(50)).await, Ok(None), "another app's");
    assert_eq!(store.last_session(&one, resume(2), after(50)).await, Ok(None), "another visitor's");
    // What happens in an older one does not make it the last.
    let first = id(1);
    let key = SessionKey { app: &one, session: &first };
    assert_eq!(store.touch_session(key, activity(60, Some(visitor))).await, Ok(true));
    assert_eq!(last(70).await.map(|(id, _)| id), Some(id(2)));
    let second = id(2);
    store.close_session(SessionKey { app: &one, session: &second }).await.expect("closed");
    assert!(last(70).await.is_some_and(|(id, session)| id == second && session.closed), "who asks is told");
    assert_eq!(last(110).await, None, "its time is over");
}

async fn the_last_is_that_which_was_opened_last(store: &dyn Store) {
    let (app, visitor) = (app("a"), resume(1));
    // As a backup may bring them.
    for (number, opened) in [(2, 20), (1, 10), (3, 15)] {
        let (key, opened) = (id(number), session("x", Some(visitor), opened));
        store.open_session(SessionKey { app: &app, session: &key }, opened).await.expect("kept");
        let key = SessionKey { app: &app, session: &key };
        assert_eq!(store.touch_session(key, activity(30, Some(visitor))).await, Ok(true));
        let last = store.last_session(&app, visitor, after(50)).await.expect("an answer");
        assert_eq!(last.map(|(id, _)| id), Some(id(2)), "after {number}");
    }
}

async fn they_are_sealed_anew_if_unchanged(store: &dyn Store) {
    for (number, visitor) in [(1, None), (2, Some(resume(1)))] {
        let (app, id) = (app("a"), id(number));
        let key = SessionKey { app: &app, session: &id };
        let (old, other) = (session("old", visitor, 0), session("other", visitor, 0));
        assert_eq!(store.reseal_session(key, &old, Bytes::from_static(b"new")).await, Ok(false), "there is none");
        store.open_session(key, old.clone()).await.expect("kept");
        store.session(key, after(1)).await.expect("an answer");
        assert_eq!(store.reseal_session(key, &other, Bytes::from_static(b"new")).await, Ok(false));
        assert_eq!(store.reseal_session(key, &old, Bytes::from_static(b"newer")).await, Ok(true));
        let expected = Session { sealed: Bytes::from_static(b"newer"), ..old };
        assert_eq!(store.session(key, after(1)).await, Ok(Some(expected)), "it keeps all else");
    }
}

async fn pages_show_every_one(store: &dyn Store) {
    let (apps, mut kept) = ([app("a"), app("b")], HashSet::new());
    assert_eq!(on_all_pages(async |from| store.sessions_page(from).await).await, []);
    for number in 0..700_u32 {
        let (id, app) = (id(number), &apps[number as usize % 2]);
        let visitor = number.is_multiple_of(3).then(|| resume(u8::try_from(number % 200).expect("a byte")));
        let opened = session("about", visitor, u64::from(number % 7));
        store.open_session(SessionKey { app, session: &id }, opened.clone()).await.expect("kept");
        kept.insert((app.clone(), id, opened.resume, opened.opened_at));
    }
    let seen = on_all_pages(async |from| store.sessions_page(from).await).await.into_iter();
    let seen: HashSet<_> = seen.map(|(app, id, session)| (app, id, session.resume, session.opened_at)).collect();
    assert_eq!(seen, kept);
    for bad in ["canary", "ca!nary can!ary", "\0"] {
        assert_eq!(store.sessions_page(Some(bad.to_owned())).await, Err(Unavailable));
    }
}

async fn they_are_counted_by_day(store: &dyn Store) {
    const DAY: u64 = 24 * 3_600;
    let (one, other) = (app("a"), app("b"));
    let none = SessionCounts::default();
    // The beginning of a day near the time of now: engines may forget by their own clocks.
    let today = Timestamp::from_seconds(after(0).seconds() / DAY * DAY + DAY);
    let at = |days: u64, seconds: u64| Timestamp::from_seconds(today.seconds() + days * DAY + seconds);
    assert_eq!(store.session_counts(&one, today).await, Ok(none));
    for (day, seconds, identified) in [(0, 5, true), (0, 7, false), (0, 6, true), (1, 1, false), (2, 9, true)] {
        store.count_session(&one, at(day, seconds), identified).await.expect("counted");
    }
    store.count_session(&other, at(0, 1), false).await.expect("counted");
    let counts = |all, identified, last| SessionCounts { all, identified, last_identified: last };
    assert_eq!(store.session_counts(&one, at(0, 80_000)).await, Ok(counts(5, 3, Some(at(2, 9)))), "of the whole day");
    assert_eq!(store.session_counts(&one, at(1, 0)).await, Ok(counts(2, 1, Some(at(2, 9)))));
    assert_eq!(store.session_counts(&other, at(0, 0)).await, Ok(counts(1, 0, None)));
    assert_eq!(store.session_counts(&one, at(COUNTED_DAYS, 0)).await, Ok(none));
}
