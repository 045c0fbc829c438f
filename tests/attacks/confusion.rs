//! What is good in one place, shown in all others: tokens, sessions, secrets and cookies of every dialect and app.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::dialects::{BOT, Held, held, lay, service_token};
use crate::siege::Siege;
use crate::support::admin::BOOTSTRAP;
use crate::support::forge;
use crate::support::gate::{APP, SECRET, SHOP};
use crate::support::upstream::{Behaviour, Reply};

/// Answers that every dialect takes.
fn answering(siege: &Siege) {
    let answer = json!({ "data": [], "has_more": false, "success": true, "text": "Hello", "response": "Hello",
        "chat_ended": false, "pagination": { "total": 0, "limit": 50, "offset": 0, "hasMore": false } });
    siege.upstream.always(Behaviour::answer(Reply::json(200, &answer)));
}

async fn status(answer: Result<Response, reqwest::Error>) -> (u16, String) {
    let answer = answer.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// Nothing that was shown here is let in.
fn assert_no_entry(shown: &str, at: &Held, (status, text): &(u16, String)) {
    // In Chat9's words a session that is none is 422, and one that is not there 409.
    assert!(matches!(status, 401 | 403 | 404 | 409 | 422), "{shown} at {}: {status} {text}", at.dialect);
    assert!(!text.contains("Hello"), "{shown} at {}: {text}", at.dialect);
}

#[tokio::test]
async fn each_dialects_token_is_good_for_its_own_routes_alone() {
    let siege = lay(|gate| gate).await;
    answering(&siege);
    let all = held(&siege).await;
    for own in &all {
        let (status, text) = status(own.shows(&siege.gate, &own.secret).send().await).await;
        assert_eq!(status, 200, "{} is good at home: {text}", own.dialect);
    }
    siege.forget().await;
    siege
        .rounds(async || {
            for shown in &all {
                for at in all.iter().filter(|at| at.dialect != shown.dialect) {
                    let got = status(at.shows(&siege.gate, &shown.secret).send().await).await;
                    assert_no_entry(shown.dialect, at, &got);
                }
            }
        })
        .await;
}

/// What servers hold, and what names an app in public, opens no chat.
#[tokio::test]
async fn no_servers_secret_and_no_public_id_is_a_token() {
    let siege = lay(|gate| gate).await;
    let all = held(&siege).await;
    let service = service_token(&siege.gate).await;
    let identity = siege.gate.private(Method::POST, &format!("/v1/apps/{BOT}/identity-tokens")).bearer_auth(BOOTSTRAP);
    let identity: Value =
        identity.json(&json!({ "user_id": "ada" })).send().await.expect("an answer").json().await.expect("JSON");
    let identity = identity["identity_token"].as_str().expect("a token").to_owned();
    let shown = [
        ("the app's secret", SECRET),
        ("the operators' token", BOOTSTRAP),
        ("a service token", &service),
        ("an identity token", &identity),
        ("the app's id", APP),
        ("the bot's id", BOT),
        ("nothing", "x"),
    ];
    siege
        .rounds(async || {
            for (name, secret) in shown {
                for at in &all {
                    let got = status(at.shows(&siege.gate, secret).send().await).await;
                    assert_no_entry(name, at, &got);
                }
            }
        })
        .await;
}

/// The API of servers and operators takes none of what visitors hold, wherever it stands.
#[tokio::test]
async fn nothing_that_a_visitor_holds_opens_the_gates_own_api() {
    let siege = lay(|gate| gate).await;
    let all = held(&siege).await;
    siege
        .rounds(async || {
            for shown in &all {
                for (method, path) in [
                    (Method::GET, "/admin/v1/apps"),
                    (Method::POST, "/admin/v1/service-tokens"),
                    (Method::POST, "/v1/apps/ch_k3v9x1m7q2z8w4b6t0/identity-tokens"),
                    (Method::POST, "/api/chatkit/session"),
                    (Method::GET, "/api/v1/integration/widget/list"),
                ] {
                    for carried in ["authorization", "cookie", "x-api-key"] {
                        let request = siege.gate.private(method.clone(), path).json(&json!({}));
                        let value = if carried == "authorization" {
                            format!("Bearer {}", shown.secret)
                        } else {
                            shown.secret.clone()
                        };
                        let (status, text) = status(request.header(carried, value).send().await).await;
                        assert!(matches!(status, 401 | 403), "{} at {path}: {status} {text}", shown.dialect);
                    }
                }
            }
        })
        .await;
}

/// The same dialect, another app: by its key, by its name in the token, by its name in the URL.
#[tokio::test]
async fn a_token_of_one_app_is_none_of_another() {
    let siege = lay(|gate| gate).await;
    let all = held(&siege).await;
    let other = forge::token_of("wapp_other", "another-key-of-the-attacks-0123456789abcdef", &json!({}));
    let crossed = forge::token_with(&json!({ "appId": "wapp_other" }));
    let ours = forge::token_of(APP, "another-key-of-the-attacks-0123456789abcdef", &json!({}));
    let get =
        |path: &str, token: &str| siege.gate.public(Method::GET, path).header("origin", SHOP).bearer_auth(token).send();
    siege
        .rounds(async || {
            for (path, token) in [
                ("/api/v1/tasks", &crossed),
                ("/api/v1/tasks", &ours),
                ("/apps/wapp_test/api/v1/tasks", &other),
                ("/apps/wapp_other/api/v1/tasks", &siege.token),
            ] {
                let (status, text) = status(get(path, token).await).await;
                assert!(matches!(status, 401 | 403 | 404), "{path}: {status} {text}");
            }
            for at in &all {
                let path = match at.dialect {
                    "orcheo" => format!("/apps/support2{}", at.path),
                    "chat9" => at.path.replace(BOT, &format!("{BOT}2")),
                    _ => format!("/apps/support{}", at.path),
                };
                let at = Held {
                    dialect: at.dialect,
                    secret: at.secret.clone(),
                    path,
                    method: at.method.clone(),
                    body: at.body.clone(),
                };
                let got = status(at.shows(&siege.gate, &at.secret).send().await).await;
                assert_no_entry(at.dialect, &at, &got);
            }
        })
        .await;
}

/// A token where the dialect does not look for it is none; browsers put cookies everywhere by themselves.
#[tokio::test]
async fn a_token_in_another_place_is_none() {
    let siege = lay(|gate| gate).await;
    let all = held(&siege).await;
    siege
        .rounds(async || {
            for held in &all {
                let path = held.path.replace("{secret}", "");
                let query = format!(
                    "{path}{}token={1}&access_token={1}&jwt={1}&bearer={1}",
                    if path.contains('?') { "&" } else { "?" },
                    held.secret
                );
                let bare = || siege.gate.public(held.method.clone(), &path).header("origin", SHOP).json(&held.body);
                let cookie = format!("token={0}; session_id={0}; Authorization={0}; __Host-sidegate={0}", held.secret);
                for request in [
                    siege.gate.public(held.method.clone(), &query).header("origin", SHOP).json(&held.body),
                    bare().header("cookie", cookie),
                    bare().header("x-api-key", &held.secret),
                    bare().header("proxy-authorization", format!("Bearer {}", held.secret)),
                    bare().header("sec-websocket-protocol", format!("bearer, {}", held.secret)),
                    bare().basic_auth(&held.secret, Some(&held.secret)),
                ] {
                    let got = status(request.send().await).await;
                    assert_no_entry("elsewhere", held, &got);
                }
            }
        })
        .await;
}
