//! What every engine promises that keeps objects of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::{join, join_all};
use sidegate::store::{Counts, Entries, Mark, Object, ObjectKind, ObjectQuery, Unavailable, Usage};
use sidegate_core::id::AppId;

use super::object_lists;
use super::paging::on_all_pages;

const KIND: ObjectKind = ObjectKind::Widget;

pub fn app(text: &str) -> AppId {
    text.parse().expect("id")
}

/// A widget of the app `a`, as it is at first.
pub fn widget(id: &str) -> Object {
    Object {
        kind: KIND,
        id: id.to_owned(),
        app: app("a"),
        revision: 1,
        parent: None,
        labels: Vec::new(),
        document: format!("{{\"id\":\"{id}\"}}"),
    }
}

pub fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// All widgets of an app, the first ones first.
pub fn all_of(app: &AppId) -> ObjectQuery<'_> {
    ObjectQuery { kind: KIND, app, after: None, newest_first: false, parent: None, labels: &[], take: 100 }
}

pub async fn ids(store: &dyn Entries, query: &ObjectQuery<'_>) -> Vec<String> {
    store.objects(query).await.expect("an answer").into_iter().map(|object| object.id).collect()
}

/// Keeps new objects.
pub async fn insert(store: &dyn Entries, objects: &[Object]) {
    for some in objects.chunks(256) {
        let inserted = join_all(some.iter().map(|object| store.insert(object))).await;
        assert!(inserted.into_iter().all(|inserted| inserted == Ok(true)));
    }
}

/// All that has changed, and the last mark.
pub async fn changes(store: &dyn Entries, mut mark: Mark) -> (Vec<String>, Mark) {
    let mut all = Vec::new();
    loop {
        let changed = store.changed_since(mark).await.expect("an answer");
        all.extend(changed.ids.into_iter().map(|(_, id)| id));
        if changed.mark == mark {
            return (all, mark);
        }
        mark = changed.mark;
    }
}

/// Every promise, each on a store of its own.
pub async fn all(open: &impl AsyncFn() -> Arc<dyn Entries>) {
    an_id_is_taken_once_for_all_apps(&*open().await).await;
    a_change_needs_the_current_revision(&*open().await).await;
    of_many_changes_one_wins(&*open().await).await;
    object_lists::all(open).await;
    what_is_removed_is_nowhere(&*open().await).await;
    what_is_of_another_kind_stays(&*open().await).await;
    usage_adds_up(&*open().await).await;
    of_usage_at_once_none_is_lost(&*open().await).await;
    pages_show_every_object(&*open().await).await;
    all_of_changes(open).await;
}

async fn all_of_changes(open: &impl AsyncFn() -> Arc<dyn Entries>) {
    changes_are_told_in_order(&*open().await).await;
    what_changes_nothing_is_no_change(&*open().await).await;
    a_mark_that_was_never_given_begins_anew(&*open().await).await;
    more_changes_than_are_told_at_once(&*open().await).await;
    two_writers_are_followed(&*open().await).await;
}

async fn an_id_is_taken_once_for_all_apps(store: &dyn Entries) {
    let first = Object { labels: vec![label("a", "ünï ✓ '\"\\\0"), label("", "")], ..widget("w1") };
    assert_eq!(store.insert(&Object { revision: 9, ..first.clone() }).await, Ok(true));
    assert_eq!(store.insert(&Object { app: app("b"), ..widget("w1") }).await, Ok(false));
    assert_eq!(store.object(KIND, "w1").await, Ok(Some(first)));
    for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != KIND) {
        assert_eq!(store.object(kind, "w1").await, Ok(None));
        let other = Object { kind, parent: Some("p".to_owned()), ..widget("w1") };
        assert_eq!(store.insert(&other).await, Ok(true));
        assert_eq!(store.object(kind, "w1").await, Ok(Some(other)));
    }
    assert_eq!(store.object(KIND, "w2").await, Ok(None));
}

async fn a_change_needs_the_current_revision(store: &dyn Entries) {
    assert_eq!(store.replace(&widget("w1")).await, Ok(false), "there is none");
    insert(store, &[widget("w1")]).await;
    let changed = Object { document: "2".to_owned(), ..widget("w1") };
    let before = store.last_change().await.expect("an answer");
    for refused in [
        Object { revision: 0, ..changed.clone() },
        Object { revision: 2, ..changed.clone() },
        Object { revision: u64::MAX, ..changed.clone() },
        Object { app: app("b"), ..changed.clone() },
        Object { kind: ObjectKind::Contact, ..changed.clone() },
    ] {
        assert_eq!(store.replace(&refused).await, Ok(false), "{refused:?}");
    }
    assert_eq!(changes(store, before).await, (Vec::new(), before), "nothing was changed");
    assert_eq!(store.replace(&changed).await, Ok(true));
    assert_eq!(store.replace(&changed).await, Ok(false), "it has changed since");
    assert_eq!(store.object(KIND, "w1").await, Ok(Some(Object { revision: 2, ..changed })));
}

async fn of_many_changes_one_wins(store: &dyn Entries) {
    let all: Vec<_> =
        (0..40).map(|index| Object { labels: vec![label("n", &index.to_string())], ..widget("w1") }).collect();
    let won = |outcomes: Vec<Result<bool, Unavailable>>| {
        outcomes.into_iter().filter(|outcome| outcome.expect("an answer")).count()
    };
    assert_eq!(won(join_all(all.iter().map(|object| store.insert(object))).await), 1);
    assert_eq!(won(join_all(all.iter().map(|object| store.replace(object))).await), 1);
    let kept = store.object(KIND, "w1").await.expect("an answer").expect("kept");
    assert_eq!(kept.revision, 2);
    for object in &all {
        let found = ids(store, &ObjectQuery { labels: &object.labels, ..all_of(&object.app) }).await;
        assert_eq!(!found.is_empty(), object.labels == kept.labels, "{object:?}");
    }
    assert_eq!(won(join_all((0..8).map(|_| store.remove(KIND, "w1"))).await), 1);
}

async fn what_is_removed_is_nowhere(store: &dyn Entries) {
    let a = app("a");
    let labels = vec![label("x", "1")];
    let object = Object { parent: Some("p".to_owned()), labels: labels.clone(), ..widget("w1") };
    insert(store, std::slice::from_ref(&object)).await;
    let used = Counts { sessions: 1, messages: 2, refused: 3, bytes: 4 };
    assert_eq!(store.add_usage(&[Usage { widget: "w1".to_owned(), counts: used }]).await, Ok(()));
    assert_eq!(store.remove(KIND, "w1").await, Ok(true));
    assert_eq!(store.remove(KIND, "w1").await, Ok(false));
    assert_eq!(store.object(KIND, "w1").await, Ok(None));
    assert_eq!(store.replace(&object).await, Ok(false));
    for query in
        [all_of(&a), ObjectQuery { labels: &labels, ..all_of(&a) }, ObjectQuery { parent: Some("p"), ..all_of(&a) }]
    {
        assert_eq!(ids(store, &query).await, [""; 0], "{query:?}");
    }
    assert_eq!(store.usage("w1").await, Ok(Counts::default()));
    assert_eq!(store.insert(&widget("w1")).await, Ok(true), "as from a backup");
    assert_eq!(store.usage("w1").await, Ok(Counts::default()));
    assert_eq!(ids(store, &ObjectQuery { labels: &labels, ..all_of(&a) }).await, [""; 0]);
}

async fn what_is_of_another_kind_stays(store: &dyn Entries) {
    let a = app("a");
    insert(store, &[widget("w1"), Object { kind: ObjectKind::Contact, ..widget("w1") }]).await;
    let used = Counts { sessions: 1, ..Counts::default() };
    assert_eq!(store.add_usage(&[Usage { widget: "w1".to_owned(), counts: used }]).await, Ok(()));
    assert_eq!(store.remove(ObjectKind::Blueprint, "w1").await, Ok(false));
    assert_eq!(store.remove(ObjectKind::Contact, "w1").await, Ok(true));
    assert_eq!((store.object(KIND, "w1").await, store.usage("w1").await), (Ok(Some(widget("w1"))), Ok(used)));
    assert_eq!(ids(store, &all_of(&a)).await, ["w1"]);
}

async fn changes_are_told_in_order(store: &dyn Entries) {
    assert_eq!(store.last_change().await, Ok(Mark::default()));
    assert_eq!(changes(store, Mark::default()).await, (Vec::new(), Mark::default()));
    insert(store, &[widget("w1")]).await;
    insert(store, &[Object { kind: ObjectKind::Blueprint, ..widget("w2") }]).await;
    let first = store.changed_since(Mark::default()).await.expect("an answer");
    assert_eq!(first.ids, [(KIND, "w1".to_owned()), (ObjectKind::Blueprint, "w2".to_owned())]);
    assert_eq!(store.last_change().await, Ok(first.mark));
    insert(store, &[widget("w3")]).await;
    assert_eq!(store.replace(&widget("w1")).await, Ok(true));
    assert_eq!(store.remove(KIND, "w3").await, Ok(true));
    let (later, mark) = changes(store, first.mark).await;
    assert_eq!(later, ["w1", "w3"], "each where it changed last");
    assert_eq!(changes(store, Mark::default()).await.0, ["w2", "w1", "w3"]);
    insert(store, &[widget("w3")]).await;
    assert_eq!(changes(store, mark).await.0, ["w3"], "it is back");
}

async fn what_changes_nothing_is_no_change(store: &dyn Entries) {
    insert(store, &[widget("w1")]).await;
    let before = store.last_change().await.expect("an answer");
    assert_eq!(store.insert(&widget("w1")).await, Ok(false));
    assert_eq!(store.remove(KIND, "w2").await, Ok(false));
    let counts = Counts { sessions: 1, ..Counts::default() };
    assert_eq!(store.add_usage(&[Usage { widget: "w1".to_owned(), counts }]).await, Ok(()));
    assert_eq!(changes(store, before).await, (Vec::new(), before));
}

/// As after the loss of what came last.
async fn a_mark_that_was_never_given_begins_anew(store: &dyn Entries) {
    let ahead = Mark((1 << 53) - 1);
    assert_eq!(store.changed_since(ahead).await.expect("an answer").mark, Mark::default());
    insert(store, &[widget("w1"), widget("w2")]).await;
    let again = store.changed_since(ahead).await.expect("an answer");
    assert!(again.mark < ahead && again.ids.len() == 2, "{again:?}");
}

async fn more_changes_than_are_told_at_once(store: &dyn Entries) {
    let objects: Vec<_> = (0..700).map(|index| widget(&format!("w{index:03}"))).collect();
    insert(store, &objects).await;
    let first = store.changed_since(Mark::default()).await.expect("an answer");
    assert!((100..700).contains(&first.ids.len()), "{}", first.ids.len());
    let (all, mark) = changes(store, Mark::default()).await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 700);
    assert_eq!((all.len(), store.last_change().await), (700, Ok(mark)));
}

async fn usage_adds_up(store: &dyn Entries) {
    insert(store, &[widget("w1"), widget("w2"), Object { kind: ObjectKind::Contact, ..widget("c1") }]).await;
    let used = |widget: &str, sessions, bytes| Usage {
        widget: widget.to_owned(),
        counts: Counts { sessions, messages: 1, refused: 0, bytes },
    };
    let counts = |sessions, messages, bytes| Ok(Counts { sessions, messages, refused: 0, bytes });
    assert_eq!(store.usage("w1").await, counts(0, 0, 0));
    assert_eq!(store.add_usage(&[]).await, Ok(()));
    let some = [used("w2", 1, 5), used("none", 1, 1), used("w1", 2, u64::MAX), used("c1", 1, 1), used("w2", 3, 5)];
    assert_eq!(store.add_usage(&some).await, Ok(()));
    assert_eq!(store.add_usage(&[used("w1", 1, 1)]).await, Ok(()));
    assert_eq!(store.replace(&widget("w2")).await, Ok(true), "usage is no revision");
    for (id, expected) in [
        ("w1", counts(3, 2, (1 << 53) - 1)),
        ("w2", counts(4, 2, 10)),
        ("none", counts(0, 0, 0)),
        ("c1", counts(0, 0, 0)),
    ] {
        assert_eq!(store.usage(id).await, expected, "{id}");
    }
}

async fn of_usage_at_once_none_is_lost(store: &dyn Entries) {
    insert(store, &[widget("w1"), widget("w2")]).await;
    let used =
        |widget: &str, sessions| Usage { widget: widget.to_owned(), counts: Counts { sessions, ..Counts::default() } };
    let mut many: Vec<_> = (0..16).map(|index| [used("w1", 1), used("w2", index)]).collect();
    many.iter_mut().step_by(2).for_each(|some| some.reverse());
    assert!(join_all(many.iter().map(|some| store.add_usage(some))).await.into_iter().all(|added| added == Ok(())));
    for (id, sessions) in [("w1", 16), ("w2", (0..16).sum())] {
        assert_eq!(store.usage(id).await, Ok(Counts { sessions, ..Counts::default() }), "{id}");
    }
}

async fn pages_show_every_object(store: &dyn Entries) {
    let mut kept = BTreeMap::new();
    for (place, kind) in ObjectKind::ALL.into_iter().enumerate() {
        let objects: Vec<_> =
            (0..100 * place + 130).map(|index| Object { kind, ..widget(&format!("w{index}")) }).collect();
        insert(store, &objects).await;
        kept.extend(objects.into_iter().map(|object| ((kind, object.id.clone()), object)));
    }
    let counts = Counts { sessions: 7, ..Counts::default() };
    assert_eq!(store.add_usage(&[Usage { widget: "w7".to_owned(), counts }]).await, Ok(()));
    let seen = on_all_pages(async |from| store.objects_page(from).await).await;
    let seen: BTreeMap<_, _> =
        seen.into_iter().map(|(object, used)| ((object.kind, object.id.clone()), (object, used))).collect();
    assert_eq!(seen.len(), kept.len());
    for (key, (object, used)) in seen {
        let expected = if key == (KIND, "w7".to_owned()) { counts } else { Counts::default() };
        assert_eq!((&kept[&key], used), (&object, expected));
    }
    for bad in ["canary", "ca!nary can!ary", "\0"] {
        assert_eq!(store.objects_page(Some(bad.to_owned())).await, Err(Unavailable));
    }
}

async fn two_writers_are_followed(store: &dyn Entries) {
    all_changes_are_told(&[store, store], store).await;
}

/// Whoever asks while several gates write learns of every change.
pub async fn all_changes_are_told(writers: &[&dyn Entries], reader: &dyn Entries) {
    const EACH: usize = 60;
    let writing = join_all(writers.iter().enumerate().map(async |(writer, store)| {
        let objects: Vec<_> = (0..EACH).map(|index| widget(&format!("w{index}-{writer}"))).collect();
        insert(*store, &objects).await;
        for object in &objects[..EACH / 3] {
            assert_eq!(store.replace(object).await, Ok(true));
        }
        join_all(objects[..EACH / 6].iter().map(|object| store.remove(KIND, &object.id))).await;
    }));
    let reading = async {
        // As a replica would: what it has at hand follows what it is told.
        let (mut known, mut mark) = (BTreeMap::new(), Mark::default());
        let settled = async |known: &BTreeMap<String, u64>| {
            known.len() == writers.len() * (EACH - EACH / 6)
                && known.values().filter(|revision| **revision == 2).count() == writers.len() * EACH / 6
        };
        while !settled(&known).await {
            let changed = reader.changed_since(mark).await.expect("an answer");
            for (kind, id) in changed.ids {
                match reader.object(kind, &id).await.expect("an answer") {
                    Some(object) => known.insert(id, object.revision),
                    None => known.remove(&id),
                };
            }
            mark = changed.mark;
            tokio::task::yield_now().await;
        }
        known
    };
    let both = tokio::time::timeout(crate::support::gate::PATIENCE, join(writing, reading)).await;
    let (_, known) = both.expect("every change is told");
    let a = app("a");
    let there = reader.objects(&ObjectQuery { take: 1_000, ..all_of(&a) }).await.expect("an answer");
    let there: BTreeMap<_, _> = there.into_iter().map(|object| (object.id, object.revision)).collect();
    assert_eq!(known, there);
}
