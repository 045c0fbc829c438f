//! Setup, and what widgets say in their languages.

use std::io::Write as _;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{
    ACCOUNT, BLUEPRINTS, KEY, OPEN, WIDGETS, api, json_of, made, page, refused, shop, started, text, with_lines,
};
use crate::support::admin::{call, service_token};
use crate::support::gate::{APP, Builder, Gate, PATIENCE, SHOP};
use crate::support::program::program;
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};

const COMPLETIONS: &str = "/v1/chat/completions";

async fn translated() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = translator(&upstream).start().await;
    (upstream, gate)
}

/// A gate whose translator is a second upstream, with a key of its own.
fn translator(upstream: &Upstream) -> Builder {
    let lines = format!("{OPEN}\ntranslator = {{ upstream = \"llm\", model = \"small\" }}");
    let other = format!(
        "[[upstreams]]\nname = \"llm\"\nurl = \"{}\"\nheaders = {{ Authorization = \"Bearer {{{{service.KEY}}}}\" }}\n\
         service = {{ KEY = {{ value = \"canary-llm-key\" }} }}\nfirst_byte_timeout = \"2s\"",
        upstream.url()
    );
    with_lines(upstream, &lines).toml(&other)
}

/// A completion whose content is this.
fn completion(content: &Value) -> Behaviour {
    let message = json!({ "role": "assistant", "content": content });
    Behaviour::answer(Reply::json(200, &json!({ "choices": [{ "message": message, "finish_reason": "stop" }] })))
}

fn says(content: &Value) -> Behaviour {
    completion(&json!(content.to_string()))
}

fn path(widget: &str, leaf: &str) -> String {
    format!("{WIDGETS}/{widget}/{leaf}")
}

async fn set_up(gate: &Gate, widget: &str) {
    let answer = api(gate, Method::POST, &path(widget, "setup"), Value::Null).await;
    assert_eq!(json_of(answer).await, json!({ "id": widget }));
}

async fn asked(gate: &Gate, widget: &str) -> Response {
    page(gate, Method::GET, &path(widget, "languages")).send().await.expect("an answer")
}

async fn map(gate: &Gate, widget: &str) -> Value {
    json_of(asked(gate, widget).await).await
}

/// The map once this holds.
async fn map_when(gate: &Gate, widget: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let waiting = async {
        loop {
            let map = map(gate, widget).await;
            if holds(&map) {
                return map;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the map in time")
}

/// The map that the setup of this number has made.
async fn version(gate: &Gate, widget: &str, version: u64) -> Value {
    map_when(gate, widget, |map| map["version"] == json!(version)).await
}

async fn update(gate: &Gate, widget: &str, fields: Value) {
    json_of(api(gate, Method::POST, &path(widget, "update"), fields).await).await;
}

/// The texts of a question, and the language of its task.
fn question(asked: &Recorded) -> (Value, String) {
    let body = asked.json();
    let of = |index: usize| text(&body["messages"][index]["content"]);
    let language = of(0).split('"').nth(1).expect("a language").to_owned();
    (serde_json::from_str(&of(1)).expect("JSON"), language)
}

#[tokio::test]
async fn before_a_setup_a_widget_has_its_untranslated_map() {
    let (upstream, gate) = translated().await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv" })).await;
    let map = map(&gate, &id).await;
    assert_eq!((&map["version"], &map["languages"]), (&json!(0), &json!({})));
    let default = map["default"].as_object().expect("texts");
    assert_eq!(
        (default.len(), &default["title"], &default["control.restart"]),
        (11, &json!("Shop"), &json!("Restart"))
    );
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_setup_translates_every_element_into_every_language() {
    let (upstream, gate) = translated().await;
    upstream.on(COMPLETIONS, says(&json!({ "title": "Veikals", "dialog.yes": "Jā" })));
    let id = shop(&gate, json!({ "title": "Shop", "intro": "Ask \"us\"", "language": "lv, de" })).await;
    set_up(&gate, &id).await;
    let map = version(&gate, &id, 1).await;
    for language in ["lv", "de"] {
        let texts = &map["languages"][language];
        assert_eq!(
            (&texts["title"], &texts["dialog.yes"], &texts["dialog.no"]),
            (&json!("Veikals"), &json!("Jā"), &json!("No"))
        );
        assert_eq!(texts.as_object().map(serde_json::Map::len), Some(12), "{map}");
    }
    assert_eq!(map["default"]["title"], "Shop");
    let questions = upstream.take();
    let mut languages: Vec<_> = questions.iter().map(|asked| question(asked).1).collect();
    languages.sort();
    assert_eq!(languages, ["de", "lv"]);
    for asked in &questions {
        assert_eq!((asked.method.as_str(), asked.header("authorization")), ("POST", "Bearer canary-llm-key"));
        assert_eq!((asked.header("content-type"), asked.header("origin")), ("application/json", ""));
        assert_eq!((&asked.json()["model"], &asked.json()["temperature"]), (&json!("small"), &json!(0)));
        assert_eq!(question(asked).0, map["default"]);
    }
    assert!(!gate.output().contains("canary") && !gate.output().contains("Veikals"));
}

#[tokio::test]
async fn one_language_that_fails_is_shown_untranslated_and_the_others_are_not_lost() {
    let (upstream, gate) = translated().await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv" })).await;
    for (number, (answer, attempts)) in [
        (Behaviour::answer(Reply::json(500, &json!({ "error": "canary-text" }))), 2),
        (Behaviour::answer(Reply::json(401, &json!({ "error": "canary-text" }))), 1),
        (completion(&json!(null)), 1),
        (completion(&json!("Veikals")), 1),
        (Behaviour::answer(Reply::new(200, "x".repeat(2 << 20))), 1),
    ]
    .into_iter()
    .enumerate()
    {
        let before = upstream.count();
        upstream.on(COMPLETIONS, answer);
        set_up(&gate, &id).await;
        let map = version(&gate, &id, number as u64 + 1).await;
        assert_eq!(map["languages"]["lv"], map["default"]);
        assert_eq!(upstream.count() - before, attempts, "{number}");
    }
    update(&gate, &id, json!({ "language": "lv de fr" })).await;
    upstream.on(COMPLETIONS, says(&json!({ "title": "Laden" })));
    upstream.once(COMPLETIONS, Behaviour::answer(Reply::json(400, &json!({}))));
    set_up(&gate, &id).await;
    let map = version(&gate, &id, 6).await;
    let titles: Vec<_> = ["lv", "de", "fr"].iter().map(|tag| text(&map["languages"][tag]["title"])).collect();
    assert_eq!(titles.iter().filter(|title| *title == "Shop").count(), 1, "{titles:?}");
    gate.wait_for_line("could not be translated").await;
    assert!(!gate.output().contains("canary"));
}

#[tokio::test]
async fn an_answer_puts_nothing_into_the_map_but_texts_of_its_elements() {
    let (upstream, gate) = translated().await;
    let id = shop(&gate, json!({ "title": "Shop", "intro": "Hi", "placeholder": "Ask", "language": "lv" })).await;
    upstream.on(
        COMPLETIONS,
        says(&json!({
            "title": "<img src=x onerror=alert(1)>", "intro": "x".repeat(5_000), "placeholder": { "a": 1 },
            "dialog.yes": "Jā", "dialog.no": ["Nē"], "version": 9, "__proto__": "x", "default": { "title": "Evil" },
        })),
    );
    set_up(&gate, &id).await;
    let map = version(&gate, &id, 1).await;
    let mut expected = map["default"].clone();
    expected["dialog.yes"] = "Jā".into();
    assert_eq!(map["languages"], json!({ "lv": expected }));
    assert_eq!(map["default"]["title"], "Shop");
}

#[tokio::test]
async fn a_file_translates_without_a_server() {
    let mut file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    write!(file, "{}", json!({ "lv": { "Shop": "Veikals", "Yes": "Jā" }, "pt": { "Yes": "Sim" } })).expect("written");
    let upstream = Upstream::start().await;
    let lines = format!("{OPEN}\ntranslator = {{ file = \"{}\" }}", file.path().display());
    let gate = with_lines(&upstream, &lines).start().await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv,pt-BR,de" })).await;
    set_up(&gate, &id).await;
    let map = version(&gate, &id, 1).await;
    assert_eq!(
        (&map["languages"]["lv"]["title"], &map["languages"]["lv"]["dialog.yes"]),
        (&json!("Veikals"), &json!("Jā"))
    );
    assert_eq!(map["languages"]["pt-BR"]["dialog.yes"], "Sim");
    assert_eq!(map["languages"]["de"], map["default"]);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn without_a_translator_a_setup_leaves_all_untranslated() {
    let (_upstream, gate) = started().await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv" })).await;
    set_up(&gate, &id).await;
    let map = version(&gate, &id, 1).await;
    assert_eq!(map["languages"], json!({ "lv": map["default"] }));
}

#[tokio::test]
async fn old_texts_are_served_meanwhile_and_one_setup_runs_at_a_time() {
    let (upstream, gate) = translated().await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv" })).await;
    upstream.once(COMPLETIONS, says(&json!({ "title": "Bode" })));
    set_up(&gate, &id).await;
    let first = version(&gate, &id, 1).await;
    let tag = asked(&gate, &id).await.headers()["etag"].clone();
    let (held, release) = Behaviour::held(Reply::json(
        200,
        &json!({ "choices": [{ "message": { "content": json!({ "title": "Veikals" }).to_string() } }] }),
    ));
    upstream.on(COMPLETIONS, held);
    // One runs, and however many are asked for meanwhile, one more follows.
    set_up(&gate, &id).await;
    upstream.wait_heads(2).await;
    for _ in 0..5 {
        set_up(&gate, &id).await;
    }
    assert_eq!((map(&gate, &id).await, asked(&gate, &id).await.headers()["etag"].clone()), (first, tag.clone()));
    assert_eq!(upstream.progress().heads, 2);
    release.release();
    let last = version(&gate, &id, 7).await;
    assert_eq!(last["languages"]["lv"]["title"], "Veikals");
    assert_ne!(asked(&gate, &id).await.headers()["etag"], tag);
    assert_eq!(upstream.count(), 3);
    // A setup that changes nothing but the version is one, too.
    set_up(&gate, &id).await;
    let again = version(&gate, &id, 8).await;
    assert_eq!(again["languages"], last["languages"]);
}

#[tokio::test]
async fn a_setup_that_a_gate_left_undone_is_taken_up_by_the_next_one() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let start = || translator(&upstream).set(&format!("store.path={}", folder.path().join("a.db").display())).start();
    let gate = start().await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv" })).await;
    let (held, _never) = Behaviour::held(Reply::json(200, &json!({})));
    upstream.on(COMPLETIONS, held);
    set_up(&gate, &id).await;
    upstream.wait_heads(1).await;
    gate.signal("KILL");
    gate.wait().await;
    upstream.on(COMPLETIONS, says(&json!({ "title": "Veikals" })));
    let gate = start().await;
    assert_eq!(version(&gate, &id, 1).await["languages"]["lv"]["title"], "Veikals");
    // What is done is not begun anew.
    let asked = upstream.count();
    gate.signal("TERM");
    gate.wait().await;
    let gate = start().await;
    set_up(&gate, &id).await;
    version(&gate, &id, 2).await;
    assert_eq!(upstream.count(), asked + 1);
}

#[tokio::test]
async fn a_text_that_has_changed_is_served_untranslated_until_the_next_setup() {
    let (upstream, gate) = translated().await;
    upstream.on(COMPLETIONS, says(&json!({ "title": "Veikals", "intro": "Sveiki" })));
    let blueprint = made(&gate, BLUEPRINTS, json!({ "intro": "Hello" })).await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv", "blueprintId": blueprint })).await;
    set_up(&gate, &id).await;
    version(&gate, &id, 1).await;
    update(&gate, &id, json!({ "title": "Store" })).await;
    let changed = map(&gate, &id).await;
    assert_eq!(
        (&changed["default"]["title"], &changed["languages"]["lv"]["title"]),
        (&json!("Store"), &json!("Store"))
    );
    assert_eq!(changed["languages"]["lv"]["intro"], "Sveiki");
    json_of(api(&gate, Method::POST, &format!("{BLUEPRINTS}/{blueprint}/update"), json!({ "intro": "Hi" })).await)
        .await;
    assert_eq!(map(&gate, &id).await["languages"]["lv"]["intro"], "Hi");
    update(&gate, &id, json!({ "title": "Shop" })).await;
    assert_eq!(map(&gate, &id).await["languages"]["lv"]["title"], "Veikals");
    // A language that the widget no longer speaks, and one that it does not speak yet.
    update(&gate, &id, json!({ "language": "de" })).await;
    assert_eq!(map(&gate, &id).await["languages"], json!({}));
    set_up(&gate, &id).await;
    assert_eq!(version(&gate, &id, 2).await["languages"]["de"]["intro"], "Sveiki");
}

#[tokio::test]
async fn browsers_are_told_if_they_have_it_already() {
    let (_upstream, gate) = translated().await;
    let id = shop(&gate, json!({ "title": "Shop" })).await;
    let first = asked(&gate, &id).await;
    let tag = first.headers()["etag"].clone();
    assert_eq!(first.headers()["cache-control"], "no-cache");
    assert_eq!(first.headers()["vary"], "Origin");
    assert_eq!(first.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(first.headers()["content-type"], "application/json");
    let body = first.text().await.expect("text");
    let conditional =
        |tag: &http::HeaderValue| page(&gate, Method::GET, &path(&id, "languages")).header("if-none-match", tag).send();
    let same = conditional(&tag).await.expect("an answer");
    assert_eq!((same.status(), &same.headers()["etag"]), (StatusCode::NOT_MODIFIED, &tag));
    assert_eq!(same.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(same.text().await.expect("text"), "");
    let head = page(&gate, Method::HEAD, &path(&id, "languages")).send().await.expect("an answer");
    assert_eq!(head.headers()["etag"], tag);
    assert_eq!(head.headers()["content-length"], body.len().to_string());
    update(&gate, &id, json!({ "title": "Store" })).await;
    assert_eq!(conditional(&tag).await.expect("an answer").status(), StatusCode::OK);
    let other = gate.public(Method::GET, &format!("/v1/integration/widget/{id}/languages")).send().await;
    assert_eq!(json_of(other.expect("an answer")).await["default"]["title"], "Store");
}

#[tokio::test]
async fn pages_of_other_origins_and_what_is_not_there_are_refused() {
    let (_upstream, gate) = translated().await;
    let id = shop(&gate, json!({ "title": "Shop" })).await;
    let path = path(&id, "languages");
    let evil =
        gate.public(Method::GET, &path).header("origin", "https://evil.example").send().await.expect("an answer");
    assert!(!evil.headers().contains_key("access-control-allow-origin"));
    refused(evil, 403, "NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED").await;
    let preflight = gate.public(Method::OPTIONS, &path).header("origin", SHOP);
    let preflight = preflight.header("access-control-request-method", "GET").send().await.expect("an answer");
    assert_eq!(preflight.headers()["access-control-allow-methods"], "GET, HEAD");
    let wrong = page(&gate, Method::POST, &path).send().await.expect("an answer");
    assert_eq!(wrong.headers()["allow"], "GET, HEAD");
    refused(wrong, 405, "METHOD_NOT_ALLOWED", "METHOD_NOT_ALLOWED").await;
    json_of(api(&gate, Method::POST, &self::path(&id, "disable"), json!({})).await).await;
    refused(asked(&gate, &id).await, 403, "NOT_AUTHORIZED", "WIDGET_DISABLED").await;
    json_of(api(&gate, Method::POST, &self::path(&id, "enable"), json!({})).await).await;
    set_up(&gate, &id).await;
    version(&gate, &id, 1).await;
    json_of(api(&gate, Method::POST, &self::path(&id, "delete"), json!({})).await).await;
    refused(asked(&gate, &id).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    refused(api(&gate, Method::POST, &self::path(&id, "setup"), json!({})).await, 404, "NOT_FOUND", "NOT_FOUND").await;
}

#[tokio::test]
async fn a_widget_that_is_deleted_while_it_is_set_up_leaves_nothing() {
    let (upstream, gate) = translated().await;
    let id = shop(&gate, json!({ "title": "Shop", "language": "lv" })).await;
    let (held, release) = Behaviour::held(Reply::json(200, &json!({})));
    upstream.on(COMPLETIONS, held);
    set_up(&gate, &id).await;
    upstream.wait_heads(1).await;
    json_of(api(&gate, Method::POST, &path(&id, "delete"), json!({})).await).await;
    release.release();
    upstream.wait_until(|seen| seen.recorded == 1).await;
    let other = shop(&gate, json!({ "language": "lv" })).await;
    upstream.on(COMPLETIONS, says(&json!({ "dialog.yes": "Jā" })));
    set_up(&gate, &other).await;
    assert_eq!(version(&gate, &other, 1).await["languages"]["lv"]["dialog.yes"], "Jā");
    refused(asked(&gate, &id).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    assert!(!gate.output().contains("could not be kept"), "{}", gate.output());
}

#[tokio::test]
async fn only_the_owner_may_set_up() {
    let (_upstream, gate) = started().await;
    let id = shop(&gate, json!({})).await;
    let reads = service_token(&gate, &["widgets:read"], &[ACCOUNT]).await;
    let answer = call(&gate, &reads, Method::POST, &path(&id, "setup"), json!({})).await;
    assert_eq!(answer.status(), 403);
    let elsewhere = service_token(&gate, &["widgets:write"], &[APP]).await;
    let answer = call(&gate, &elsewhere, Method::POST, &path(&id, "setup"), json!({})).await;
    assert!(answer.status().is_client_error());
    let wrong = api(&gate, Method::GET, &path(&id, "setup"), Value::Null).await;
    refused(wrong, 405, "METHOD_NOT_ALLOWED", "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn maps_are_counted_by_address() {
    let upstream = Upstream::start().await;
    let gate = with_lines(&upstream, "limits = { config = \"2/h per address\" }").start().await;
    let id = shop(&gate, json!({})).await;
    for _ in 0..2 {
        assert_eq!(asked(&gate, &id).await.status(), 200);
    }
    refused(asked(&gate, &id).await, 429, "TOO_MANY_REQUESTS", "TOO_MANY_REQUESTS").await;
}

/// What `sidegate check` says of an app with these lines.
fn said(dialect: &str, lines: &str) -> (i32, String) {
    let config = format!(
        "[store]\nseal_keys = [{{ value = \"{}\" }}]\n[[upstreams]]\nname = \"chat\"\nurl = \"http://127.0.0.1:1\"\n\
         [[apps]]\nid = \"{ACCOUNT}\"\ndialect = \"{dialect}\"\nupstream = \"chat\"\ntoken.key = {{ value = \"{KEY}\" }}\n{lines}\n",
        crate::support::gate::SEAL_KEY
    );
    let run = program(&["check"]).config(&config).run();
    (run.code, format!("{}{}", run.out, run.err))
}

#[test]
fn a_translator_is_an_upstream_or_a_file() {
    let mut file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    write!(file, r#"{{"lv":{{"canary":1}}}}"#).expect("written");
    let wrong = file.path().display();
    for (lines, expected) in [
        ("translator = {}".to_owned(), "must have an upstream or a file"),
        ("translator = { upstream = \"chat\", model = \"m\", file = \"f\" }".to_owned(), "one of them"),
        ("translator = { upstream = \"chat\" }".to_owned(), "translator.model: is required"),
        ("translator = { upstream = \"nowhere\", model = \"m\" }".to_owned(), "one of the [[upstreams]]"),
        ("translator = { upstream = \"chat\", model = \"m\", path = \"v1\" }".to_owned(), "must begin with /"),
        ("translator = { upstream = \"chat\", model = \"m\", key = \"k\" }".to_owned(), "unknown key"),
        ("translator = { file = \"/nowhere.json\" }".to_owned(), "cannot read file"),
        (format!("translator = {{ file = \"{wrong}\" }}"), "must map languages"),
        (format!("translator = {{ file = \"{wrong}\", model = \"m\" }}"), "is for an upstream"),
    ] {
        let (code, said) = said("chatbotkit", &lines);
        assert_eq!((code, said.contains(expected)), (2, true), "{lines}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    let good = "translator = { upstream = \"chat\", model = \"m\", path = \"/x\" }";
    assert_eq!(said("chatbotkit", good).0, 0);
    let (code, said) = said("sigmic", good);
    assert_eq!((code, said.contains("is for dialect \"chatbotkit\"")), (2, true), "{said}");
}

#[tokio::test]
async fn an_app_of_the_registry_has_an_upstream_for_it_and_no_file() {
    let (upstream, gate) = translated().await;
    let settings = |translator: Value| {
        json!({
            "id": "acc_2", "dialect": "chatbotkit", "upstream": "chat", "translator": translator,
            "limits": { "config": [] },
        })
    };
    let create = |translator| api(&gate, Method::POST, "/admin/v1/apps", settings(translator));
    let refused = create(json!({ "file": "/etc/passwd" })).await;
    let (status, said) = (refused.status(), refused.text().await.expect("text"));
    assert!(status == 400 && said.contains("for apps of the configuration") && !said.contains("root"), "{said}");
    let made = create(json!({ "upstream": "llm", "model": "small" })).await;
    assert!(made.status().is_success(), "{}", made.text().await.expect("text"));
    let made: Value = made.json().await.expect("JSON");
    assert_eq!(made["settings"]["translator"], json!({ "upstream": "llm", "model": "small" }));
    upstream.on(COMPLETIONS, says(&json!({ "dialog.yes": "Jā" })));
    let token = service_token(&gate, &["widgets:write"], &["acc_2"]).await;
    let fields = json!({ "botId": "bot_1", "language": "lv" });
    let made = json_of(call(&gate, &token, Method::POST, &format!("{WIDGETS}/create"), fields).await).await;
    let id = text(&made["id"]);
    json_of(call(&gate, &token, Method::POST, &path(&id, "setup"), json!({})).await).await;
    assert_eq!(version(&gate, &id, 1).await["languages"]["lv"]["dialog.yes"], "Jā");
}
