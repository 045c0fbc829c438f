//! Every engine does what a few maps would do, whatever is asked of it in whatever order.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sidegate::store::{Mark, Memory, Owner, Store, Unavailable, Vault};
use sidegate_core::clock::Timestamp;
use sidegate_core::context::ContextKey;
use sidegate_core::id::{AppId, ConversationId, EndUserId, TokenId};
use sidegate_core::revocation::Revocation;

use super::conformance::after;
use super::sqlite;

/// A call; numbers stand for ids, few so that they meet.
#[derive(Clone, Debug)]
enum Call {
    Put { key: Key, size: usize, lives: u64 },
    Get { key: Key },
    Replace { key: Key, known: bool },
    Pages,
    Record { conversation: Key, user: u8 },
    Owns { conversation: Key, user: u8 },
    Of { app: u8, user: u8 },
    Use { key: Key, lives: u64 },
    Revoke { token: u8, lives: u64 },
    Revoked,
    Sweep,
    Wait { seconds: u64 },
}

/// A token or conversation, and its app.
type Key = (u8, u8);

fn call() -> impl Strategy<Value = Call> {
    let key = || (0..6_u8, 0..2_u8);
    let lives = || 0..20_u64;
    prop_oneof![
        4 => (key(), prop_oneof![0..300_usize, Just(9_000)], lives())
            .prop_map(|(key, size, lives)| Call::Put { key, size, lives }),
        4 => key().prop_map(|key| Call::Get { key }),
        2 => (key(), any::<bool>()).prop_map(|(key, known)| Call::Replace { key, known }),
        1 => Just(Call::Pages),
        2 => (key(), 0..3_u8).prop_map(|(conversation, user)| Call::Record { conversation, user }),
        2 => (key(), 0..3_u8).prop_map(|(conversation, user)| Call::Owns { conversation, user }),
        1 => (0..2_u8, 0..3_u8).prop_map(|(app, user)| Call::Of { app, user }),
        3 => (key(), lives()).prop_map(|(key, lives)| Call::Use { key, lives }),
        1 => (0..6_u8, lives()).prop_map(|(token, lives)| Call::Revoke { token, lives }),
        1 => Just(Call::Revoked),
        1 => Just(Call::Sweep),
        2 => (0..8_u64).prop_map(|seconds| Call::Wait { seconds }),
    ]
}

/// What an engine must do, and how far its caller has read.
struct Model {
    now: Timestamp,
    puts: usize,
    records: BTreeMap<Key, (Bytes, Timestamp)>,
    owners: BTreeMap<Key, u8>,
    uses: BTreeMap<Key, Timestamp>,
    revocations: Vec<(Revocation, Timestamp)>,
    told: Mark,
}

fn app(number: u8) -> AppId {
    format!("app_{number}").parse().expect("id")
}

fn token(number: u8) -> TokenId {
    format!("token_{number}").parse().expect("id")
}

fn user(number: u8) -> EndUserId {
    format!("user \u{e9} {number}").parse().expect("id")
}

fn task(number: u8) -> ConversationId {
    format!("task.{number}").parse().expect("id")
}

impl Model {
    fn new() -> Self {
        Self {
            now: after(0),
            puts: 0,
            records: BTreeMap::new(),
            owners: BTreeMap::new(),
            uses: BTreeMap::new(),
            revocations: Vec::new(),
            told: Mark::default(),
        }
    }

    fn until(&self, lives: u64) -> Timestamp {
        self.now.plus(Duration::from_secs(lives))
    }

    /// A text that no other record has.
    fn sealed(&mut self, size: usize) -> Bytes {
        self.puts += 1;
        let mut text = format!("\0{}", self.puts).into_bytes();
        text.resize(text.len() + size, 0xfe);
        text.into()
    }

    async fn check(&mut self, store: &dyn Store, call: Call) {
        match call {
            Call::Put { .. } | Call::Get { .. } | Call::Replace { .. } | Call::Pages => {
                self.check_vault(store, call).await;
            }
            Call::Record { .. } | Call::Owns { .. } | Call::Of { .. } => self.check_owners(store, call).await,
            Call::Use { key, lives } => {
                let (until, app, token) = (self.until(lives), app(key.1), token(key.0));
                let first = !self.uses.contains_key(&key);
                let key_of = ContextKey { app: &app, token: &token };
                assert_eq!(store.first_use(key_of, until).await, Ok(first));
                self.uses.entry(key).or_insert(until);
            }
            Call::Revoke { token: number, lives } => {
                let revocation = Revocation::Id { app: app(0), jti: token(number) };
                store.revoke(&revocation, self.until(lives)).await.expect("kept");
                self.revocations.push((revocation, self.until(lives)));
            }
            Call::Revoked => {
                let told = store.revoked_since(self.told).await.expect("an answer");
                assert_eq!(told.revocations, std::mem::take(&mut self.revocations));
                self.told = told.mark;
            }
            Call::Sweep => {
                store.sweep(self.now).await.expect("swept");
                let now = self.now;
                self.records.retain(|_, (_, until)| *until > now);
                self.uses.retain(|_, until| *until > now);
                self.revocations.retain(|(_, until)| *until > now);
            }
            Call::Wait { seconds } => self.now = self.until(seconds),
        }
    }

    async fn check_vault(&mut self, store: &dyn Store, call: Call) {
        let ids = |key: Key| (app(key.1), token(key.0));
        match call {
            Call::Put { key, size, lives } => {
                let ((app, token), until, sealed) = (ids(key), self.until(lives), self.sealed(size));
                let kept = store.put(ContextKey { app: &app, token: &token }, sealed.clone(), until).await;
                let expected = if self.records.contains_key(&key) { Err(Unavailable) } else { Ok(()) };
                assert_eq!(kept, expected);
                self.records.entry(key).or_insert((sealed, until));
            }
            Call::Get { key } => {
                let (app, token) = ids(key);
                let found = store.get(ContextKey { app: &app, token: &token }, self.now).await.expect("an answer");
                let expected = self.records.get(&key).filter(|(_, until)| *until > self.now).cloned();
                assert_eq!(found.map(|record| (record.sealed, record.expires_at)), expected);
            }
            Call::Replace { key, known } => {
                let ((app, token), new) = (ids(key), self.sealed(50));
                let record = self.records.get_mut(&key);
                let old = record.as_ref().filter(|_| known).map_or(Bytes::from_static(b"?"), |(text, _)| text.clone());
                let replaced = Vault::replace(store, ContextKey { app: &app, token: &token }, &old, new.clone()).await;
                assert_eq!(replaced, Ok(record.is_some() && known));
                if let Some((text, _)) = record.filter(|_| known) {
                    *text = new;
                }
            }
            _ => {
                let page = store.page(None).await.expect("a page");
                let found = page
                    .records
                    .into_iter()
                    .map(|(app, token, record)| ((app, token), (record.sealed, record.expires_at)));
                let expected = self.records.iter().map(|(key, record)| (ids(*key), record.clone()));
                assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.collect());
                assert_eq!(page.next, None);
            }
        }
    }

    async fn check_owners(&mut self, store: &dyn Store, call: Call) {
        match call {
            Call::Record { conversation: key, user: number } => {
                let (app, user) = (app(key.1), user(number));
                let recorded = store.record(Owner { app: &app, end_user: &user }, &task(key.0)).await;
                let owner = *self.owners.entry(key).or_insert(number);
                assert_eq!(recorded, if owner == number { Ok(()) } else { Err(Unavailable) });
            }
            Call::Owns { conversation: key, user: number } => {
                let (app, user) = (app(key.1), user(number));
                let owns = store.owns(Owner { app: &app, end_user: &user }, &task(key.0)).await;
                assert_eq!(owns, Ok(self.owners.get(&key) == Some(&number)));
            }
            Call::Of { app: of, user: number } => {
                let (app, user) = (app(of), user(number));
                let expected = self.owners.iter().filter(|(key, owner)| key.1 == of && **owner == number);
                let expected: HashSet<_> = expected.map(|(key, _)| task(key.0)).collect();
                assert_eq!(store.of(Owner { app: &app, end_user: &user }).await, Ok(expected));
            }
            _ => unreachable!("not about owners"),
        }
    }
}

/// Random calls on a fresh store for each case.
fn holds<K>(cases: u32, open: impl AsyncFn() -> (K, Box<dyn Store>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let calls = proptest::collection::vec(call(), 1..80);
    let checked = TestRunner::new(config).run(&calls, |calls| {
        runtime.block_on(async {
            let (_kept, store) = open().await;
            let mut model = Model::new();
            for call in calls {
                model.check(&*store, call).await;
            }
        });
        Ok(())
    });
    checked.unwrap_or_else(|fault| panic!("{fault}"));
}

#[test]
fn memory_does_what_the_model_does() {
    holds(256, async || ((), Box::new(Memory::new(64 << 20)) as Box<dyn Store>));
}

#[test]
fn a_file_does_what_the_model_does() {
    holds(64, async || {
        let (directory, store) = sqlite::fresh(64 << 20).await;
        (directory, Box::new(store) as Box<dyn Store>)
    });
}

/// A cache that holds a few entries of some.
#[test]
fn a_file_with_hardly_any_cache_does_what_the_model_does() {
    holds(64, async || {
        let (directory, store) = sqlite::fresh(2_000).await;
        (directory, Box::new(store) as Box<dyn Store>)
    });
}
