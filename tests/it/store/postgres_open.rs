//! What a PostgreSQL server must be like, and that it is told at the start what is wrong with it.

use std::time::Duration;

use futures_util::future::join_all;
use sidegate::config::PostgresSettings;
use sidegate::store::{Counts, Entries as _, Entry, EntryKind, Objects as _, Postgres, Usage, UseCounts as _};
use sqlx::Row as _;

use super::objects::widget;
use super::postgres::fresh;
use super::registry;
use super::use_counts::used;
use crate::support::postgres::{ADMIN, PASSWORD, PostgresServer};
use crate::support::tls::certificates;

async fn refusal(settings: &PostgresSettings) -> String {
    let refused = Postgres::open(settings).await.expect_err("it is refused");
    assert!(!refused.contains(PASSWORD) && !refused.contains("canary"), "{refused}");
    refused
}

/// All tables outside the server's own schemas.
async fn tables(server: &PostgresServer) -> Vec<String> {
    let all = "select schemaname || '.' || tablename from pg_tables \
               where schemaname not in ('pg_catalog', 'information_schema') order by 1";
    server.sql(all).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn replicas_that_start_at_once_make_the_tables_once() {
    let server = PostgresServer::start();
    let settings = server.settings();
    let opened = join_all((0..8).map(|_| Postgres::open(&settings))).await;
    let stores: Vec<_> = opened.into_iter().map(|opened| opened.expect("a registry")).collect();
    let objects = ["object_changes", "object_generation", "object_lists", "object_usage", "objects"];
    let ours = [&["_sqlx_migrations", "entries", "generation"], &objects[..], &["use_counts"]].concat();
    assert_eq!(tables(&server).await, ours.into_iter().map(|name| format!("sidegate.{name}")).collect::<Vec<_>>());
    let entry = Entry { kind: EntryKind::App, id: "a".to_owned(), revision: 1, document: "{}".to_owned() };
    assert_eq!(stores[0].add(&entry).await, Ok(true));
    for store in &stores {
        assert_eq!(
            (store.generation().await, store.entry(EntryKind::App, "a").await),
            (Ok(1), Ok(Some(entry.clone())))
        );
    }
    Postgres::open(&settings).await.expect("a registry").entry(EntryKind::App, "a").await.expect("what was kept");
}

/// As [`docs/operations.md`] has it.
fn documented(heading: &str) -> String {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).expect("read");
    let (_, rest) = document.split_once(&format!("```sql\n-- {heading}")).expect("the statements");
    rest.split_once('\n').and_then(|(_, rest)| rest.split_once("\n```")).expect("their end").0.to_owned()
}

/// With rights to a prepared schema and no right to make anything.
#[tokio::test]
async fn the_documented_rights_are_enough() {
    let server = PostgresServer::start();
    server.sql("create role owner login password 'owner'; create schema sidegate authorization owner").await;
    let owner = Postgres::open(&server.settings_of("owner", "owner")).await.expect("it makes the tables");
    assert_eq!(owner.generation().await, Ok(0));
    server.sql(&documented("a role that only works")).await;
    let gate = server.settings_of("sidegate", "a long password");
    Postgres::open(&gate).await.expect("a registry");
    let can = "select has_schema_privilege('sidegate', 'sidegate', 'create'), \
               has_database_privilege('sidegate', current_database(), 'create')";
    let can = &server.sql(can).await[0];
    assert_eq!((can.get::<bool, _>(0), can.get::<bool, _>(1)), (false, false));
    let entry = Entry { kind: EntryKind::App, id: "a".to_owned(), revision: 1, document: "{}".to_owned() };
    let store = Postgres::open(&gate).await.expect("a registry");
    assert_eq!((store.add(&entry).await, store.change(&entry).await), (Ok(true), Ok(true)));
    assert_eq!((store.generation().await, owner.generation().await), (Ok(2), Ok(2)));
    for _ in 0..2 {
        assert_eq!(store.add_uses(&[used("a", 1, 1)]).await, Ok(()));
    }
    assert_eq!(store.use_counts().await, Ok(vec![used("a", 2, 1)]));
    let widget = widget("w1");
    assert_eq!((store.insert(&widget).await, store.replace(&widget).await), (Ok(true), Ok(true)));
    let usage = Usage { widget: widget.id.clone(), counts: Counts { sessions: 1, ..Counts::default() } };
    for _ in 0..2 {
        assert_eq!(store.add_usage(std::slice::from_ref(&usage)).await, Ok(()));
    }
    assert_eq!(store.remove(widget.kind, &widget.id).await, Ok(true));
}

/// With the right to make a schema in the database, the gate does the rest.
#[tokio::test]
async fn a_role_that_may_make_schemas_needs_nothing_else() {
    let server = PostgresServer::start();
    for statement in documented("a role that makes the schema itself").lines() {
        server.sql(statement).await;
    }
    let settings = PostgresSettings {
        address: sidegate::config::PostgresAddress { database: "sidegate".to_owned(), ..server.settings().address },
        ..server.settings_of("sidegate", "a long password")
    };
    registry::all(async || fresh(settings.clone()).await).await;
}

#[tokio::test]
async fn a_missing_right_is_told_at_the_start() {
    let server = PostgresServer::start();
    server.sql("create role gate login password 'canary'").await;
    let gate = server.settings_of("gate", "canary");
    let refused = refusal(&gate).await;
    assert_eq!(refused, "store.postgres.username: permission denied for database postgres (42501)");
    assert!(tables(&server).await.is_empty());
    server.sql("create schema sidegate").await;
    assert_eq!(refusal(&gate).await, "store.postgres.username: permission denied for schema sidegate (42501)");
    Postgres::open(&server.settings()).await.expect("the administrator makes the tables");
    assert_eq!(refusal(&gate).await, "store.postgres.username: permission denied for schema sidegate (42501)");
    server.sql("grant usage on schema sidegate to gate").await;
    let refused = refusal(&gate).await;
    assert_eq!(refused, "store.postgres.username: permission denied for table _sqlx_migrations (42501)");
    server.sql("grant select on all tables in schema sidegate to gate").await;
    for (right, table) in [
        ("INSERT", "entries"),
        ("UPDATE", "entries"),
        ("UPDATE", "generation"),
        ("INSERT", "use_counts"),
        ("UPDATE", "use_counts"),
        ("INSERT", "objects"),
        ("UPDATE", "objects"),
        ("DELETE", "objects"),
        ("INSERT", "object_lists"),
        ("DELETE", "object_lists"),
        ("INSERT", "object_changes"),
        ("UPDATE", "object_changes"),
        ("DELETE", "object_changes"),
        ("UPDATE", "object_generation"),
        ("INSERT", "object_usage"),
        ("UPDATE", "object_usage"),
    ] {
        let expected = format!("store.postgres.username: this user may not {right} in sidegate.{table}");
        assert_eq!(refusal(&gate).await, expected);
        server.sql(&format!("grant {right} on sidegate.{table} to gate")).await;
    }
    Postgres::open(&gate).await.expect("it has all rights");
}

#[tokio::test]
async fn what_is_not_ours_is_left_as_it_is() {
    let server = PostgresServer::start();
    server.sql("create schema shop; create table shop.orders (id int); create table public.users (id int)").await;
    let in_schema = |schema: &str| PostgresSettings { schema: schema.to_owned(), ..server.settings() };
    let refused = refusal(&in_schema("shop")).await;
    assert!(refused.starts_with("store.postgres.schema: \"shop\" holds tables of another program"), "{refused}");
    // Another program that keeps its migrations in the same way.
    server
        .sql(
            "create schema other; create table other._sqlx_migrations (version bigint, checksum bytea); \
             insert into other._sqlx_migrations values (1, 'x')",
        )
        .await;
    let before = tables(&server).await;
    let refused = refusal(&in_schema("other")).await;
    assert!(refused.starts_with("store.postgres.schema: \"other\" holds tables of another program"), "{refused}");
    assert_eq!(tables(&server).await, before);
    Postgres::open(&server.settings()).await.expect("beside them is room");
    let ours = tables(&server).await;
    assert!(before.iter().all(|table| ours.contains(table)), "{ours:?}");
    assert!(
        ours.iter().filter(|table| !before.contains(table)).all(|table| table.starts_with("sidegate.")),
        "{ours:?}"
    );
}

/// What the version before use counts and objects has made.
#[tokio::test]
async fn an_older_schema_is_brought_up_to_date() {
    let server = PostgresServer::start();
    let entry = Entry { kind: EntryKind::App, id: "a".to_owned(), revision: 1, document: "{}".to_owned() };
    assert_eq!(Postgres::open(&server.settings()).await.expect("a registry").add(&entry).await, Ok(true));
    let older = "drop table sidegate.use_counts, sidegate.object_usage, sidegate.objects, sidegate.object_lists, \
                 sidegate.object_changes, sidegate.object_generation; \
                 delete from sidegate._sqlx_migrations where version > 1";
    server.sql(older).await;
    let store = Postgres::open(&server.settings()).await.expect("a registry");
    assert_eq!(store.entry(EntryKind::App, "a").await, Ok(Some(entry)));
    assert_eq!(store.add_uses(&[used("a", 1, 1)]).await, Ok(()));
    assert_eq!(store.insert(&widget("w1")).await, Ok(true));
}

#[tokio::test]
async fn what_a_newer_version_has_made_is_left_as_it_is() {
    let server = PostgresServer::start();
    Postgres::open(&server.settings()).await.expect("a registry");
    server
        .sql(
            "alter table sidegate.entries add column newer int; \
             insert into sidegate._sqlx_migrations values (99, 'newer', now(), true, '', 0)",
        )
        .await;
    let expected = "store.postgres.schema: \"sidegate\" was written by a newer version of Sidegate";
    assert_eq!(refusal(&server.settings()).await, expected);
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_refused() {
    let mut server = PostgresServer::start();
    let settings = server.settings();
    let at = server.url().replace("postgres://", "").replace("/postgres", "");
    let expected = "store.postgres.password: PostgreSQL refuses this user or password";
    assert_eq!(refusal(&server.settings_of(ADMIN, "canary")).await, expected);
    assert_eq!(refusal(&server.settings_of("nobody", "canary")).await, expected);
    let refused = refusal(&PostgresSettings { password: None, ..settings.clone() }).await;
    assert_eq!(refused, "store.postgres.password: PostgreSQL wants one");
    let mut nowhere = settings.clone();
    nowhere.address.database = "nowhere".to_owned();
    let expected = format!("store.postgres.url: cannot use {at}: database \"nowhere\" does not exist (3D000)");
    assert_eq!(refusal(&nowhere).await, expected);
    server.sql("alter role admin set default_transaction_read_only = on").await;
    assert!(refusal(&settings).await.starts_with("store.postgres.url: this server only reads"));
    server.freeze();
    let hasty = PostgresSettings { connect_timeout: Duration::from_millis(200), ..settings.clone() };
    assert_eq!(refusal(&hasty).await, format!("store.postgres.url: cannot use {at}: no answer in time"));
    server.kill();
    let refused = refusal(&settings).await;
    assert!(refused.starts_with(&format!("store.postgres.url: cannot use {at}: Connection refused")), "{refused}");
}

#[tokio::test]
async fn tls_trusts_its_own_authority_and_name_and_no_other() {
    let (ours, others, folder) = (certificates(), certificates(), tempfile::tempdir().expect("a folder"));
    let server = PostgresServer::builder().tls(&ours.server).start();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        Some(path)
    };
    let with = |ca| PostgresSettings { ca, ..server.settings() };
    let authority = file("ca.crt", &ours.authority);
    let store = Postgres::open(&with(authority.clone())).await.expect("a registry");
    assert_eq!(store.generation().await, Ok(0));
    let refused = refusal(&with(file("other.crt", &others.authority))).await;
    assert!(refused.starts_with("store.postgres.ca: TLS with 127.0.0.1:"), "{refused}");
    let refused = refusal(&with(None)).await;
    assert!(refused.starts_with("store.postgres.url: TLS with 127.0.0.1:"), "{refused}");
    assert!(refusal(&with(file("empty.crt", "nothing"))).await.contains("empty.crt: holds no certificate"));
    let missing = Some(folder.path().join("missing.crt"));
    assert!(refusal(&with(missing)).await.contains("missing.crt: No such file"));
    let elsewhere = PostgresServer::builder().tls(&ours.client).start();
    let refused = refusal(&PostgresSettings { ca: authority.clone(), ..elsewhere.settings() }).await;
    assert!(refused.contains("TLS with 127.0.0.1:") && refused.contains("not valid for name"), "{refused}");
    let plain = PostgresServer::start();
    let refused = refusal(&PostgresSettings { ca: authority, tls: true, ..plain.settings() }).await;
    assert!(refused.contains("TLS with 127.0.0.1:") && refused.contains("does not support TLS"), "{refused}");
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let server = PostgresServer::start();
    let mut settings = server.settings();
    settings.address.host = server.folder().display().to_string();
    let store = Postgres::open(&settings).await.expect("a registry");
    assert_eq!(store.generation().await, Ok(0));
    let over = "select client_addr is null from pg_stat_activity where application_name = 'sidegate'";
    assert!(server.sql(over).await[0].get::<bool, _>(0));
}
