//! Bots of the registry: made, shown, changed, disabled; their secrets are never shown.

use reqwest::Method;
use serde_json::{Value, json};

use super::{BOOTSTRAP, init, page, sent, started};
use crate::support::admin::{APPS, assert_problem, call, done};
use crate::support::gate::{Gate, SHOP, json_of};
use crate::support::program::program;
use crate::support::upstream::Upstream;

const SECRET: &str = "canary-identity-secret-0123456789abcdef0123";

fn settings() -> Value {
    json!({
        "dialect": "chat9", "upstream": "chat", "origins": [SHOP], "frame_origins": ["https://widget.example.com"],
        "identity": { "secret": { "value": SECRET }, "required": false }, "sessions": { "idle": "1h", "resume": false },
        "limits": { "chat": "5/m per address" },
    })
}

#[tokio::test]
async fn a_bot_is_made_and_shown_without_its_secrets() {
    let (_upstream, gate) = started().await;
    let made = done(&gate, Method::POST, APPS, settings()).await;
    let id = made["id"].as_str().expect("an id");
    assert!(id.len() == 21 && id.starts_with("ch_"), "{id}");
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("wsec_")));
    assert_eq!(made["settings"]["identity"], json!({ "required": false }));
    assert_eq!(made["settings"]["token"], Value::Null, "it has no keys");
    let shown = done(&gate, Method::GET, &format!("{APPS}/{id}"), Value::Null).await;
    assert!(!shown.to_string().contains("canary"), "{shown}");
    let answer = init(&gate, &json!({ "bot_id": id })).await;
    assert_eq!(answer.status(), 200);
    // What is shown may be given back: what was not shown stays.
    let mut changed = shown["settings"].clone();
    changed["origins"] = json!(["https://new.example.com"]);
    done(&gate, Method::PUT, &format!("{APPS}/{id}"), changed).await;
    assert_eq!(init(&gate, &json!({ "bot_id": id })).await.status(), 403);
    let minted =
        call(&gate, BOOTSTRAP, Method::POST, &format!("/v1/apps/{id}/identity-tokens"), json!({ "user_id": "a" }))
            .await;
    assert_eq!(minted.status(), 200);
}

#[tokio::test]
async fn a_disabled_bot_is_none() {
    let (_upstream, gate) = started().await;
    let id = done(&gate, Method::POST, APPS, settings()).await["id"].as_str().expect("an id").to_owned();
    let session =
        json_of(init(&gate, &json!({ "bot_id": id })).await).await["session_id"].as_str().expect("id").to_owned();
    done(&gate, Method::POST, &format!("{APPS}/{id}/disable"), Value::Null).await;
    assert_eq!(init(&gate, &json!({ "bot_id": id })).await.status(), 404);
    let chat = format!("/widget/chat?bot_id={id}&session_id={session}");
    assert_eq!(sent(page(&gate, Method::POST, &chat).json(&json!({ "message": "hi" }))).await.status(), 404);
    done(&gate, Method::POST, &format!("{APPS}/{id}/enable"), Value::Null).await;
    assert_eq!(sent(page(&gate, Method::GET, &chat.replace("chat", "history"))).await.status(), 200);
}

#[tokio::test]
async fn two_bots_cannot_have_one_secret() {
    let (_upstream, gate) = started().await;
    done(&gate, Method::POST, APPS, settings()).await;
    let answer = call(&gate, BOOTSTRAP, Method::POST, APPS, settings()).await;
    let said = assert_problem(answer, 400, "INVALID_REQUEST").await;
    assert!(said.contains("identity.secret: the same key also serves identity tokens of app ch_"), "{said}");
    let mut configured = settings();
    configured["identity"]["secret"]["value"] = super::IDENTITY.into();
    let answer = call(&gate, BOOTSTRAP, Method::POST, APPS, configured).await;
    assert!(assert_problem(answer, 400, "INVALID_REQUEST").await.contains(super::BOT));
}

#[tokio::test]
async fn the_command_makes_the_first_secret_and_rotates_it() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("store.path={}", folder.path().join("a.db").display());
    let config = super::with_lines(&upstream, "").config();
    let run = |args: &[&str]| {
        let run = program(args).config(&config).set(&store).run();
        assert_eq!(run.code, 0, "{}", run.err);
        serde_json::from_str::<Value>(&run.out).expect("JSON")
    };
    let made = run(&["app", "create", "--dialect", "chat9", "--upstream", "chat", "--origin", SHOP]);
    let id = made["id"].as_str().expect("an id");
    let first = run(&["app", "rotate-secret", id, "--identity"]);
    assert_eq!(first["secret"].as_str().map(str::len), Some(64));
    assert_eq!(first.get("previous_identity_secret_until"), None);
    let second = run(&["app", "rotate-secret", id, "--identity"]);
    assert_ne!(first["secret"], second["secret"]);
    assert!(second["previous_identity_secret_until"].is_string(), "{second}");
    let minted = run(&["token", "mint", "--app", id, "--user", "ada"]);
    let gate: Gate = super::with_lines(&upstream, "").set(&store).start().await;
    let (_, mode) = super::opened(&gate, &json!({ "bot_id": id, "identity_token": minted["identity_token"] })).await;
    assert_eq!(mode, "identified");
}
