//! Backups: what was exported is what is imported, or nothing is.

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use sidegate::store::backup::{ImportError, Imported, export, import};
use sidegate::store::{
    Counts, Entries as _, Entry, EntryKind, Mark, Memory, Object, ObjectKind, ObjectQuery, Objects, Owner, Owners as _,
    Record, Replay as _, Revocations as _, Session, Sessions as _, Store, Usage, Vault as _,
};
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::id::{AppId, ConversationId, EndUserId, SessionDigest, TokenId};
use sidegate_core::revocation::Revocation;
use sidegate_core::session::{ResumeKey, SessionKey};

use super::conformance::{Ids, task};
use super::objects::widget;
use super::paging::on_all_pages;

const NOW: Timestamp = Timestamp::from_millis(1_769_857_200_000);

/// So many seconds from now.
fn after(seconds: u64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + seconds * 1_000)
}

/// What a store keeps.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    contexts: BTreeMap<(AppId, TokenId), (Vec<u8>, Timestamp)>,
    owners: BTreeMap<(AppId, ConversationId), EndUserId>,
    sessions: BTreeMap<(AppId, SessionDigest), Session>,
    uses: BTreeMap<(AppId, TokenId), Timestamp>,
    revocations: Vec<(Revocation, Timestamp)>,
}

impl Model {
    async fn store(&self) -> Memory {
        let store = Memory::new(64 << 20);
        for ((app, token), (sealed, until)) in &self.contexts {
            store.put(ContextKey { app, token }, Bytes::from(sealed.clone()), *until).await.expect("kept");
        }
        for ((app, conversation), end_user) in &self.owners {
            store.record(Owner { app, end_user }, conversation).await.expect("recorded");
        }
        for ((app, session), kept) in &self.sessions {
            store.open_session(SessionKey { app, session }, kept.clone()).await.expect("kept");
        }
        for ((app, token), until) in &self.uses {
            assert_eq!(store.first_use(ContextKey { app, token }, *until).await, Ok(true));
        }
        for (revocation, until) in &self.revocations {
            store.revoke(revocation, *until).await.expect("kept");
        }
        store
    }

    async fn of(store: &dyn Store) -> Self {
        let contexts = on_all_pages(async |from| store.page(from).await).await.into_iter();
        let owners = on_all_pages(async |from| store.owners_page(from).await).await.into_iter();
        let uses = on_all_pages(async |from| store.uses_page(from).await).await.into_iter();
        let sessions = on_all_pages(async |from| store.sessions_page(from).await).await.into_iter();
        let context = |Record { sealed, expires_at }| (sealed.to_vec(), expires_at);
        Self {
            contexts: contexts.map(|(app, token, record)| ((app, token), context(record))).collect(),
            owners: owners.map(|(app, end_user, conversation)| ((app, conversation), end_user)).collect(),
            sessions: sessions.map(|(app, id, session)| ((app, id), session)).collect(),
            uses: uses.map(|(app, token, until)| ((app, token), until)).collect(),
            revocations: store.revoked_since(Mark::default()).await.expect("an answer").revocations,
        }
    }

    fn len(&self) -> usize {
        self.contexts.len() + self.owners.len() + self.sessions.len() + self.uses.len() + self.revocations.len()
    }
}

fn id<T: std::fmt::Debug + std::str::FromStr<Err: std::fmt::Debug>>(form: &'static str) -> impl Strategy<Value = T> {
    form.prop_map(|text| text.parse().expect("an id"))
}

fn token() -> impl Strategy<Value = (AppId, TokenId)> {
    (id("[a-c]"), id("[A-Za-z0-9_-]{1,8}"))
}

fn end_user() -> impl Strategy<Value = EndUserId> {
    id("[\\PC&&[^\\p{Zl}\\p{Zp}]]{1,8}")
}

fn time() -> impl Strategy<Value = Timestamp> {
    (1..10_000_u64).prop_map(|millis| Timestamp::from_millis(NOW.millis() + millis))
}

fn sessions(most: usize) -> impl Strategy<Value = BTreeMap<(AppId, SessionDigest), Session>> {
    let key = (id("[a-c]"), id("[0-9a-f]{64}"));
    let resume = proptest::option::of(any::<[u8; 32]>());
    let kept = (vec(any::<u8>(), 0..100), resume, time(), time(), time(), any::<(bool, bool)>());
    let kept = kept.prop_map(|(sealed, resume, opened_at, active_at, expires_at, (started, closed))| Session {
        sealed: sealed.into(),
        resume: resume.and_then(|bytes| ResumeKey::from_bytes(&bytes)),
        opened_at,
        active_at,
        expires_at,
        started,
        closed,
    });
    btree_map(key, kept, 0..most)
}

fn revocation() -> impl Strategy<Value = Revocation> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|bytes| {
            let digits = bytes.map(|byte| format!("{byte:02x}")).concat();
            Revocation::Token { digest: format!("sha256:{digits}").parse().expect("a digest") }
        }),
        token().prop_map(|(app, jti)| Revocation::Id { app, jti }),
        (id("[a-c]"), end_user(), time()).prop_map(|(app, end_user, issued_before)| Revocation::EndUser {
            app,
            end_user,
            issued_before
        }),
        (id("[a-c]"), time()).prop_map(|(app, issued_before)| Revocation::App { app, issued_before }),
        time().prop_map(|issued_before| Revocation::All { issued_before }),
    ]
}

fn model(most: usize) -> impl Strategy<Value = Model> {
    let contexts = btree_map(token(), (vec(any::<u8>(), 0..100), time()), 0..most);
    let owners = btree_map((id("[a-c]"), id("[a-z][a-z._-]{0,6}")), end_user(), 0..most);
    let revocations = vec((revocation(), time()), 0..most);
    (contexts, owners, sessions(most), btree_map(token(), time(), 0..most), revocations).prop_map(
        |(contexts, owners, sessions, uses, mut revocations)| {
            // One that is kept twice is told twice; a backup brings it back once.
            let mut seen = std::collections::HashSet::new();
            revocations.retain(|entry| seen.insert(entry.clone()));
            Model { contexts, owners, sessions, uses, revocations }
        },
    )
}

async fn exported(store: &dyn Store) -> Vec<u8> {
    let mut text = Vec::new();
    export(store, store, &mut text, NOW).await.expect("exported");
    text
}

/// Imports into a store at [`NOW`].
async fn put_back(store: &dyn Store, text: &[u8]) -> Result<Imported, ImportError> {
    import(store, store, Cursor::new(text), NOW).await
}

/// What an import of this text into an empty store comes to.
async fn imported(text: &[u8]) -> (Result<Imported, ImportError>, Model) {
    let store = Memory::new(64 << 20);
    let outcome = put_back(&store, text).await;
    (outcome, Model::of(&store).await)
}

fn count(entries: usize) -> u64 {
    u64::try_from(entries).expect("few")
}

/// Fails unless an import is refused, with this line and reason, and changes nothing.
async fn assert_refused(text: &[u8], line: u64, reason: &str) {
    let (outcome, kept) = imported(text).await;
    let fault = outcome.expect_err("refused").to_string();
    assert_eq!(fault, format!("line {line}: {reason}"), "{}", String::from_utf8_lossy(text));
    assert_eq!(kept, Model::default());
}

#[tokio::test]
async fn a_backup_has_this_form() {
    let ids = Ids::new();
    let store = Memory::new(1 << 20);
    store.put(ids.key("a"), Bytes::from_static(b"\0sealed\xff"), after(10)).await.expect("kept");
    store.put(ids.key("b"), Bytes::from_static(b"over"), NOW).await.expect("kept");
    store.record(ids.owner(), &task("task_1")).await.expect("recorded");
    store.first_use(ids.key("c"), after(20)).await.expect("kept");
    store.first_use(ids.key("d"), NOW).await.expect("kept");
    let revocation = Revocation::Id { app: ids.app.clone(), jti: ids.tokens["e"].clone() };
    store.revoke(&revocation, after(30)).await.expect("kept");
    store.revoke(&revocation, NOW).await.expect("kept");
    let app = Entry { kind: EntryKind::App, id: "app".into(), revision: 1, document: "AHNlYWxlZP8".into() };
    assert_eq!(store.add(&app).await, Ok(true));
    let expected = r#"{"format":"sidegate-store","version":1,"exported_at":1769857200000}
{"context":{"app":"app","token":"a","sealed":"AHNlYWxlZP8","expires_at":1769857210000}}
{"owner":{"app":"app","end_user":"ada","conversation":"task_1"}}
{"use":{"app":"app","token":"c","until":1769857220000}}
{"revocation":{"revocation":{"kind":"id","app":"app","jti":"e"},"until":1769857230000}}
{"app":{"id":"app","sealed":"AHNlYWxlZP8"}}
{"end":{"entries":5}}
"#;
    assert_eq!(String::from_utf8(exported(&store).await).expect("UTF-8"), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_exported_is_what_is_imported(model in model(400)) {
        run(async {
            let text = exported(&model.store().await).await;
            let store = Memory::new(64 << 20);
            let entries = count(model.len());
            let first = put_back(&store, &text).await.expect("imported");
            assert_eq!(first, Imported { entries, imported: entries, ..Imported::default() });
            assert_eq!(Model::of(&store).await, model);
            let second = put_back(&store, &text).await.expect("imported");
            assert_eq!(second, Imported { entries, present: entries, ..Imported::default() });
            assert_eq!(Model::of(&store).await, model);
            assert_eq!(exported(&store).await, text);
        });
    }

    /// Most of these are longer than what is imported at once.
    #[test]
    fn a_backup_that_was_cut_off_changes_nothing(model in model(40), cuts in vec(any::<prop::sample::Index>(), 8)) {
        run(async {
            let text = exported(&model.store().await).await;
            let ends = (0..text.len()).filter(|index| text[*index] == b'\n').map(|index| index + 1);
            let cuts = cuts.iter().map(|cut| cut.index(text.len()));
            for cut in ends.filter(|end| *end < text.len()).chain(cuts) {
                let (outcome, kept) = imported(&text[..cut]).await;
                assert!(matches!(outcome, Err(ImportError::Malformed { .. })), "cut at {cut}: {outcome:?}");
                assert_eq!(kept, Model::default(), "cut at {cut}");
            }
        });
    }

    #[test]
    fn any_bytes_are_refused_without_panic(model in model(3), at in any::<prop::sample::Index>(), bytes in vec(any::<u8>(), 1..9)) {
        run(async {
            let mut text = exported(&model.store().await).await;
            let at = at.index(text.len());
            text.splice(at..(at + 3).min(text.len()), bytes);
            let (outcome, kept) = imported(&text).await;
            assert!(outcome.is_ok() || kept == Model::default(), "{outcome:?}");
        });
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future);
}

const HEADER: &str = r#"{"format":"sidegate-store","version":1,"exported_at":0}"#;
const OWNER: &str = r#"{"owner":{"app":"a","end_user":"u","conversation":"c"}}"#;

#[tokio::test]
async fn headers_that_are_none_are_refused() {
    let version = "a backup of version 2; this program reads version 1";
    for (header, reason) in [
        ("", "not a JSON object, or a name stands twice in it"),
        ("[]", "not a JSON object, or a name stands twice in it"),
        ("{}", "not an entry of a backup"),
        (&HEADER.replace("sidegate", "other"), "not the header of a backup"),
        (&HEADER.replace("version\":1", "version\":2"), version),
        (&HEADER.replace("\":0", "\":0,\"more\":1"), "not an entry of a backup"),
        (OWNER, "not an entry of a backup"),
    ] {
        assert_refused(format!("{header}\n{{\"end\":{{\"entries\":0}}}}\n").as_bytes(), 1, reason).await;
    }
    assert_refused(b"", 1, "not the header of a backup").await;
}

#[tokio::test]
async fn entries_that_are_none_are_refused_and_not_repeated() {
    let context = r#"{"context":{"app":"a","token":"t","sealed":"AAAA","expires_at":9999999999999}}"#;
    for (entry, reason) in [
        ("canary", "not a JSON object, or a name stands twice in it"),
        (&OWNER.replace("\"u\"", "\"u\",\"app\":\"b\""), "not a JSON object, or a name stands twice in it"),
        (&OWNER.replace("\"u\"", "\"u\",\"canary\":1"), "not an entry of a backup"),
        (&OWNER.replace("\"u\"", "\"\""), "not an entry of a backup"),
        (&OWNER.replace("\"c\"", "\"../canary\""), "not an entry of a backup"),
        (&OWNER.replace("owner\"", "canary\""), "not an entry of a backup"),
        (&OWNER.replace("}}", "},\"use\":{}}"), "not an entry of a backup"),
        (&context.replace("AAAA", "AA=="), "not an entry of a backup"),
        (&context.replace("AAAA", "!canary!"), "not an entry of a backup"),
        (&context.replace("9999999999999", "-1"), "not an entry of a backup"),
        (
            r#"{"revocation":{"revocation":{"kind":"all","issued_before":1,"more":1},"until":9999999999999}}"#,
            "not an entry of a backup",
        ),
    ] {
        let text = format!("{HEADER}\n{OWNER}\n{entry}\n{{\"end\":{{\"entries\":2}}}}\n");
        assert_refused(text.as_bytes(), 3, reason).await;
    }
}

#[tokio::test]
async fn the_end_counts_the_entries_and_is_the_last_line() {
    let end = |entries: u64| format!("{{\"end\":{{\"entries\":{entries}}}}}");
    let wrong = "the entries are not as many as it says: lines are missing or were added";
    for entries in [0, 2, u64::MAX] {
        assert_refused(format!("{HEADER}\n{OWNER}\n{}\n", end(entries)).as_bytes(), 3, wrong).await;
    }
    let twice = format!("{HEADER}\n{OWNER}\n{0}\n{0}\n", end(1));
    assert_refused(twice.as_bytes(), 4, "there is more behind the end").await;
    let whole = format!("{HEADER}\n{OWNER}\n{}\n", end(1));
    assert_refused(&whole.as_bytes()[..whole.len() - 1], 3, "without its end: the backup was cut off").await;
    assert_eq!(imported(whole.as_bytes()).await.0.expect("good").imported, 1);
}

#[tokio::test]
async fn a_line_without_an_end_is_not_read_for_ever() {
    let long = format!("{HEADER}\n{}", "x".repeat(65 << 20));
    assert_refused(long.as_bytes(), 2, "longer than 64 MiB").await;
}

#[tokio::test]
async fn what_is_over_is_left_out() {
    let model = Model {
        contexts: BTreeMap::from([(("a".parse().expect("id"), "t".parse().expect("id")), (vec![1], after(10)))]),
        uses: BTreeMap::from([(("a".parse().expect("id"), "t".parse().expect("id")), after(10))]),
        revocations: vec![(Revocation::All { issued_before: NOW }, after(10))],
        ..Model::default()
    };
    let text = exported(&model.store().await).await;
    let store = Memory::new(1 << 20);
    let done = import(&store, &store, Cursor::new(&text), after(10)).await.expect("imported");
    assert_eq!(done, Imported { entries: 3, expired: 3, ..Imported::default() });
    assert_eq!(Model::of(&store).await, Model::default());
}

#[tokio::test]
async fn what_the_store_says_otherwise_is_a_conflict_and_stays() {
    let (ids, grace) = (Ids::new(), Ids::of("app", "grace"));
    let backup = Memory::new(1 << 20);
    for (token, text) in [("a", "backup"), ("b", "same"), ("c", "new")] {
        backup.put(ids.key(token), Bytes::from(text), after(10)).await.expect("kept");
    }
    backup.record(grace.owner(), &task("task_1")).await.expect("recorded");
    let text = exported(&backup).await;
    let store = Memory::new(1 << 20);
    store.put(ids.key("a"), Bytes::from("store"), after(10)).await.expect("kept");
    store.put(ids.key("b"), Bytes::from("same"), after(10)).await.expect("kept");
    store.record(ids.owner(), &task("task_1")).await.expect("recorded");
    let done = put_back(&store, &text).await.expect("imported");
    assert_eq!(done, Imported { entries: 4, imported: 1, present: 1, expired: 0, conflicts: 2 });
    let kept = store.get(ids.key("a"), NOW).await.expect("an answer").expect("a record");
    assert_eq!(kept.sealed, "store");
    assert_eq!(store.owns(ids.owner(), &task("task_1")).await, Ok(true));
}

#[tokio::test]
async fn apps_of_the_registry_are_carried_as_they_are() {
    let app = |id: &str, document: &str| Entry {
        kind: EntryKind::App,
        id: id.to_owned(),
        revision: 1,
        document: document.to_owned(),
    };
    let backup = Memory::new(1 << 20);
    for (id, document) in [("a", "AAAA"), ("b", "BBBB"), ("c", "CCCC")] {
        assert_eq!(backup.add(&app(id, document)).await, Ok(true));
    }
    let text = exported(&backup).await;
    let store = Memory::new(1 << 20);
    assert_eq!(store.add(&app("b", "BBBB")).await, Ok(true));
    assert_eq!(store.add(&app("c", "other")).await, Ok(true));
    let done = put_back(&store, &text).await.expect("imported");
    assert_eq!(done, Imported { entries: 3, imported: 1, present: 1, expired: 0, conflicts: 1 });
    let kept = store.entries(EntryKind::App).await.expect("an answer");
    assert_eq!(kept, [app("a", "AAAA"), app("b", "BBBB"), app("c", "other")]);
    for bad in [r#"{"app":{"id":"no spaces","sealed":"AAAA"}}"#, r#"{"app":{"id":"a","sealed":"!"}}"#] {
        let text = format!("{HEADER}\n{bad}\n{{\"end\":{{\"entries\":1}}}}\n");
        assert_refused(text.as_bytes(), 2, "not an entry of a backup").await;
    }
    let unknown = format!("{HEADER}\n{{\"kind_of_later\":{{}}}}\n{{\"end\":{{\"entries\":1}}}}\n");
    assert_refused(unknown.as_bytes(), 2, "not an entry of a backup").await;
}

#[tokio::test]
async fn objects_are_carried_with_their_labels_and_usage() {
    let labels = vec![("tier".to_owned(), "gold".to_owned())];
    let first = Object { labels: labels.clone(), parent: Some("p".to_owned()), ..widget("w1") };
    let counts = Counts { sessions: 1, messages: 2, refused: 3, bytes: 4 };
    let backup = Memory::new(1 << 20);
    for object in [&first, &widget("w2"), &widget("w3"), &Object { kind: ObjectKind::LanguageMap, ..widget("w1") }] {
        assert_eq!(backup.insert(object).await, Ok(true));
    }
    assert_eq!(Objects::replace(&backup, &widget("w2")).await, Ok(true));
    assert_eq!(backup.add_usage(&[Usage { widget: "w1".to_owned(), counts }]).await, Ok(()));
    let text = exported(&backup).await;
    let line = concat!(
        r#"{"object":{"kind":"widget","id":"w1","app":"a","parent":"p","#,
        r#""labels":[["tier","gold"]],"document":"{\"id\":\"w1\"}","#,
        r#""usage":{"sessions":1,"messages":2,"refused":3,"bytes":4}}}
{"object":{"kind":"widget","id":"w2","app":"a","document":"{\"id\":\"w2\"}"}}"#
    );
    assert!(String::from_utf8_lossy(&text).contains(line), "{}", String::from_utf8_lossy(&text));
    let store = Memory::new(1 << 20);
    let other = Object { document: "other".to_owned(), ..widget("w3") };
    for object in [&widget("w2"), &other] {
        assert_eq!(store.insert(object).await, Ok(true));
    }
    let done = put_back(&store, &text).await.expect("imported");
    assert_eq!(done, Imported { entries: 4, imported: 2, present: 1, expired: 0, conflicts: 1 });
    assert_eq!(store.object(ObjectKind::Widget, "w1").await, Ok(Some(first.clone())));
    assert_eq!(store.object(ObjectKind::Widget, "w3").await, Ok(Some(other)));
    put_back(&store, &text).await.expect("imported once more");
    assert_eq!(store.usage("w1").await, Ok(counts), "it is not counted twice");
    let query = ObjectQuery {
        kind: ObjectKind::Widget,
        app: &first.app,
        after: None,
        newest_first: true,
        parent: Some("p"),
        labels: &labels,
        take: 10,
    };
    assert_eq!(store.objects(&query).await, Ok(vec![first.clone()]));
    for bad in [line.replace("widget", "gadget"), line.replace("\"a\"", "\"!\""), line.replace("\"tier\",", "")] {
        let bad = bad.lines().next().expect("a line");
        let text = format!("{HEADER}\n{bad}\n{{\"end\":{{\"entries\":1}}}}\n");
        assert_refused(text.as_bytes(), 2, "not an entry of a backup").await;
    }
}

#[tokio::test]
async fn a_full_store_ends_an_import_that_can_be_run_again() {
    let ids = Ids::new();
    let backup = Memory::new(1 << 20);
    for index in 0..100 {
        backup.put(ids.key(&format!("{index:04}")), Bytes::from(vec![1; 100]), after(10)).await.expect("kept");
    }
    let text = exported(&backup).await;
    let small = Memory::new(20_000);
    assert!(matches!(put_back(&small, &text).await, Err(ImportError::Store)));
    let some = exported(&small).await;
    let store = Memory::new(1 << 20);
    let first = put_back(&store, &some).await.expect("imported").imported;
    assert!(first > 0 && first < 100, "{first}");
    let rest = put_back(&store, &text).await.expect("imported");
    assert_eq!((rest.imported, rest.present), (100 - first, first));
}
