//! Apps over the store in memory, by a clock that stands where it is put.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use sidegate_core::context::seal::{Sealer, new_key};
use sidegate_core::secret::SecretDigests;

use super::*;
use crate::config::{Input, load};
use crate::leash::Changes;
use crate::store::{Entry, Memory};
use crate::system::System;

const CONFIG: &str = "[[upstreams]]\nname = \"chat\"\nurl = \"http://127.0.0.1:1\"\n\
                      [[apps]]\nid = \"configured\"\ndialect = \"sigmic\"\nupstream = \"chat\"\n";
const KEY: &str = "a-key-of-these-tests-0123456789abcdef";

#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

/// A gate's view of a store.
struct Gate {
    apps: Apps,
    served: Arc<ArcSwap<Registry>>,
    clock: Arc<Hand>,
}

async fn gate(store: &Arc<Memory>, sealer: &Arc<Sealer>) -> Gate {
    let documents = vec![("test.toml".into(), CONFIG.to_owned())];
    let settings = load(&Input { documents, ..Input::default() }).expect("good").settings;
    let configured = Configured::of(&settings);
    let apps = settings.apps.into_iter().map(|configured| (configured.app, configured.upstream)).collect();
    let registry = Registry::new(&settings.upstreams, apps, None).expect("ready");
    let (served, clock) = (Arc::new(ArcSwap::from_pointee(registry)), Arc::new(Hand::default()));
    let entries = Arc::clone(store) as _;
    let (sealer, at) = (Some(Arc::clone(sealer)), Arc::clone(&clock) as _);
    let apps =
        Apps::open(entries, sealer, configured, Some((Arc::clone(&served), Changes::default())), at, Arc::new(System))
            .await;
    Gate { apps: apps.expect("open"), served, clock }
}

async fn fresh() -> (Arc<Memory>, Arc<Sealer>, Gate) {
    let store = Arc::new(Memory::new(1 << 20));
    let sealer = Arc::new(Sealer::from_text(&new_key(&System).expect("a key")).expect("a sealer"));
    let gate = gate(&store, &sealer).await;
    (store, sealer, gate)
}

fn settings(more: Value) -> AppSettings {
    let mut settings = AppSettings::default();
    settings.set("dialect", "sigmic");
    settings.set("upstream", "chat");
    let Value::Object(more) = more else { unreachable!("an object") };
    more.into_iter().for_each(|(name, value)| settings.set(&name, value));
    settings
}

fn id(text: &str) -> AppId {
    text.parse().expect("id")
}

impl Gate {
    async fn make(&self, name: &str) -> SecretString {
        let (_, secret) = self.apps.create(settings(json!({ "id": name }))).await.expect("made");
        secret.expect("a secret")
    }

    fn takes(&self, app: &str, secret: &SecretString) -> bool {
        let registry = self.served.load();
        registry.app(app).is_some_and(|registered| SecretDigests::verify(registered.app.secrets.as_ref(), secret))
    }
}

#[tokio::test]
async fn a_change_leaves_everything_else_the_same_in_memory() {
    let (_, _, gate) = fresh().await;
    gate.make("one").await;
    gate.make("other").await;
    let before = gate.served.load_full();
    gate.apps.update(&id("one"), &settings(json!({ "origins": ["https://x.example"] })), None).await.expect("changed");
    let after = gate.served.load_full();
    let same = |id: &str| Arc::ptr_eq(before.app(id).expect("there"), after.app(id).expect("there"));
    assert!(same("other") && same("configured"), "tokens verified before stay verified");
    assert!(!same("one"));
    assert!(Arc::ptr_eq(&before.upstreams()[0], &after.upstreams()[0]));
}

#[tokio::test]
async fn a_previous_secret_ends_by_the_clock_alone() {
    let (_, _, gate) = fresh().await;
    let first = gate.make("one").await;
    let (_, second) = gate.apps.rotate_secret(&id("one"), Duration::from_secs(10)).await.expect("rotated");
    gate.clock.0.store(9, Ordering::Relaxed);
    gate.apps.end_secrets().await;
    assert!(gate.takes("one", &first) && gate.takes("one", &second));
    gate.clock.0.store(10, Ordering::Relaxed);
    let generation = gate.apps.generation();
    gate.apps.end_secrets().await;
    assert!(!gate.takes("one", &first) && gate.takes("one", &second));
    assert_eq!(gate.apps.generation(), generation);
    let again = self::gate(&gate.store_of().await, &gate.sealer_of()).await;
    again.clock.0.store(11, Ordering::Relaxed);
    again.apps.end_secrets().await;
    assert!(!again.takes("one", &first) && again.takes("one", &second), "also at a gate that starts later");
}

impl Gate {
    async fn store_of(&self) -> Arc<Memory> {
        let copy = Arc::new(Memory::new(1 << 20));
        for entry in self.apps.entries.entries(EntryKind::App).await.expect("entries") {
            assert_eq!(copy.add(&entry).await, Ok(true));
        }
        copy
    }

    fn sealer_of(&self) -> Arc<Sealer> {
        Arc::clone(self.apps.sealer.as_ref().expect("a sealer"))
    }
}

/// Two gates make apps of one key at the same moment: neither can know of the other.
#[tokio::test]
async fn of_two_apps_with_one_key_the_older_is_served_until_they_part() {
    let (_, sealer, younger) = fresh().await;
    let older = gate(&Arc::new(Memory::new(1 << 20)), &sealer).await;
    younger.clock.0.store(1, Ordering::Relaxed);
    let of_key = |name: &str| settings(json!({ "id": name, "token": { "key": { "value": KEY } } }));
    younger.apps.create(of_key("a")).await.expect("made");
    older.apps.create(of_key("b")).await.expect("made");
    let store = younger.store_of().await;
    let foreign = older.apps.entries.entry(EntryKind::App, "b").await.expect("an answer").expect("an app");
    assert_eq!(store.add(&foreign).await, Ok(true));
    let gate = gate(&store, &sealer).await;
    assert!(gate.served.load().app("a").is_none() && gate.served.load().app("b").is_some());
    assert_eq!(gate.apps.unusable(), 1);
    let third = gate.apps.create(of_key("c")).await.expect_err("refused");
    assert!(third.message.contains("the same key also serves app b"), "{}", third.message);
    gate.apps
        .update(&id("b"), &settings(json!({ "token": { "key": { "value": format!("{KEY}-2") } } })), None)
        .await
        .expect("changed");
    assert!(gate.served.load().app("a").is_some() && gate.served.load().app("b").is_some());
    assert_eq!(gate.apps.unusable(), 0);
}

#[tokio::test]
async fn entries_of_any_content_are_left_out_without_panic() {
    let (store, sealer, gate) = fresh().await;
    gate.make("good").await;
    let sealed = gate.apps.entries.entry(EntryKind::App, "good").await.expect("an answer").expect("an app").document;
    let of_id = |name: &str| settings(json!({ "id": name })).as_value(Clone::clone);
    let odd = json!({ "settings": of_id("odd"), "created_at": 0, "changed_at": 0, "more": 1 });
    let odd =
        sealer.seal(sidegate_core::context::seal::SealedFor::App(&id("odd")), odd.to_string().as_bytes(), &System);
    let odd = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, odd.expect("sealed"));
    let entries =
        [("empty", ""), ("plain", "{}"), ("moved", sealed.as_str()), ("odd", odd.as_str()), ("no id!", "AAAA")];
    for (id, document) in entries {
        let entry = Entry { kind: EntryKind::App, id: id.to_owned(), revision: 1, document: document.to_owned() };
        assert_eq!(store.add(&entry).await, Ok(true));
    }
    gate.apps.refresh().await.expect("read");
    assert_eq!((gate.apps.unusable(), gate.served.load().apps().count()), (5, 2));
    let listed = gate.apps.list().await.expect("a list");
    assert_eq!(listed.len(), 7);
    gate.make("another").await;
    assert_eq!(gate.served.load().apps().count(), 3);
}

#[tokio::test]
async fn an_app_of_the_same_revision_in_a_store_that_began_anew_is_another_one() {
    let (store, sealer, gate) = fresh().await;
    let first = gate.make("one").await;
    let emptied = Arc::new(Memory::new(1 << 20));
    let elsewhere = self::gate(&emptied, &sealer).await;
    let second = elsewhere.make("one").await;
    let entry = emptied.entry(EntryKind::App, "one").await.expect("an answer").expect("an app");
    assert_eq!(
        (entry.revision, store.entry(EntryKind::App, "one").await.expect("an answer").expect("an app").revision),
        (1, 1)
    );
    let before = gate.apps.known.load_full();
    let known = known::Known::read(9, &[entry], &before, &gate.apps.configured, Some(&sealer), gate.apps.now());
    gate.apps.publish(known);
    assert!(gate.takes("one", &second) && !gate.takes("one", &first));
}

#[tokio::test]
async fn nothing_of_an_app_that_is_printed_is_secret() {
    let (_, _, gate) = fresh().await;
    let more = json!({ "id": "one", "token": { "key": { "value": KEY } }, "inject": { "headers": { "X": "canary" } } });
    let (shown, secret) = gate.apps.create(settings(more)).await.expect("made");
    let printed = format!("{shown:?} {secret:?} {:?} {:?}", gate.apps.known.load(), gate.served.load());
    for text in ["canary", KEY, secrecy::ExposeSecret::expose_secret(&secret.expect("one"))] {
        assert!(!printed.contains(text), "{text}");
    }
}
