//! The identity secret of a bot, in Chat9's words (contracts 3.2): made, rotated, asked for.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{BOOTSTRAP, BOT, IDENTITY, OTHER, anonymous, identified, opened, sent, started, token};
use crate::support::admin::{APPS, done, service_token};
use crate::support::clock::FakeClock;
use crate::support::forge;
use crate::support::gate::{Gate, SHOP, json_of, sidegate};
use crate::support::upstream::Upstream;

const KEPT: &str = "ch_kept";

async fn kyc(gate: &Gate, method: Method, what: &str, secret: &str) -> Response {
    sent(gate.private(method, &format!("/tenants/me/kyc/{what}")).bearer_auth(secret)).await
}

async fn made(gate: &Gate, what: &str) -> String {
    let answer = kyc(gate, Method::POST, &format!("{what}?bot_id={KEPT}"), BOOTSTRAP).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body = json_of(answer).await;
    assert_eq!(body["message"], "Store this securely. It will not be shown again.");
    let secret = body["secret_key"].as_str().expect("a secret").to_owned();
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "64 digits");
    secret
}

async fn status(gate: &Gate) -> Value {
    let answer = kyc(gate, Method::GET, &format!("status?bot_id={KEPT}"), BOOTSTRAP).await;
    assert_eq!(answer.status(), 200);
    json_of(answer).await
}

/// An app of the registry.
async fn keep(gate: &Gate) {
    let app =
        json!({ "id": KEPT, "dialect": "chat9", "upstream": "chat", "origins": [SHOP], "limits": { "exchange": [] } });
    done(gate, Method::POST, APPS, app).await;
}

/// A token that is signed with a secret, without the gate.
fn signed(user: &str, secret: &str, ahead: u64) -> String {
    let claims = json!({ "exp": forge::now() + ahead + 300, "user_id": user });
    forge::identity_token(&claims, secret)
}

async fn mode(gate: &Gate, token: &str) -> String {
    opened(gate, &json!({ "bot_id": KEPT, "identity_token": token })).await.1
}

#[tokio::test]
async fn a_secret_is_made_once_and_the_old_one_is_good_for_an_hour_after_a_rotation() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let clock = FakeClock::new(folder.path(), 0);
    let mut command = sidegate();
    clock.rule(&mut command);
    let gate = super::with_lines(&upstream, "").command(command).start().await;
    keep(&gate).await;
    let answer = kyc(&gate, Method::POST, &format!("rotate?bot_id={KEPT}"), BOOTSTRAP).await;
    assert_eq!(
        (answer.status().as_u16(), json_of(answer).await),
        (400, json!({ "detail": "The app has no identity secret" }))
    );
    let first = made(&gate, "secret").await;
    let again = kyc(&gate, Method::POST, &format!("secret?bot_id={KEPT}"), BOOTSTRAP).await;
    assert_eq!(again.status(), 409);
    assert_eq!(mode(&gate, &signed("ada", &first, 0)).await, "identified");
    let second = made(&gate, "rotate").await;
    assert_ne!(first, second);
    for secret in [&first, &second] {
        assert_eq!(mode(&gate, &signed("ada", secret, 0)).await, "identified");
    }
    assert_eq!(status(&gate).await["masked_secret_hint"], format!("****{}", &second[60..]));
    clock.set(59 * 60);
    assert_eq!(mode(&gate, &signed("ada", &first, 3_600)).await, "identified");
    clock.set(61 * 60);
    // The follower ends it within a moment.
    let ended = async {
        while mode(&gate, &signed("ada", &first, 3_660)).await != "anonymous" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.expect("the old secret ends");
    assert_eq!(mode(&gate, &signed("ada", &second, 3_660)).await, "identified");
    assert!(!gate.output().contains(&first) && !gate.output().contains(&second), "no secret in the log");
    // Of two rotations the last one before counts.
    let third = made(&gate, "rotate").await;
    for (secret, expected) in [(&first, "anonymous"), (&second, "identified"), (&third, "identified")] {
        assert_eq!(mode(&gate, &signed("ada", secret, 3_660)).await, expected);
    }
}

#[tokio::test]
async fn the_status_tells_how_many_are_identified() {
    let (_upstream, gate) = started().await;
    keep(&gate).await;
    let nothing = json!({
        "has_secret": false, "identified_session_rate_7d": null, "last_identified_session": null, "masked_secret_hint": null,
    });
    assert_eq!(status(&gate).await, nothing);
    let secret = made(&gate, "secret").await;
    for user in ["ada", "bob", "eve"] {
        assert_eq!(mode(&gate, &signed(user, &secret, 0)).await, "identified");
    }
    for _ in 0..5 {
        assert_eq!(mode(&gate, "x").await, "anonymous");
    }
    // To go on is not to begin.
    assert_eq!(mode(&gate, &signed("ada", &secret, 0)).await, "identified");
    let told = status(&gate).await;
    assert_eq!((&told["has_secret"], &told["identified_session_rate_7d"]), (&json!(true), &json!(0.375)));
    assert!(told["last_identified_session"].as_str().is_some_and(|text| text.ends_with('Z')), "{told}");
}

#[tokio::test]
async fn who_may_ask_and_for_which_bot() {
    let (_upstream, gate) = started().await;
    keep(&gate).await;
    let writer = service_token(&gate, &["admin:apps:write"], &[KEPT]).await;
    let reader = service_token(&gate, &["admin:apps:read"], &[BOT, OTHER]).await;
    // The only app of a token needs no naming.
    assert_eq!(kyc(&gate, Method::POST, "secret", &writer).await.status(), 200);
    for (method, path, secret, status) in [
        (Method::POST, format!("rotate?bot_id={BOT}"), writer.as_str(), 403),
        (Method::GET, format!("status?bot_id={KEPT}"), &writer, 403),
        (Method::GET, format!("status?bot_id={BOT}"), &reader, 200),
        (Method::GET, "status".to_owned(), &reader, 404),
        (Method::GET, "status?bot_id=ch_nobody".to_owned(), BOOTSTRAP, 404),
        (Method::GET, "status?bot_id=wapp_test".to_owned(), BOOTSTRAP, 404),
        (Method::GET, "status?bot_id=a&bot_id=b".to_owned(), BOOTSTRAP, 422),
        (Method::GET, format!("status?bot_id={BOT}"), "wrong", 401),
        (Method::GET, format!("secret?bot_id={BOT}"), BOOTSTRAP, 405),
        (Method::GET, format!("other?bot_id={BOT}"), BOOTSTRAP, 404),
        // The configuration's own are changed there.
        (Method::POST, format!("rotate?bot_id={BOT}"), BOOTSTRAP, 409),
        (Method::POST, format!("secret?bot_id={OTHER}"), BOOTSTRAP, 409),
    ] {
        let answer = kyc(&gate, method.clone(), &path, secret).await;
        let (got, body) = (answer.status().as_u16(), json_of(answer).await);
        assert_eq!(got, status, "{method} {path}: {body}");
        assert!(status == 200 || body.get("detail").is_some(), "{body}");
    }
}

#[tokio::test]
async fn both_secrets_of_a_configuration_verify_and_the_first_signs() {
    let old = "the-identity-secret-of-before-0123456789ab";
    let lines = format!("{}\nidentity.previous_secret = {{ value = \"{old}\" }}", super::UNLIMITED);
    let (_upstream, gate) = super::started_with(&lines).await;
    for secret in [old, IDENTITY] {
        identified(&gate, &signed("ada", secret, 0)).await;
    }
    let made = token(&gate, &json!({ "user_id": "ada" })).await;
    assert_eq!(made.split_once('.').map(|(payload, _)| payload.len()), Some(made.len() - 65));
    anonymous(&gate).await;
}

#[tokio::test]
async fn another_secret_drops_the_one_before_the_last() {
    let upstream = Upstream::start().await;
    let gate = super::with_lines(&upstream, "").start().await;
    keep(&gate).await;
    let first = made(&gate, "secret").await;
    let second = made(&gate, "rotate").await;
    assert_eq!(mode(&gate, &signed("ada", &first, 0)).await, "identified");
    let third = "another-identity-secret-0123456789abcdef";
    let app = json!({
        "dialect": "chat9", "upstream": "chat", "origins": [SHOP], "limits": { "exchange": [] },
        "identity": { "secret": { "value": third } },
    });
    done(&gate, Method::PUT, &format!("{APPS}/{KEPT}"), app).await;
    for (secret, expected) in [(first.as_str(), "anonymous"), (&second, "anonymous"), (third, "identified")] {
        assert_eq!(mode(&gate, &signed("ada", secret, 0)).await, expected);
    }
}
