//! Pages of a store: everything is on one of them.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sidegate::store::{Cursor, Page, Store, Unavailable};

use super::conformance::{Ids, after, task};

/// Every promise, each on a store of its own.
pub async fn all(open: &impl AsyncFn() -> Arc<dyn Store>) {
    pages_show_every_record(&*open().await).await;
    pages_show_every_owner(&*open().await).await;
    pages_show_every_use(&*open().await).await;
    a_cursor_that_is_none_is_refused(&*open().await).await;
}

async fn pages_show_every_record(store: &dyn Store) {
    let (ids, other) = (Ids::new(), Ids::of("other", "ada"));
    let mut kept = HashSet::new();
    for index in 0..700 {
        let name = format!("{index:04}");
        let of = if index % 3 == 0 { &other } else { &ids };
        store.put(of.key(&name), Bytes::from(name.clone()), after(10)).await.expect("kept");
        kept.insert((of.app.clone(), name));
    }
    let seen = on_all_pages(async |from| store.page(from).await).await;
    let seen = seen.into_iter().map(|(app, token, record)| {
        assert_eq!((record.sealed, record.expires_at), (Bytes::from(token.as_str().to_owned()), after(10)));
        (app, token.as_str().to_owned())
    });
    assert_eq!(seen.collect::<HashSet<_>>(), kept);
}

/// What stands on all pages.
pub async fn on_all_pages<T>(page: impl AsyncFn(Option<Cursor>) -> Result<Page<T>, Unavailable>) -> Vec<T> {
    let (mut seen, mut from) = (Vec::new(), None);
    loop {
        let page = page(from).await.expect("a page");
        seen.extend(page.records);
        match page.next {
            Some(next) => from = Some(next),
            None => return seen,
        }
    }
}

async fn pages_show_every_owner(store: &dyn Store) {
    let (ada, grace) = (Ids::new(), Ids::of("app", "grace hopper é"));
    let (other, mut kept) = (Ids::of("other", "ada"), HashSet::new());
    assert_eq!(on_all_pages(async |from| store.owners_page(from).await).await, []);
    for index in 0..700 {
        let ids = [&ada, &grace, &other][index % 3];
        let conversation = task(&format!("task.{index}"));
        store.record(ids.owner(), &conversation).await.expect("recorded");
        kept.insert((ids.app.clone(), ids.end_user.clone(), conversation));
    }
    let seen = on_all_pages(async |from| store.owners_page(from).await).await;
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), kept);
}

async fn pages_show_every_use(store: &dyn Store) {
    let (ids, other, mut kept) = (Ids::new(), Ids::of("other", "ada"), HashSet::new());
    assert_eq!(on_all_pages(async |from| store.uses_page(from).await).await, []);
    for index in 0..700 {
        let (name, until) = (format!("{index:04}"), after(10 + index % 5));
        let of = if index % 3 == 0 { &other } else { &ids };
        assert_eq!(store.first_use(of.key(&name), until).await, Ok(true));
        kept.insert((of.app.clone(), of.tokens[&name].clone(), until));
    }
    let seen = on_all_pages(async |from| store.uses_page(from).await).await;
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), kept);
}

/// Going back to the beginning would go round for ever.
async fn a_cursor_that_is_none_is_refused(store: &dyn Store) {
    for bad in ["canary", "ca!nary can!ary", "\0"] {
        let from = || Some(bad.to_owned());
        assert_eq!(store.page(from()).await, Err(Unavailable));
        assert_eq!(store.owners_page(from()).await, Err(Unavailable));
        assert_eq!(store.uses_page(from()).await, Err(Unavailable));
    }
}
