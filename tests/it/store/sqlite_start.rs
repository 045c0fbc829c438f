//! Files that a store is not opened on, and that are left as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sidegate::store::{Objects as _, Replay as _, Sessions as _, Sqlite, UseCounts as _};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, raw_sql};

use super::conformance::{Ids, after};
use super::objects::widget;
use super::use_counts::used;
use crate::support::gate::{Gate, program_file};
use crate::support::program::program;
use crate::support::upstream::Upstream;

async fn reason(path: &Path) -> String {
    let reason = Sqlite::open(path, 0).await.expect_err("it is not opened");
    assert!(reason.contains(&path.display().to_string()) && reason.contains("store.path"), "{reason}");
    reason
}

/// The files of a directory.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = directory.read_dir().expect("readable").map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.clone(), std::fs::read(path).expect("readable"))).collect()
}

/// Asserts the reason, and that nothing has changed.
async fn is_left_alone(path: &Path, expected: &str) {
    let directory = path.parent().expect("a directory");
    let before = files(directory);
    let reason = reason(path).await;
    assert!(reason.contains(expected), "{reason}");
    let mut after = files(directory);
    // To look into a file of our own is to have these beside it; empty, they add nothing to it.
    for (name, left_empty) in [("a.db-wal", true), ("a.db-shm", false)] {
        if !before.contains_key(&directory.join(name)) {
            let left = after.remove(&directory.join(name)).unwrap_or_default();
            assert!(left.is_empty() || !left_empty, "{name}");
        }
    }
    assert!(after == before, "{path:?} was changed");
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.expect("a connection")
}

/// An SQLite file on which these statements were run.
async fn sqlite_file(path: &Path, statements: &'static str) {
    let mut connection = connect(path).await;
    raw_sql(statements).execute(&mut connection).await.expect("run");
    connection.close().await.expect("closed");
}

/// A store's file after its end, in one piece, with `statements` run on it.
async fn store_file(directory: &Path, statements: &'static str) -> PathBuf {
    let (used, path) = (directory.join("used.db"), directory.join("copy").join("a.db"));
    let store = Sqlite::open(&used, 0).await.expect("a store");
    let ids = Ids::new();
    for index in 0..200 {
        assert_eq!(store.first_use(ids.key(&format!("{index:04}")), after(10)).await, Ok(true));
    }
    sqlite_file(&used, "pragma wal_checkpoint(truncate)").await;
    std::fs::create_dir(directory.join("copy")).expect("a directory");
    std::fs::copy(&used, &path).expect("copied");
    sqlite_file(&path, statements).await;
    path
}

#[tokio::test]
async fn files_of_other_programs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.db");
    sqlite_file(&path, "pragma application_id = 7; create table t (a)").await;
    is_left_alone(&path, "of another program").await;
    std::fs::remove_file(&path).expect("removed");
    sqlite_file(&path, "pragma journal_mode = wal; create table t (a)").await;
    is_left_alone(&path, "of another program").await;
    for text in ["x", "just a text", &"a long text ".repeat(1_000)] {
        std::fs::write(&path, text).expect("written");
        is_left_alone(&path, "not an SQLite file").await;
    }
}

/// The one before use counts, sessions, objects and closings.
#[tokio::test]
async fn a_file_of_an_older_version_is_brought_up_to_date() {
    let directory = tempfile::tempdir().expect("a directory");
    let older = "drop table use_counts; drop table sessions; drop table session_days; drop table objects; \
                 drop table object_lists; drop table object_changes; drop table object_generation; \
                 drop table object_usage; drop table closings; delete from _sqlx_migrations where version > 1";
    let store = Sqlite::open(&store_file(directory.path(), older).await, 0).await.expect("a store");
    assert_eq!(store.add_uses(&[used("a", 1, 1)]).await, Ok(()));
    assert_eq!(store.use_counts().await, Ok(vec![used("a", 1, 1)]));
    assert_eq!(store.sessions_page(None).await.expect("a page").records, []);
    assert_eq!(store.insert(&widget("w1")).await, Ok(true));
    let ids = Ids::new();
    assert_eq!(store.first_use(ids.key("0000"), after(10)).await, Ok(false), "what was kept is there");
}

#[tokio::test]
async fn a_file_of_a_newer_version() {
    let directory = tempfile::tempdir().expect("a directory");
    let newer = "insert into _sqlx_migrations values (1000, 'later', current_timestamp, true, x'00', 0)";
    is_left_alone(&store_file(directory.path(), newer).await, "by a newer version").await;
}

#[tokio::test]
async fn a_damaged_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = store_file(directory.path(), "").await;
    let whole = std::fs::read(&path).expect("readable");
    assert!(whole.len() > 4 * 4096);
    let mut garbled = whole.clone();
    garbled[2 * 4096..].fill(0xa5);
    for damaged in [&garbled[..], &whole[..whole.len() - 4096], &whole[..4096], &whole[..4000]] {
        std::fs::write(&path, damaged).expect("written");
        is_left_alone(&path, "damaged").await;
    }
    std::fs::write(&path, whole).expect("written");
    let store = Sqlite::open(&path, 0).await.expect("undamaged, it is opened");
    assert_eq!(store.first_use(Ids::new().key("0007"), after(10)).await, Ok(false));
}

#[tokio::test]
async fn what_is_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    assert!(reason(directory.path()).await.contains("not a regular file"));
    std::os::unix::fs::symlink("/dev/zero", at("device")).expect("a link");
    assert!(reason(&at("device")).await.contains("not a regular file"));
    let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    assert!(reason(&at("pipe")).await.contains("not a regular file"));
    assert!(reason(&at("missing/a.db")).await.contains("its directory does not exist"));
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).expect("a link");
    assert!(reason(&at("dangling")).await.contains("No such file"));
    reason(Path::new("a\0b")).await;
    assert!(reason(&at(&"x".repeat(300))).await.contains("too long"));
}

/// Where not even root may write.
#[tokio::test]
async fn where_nothing_may_be_written() {
    let reason = reason(Path::new("/sys/sidegate.db")).await;
    assert!(["Permission denied", "Read-only file system"].iter().any(|it| reason.contains(it)), "{reason}");
}

#[tokio::test]
async fn names_that_sqlite_would_read_otherwise_are_files() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in [":memory:", "file:a.db?mode=memory", "a b?%41.db"] {
        let path = directory.path().join(name);
        let store = Sqlite::open(&path, 0).await.expect(name);
        assert_eq!(store.first_use(Ids::new().key("a"), after(10)).await, Ok(true));
        assert!(std::fs::metadata(&path).expect(name).len() > 0, "{name}");
    }
}

#[tokio::test]
async fn an_empty_file_is_as_good_as_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.db");
    std::fs::write(&path, b"").expect("written");
    let store = Sqlite::open(&path, 0).await.expect("a store");
    assert_eq!(store.first_use(Ids::new().key("a"), after(10)).await, Ok(true));
}

/// The program's first start, killed in its `write`-th write to the store.
fn cut_off(config: &Path, store: &Path, write: u32) -> std::io::Result<std::process::Output> {
    let mut command = std::process::Command::new("timeout");
    command.args(["60", "strace", "-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e"]);
    command.arg(format!("inject=pwrite64:signal=KILL:when={write}"));
    command.arg(program_file()).args(["serve", "-c"]).arg(config);
    for listener in ["public", "private", "ops"] {
        command.args(["--set", &format!("listen.{listener}=127.0.0.1:0")]);
    }
    command.args(["--set", &format!("store.path={}", store.display())]).output()
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_is_begun_anew() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("sidegate.toml");
    std::fs::write(&config, Gate::builder(&upstream).config()).expect("written");
    // In the journal, in the file's first page, and behind it.
    for write in [1, 2, 4, 5, 8] {
        let path = directory.path().join(format!("{write}.db"));
        let (config, store) = (config.clone(), path.clone());
        let run = tokio::task::spawn_blocking(move || cut_off(&config, &store, write)).await.expect("joined");
        let journal = directory.path().join(format!("{write}.db-journal"));
        assert!(journal.exists(), "needs strace, which scripts/setup.sh test installs: {run:?}");
        let store = Sqlite::open(&path, 0).await.expect("begun anew");
        assert_eq!(store.first_use(Ids::new().key("a"), after(10)).await, Ok(true));
        assert!(!journal.exists());
    }
}

#[tokio::test]
async fn the_program_says_why_it_does_not_start() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.db");
    std::fs::write(&path, "just a text").expect("written");
    let mut command = program(&["serve"]).config(&Gate::builder(&upstream).config());
    for listener in ["public", "private", "ops"] {
        command = command.set(&format!("listen.{listener}=127.0.0.1:0"));
    }
    let run = command.set(&format!("store.path={}", path.display())).run();
    assert_eq!(run.code, 1);
    let expected = format!(
        "sidegate: cannot open the store {} (store.path): it is not an SQLite file; it is left as it is\n",
        path.display()
    );
    assert_eq!(run.err, expected);
}
