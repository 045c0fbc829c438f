//! `sidegate app` at the store, with and without a running gate.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::admin::{APPS, builder, done};
use crate::support::gate::{APP, Gate, SHOP, json_of};
use crate::support::jwt;
use crate::support::program::{Program, Run, program};
use crate::support::redis::{RedisServer, until};
use crate::support::upstream::Upstream;

const KEY: &str = "canary-key-0123456789abcdef0123456789abcdef";

/// A store in a folder of its own, and the commands that work on it.
struct Store {
    upstream: Upstream,
    folder: tempfile::TempDir,
}

impl Store {
    async fn new() -> Self {
        Self { upstream: Upstream::start().await, folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> String {
        self.folder.path().join("a.db").display().to_string()
    }

    fn command(&self, args: &[&str]) -> Program {
        program(args).config(&builder(&self.upstream).config()).set(&format!("store.path={}", self.path()))
    }

    fn run(&self, args: &[&str]) -> Value {
        report(&self.command(args).run())
    }

    /// A file beside the store.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    async fn gate(&self) -> Gate {
        builder(&self.upstream).set(&format!("store.path={}", self.path())).start().await
    }
}

fn report(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    serde_json::from_str(&run.out).expect("JSON")
}

fn text<'a>(app: &'a Value, name: &str) -> &'a str {
    app[name].as_str().expect("a text")
}

/// The answer to an exchange.
async fn exchanged(gate: &Gate, id: &str, secret: &str) -> (u16, Value) {
    let answer = gate.exchange(&json!({ "appId": id, "appSecret": secret, "endUserId": "ada" })).await;
    (answer.status().as_u16(), json_of(answer).await)
}

#[tokio::test]
async fn an_app_is_made_before_any_gate_runs() {
    let store = Store::new().await;
    let flags = ["--origin", SHOP, "--origin", "https://blog.example.com", "--ttl", "2m", "--max-ttl", "1h"];
    let run = store
        .command(&[&["app", "create", "--id", "wapp_cli", "--upstream", "chat", "--single-use"], &flags[..]].concat());
    let run = run.run();
    assert_eq!(run.err, "The secret is shown only here.\n");
    let app = report(&run);
    assert_eq!(
        app["settings"]["token"],
        json!({ "algorithm": "HS256", "ttl": "2m", "max_ttl": "1h", "single_use": true })
    );
    assert_eq!(app["settings"]["origins"], json!([SHOP, "https://blog.example.com"]));
    let secret = text(&app, "secret");
    let gate = store.gate().await;
    let (status, body) = exchanged(&gate, "wapp_cli", secret).await;
    assert_eq!(status, 200, "{body}");
    let token = text(&body["data"], "token");
    for status in [200, 401] {
        let answer = gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "single use");
    }
    let listed = store.run(&["app", "list"]);
    assert_eq!(listed, done(&gate, Method::GET, APPS, Value::Null).await);
    let shown = store.command(&["app", "show", "wapp_cli"]).run();
    assert!(!shown.out.contains(secret) && !shown.out.contains("sha256"), "{}", shown.out);
    assert_eq!(store.run(&["app", "show", APP])["source"], "file");
}

#[tokio::test]
async fn a_file_says_what_flags_do_not_and_its_secrets_are_fetched() {
    let store = Store::new().await;
    let key = store.file("key", &format!("{KEY}\n"));
    let table = format!(
        "dialect = \"sigmic\"\nupstream = \"nowhere\"\norigins = [\"{SHOP}\"]\nlimits.chat = \"9/h\"\n\
         token.key = {{ file = \"{key}\" }}\ntoken.retired_keys = [{{ env = \"OLD_KEY\" }}]\n\
         [inject.headers]\nX-Key = \"canary-header\"\n"
    );
    let file = store.file("app.toml", &table);
    let create = ["app", "create", "--from", &file, "--upstream", "chat", "--id", "wapp_file"];
    let app = report(&store.command(&create).env("OLD_KEY", &format!("{KEY}-old")).run());
    assert_eq!((&app["keys"], &app["settings"]["limits"]), (&json!(2), &json!({ "chat": "9/h" })));
    assert_eq!(app["settings"]["inject"], json!({ "headers": { "X-Key": null } }));
    let gate = store.gate().await;
    let (_, body) = exchanged(&gate, "wapp_file", text(&app, "secret")).await;
    let token = text(&body["data"], "token");
    assert_eq!(jwt::claims(token, KEY)["sub"], "ada");
    let mut claims = jwt::claims_ending_in(60);
    claims["appId"] = "wapp_file".into();
    let old = jwt::sign(&claims, &format!("{KEY}-old"));
    for token in [token, &old] {
        let answer = gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(store.upstream.take()[0].header("x-key"), "canary-header");
    drop(gate);
    let kept = std::fs::read(store.path()).expect("bytes");
    assert!(!kept.windows(6).any(|window| window == b"canary"), "sealed");
}

#[tokio::test]
async fn an_update_changes_what_its_flags_say_and_keeps_the_rest() {
    let store = Store::new().await;
    let table = "dialect = \"sigmic\"\nupstream = \"chat\"\norigins = [\"https://a.example\"]\n\
                 [inject.headers]\nX-Key = \"hidden\"\n[token]\nttl = \"2m\"\n";
    let app = store.run(&["app", "create", "--id", "wapp_u", "--from", &store.file("app.toml", table)]);
    let secret = text(&app, "secret");
    let updated = store.run(&["app", "update", "wapp_u", "--origin", SHOP, "--max-ttl", "3m"]);
    assert_eq!(updated["settings"]["token"], json!({ "algorithm": "HS256", "ttl": "2m", "max_ttl": "3m" }));
    assert_eq!((&updated["settings"]["origins"], &updated["revision"]), (&json!([SHOP]), &json!(2)));
    let gate = store.gate().await;
    let (_, body) = exchanged(&gate, "wapp_u", secret).await;
    let answer = gate.chat(Method::GET, "/api/v1/tasks", text(&body["data"], "token")).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), store.upstream.take()[0].header("x-key")), (200, "hidden"));
    let bare = store.file("bare.toml", "dialect = \"sigmic\"\nupstream = \"chat\"\n");
    let replaced = store.run(&["app", "update", "wapp_u", "--from", &bare, "--single-use=false"]);
    let expected = json!({
        "id": "wapp_u", "dialect": "sigmic", "upstream": "chat", "token": { "algorithm": "HS256", "single_use": false },
    });
    assert_eq!(replaced["settings"], expected);
    until("secret and key stay", async || exchanged(&gate, "wapp_u", secret).await.0 == 200).await;
}

#[tokio::test]
async fn secrets_and_keys_are_rotated_under_a_running_gate() {
    let store = Store::new().await;
    let gate = store.gate().await;
    let app = store.run(&["app", "create", "--upstream", "chat", "--origin", SHOP]);
    let (id, first) = (text(&app, "id"), text(&app, "secret"));
    until("it is there", async || exchanged(&gate, id, first).await.0 == 200).await;
    let (_, body) = exchanged(&gate, id, first).await;
    let old = text(&body["data"], "token");
    let second = store.run(&["app", "rotate-secret", id, "--overlap", "0s"]);
    until("the new secret is good", async || exchanged(&gate, id, text(&second, "secret")).await.0 == 200).await;
    assert_eq!(exchanged(&gate, id, first).await.0, 401);
    let rotated = store.run(&["app", "rotate-key", id, "--key", &store.file("key", KEY)]);
    assert_eq!(rotated["keys"], 2);
    let signed = async || {
        let (_, body) = exchanged(&gate, id, text(&second, "secret")).await;
        text(&body["data"], "token").to_owned()
    };
    let inspect = |token: &str| store.run(&["token", "inspect", token])["accepted"].clone();
    until("the new key signs", async || signed().await.split('.').next_back() != old.split('.').next_back()).await;
    assert_eq!((inspect(old), inspect(&signed().await)), (json!(true), json!(true)));
    assert_eq!(store.run(&["app", "rotate-key", id, "--drop-retired"])["keys"], 2);
    assert_eq!(inspect(old), "no: The token is invalid or has expired");
    store.run(&["app", "disable", id]);
    until("it is gone", async || exchanged(&gate, id, text(&second, "secret")).await.0 == 401).await;
    assert_eq!(inspect(&jwt::sign(&jwt::claims_ending_in(60), KEY)), "no: The token is invalid or has expired");
    let revoked = store.run(&["revoke", "--app", id]);
    assert_eq!(revoked["revoked"]["app"], id, "also of a disabled app");
    assert_eq!(store.run(&["app", "enable", id])["state"], "active");
    until("it is back", async || exchanged(&gate, id, text(&second, "secret")).await.0 == 200).await;
}

#[tokio::test]
async fn commands_work_at_redis_too() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let redis = [format!("store.redis.url={}", server.url()), "store.state=redis".to_owned()];
    let run = |args: &[&str]| {
        let command = program(args).config(&builder(&upstream).config());
        report(&redis.iter().fold(command, |command, setting| command.set(setting)).run())
    };
    let app = run(&["app", "create", "--upstream", "chat"]);
    let gate = server.share(builder(&upstream)).start().await;
    assert_eq!(exchanged(&gate, text(&app, "id"), text(&app, "secret")).await.0, 200);
    assert_eq!(run(&["app", "list"])["apps"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_a_command_refuses_is_said_and_changes_nothing() {
    let store = Store::new().await;
    let refused = |args: &[&str]| {
        let run = store.command(args).run();
        assert_eq!(run.out, "", "{args:?}");
        (run.code, run.err)
    };
    let create = ["app", "create", "--upstream", "canary", "--ttl", "soon"];
    let (code, said) = refused(&create);
    assert!(code == 1 && said.contains("upstream: is not the name") && said.contains("token.ttl: "), "{said}");
    let file = store.file("bad.toml", "upstream = \"chat\"\ntoken.key = { env = \"NOT_SET\" }\n");
    let (code, said) = refused(&["app", "create", "--from", &file]);
    assert!(code == 2 && said.contains("environment variable \"NOT_SET\" is not set"), "{said}");
    let file = store.file("worse.toml", "upstream = \n");
    let (code, said) = refused(&["app", "create", "--from", &file]);
    assert!(code == 2 && said.contains("worse.toml:1"), "{said}");
    assert_eq!(refused(&["app", "create", "--from", "/nowhere/app.toml"]).0, 2);
    let says = |args: &[&str], words: &str| {
        let (code, said) = refused(args);
        assert!(code == 1 && said.contains(words), "{args:?}: {said}");
    };
    says(&["app", "disable", APP], "This app comes from the configuration file");
    says(&["app", "create", "--id", APP, "--upstream", "chat"], "This app comes from the configuration file");
    says(&["app", "show", "nobody"], "Not found");
    says(&["app", "update", "nobody", "--ttl", "1h"], "Not found");
    assert_eq!(store.run(&["app", "list"])["apps"].as_array().map(Vec::len), Some(1));
    let memory = store.command(&["app", "list"]).set("store.state=memory").run();
    assert_eq!(memory.code, 2, "{}", memory.err);
    let keyless = builder(&store.upstream).without_seal_key().config();
    let path = format!("store.path={}", store.path());
    let run = program(&["app", "create", "--upstream", "chat"]).config(&keyless).set(&path).run();
    assert!(run.code == 1 && run.err.contains("need a seal key"), "{}", run.err);
}

#[tokio::test]
async fn apps_are_carried_by_backups_and_sealed_anew_by_rekey() {
    let store = Store::new().await;
    let app = store.run(&["app", "create", "--upstream", "chat", "--origin", SHOP, "--id", "wapp_b"]);
    let backup = store.command(&["store", "export"]).run();
    let line = backup
        .out
        .lines()
        .find(|line| line.starts_with("{\"app\":{\"id\":\"wapp_b\",\"sealed\":\""))
        .expect("its line");
    assert!(!backup.out.contains("wsec_") && !line.contains(SHOP), "{line}");

    let server = RedisServer::start();
    let at_redis = |args: &[&str]| {
        let command = program(args).config(&builder(&store.upstream).config()).set("store.state=redis");
        command.set(&format!("store.redis.url={}", server.url()))
    };
    let import = || report(&at_redis(&["store", "import", "-"]).input(&backup.out).run());
    assert_eq!((import()["imported"].clone(), import()["present"].clone()), (json!(1), json!(1)));
    let gate = server.share(builder(&store.upstream)).start().await;
    assert_eq!(exchanged(&gate, "wapp_b", text(&app, "secret")).await.0, 200);
    report(&at_redis(&["app", "disable", "wapp_b"]).run());
    let conflict = at_redis(&["store", "import", "-"]).input(&backup.out).run();
    assert!(conflict.code == 1 && conflict.out.contains("\"conflicts\": 1"), "{}", conflict.out);

    let new = "bmV3LXNlYWwta2V5LW9mLXRoZS10ZXN0cy0wMTIzNDU";
    let old = crate::support::gate::SEAL_KEY;
    let keys = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| format!("{{ value = \"{key}\" }}")).collect();
        format!("store.seal_keys=[{}]", keys.join(", "))
    };
    let rekey = || report(&store.command(&["store", "rekey"]).set(&keys(&[new, old])).run());
    assert_eq!(rekey(), json!({ "seen": 1, "resealed": 1, "current": 0, "changed": 0, "unreadable": 0 }));
    assert_eq!(rekey()["current"], 1);
    let path = format!("store.path={}", store.path());
    let gate = builder(&store.upstream).set(&path).set(&keys(&[new])).start().await;
    assert_eq!(exchanged(&gate, "wapp_b", text(&app, "secret")).await.0, 200, "the old key can go");
    let lost = store.command(&["store", "rekey"]).run();
    assert!(lost.code == 1 && lost.err.contains("no key opens 1 of the records"), "{}", lost.err);
}

#[test]
fn inspect_makes_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none.db");
    let mut claims = jwt::claims_ending_in(60);
    claims["appId"] = "wapp_other".into();
    let config = builder_config();
    let run = program(&["token", "inspect", &jwt::sign(&claims, KEY)]).config(&config);
    let run = run.set(&format!("store.path={}", path.display())).run();
    assert_eq!(report(&run)["accepted"], "no: The token is invalid or has expired");
    assert!(!Path::new(&path).exists());
}

fn builder_config() -> String {
    Gate::builder_for("https://chat.example.com").config()
}
