//! What every engine promises of lists of objects.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use sidegate::store::{Entries, Object, ObjectKind, ObjectQuery};

use super::objects::{all_of, app, ids, insert, label, widget};

const KIND: ObjectKind = ObjectKind::Widget;

/// Every promise, each on a store of its own.
pub async fn all(open: &impl AsyncFn() -> Arc<dyn Entries>) {
    lists_go_both_ways_page_by_page(&*open().await).await;
    a_list_is_of_one_app_and_one_kind(&*open().await).await;
    filters_hold_together(&*open().await).await;
    filters_of_many_objects_meet(&*open().await).await;
    labels_are_those_of_the_last_change(&*open().await).await;
    a_list_is_whole_while_others_write(&*open().await).await;
}

async fn lists_go_both_ways_page_by_page(store: &dyn Entries) {
    let a = app("a");
    assert_eq!(store.objects(&all_of(&a)).await, Ok(Vec::new()));
    insert(store, &["w3", "w1", "W2", "w-4", "w_5"].map(widget)).await;
    let latest = ObjectQuery { newest_first: true, ..all_of(&a) };
    for (query, expected) in [
        (all_of(&a), &["W2", "w-4", "w1", "w3", "w_5"][..]),
        (latest, &["w_5", "w3", "w1", "w-4", "W2"]),
        (ObjectQuery { take: 2, ..latest }, &["w_5", "w3"]),
        (ObjectQuery { take: 2, after: Some("w3"), ..latest }, &["w1", "w-4"]),
        // There is none of this id.
        (ObjectQuery { after: Some("w2"), ..latest }, &["w1", "w-4", "W2"]),
        (ObjectQuery { after: Some("w2"), ..all_of(&a) }, &["w3", "w_5"]),
        (ObjectQuery { after: Some("z"), ..all_of(&a) }, &[]),
        (ObjectQuery { take: 0, ..all_of(&a) }, &[]),
    ] {
        assert_eq!(ids(store, &query).await, expected, "{query:?}");
    }
    assert_eq!(store.remove(KIND, "w3").await, Ok(true));
    assert_eq!(ids(store, &ObjectQuery { take: 1, after: Some("w3"), ..latest }).await, ["w1"], "gone meanwhile");
}

async fn a_list_is_of_one_app_and_one_kind(store: &dyn Entries) {
    let (a, b) = (app("a"), app("b"));
    let of_b = Object { app: b.clone(), ..widget("w9") };
    let contact = Object { kind: ObjectKind::Contact, ..widget("w8") };
    insert(store, &[widget("w1"), of_b.clone(), contact.clone()]).await;
    assert_eq!(store.objects(&all_of(&a)).await, Ok(vec![widget("w1")]));
    assert_eq!(store.objects(&all_of(&b)).await, Ok(vec![of_b]));
    assert_eq!(store.objects(&ObjectQuery { kind: ObjectKind::Contact, ..all_of(&a) }).await, Ok(vec![contact]));
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
