//! What is kept of apps, and what becomes of one that cannot be read.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::{chat, exchange, make, mint, path, post, settings, with};
use crate::support::admin::{APPS, BOOTSTRAP, assert_problem, builder, call, done};
use crate::support::gate::{APP, Builder, Gate, SECRET, json_of};
use crate::support::redis::RedisServer;
use crate::support::upstream::Upstream;
use crate::support::wire::metric;

const KEY: &str = "canary-key-0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "bmV3LXNlYWwta2V5LW9mLXRoZS10ZXN0cy0wMTIzNDU";

fn secretive() -> Value {
    with(&json!({ "token": { "key": { "value": KEY } }, "inject": { "headers": { "X-Key": "canary-header" } } }))
}

fn at(upstream: &Upstream, file: &Path) -> Builder {
    builder(upstream).set(&format!("store.path={}", file.display()))
}

/// Fails if any of these bytes stands somewhere in what was kept or logged.
fn assert_absent(kept: &[u8], texts: &[&str]) {
    assert!(!kept.is_empty());
    for text in texts {
        assert!(!kept.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[tokio::test]
async fn no_secret_stands_in_the_file_or_in_the_log() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let gate = at(&upstream, &folder.path().join("a.db")).set("log.level=trace").start().await;
    let app = make(&gate, secretive()).await;
    let second = post(&gate, &app.id, "rotate-secret", json!({})).await["secret"].take();
    post(&gate, &app.id, "rotate-key", json!({ "key": { "value": format!("{KEY}-2") } })).await;
    assert_eq!(chat(&gate, &mint(&gate, &app).await).await, 200);
    assert_eq!(upstream.take()[0].header("x-key"), "canary-header");
    let texts = ["canary", &app.secret, second.as_str().expect("a secret")];
    assert_absent(gate.output().as_bytes(), &texts);
    drop(gate);
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
        kept.extend(std::fs::read(entry.path()).expect("bytes"));
    }
    assert!(kept.windows(app.id.len()).any(|window| window == app.id.as_bytes()), "the entry is in the file");
    assert_absent(&kept, &texts);
}

#[tokio::test]
async fn no_secret_stands_in_redis() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = server.share(builder(&upstream)).start().await;
    let app = make(&gate, secretive()).await;
    let kept: Vec<String> = server.command(&["HGETALL", "sidegate:registry:app"]).await;
    assert_eq!(kept[0], app.id);
    assert_absent(kept.concat().as_bytes(), &["canary", &app.secret]);
}

async fn unusable(gate: &Gate) -> (Value, f64) {
    let answer = gate.ops("/readyz").send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "others go on");
    (json_of(answer).await["checks"]["apps_unusable"].take(), metric(gate, "sidegate_apps_unusable").await)
}

#[tokio::test]
async fn an_app_that_no_key_opens_does_not_stop_the_others_and_comes_back_with_its_key() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("a.db");
    let gate = at(&upstream, &file).start().await;
    assert_eq!(unusable(&gate).await, (Value::Null, 0.0));
    let app = make(&gate, secretive()).await;
    drop(gate);
    for other in [true, false] {
        let gate = match other {
            true => at(&upstream, &file).set(&format!("store.seal_keys=[{{ value = \"{OTHER_KEY}\" }}]")),
            false => at(&upstream, &file).without_seal_key(),
        };
        let gate = gate.start().await;
        // Without a key that which is made under the other one cannot be read, either.
        let (count, lines) = if other { (1, 1) } else { (2, 2) };
        assert_eq!(unusable(&gate).await, (json!(count), f64::from(count)));
        assert_eq!(exchange(&gate, &app.id, &app.secret).await.status(), 401);
        assert_eq!(exchange(&gate, APP, SECRET).await.status(), 200);
        let shown = done(&gate, Method::GET, &path(&app.id, ""), Value::Null).await;
        assert_eq!((&shown["state"], &shown["settings"]), (&json!("unusable"), &Value::Null));
        let said = if other { "none of store.seal_keys opens it" } else { "no store.seal_keys are configured" };
        assert!(shown["problems"][0].as_str().is_some_and(|reason| reason.contains(said)), "{shown}");
        let line = gate.wait_for_line(&format!("\"app\":\"{}\"", app.id)).await;
        assert!(line.contains("an app of the registry cannot be served") && line.contains("ERROR"), "{line}");
        let change = call(&gate, BOOTSTRAP, Method::POST, &path(&app.id, "disable"), Value::Null).await;
        assert_problem(change, 501, "CONTEXT_NOT_CONFIGURED").await;
        let create = call(&gate, BOOTSTRAP, Method::POST, APPS, settings()).await;
        assert_eq!(create.status(), if other { 201 } else { 501 });
        assert_eq!(gate.output().matches("an app of the registry cannot be served").count(), lines);
    }
    let gate = at(&upstream, &file).start().await;
    assert_eq!(exchange(&gate, &app.id, &app.secret).await.status(), 200);
}

#[tokio::test]
async fn an_app_that_the_configuration_does_not_fit_any_more_is_left_out_and_can_be_mended() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("a.db");
    let extra = |name: &str| format!("[[upstreams]]\nname = \"{name}\"\nurl = \"{}\"\n", upstream.url());
    let gate = at(&upstream, &file).toml(&extra("second")).start().await;
    let lost = make(&gate, with(&json!({ "upstream": "second" }))).await;
    let shadowed = make(&gate, with(&json!({ "id": "wapp_both" }))).await;
    let fine = make(&gate, settings()).await;
    drop(gate);
    let both =
        "[[apps]]\nid = \"wapp_both\"\ndialect = \"sigmic\"\nupstream = \"chat\"\norigins = [\"https://x.example\"]\n";
    let gate = at(&upstream, &file).toml(both).start().await;
    assert_eq!(unusable(&gate).await, (json!(2), 2.0));
    assert_eq!(exchange(&gate, &fine.id, &fine.secret).await.status(), 200);
    assert_eq!(exchange(&gate, &shadowed.id, &shadowed.secret).await.status(), 401, "that of the file has no secret");
    let listed = done(&gate, Method::GET, APPS, Value::Null).await;
    let of = |source: &str, id: &str| {
        let apps = listed["apps"].as_array().expect("a list");
        apps.iter().find(|app| app["source"] == source && app["id"] == id).expect("it is listed").clone()
    };
    assert_eq!(of("file", "wapp_both")["state"], "active");
    assert_eq!(of("registry", "wapp_both")["problems"], json!(["an app of the configuration has its id"]));
    let problems = json!(["upstream: is not the name of one of the [[upstreams]]"]);
    assert_eq!(
        (&of("registry", &lost.id)["problems"], &of("registry", &lost.id)["state"]),
        (&problems, &json!("unusable"))
    );
    assert_eq!(post(&gate, &lost.id, "disable", Value::Null).await["state"], "disabled");
    assert_eq!(unusable(&gate).await.0, json!(1), "what is disabled is not missed");
    post(&gate, &lost.id, "enable", Value::Null).await;
    done(&gate, Method::PUT, &path(&lost.id, ""), settings()).await;
    assert_eq!(exchange(&gate, &lost.id, &lost.secret).await.status(), 200);
}
