//! Objects of the API in each engine: how much work a list is among many, what becomes of removals in time,
//! and several gates over one store.

use std::sync::Arc;

use futures_util::future::join_all;
use sidegate::store::{
    Counts, Entries, Mark, Memory, Object, ObjectKind, ObjectQuery, Objects, Owners as _, Postgres, Redis, Sqlite,
    Store as _, Unavailable, Usage, Vault as _,
};
use sqlx::Row as _;

use super::conformance::{Ids, after, task};
use super::objects::{all_changes_are_told, app, changes, insert, widget};
use super::sqlite;
use crate::support::postgres::PostgresServer;
use crate::support::redis::{RedisServer, until};

const KIND: ObjectKind = ObjectKind::Widget;
const DAY: u64 = 24 * 60 * 60;

fn labelled(index: usize) -> Object {
    let label = |name: &str, value: String| (name.to_owned(), value);
    let labels = vec![label("all", String::new()), label("mod", (index % 1_000).to_string())];
    Object { labels, parent: Some(format!("p{}", index % 2)), ..widget(&format!("w{index:06}")) }
}

#[tokio::test]
async fn several_gates_over_one_postgresql_tell_each_other_all() {
    let server = PostgresServer::start();
    let settings = server.settings();
    let opened = join_all((0..3).map(|_| Postgres::open(&settings))).await;
    let stores: Vec<_> = opened.into_iter().map(|opened| opened.expect("a registry")).collect();
    all_changes_are_told(&[&stores[0], &stores[1], &stores[2]], &stores[0]).await;
}

#[tokio::test]
async fn several_gates_over_one_redis_tell_each_other_all() {
    let server = RedisServer::start();
    let settings = server.settings();
    let opened = join_all((0..3).map(|_| Redis::open(&settings))).await;
    let stores: Vec<_> = opened.into_iter().map(|opened| opened.expect("a store")).collect();
    all_changes_are_told(&[&stores[0], &stores[1], &stores[2]], &stores[0]).await;
}

/// Removals and first uses at once, in any order: none waits for another in a circle.
#[tokio::test]
async fn usage_of_widgets_that_go_is_counted_or_dropped() {
    let server = PostgresServer::start();
    let settings = server.settings();
    let opened = join_all((0..3).map(|_| Postgres::open(&settings))).await;
    let stores: Vec<_> = opened.into_iter().map(|opened| opened.expect("a registry")).collect();
    let objects: Vec<_> = (0..60).map(labelled).collect();
    insert(&stores[0], &objects).await;
    let counts = Counts { sessions: 1, ..Counts::default() };
    let mut usage: Vec<_> = objects.iter().map(|object| Usage { widget: object.id.clone(), counts }).collect();
    usage.reverse();
    let using = join_all(stores.iter().map(async |store| {
        for _ in 0..20 {
            assert_eq!(store.add_usage(&usage).await, Ok(()));
        }
    }));
    let removing = join_all(stores.iter().enumerate().map(async |(gate, store)| {
        for object in objects.iter().skip(gate).step_by(stores.len()) {
            assert_eq!(store.remove(KIND, &object.id).await, Ok(true));
        }
    }));
    futures_util::future::join(using, removing).await;
    let left = "select count(*) from sidegate.object_usage";
    assert_eq!(server.sql(left).await[0].get::<i64, _>(0), 0);
}

/// Rows that the server has read so far: of tables as they lie, and from indexes. Connections tell when they end.
async fn rows_read(server: &PostgresServer) -> (i64, i64) {
    until("they have ended", async || {
        let gates = "select count(*) from pg_stat_activity where application_name = 'sidegate'";
        server.sql(gates).await[0].get::<i64, _>(0) == 0
    })
    .await;
    let rows = "select sum(seq_tup_read)::bigint, (select sum(idx_tup_read)::bigint from pg_stat_user_indexes) \
                from pg_stat_user_tables \
                where relname in ('objects', 'object_lists', 'object_changes', 'object_usage')";
    let rows = server.sql(rows).await;
    (rows[0].get(0), rows[0].get(1))
}

/// Asked in each way that there is, among so many: whatever the planner knows of the tables.
#[tokio::test]
async fn a_list_of_some_among_many_reads_some_rows() {
    const MANY: usize = 20_000;
    let server = PostgresServer::start();
    server.sql("alter system set autovacuum = off").await;
    server.sql("select pg_reload_conf()").await;
    let open = async || Postgres::open(&server.settings()).await.expect("a registry");
    insert(&open().await, &(0..MANY).map(labelled).collect::<Vec<_>>()).await;
    for prepare in ["select", "analyze"] {
        server.sql(prepare).await;
        let before = rows_read(&server).await;
        ask_in_every_way(&open().await).await;
        let after = rows_read(&server).await;
        assert_eq!(after.0, before.0, "no table was read as it lies");
        assert!((1..6_000).contains(&(after.1 - before.1)), "{before:?} {after:?}");
    }
}

async fn ask_in_every_way(store: &dyn Entries) {
    let a = app("a");
    let (all, rare) = (("all".to_owned(), String::new()), ("mod".to_owned(), "7".to_owned()));
    let query = ObjectQuery {
        kind: KIND,
        app: &a,
        after: Some("w010000"),
        newest_first: true,
        parent: None,
        labels: &[],
        take: 20,
    };
    let both = [all.clone(), rare.clone()];
    for (query, expected) in [
        (query, 20),
        (ObjectQuery { newest_first: false, ..query }, 20),
        (ObjectQuery { parent: Some("p1"), ..query }, 20),
        (ObjectQuery { labels: std::slice::from_ref(&all), ..query }, 20),
        (ObjectQuery { labels: std::slice::from_ref(&rare), ..query }, 10),
        (ObjectQuery { labels: &both, parent: Some("p1"), ..query }, 10),
        (ObjectQuery { labels: &both, parent: Some("p0"), ..query }, 0),
    ] {
        assert_eq!(store.objects(&query).await.expect("an answer").len(), expected, "{query:?}");
    }
    let last = store.last_change().await.expect("an answer");
    assert_eq!(store.changed_since(Mark(last.0 - 1)).await.expect("an answer").mark, last);
    assert!(store.object(KIND, "w010000").await.expect("an answer").is_some());
    assert_eq!(store.usage("w010000").await, Ok(Counts::default()));
    let page = store.objects_page(Some("widget w010000".to_owned())).await.expect("a page");
    assert_eq!(page.records[0].0.id, "w010001");
}

#[tokio::test]
async fn a_file_has_them_when_it_is_opened_again() {
    let (directory, store) = sqlite::fresh(1 << 20).await;
    let objects: Vec<_> = (0..10).map(labelled).collect();
    insert(&store, &objects).await;
    assert_eq!(store.remove(KIND, "w000003").await, Ok(true));
    let mark = store.last_change().await.expect("an answer");
    drop(store);
    let store = Sqlite::open(&directory.path().join("a.db"), 0).await.expect("a store");
    assert_eq!(store.object(KIND, "w000002").await, Ok(Some(labelled(2))));
    assert_eq!(store.last_change().await, Ok(mark));
    assert_eq!(changes(&store, Mark::default()).await.0.last().map(String::as_str), Some("w000003"));
    ask_for_two(&store).await;
}

async fn ask_for_two(store: &dyn Entries) {
    let (a, labels) = (app("a"), [("all".to_owned(), String::new())]);
    let query =
        ObjectQuery { kind: KIND, app: &a, after: None, newest_first: true, parent: None, labels: &labels, take: 2 };
    assert_eq!(store.objects(&query).await, Ok(vec![labelled(9), labelled(8)]));
}

#[tokio::test]
async fn removals_are_told_for_a_day() {
    let memory: Arc<dyn sidegate::store::Store> = Arc::new(Memory::new(1 << 20));
    let (_directory, sqlite) = sqlite::fresh(1 << 20).await;
    for store in [memory, Arc::new(sqlite)] {
        let store = &*store;
        insert(store, &(0..4).map(labelled).collect::<Vec<_>>()).await;
        for id in ["w000001", "w000002"] {
            assert_eq!(store.remove(KIND, id).await, Ok(true));
        }
        insert(store, &[labelled(2)]).await;
        let told = async |seconds| {
            store.sweep(after(seconds)).await.expect("swept");
            changes(store, Mark::default()).await.0
        };
        let all = ["w000000", "w000003", "w000001", "w000002"];
        assert_eq!(told(0).await, all);
        assert_eq!(told(DAY - 3_700).await, all);
        assert_eq!(told(DAY + 10).await, ["w000000", "w000003", "w000002"]);
        assert_eq!(store.object(KIND, "w000002").await, Ok(Some(labelled(2))));
    }
}

#[tokio::test]
async fn postgresql_forgets_removals_that_were_told_for_long() {
    let server = PostgresServer::start();
    let store = Postgres::open(&server.settings()).await.expect("a registry");
    insert(&store, &(0..4).map(labelled).collect::<Vec<_>>()).await;
    for index in 0..2 {
        assert_eq!(store.remove(KIND, &labelled(index).id).await, Ok(true));
    }
    let aged = "update sidegate.object_changes set removed_at = removed_at - interval '1 day' where id = 'w000000'";
    server.sql(aged).await;
    assert_eq!(store.remove(KIND, "w000002").await, Ok(true));
    assert_eq!(changes(&store, Mark::default()).await.0, ["w000003", "w000001", "w000002"]);
}

#[tokio::test]
async fn redis_forgets_removals_that_were_told_for_long() {
    let server = RedisServer::start();
    let store = Redis::open(&server.settings()).await.expect("a store");
    insert(&store, &(0..4).map(labelled).collect::<Vec<_>>()).await;
    for index in 0..2 {
        assert_eq!(store.remove(KIND, &labelled(index).id).await, Ok(true));
    }
    let _: u64 = server.command(&["ZADD", "sidegate:objects:removals", "1", "widget:w000000"]).await;
    assert_eq!(store.remove(KIND, "w000002").await, Ok(true));
    assert_eq!(changes(&store, Mark::default()).await.0, ["w000003", "w000001", "w000002"]);
    assert_eq!(store.remove(KIND, "w000003").await, Ok(true));
    let names: Vec<String> = server.command(&["KEYS", "*"]).await;
    assert!(!names.iter().any(|name| name.contains(":list:") || name.contains(":object:")), "{names:?}");
}

/// Owners and objects have a half each, but not both: exchanges with env or secrets go on.
#[tokio::test]
async fn a_quarter_of_the_memory_is_kept_free_of_all_that_strangers_fill() {
    let (store, ids) = (Memory::new(100_000), Ids::new());
    let mut objects = 0;
    while store.insert(&Object { document: "x".repeat(1_000), ..widget(&format!("w{objects}")) }).await == Ok(true) {
        objects += 1;
    }
    let mut owners = 0;
    while store.record(ids.owner(), &task(&format!("task_{owners}"))).await.is_ok() {
        owners += 1;
    }
    assert!(objects > 10 && owners > 10, "{objects}, {owners}");
    store.put(ids.key("a"), bytes::Bytes::from(vec![1; 20_000]), after(10)).await.expect("room for a context");
}

#[tokio::test]
async fn memory_is_bounded_and_half_of_it_kept_free() {
    let store = Memory::new(100_000);
    let large = |index: usize, size: usize| Object { document: "x".repeat(size), ..widget(&format!("w{index}")) };
    let fits = {
        let mut fits = 0;
        while store.insert(&large(fits, 1_000)).await == Ok(true) {
            fits += 1;
        }
        fits
    };
    assert!((10..40).contains(&fits), "{fits}");
    assert_eq!(store.insert(&large(fits, 1_000)).await, Err(Unavailable));
    assert_eq!(Objects::replace(&store, &large(0, 60_000)).await, Err(Unavailable));
    assert_eq!(store.object(KIND, "w0").await, Ok(Some(large(0, 1_000))));
    let ids = Ids::new();
    store.put(ids.key("a"), bytes::Bytes::from(vec![1; 40_000]), after(10)).await.expect("room for a context");
    assert_eq!(Objects::replace(&store, &large(0, 10)).await, Ok(true));
    for round in 0..50 {
        assert_eq!(store.remove(KIND, &format!("w{}", round + 1)).await, Ok(round + 1 < fits));
    }
    store.sweep(after(0)).await.expect("swept");
    store.sweep(after(DAY)).await.expect("swept");
    for index in 1..fits {
        assert_eq!(store.insert(&large(index, 1_000)).await, Ok(true), "what was removed is given back");
    }
}
