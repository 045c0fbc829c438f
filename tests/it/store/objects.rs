//! What every engine promises that keeps objects of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::{join, join_all};
use sidegate::store::{Counts, Entries, Mark, Object, ObjectKind, ObjectQuery, Unavailable, Usage};
use sidegate_core::id::AppId;

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

fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// All widgets of an app, the first ones first.
fn all_of(app: &AppId) -> ObjectQuery<'_> {
    ObjectQuery { kind: KIND, app, after: None, newest_first: false, parent: None, labels: &[], take: 100 }
}

async fn ids(store: &dyn Entries, query: &ObjectQuery<'_>) -> Vec<String> {
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
    lists_go_both_ways_page_by_page(&*open().await).await;
    filters_hold_together(&*open().await).await;
    filters_of_many_objects_meet(&*open().await).await;
    labels_are_those_of_the_last_change(&*open().await).await;
    what_is_removed_is_nowhere(&*open().await).await;
    a_list_is_whole_while_others_write(&*open().await).await;
    changes_are_told_in_order(&*open().await).await;
    more_changes_than_are_told_at_once(&*open().await).await;
    usage_adds_up(&*open().await).await;
    pages_show_every_object(&*open().await).await;
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

async fn lists_go_both_ways_page_by_page(store: &dyn Entries) {
    let a = app("a");
    assert_eq!(store.objects(&all_of(&a)).await, Ok(Vec::new()));
    let mut objects: Vec<_> = ["w3", "w1", "W2", "w-4", "w_5"].map(widget).into();
    objects.push(Object { app: app("b"), ..widget("w9") });
    objects.push(Object { kind: ObjectKind::Contact, ..widget("w8") });
    insert(store, &objects).await;
    let sorted = ["W2", "w-4", "w1", "w3", "w_5"];
    assert_eq!(ids(store, &all_of(&a)).await, sorted);
    let latest = ObjectQuery { newest_first: true, ..all_of(&a) };
    assert_eq!(ids(store, &latest).await, ["w_5", "w3", "w1", "w-4", "W2"]);
    assert_eq!(ids(store, &ObjectQuery { take: 2, ..latest }).await, ["w_5", "w3"]);
    assert_eq!(ids(store, &ObjectQuery { take: 2, after: Some("w3"), ..latest }).await, ["w1", "w-4"]);
    assert_eq!(ids(store, &ObjectQuery { after: Some("w2"), ..latest }).await, ["w1", "w-4", "W2"], "there is none");
    assert_eq!(ids(store, &ObjectQuery { after: Some("w2"), ..all_of(&a) }).await, ["w3", "w_5"]);
    assert_eq!(ids(store, &ObjectQuery { after: Some("z"), ..all_of(&a) }).await, [""; 0]);
    assert_eq!(ids(store, &ObjectQuery { take: 0, ..all_of(&a) }).await, [""; 0]);
    assert_eq!(store.remove(KIND, "w3").await, Ok(true));
    assert_eq!(ids(store, &ObjectQuery { take: 1, after: Some("w3"), ..latest }).await, ["w1"], "gone meanwhile");
    let whole = store.objects(&ObjectQuery { take: 1, ..all_of(&a) }).await.expect("an answer");
    assert_eq!(whole, [widget("W2")]);
    let b = app("b");
    assert_eq!(ids(store, &all_of(&b)).await, ["w9"]);
    assert_eq!(ids(store, &ObjectQuery { kind: ObjectKind::Contact, ..all_of(&a) }).await, ["w8"]);
}

async fn filters_hold_together(store: &dyn Entries) {
    let a = app("a");
    let long = "x".repeat(10_000);
    let with = |id: &str, parent: Option<&str>, labels: &[(&str, &str)]| Object {
        parent: parent.map(str::to_owned),
        labels: labels.iter().map(|(name, value)| label(name, value)).collect(),
        ..widget(id)
    };
    let other = Object { app: app("b"), ..with("w6", Some("p"), &[("tier", "gold")]) };
    insert(
        store,
        &[
            with("w1", Some("p"), &[("tier", "gold"), ("eu", "true")]),
            with("w2", Some("p"), &[("tier", "gold")]),
            with("w3", Some("q"), &[("tier", "gold"), ("eu", "true")]),
            with("w4", None, &[("tier", "tin"), ("eu", "true")]),
            with("w5", None, &[("tiergold", ""), ("", "p"), ("long", &long), ("tier", ""), ("ti", "ergold")]),
            other,
        ],
    )
    .await;
    let found = async |parent: Option<&str>, labels: &[(&str, &str)]| {
        let labels: Vec<_> = labels.iter().map(|(name, value)| label(name, value)).collect();
        ids(store, &ObjectQuery { parent, labels: &labels, ..all_of(&a) }).await
    };
    assert_eq!(found(Some("p"), &[]).await, ["w1", "w2"]);
    assert_eq!(found(Some("r"), &[]).await, [""; 0]);
    assert_eq!(found(None, &[("tier", "gold")]).await, ["w1", "w2", "w3"]);
    assert_eq!(found(None, &[("tier", "gold"), ("eu", "true")]).await, ["w1", "w3"]);
    assert_eq!(found(None, &[("eu", "true"), ("eu", "true"), ("tier", "tin")]).await, ["w4"]);
    assert_eq!(found(Some("q"), &[("tier", "gold"), ("eu", "true")]).await, ["w3"]);
    assert_eq!(found(Some("q"), &[("tier", "tin")]).await, [""; 0]);
    assert_eq!(found(None, &[("tier", "gold"), ("none", "")]).await, [""; 0]);
    assert_eq!(found(None, &[("long", &long)]).await, ["w5"]);
    assert_eq!(found(None, &[("", "p"), ("tiergold", "")]).await, ["w5"]);
    let gold = [label("tier", "gold")];
    let query = ObjectQuery { labels: &gold, newest_first: true, after: Some("w3"), take: 1, ..all_of(&a) };
    assert_eq!(ids(store, &query).await, ["w2"]);
}

/// More than are compared in one step, in lists that meet rarely, at their ends, or never.
async fn filters_of_many_objects_meet(store: &dyn Entries) {
    let labels_of = |index: usize| {
        let mut labels = vec![label("half", if index < 450 { "first" } else { "second" })];
        labels.push(label("even", if index.is_multiple_of(2) { "yes" } else { "no" }));
        if [0, 299, 700, 899].contains(&index) {
            labels.push(label("rare", ""));
        }
        labels
    };
    let objects: Vec<_> =
        (0..900).map(|index| Object { labels: labels_of(index), ..widget(&format!("w{index:03}")) }).collect();
    insert(store, &objects).await;
    let a = app("a");
    for labels in [
        vec![label("rare", ""), label("even", "yes")],
        vec![label("rare", ""), label("half", "second")],
        vec![label("half", "first"), label("half", "second")],
        vec![label("even", "yes"), label("even", "no")],
        vec![label("even", "no"), label("half", "second"), label("rare", "")],
        vec![label("even", "yes"), label("half", "second")],
    ] {
        for newest_first in [false, true] {
            let mut expected: Vec<_> =
                objects.iter().filter(|object| labels.iter().all(|label| object.labels.contains(label))).collect();
            if newest_first {
                expected.reverse();
            }
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let query =
                    ObjectQuery { labels: &labels, newest_first, after: after.as_deref(), take: 70, ..all_of(&a) };
                let page = store.objects(&query).await.expect("an answer");
                assert!(page.len() <= 70);
                let Some(last) = page.last() else { break };
                after = Some(last.id.clone());
                found.extend(page);
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{labels:?}");
        }
    }
}

async fn labels_are_those_of_the_last_change(store: &dyn Entries) {
    let a = app("a");
    let object = |parent: &str, labels: &[&str], revision| Object {
        parent: Some(parent.to_owned()),
        labels: labels.iter().map(|name| label(name, "")).collect(),
        revision,
        ..widget("w1")
    };
    insert(store, &[object("p", &["x", "y"], 1)]).await;
    assert_eq!(store.replace(&object("q", &["y", "z"], 1)).await, Ok(true));
    assert_eq!(store.object(KIND, "w1").await, Ok(Some(object("q", &["y", "z"], 2))));
    for (name, there) in [("x", false), ("y", true), ("z", true)] {
        let labels = [label(name, "")];
        assert_eq!(
            ids(store, &ObjectQuery { labels: &labels, ..all_of(&a) }).await.len(),
            usize::from(there),
            "{name}"
        );
    }
    for (parent, there) in [("p", false), ("q", true)] {
        let found = ids(store, &ObjectQuery { parent: Some(parent), ..all_of(&a) }).await;
        assert_eq!(found.len(), usize::from(there), "{parent}");
    }
    assert_eq!(store.replace(&Object { revision: 2, ..widget("w1") }).await, Ok(true));
    assert_eq!(ids(store, &ObjectQuery { parent: Some("q"), ..all_of(&a) }).await, [""; 0]);
    assert_eq!(ids(store, &all_of(&a)).await, ["w1"]);
}

async fn what_is_removed_is_nowhere(store: &dyn Entries) {
    let a = app("a");
    let labels = vec![label("x", "1")];
    let object = Object { parent: Some("p".to_owned()), labels: labels.clone(), ..widget("w1") };
    insert(store, &[object.clone(), Object { kind: ObjectKind::Contact, ..object.clone() }]).await;
    let used = Counts { sessions: 1, messages: 2, refused: 3, bytes: 4 };
    assert_eq!(store.add_usage(&[Usage { widget: "w1".to_owned(), counts: used }]).await, Ok(()));
    assert_eq!(store.remove(ObjectKind::Blueprint, "w1").await, Ok(false));
    assert_eq!(store.remove(ObjectKind::Contact, "w1").await, Ok(true));
    assert_eq!(store.usage("w1").await, Ok(used), "another's");
    assert_eq!(ids(store, &ObjectQuery { labels: &labels, ..all_of(&a) }).await, ["w1"]);
    assert_eq!(store.remove(KIND, "w1").await, Ok(true));
    assert_eq!(store.remove(KIND, "w1").await, Ok(false));
    assert_eq!(store.object(KIND, "w1").await, Ok(None));
    for query in
        [all_of(&a), ObjectQuery { labels: &labels, ..all_of(&a) }, ObjectQuery { parent: Some("p"), ..all_of(&a) }]
    {
        assert_eq!(ids(store, &query).await, [""; 0], "{query:?}");
    }
    assert_eq!(store.usage("w1").await, Ok(Counts::default()));
    assert_eq!(store.replace(&object).await, Ok(false));
    assert_eq!(store.insert(&widget("w1")).await, Ok(true), "as from a backup");
    assert_eq!(store.usage("w1").await, Ok(Counts::default()));
    assert_eq!(ids(store, &ObjectQuery { labels: &labels, ..all_of(&a) }).await, [""; 0]);
}

/// Whatever comes and goes meanwhile: what was there stands on one page.
async fn a_list_is_whole_while_others_write(store: &dyn Entries) {
    let a = app("a");
    let labels = [label("x", "")];
    let labelled = |id: String| Object { labels: labels.to_vec(), ..widget(&id) };
    let (stay, go): (Vec<_>, Vec<_>) =
        (0..200).map(|index| labelled(format!("w{index:03}"))).partition(|object| !object.id.ends_with('5'));
    insert(store, &[&stay[..], &go[..]].concat()).await;
    let writing = async {
        for (index, gone) in go.iter().enumerate() {
            let new = [labelled(format!("w{:03}n", index * 9)), labelled(format!("z{index:03}"))];
            insert(store, &new).await;
            assert_eq!(store.replace(&stay[index]).await, Ok(true));
            assert_eq!(store.remove(KIND, &gone.id).await, Ok(true));
        }
    };
    let reading = async |newest_first, labels| {
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let query = ObjectQuery { newest_first, labels, after: after.as_deref(), take: 7, ..all_of(&a) };
            let page = ids(store, &query).await;
            let Some(last) = page.last() else { return seen };
            after = Some(last.clone());
            seen.extend(page);
        }
    };
    let readers = join_all(
        [(false, &labels[..]), (true, &[][..]), (true, &labels[..])].map(|(way, labels)| reading(way, labels)),
    );
    let (all, ()) = join(readers, writing).await;
    for seen in all {
        let different: BTreeSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len(), "none twice");
        assert!(stay.iter().all(|object| different.contains(&object.id)), "{seen:?}");
    }
}

async fn changes_are_told_in_order(store: &dyn Entries) {
    assert_eq!(store.last_change().await, Ok(Mark::default()));
    assert_eq!(changes(store, Mark::default()).await, (Vec::new(), Mark::default()));
    insert(store, &[widget("w1")]).await;
    insert(store, &[Object { kind: ObjectKind::Blueprint, ..widget("w2") }]).await;
    let first = store.changed_since(Mark::default()).await.expect("an answer");
    assert_eq!(first.ids, [(KIND, "w1".to_owned()), (ObjectKind::Blueprint, "w2".to_owned())]);
    assert_eq!(store.last_change().await, Ok(first.mark));
    assert_eq!(changes(store, first.mark).await, (Vec::new(), first.mark));
    assert_eq!(store.insert(&widget("w1")).await, Ok(false));
    insert(store, &[widget("w3")]).await;
    assert_eq!(store.replace(&widget("w1")).await, Ok(true));
    assert_eq!(store.remove(KIND, "w3").await, Ok(true));
    let (later, mark) = changes(store, first.mark).await;
    assert_eq!(later, ["w1", "w3"], "each where it changed last");
    assert_eq!(changes(store, Mark::default()).await.0, ["w2", "w1", "w3"]);
    assert_eq!(store.add_usage(&[Usage { widget: "w1".to_owned(), counts: Counts::default() }]).await, Ok(()));
    assert_eq!(changes(store, mark).await.0, [""; 0], "usage is no change");
    insert(store, &[widget("w3")]).await;
    assert_eq!(changes(store, mark).await.0, ["w3"], "it is back");
    // As after the loss of what came last.
    let ahead = Mark((1 << 53) - 1);
    let again = store.changed_since(ahead).await.expect("an answer");
    assert!(again.mark < ahead && again.ids.len() == 3, "{again:?}");
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
    assert_eq!(store.usage("w1").await, counts(3, 2, (1 << 53) - 1));
    assert_eq!(store.usage("w2").await, counts(4, 2, 10));
    for none in ["none", "c1"] {
        assert_eq!(store.usage(none).await, counts(0, 0, 0), "{none}");
    }
    assert_eq!(store.replace(&widget("w2")).await, Ok(true), "usage is no revision");
    assert_eq!(store.usage("w2").await, counts(4, 2, 10));
    let many: Vec<_> = (0..16).map(|index| [used("w1", 1, 0), used("w2", index, 0)]).collect();
    assert!(join_all(many.iter().map(|some| store.add_usage(some))).await.into_iter().all(|added| added == Ok(())));
    assert_eq!(store.usage("w1").await.expect("an answer").sessions, 19);
    assert_eq!(store.usage("w2").await.expect("an answer").sessions, 4 + (0..16).sum::<u64>());
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
