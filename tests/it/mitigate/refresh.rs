//! A token in place of one that ends, as long as its visitor is there.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{
    REFRESH, chat, entered, guest, issued, known, open, page, refused, sent, started, started_with, text, with_lines,
};
use crate::reload::reload;
use crate::support::admin::done;
use crate::support::clock::FakeClock;
use crate::support::gate::{Gate, sidegate};
use crate::support::redis::until;
use crate::support::upstream::Upstream;

/// A gate whose clock can be set, as long as the folder is there.
async fn clocked() -> (Upstream, tempfile::TempDir, FakeClock, Gate) {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let clock = FakeClock::new(folder.path(), 0);
    let mut command = sidegate();
    clock.rule(&mut command);
    let gate = with_lines(&upstream, &open()).command(command).start().await;
    (upstream, folder, clock, gate)
}

async fn refresh(gate: &Gate, token: &str) -> Response {
    sent(page(gate, Method::POST, REFRESH).bearer_auth(token)).await
}

#[tokio::test]
async fn a_token_is_made_anew_for_the_same_session() {
    let (_upstream, gate) = started().await;
    for body in [json!({}), guest()] {
        let first = issued(super::enter(&gate, &body).await).await;
        let second = issued(refresh(&gate, &text(&first["token"])).await).await;
        assert_eq!((&second["session_id"], &second["mode"]), (&first["session_id"], &first["mode"]));
        assert_eq!(chat(&gate, &text(&second["token"]), &json!({ "prompt": "hi" })).await.status(), 200);
    }
}

#[tokio::test]
async fn a_token_that_is_over_is_made_anew_while_the_session_lives() {
    let (_upstream, _folder, clock, gate) = clocked().await;
    let token = entered(&gate, &json!({})).await;
    clock.set(16 * 60);
    refused(chat(&gate, &token, &json!({ "prompt": "hi" })).await, 401, "INVALID_TOKEN").await;
    let again = text(&issued(refresh(&gate, &token).await).await["token"]);
    let answer = chat(&gate, &again, &json!({ "prompt": "hi" })).await;
    assert_ne!(answer.status(), 401);
    // What was said keeps it alive for half an hour more; what was not, does not.
    clock.set(45 * 60);
    let last = text(&issued(refresh(&gate, &again).await).await["token"]);
    clock.set(47 * 60);
    for token in [&token, &again, &last] {
        refused(refresh(&gate, token).await, 401, "INVALID_TOKEN").await;
        refused(chat(&gate, token, &json!({ "prompt": "hi" })).await, 401, "INVALID_TOKEN").await;
    }
}

#[tokio::test]
async fn a_token_that_its_app_allows_no_more_is_made_anew_as_well() {
    let (upstream, gate) = started().await;
    let token = entered(&gate, &json!({})).await;
    let shorter = with_lines(&upstream, &format!("token.ttl = \"1m\"\ntoken.max_ttl = \"1m\"\n{}", open()));
    reload(&gate, &shorter.config()).await;
    refused(chat(&gate, &token, &json!({ "prompt": "hi" })).await, 401, "INVALID_TOKEN").await;
    let again = text(&issued(refresh(&gate, &token).await).await["token"]);
    assert_eq!(chat(&gate, &again, &json!({ "prompt": "hi" })).await.status(), 200);
}

#[tokio::test]
async fn what_is_no_token_of_the_workspace_is_refused() {
    let (_upstream, gate) = started().await;
    let token = entered(&gate, &json!({})).await;
    refused(sent(page(&gate, Method::POST, REFRESH)).await, 401, "AUTH_REQUIRED").await;
    let basic = page(&gate, Method::POST, REFRESH).header("authorization", "Basic abc");
    refused(sent(basic).await, 401, "INVALID_AUTH_FORMAT").await;
    // Its last letter stands for two bits only, and may be any of four already.
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let sigmic = gate.token("ada").mint().await;
    for other in ["x", "a.b.c", &*forged, &*sigmic, &*super::identity("ada")] {
        refused(refresh(&gate, other).await, 401, "INVALID_TOKEN").await;
    }
    let elsewhere = gate.public(Method::POST, REFRESH).bearer_auth(&token).header("origin", "https://evil.example.com");
    refused(sent(elsewhere).await, 403, "ORIGIN_NOT_ALLOWED").await;
}

#[tokio::test]
async fn who_is_revoked_gets_no_other() {
    let (_upstream, gate) = started_with(&open()).await;
    let (ada, bob) = (known(&gate, "ada").await, known(&gate, "bob").await);
    let (unused, of_bob) = (super::identity("ada"), super::identity("bob"));
    let revoked: Value = json!({ "app": super::WORKSPACE, "end_user": "ada" });
    done(&gate, Method::POST, "/admin/v1/revocations", revoked).await;
    until("it is revoked", async || refresh(&gate, &ada).await.status() == 401).await;
    refused(chat(&gate, &ada, &json!({ "prompt": "hi" })).await, 401, "INVALID_TOKEN").await;
    assert_eq!(refresh(&gate, &bob).await.status(), 200);
    // Nor may an identity token of before bring another session.
    refused(super::enter(&gate, &json!({ "token": unused })).await, 401, "IDENTITY_INVALID").await;
    assert_eq!(super::enter(&gate, &json!({ "token": of_bob })).await.status(), 200);
}

#[tokio::test]
async fn with_a_revoked_token_all_of_its_session_are_and_stay_so_when_they_are_over() {
    let (_upstream, _folder, clock, gate) = clocked().await;
    let (first, other) = (entered(&gate, &json!({})).await, entered(&gate, &json!({})).await);
    clock.set(2);
    let second = text(&issued(refresh(&gate, &first).await).await["token"]);
    assert_ne!(first, second);
    done(&gate, Method::POST, "/admin/v1/revocations", json!({ "token": first })).await;
    until("it is revoked", async || refresh(&gate, &first).await.status() == 401).await;
    // By then the tokens are over, and another session's is made anew.
    for ahead in [2, 16 * 60] {
        clock.set(ahead);
        for token in [&first, &second] {
            refused(refresh(&gate, token).await, 401, "INVALID_TOKEN").await;
            refused(chat(&gate, token, &json!({ "prompt": "hi" })).await, 401, "INVALID_TOKEN").await;
        }
        assert_eq!(refresh(&gate, &other).await.status(), 200);
    }
}
