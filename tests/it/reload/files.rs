//! Files that change while nobody says so.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use super::{APPLIED, REFUSED, list};
use crate::support::gate::{APP, Gate, SIGNING_KEY};
use crate::support::redis::RedisServer;
use crate::support::upstream::Upstream;
use crate::support::wire::{metric, metric_becomes, within};

/// Until a token gets this answer.
async fn becomes(gate: &Gate, token: &str, status: u16) {
    let asked = async { while list(gate, token).await != status {} };
    within(asked).await;
}

/// A gate whose app's key is in a file.
async fn keyed(upstream: &Upstream, key: &Path) -> Gate {
    Gate::builder(upstream).token(&format!("key = {{ file = {key:?} }}")).start().await
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
}

#[tokio::test]
async fn a_config_file_that_is_replaced_or_written_over() {
    let upstream = Upstream::start().await;
    let builder = Gate::builder(&upstream);
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    gate.configure(&config.replace(APP, "other"));
    becomes(&gate, &token, 401).await;
    gate.wait_for_line("a file has changed").await;
    write(&gate.path("sidegate.toml"), &config);
    becomes(&gate, &token, 200).await;
}

#[tokio::test]
async fn a_key() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let key = folder.path().join("key");
    write(&key, SIGNING_KEY);
    let gate = keyed(&upstream, &key).await;
    let token = gate.token("ada").mint().await;
    write(&key, &SIGNING_KEY.to_uppercase());
    becomes(&gate, &token, 401).await;
    assert_eq!(list(&gate, &gate.token("ada").mint().await).await, 200);
}

/// A secret or config map as kubelet writes it: a folder for each version, and links to it.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(files: &[(&str, &str)]) -> Self {
        let mounted = Self(tempfile::tempdir().expect("a folder"));
        mounted.version("..2026_11_29_10_00_00.1", files);
        symlink("..2026_11_29_10_00_00.1", mounted.path("..data")).expect("linked");
        for (name, _) in files {
            symlink(format!("..data/{name}"), mounted.path(name)).expect("linked");
        }
        mounted
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn version(&self, version: &str, files: &[(&str, &str)]) {
        std::fs::create_dir(self.path(version)).expect("made");
        files.iter().for_each(|(name, text)| write(&self.path(version).join(name), text));
    }

    /// The new version beside the old one, one rename, and the old one is removed.
    fn update(&self, version: &str, files: &[(&str, &str)]) {
        let old = std::fs::read_link(self.path("..data")).expect("a link");
        self.version(version, files);
        symlink(version, self.path("..data_tmp")).expect("linked");
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).expect("renamed");
        std::fs::remove_dir_all(self.0.path().join(old)).expect("removed");
    }
}

#[tokio::test]
async fn a_secret_of_kubernetes() {
    let (upstream, other) = (Upstream::start().await, SIGNING_KEY.to_uppercase());
    let mounted = Mounted::new(&[("key", SIGNING_KEY)]);
    let gate = keyed(&upstream, &mounted.path("key")).await;
    let first = gate.token("ada").mint().await;
    mounted.update("..2026_11_29_11_00_00.2", &[("key", &other)]);
    becomes(&gate, &first, 401).await;
    let second = gate.token("ada").mint().await;
    mounted.update("..2026_11_29_12_00_00.3", &[("key", SIGNING_KEY)]);
    becomes(&gate, &second, 401).await;
    assert_eq!(list(&gate, &first).await, 200);
    assert_eq!(metric(&gate, REFUSED).await, 0.0);
}

#[tokio::test]
async fn a_file_that_is_away_for_a_while() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let key = folder.path().join("key");
    write(&key, SIGNING_KEY);
    let gate = keyed(&upstream, &key).await;
    let token = gate.token("ada").mint().await;
    std::fs::remove_file(&key).expect("removed");
    metric_becomes(&gate, REFUSED, 1.0).await;
    gate.wait_for_line("cannot read file").await;
    assert_eq!(list(&gate, &token).await, 200);
    write(&key, SIGNING_KEY);
    metric_becomes(&gate, APPLIED, 1.0).await;
    assert_eq!(list(&gate, &token).await, 200);
    assert_eq!(metric(&gate, REFUSED).await, 1.0, "it is tried once, and not until it is there");
}

#[tokio::test]
async fn a_file_of_a_folder_that_is_replaced() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let at = |name: &str| folder.path().join(name);
    for (name, key) in [("keys", SIGNING_KEY.to_owned()), ("next", SIGNING_KEY.to_uppercase())] {
        std::fs::create_dir(at(name)).expect("made");
        write(&at(name).join("key"), &key);
    }
    let gate = keyed(&upstream, &at("keys").join("key")).await;
    let token = gate.token("ada").mint().await;
    std::fs::rename(at("keys"), at("old")).expect("renamed");
    std::fs::rename(at("next"), at("keys")).expect("renamed");
    becomes(&gate, &token, 401).await;
    // And the one of now is looked at, too.
    write(&at("keys").join("key"), SIGNING_KEY);
    becomes(&gate, &token, 200).await;
}

#[tokio::test]
async fn a_file_that_a_mistake_kept_the_gate_from_reaching() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let key = folder.path().join("key");
    write(&key, SIGNING_KEY);
    let builder = Gate::builder(&upstream).token(&format!("key = {{ file = {key:?} }}"));
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    gate.configure("no toml");
    metric_becomes(&gate, REFUSED, 1.0).await;
    write(&key, &SIGNING_KEY.to_uppercase());
    metric_becomes(&gate, REFUSED, 2.0).await;
    assert_eq!(list(&gate, &token).await, 200);
    gate.configure(&config);
    becomes(&gate, &token, 401).await;
}

#[tokio::test]
async fn nothing_is_looked_at_any_more_when_the_configuration_says_so() {
    let upstream = Upstream::start().await;
    let builder = Gate::builder(&upstream);
    let (config, gate) = (builder.config(), builder.start().await);
    gate.configure(&format!("{config}\n[reload]\nwatch = false\n"));
    metric_becomes(&gate, APPLIED, 1.0).await;
    gate.configure("no toml");
    // Nothing tells that nothing happens: this is four times as long as it takes where files are looked at.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((metric(&gate, APPLIED).await, metric(&gate, REFUSED).await), (1.0, 0.0));
}

/// The change was read when somebody asked for it, so that no file is found changed any more.
#[tokio::test]
async fn a_change_comes_into_force_when_the_store_answers_again_whoever_has_asked_meanwhile() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let builder = server.share(Gate::builder(&upstream)).set("store.redis.timeout=300ms");
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    server.freeze();
    gate.configure(&config.replace(APP, "other"));
    for refused in [1.0, 2.0] {
        gate.signal("HUP");
        within(async { while metric(&gate, REFUSED).await < refused {} }).await;
    }
    server.thaw();
    becomes(&gate, &token, 401).await;
}
