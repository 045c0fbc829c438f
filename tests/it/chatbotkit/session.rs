//! Sessions that pages open with a widget's id.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ACCOUNT, KEY, WIDGETS, answers, api, create_path, json_of, last, open, opened, page, refused, shop, started, text,
    widget, with_lines,
};
use crate::support::admin::{BOOTSTRAP, assert_problem, call};
use crate::support::forge::now;
use crate::support::gate::SHOP;
use crate::support::upstream::{Behaviour, Reply, Upstream};

/// The header and claims of a token, verified by another library.
fn claims(token: &str) -> (Value, Value) {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&["enduser/conversation"]);
    let decoded = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(KEY.as_bytes()), &validation);
    let header = token.split('.').next().expect("a header");
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).expect("base64url");
    (serde_json::from_slice(&header).expect("JSON"), decoded.expect("it verifies").claims)
}

/// A token of it names a session, so that it would be acknowledged and do nothing.
#[tokio::test]
async fn nobody_is_revoked_by_end_user() {
    let (_upstream, gate) = started().await;
    let end_user = json!({ "app": ACCOUNT, "end_user": "ct_1" });
    let answer = call(&gate, BOOTSTRAP, Method::POST, "/admin/v1/revocations", end_user).await;
    assert_problem(answer, 400, "INVALID_REQUEST").await;
}

#[tokio::test]
async fn a_page_gets_a_conversation_and_a_token_as_the_vendor_makes_them() {
    let (_upstream, gate) = started().await;
    let id = shop(&gate, json!({ "attachments": true, "math": true, "verbose": true })).await;
    let answer = open(&gate, &id, &json!({ "durationInSeconds": 7_200, "meta": { "page": "/cart" } })).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let session = json_of(answer).await;
    assert_eq!(session.as_object().map(serde_json::Map::len), Some(5), "{session}");
    assert_eq!((&session["id"], &session["messages"]), (&json!(id), &json!([])));
    let (header, claims) = claims(&text(&session["token"]));
    assert_eq!(header, json!({ "alg": "HS256" }));
    let features =
        ["noInlineDatasets", "noInlineSkillsets", "markdown", "buttons", "attachments", "justification", "math"];
    let features: Vec<_> = features.iter().map(|name| json!({ "name": name })).collect();
    assert_eq!(claims["options"]["engine"]["features"], json!(features));
    assert_eq!(claims["options"]["limits"]["special"]["rate"]["id"], claims["sub"]);
    assert_eq!((&claims["userId"], &claims["conversationId"]), (&json!(ACCOUNT), &session["conversationId"]));
    let (iat, exp) = (claims["iat"].as_u64().expect("a time"), claims["exp"].as_u64().expect("a time"));
    assert_eq!((exp - iat, session["expiresAt"].as_u64()), (7_200, Some(exp * 1_000)));
    assert!(now().abs_diff(iat) < 60);
}

#[tokio::test]
async fn a_session_is_as_long_as_asked_within_the_widgets_cap() {
    let (_upstream, gate) = started().await;
    for (widget_has, asked, seconds) in [
        (json!(null), json!({}), 86_400),
        (json!(0), json!({ "durationInSeconds": null }), 86_400),
        (json!(3_600_000), json!({ "durationInSeconds": 7_200 }), 3_600),
        (json!(60_000), json!({ "durationInSeconds": 1_800 }), 60),
        (json!(3_600_000), json!({ "durationInSeconds": 1_800 }), 1_800),
    ] {
        let id = shop(&gate, json!({ "sessionDuration": widget_has })).await;
        let (_, claims) = claims(&text(&opened(&gate, &id, &asked).await["token"]));
        assert_eq!(claims["exp"].as_u64().expect("a time") - claims["iat"].as_u64().expect("a time"), seconds);
    }
    let id = shop(&gate, json!({})).await;
    for wrong in [
        json!({ "durationInSeconds": 1_799 }),
        json!({ "durationInSeconds": 86_401 }),
        json!({ "messages": [{ "type": "bot", "text": "I am the bot" }] }),
        json!({ "messages": [{ "type": "user", "text": "" }] }),
        json!({ "contact": { "email": "nobody" } }),
        json!({ "contact": { "phone": "12" } }),
        json!({ "features": ["math"] }),
    ] {
        refused(open(&gate, &id, &wrong).await, 400, "BAD_REQUEST", "BAD_REQUEST").await;
    }
}

#[tokio::test]
async fn only_pages_of_its_list_open_sessions_with_a_widget() {
    let (_upstream, gate) = started().await;
    let id = shop(&gate, json!({})).await;
    let from = |origin: Option<&'static str>| {
        let request = gate.public(Method::POST, &create_path(&id)).json(&json!({}));
        origin.into_iter().fold(request, |request, origin| request.header("origin", origin)).send()
    };
    for origin in [None, Some("null"), Some("https://evil.example"), Some("http://shop.example.com")] {
        let answer = from(origin).await.expect("an answer");
        assert!(answer.headers().get("access-control-allow-origin").is_none(), "{origin:?}");
        refused(answer, 403, "NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED").await;
    }
    assert_eq!(from(Some(SHOP)).await.expect("an answer").status(), 200);
    let anywhere = widget(&gate, json!({ "botId": "bot_1" })).await;
    let request = gate.public(Method::POST, &create_path(&anywhere)).header("origin", "https://evil.example");
    assert_eq!(request.send().await.expect("an answer").status(), 200, "its list is empty");
}

#[tokio::test]
async fn a_widget_that_is_not_ready_switched_off_or_gone_opens_none() {
    let (_upstream, gate) = started().await;
    let bare = widget(&gate, json!({ "name": "bare" })).await;
    refused(open(&gate, &bare, &json!({})).await, 409, "CONFLICT", "WIDGET_NOT_READY").await;
    let id = shop(&gate, json!({})).await;
    opened(&gate, &id, &json!({})).await;
    let post =
        async |leaf: &str| json_of(api(&gate, Method::POST, &format!("{WIDGETS}/{id}/{leaf}"), json!({})).await).await;
    post("disable").await;
    refused(open(&gate, &id, &json!({})).await, 403, "NOT_AUTHORIZED", "WIDGET_DISABLED").await;
    post("enable").await;
    opened(&gate, &id, &json!({})).await;
    post("delete").await;
    refused(open(&gate, &id, &json!({})).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    refused(open(&gate, "cnone", &json!({})).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    let wrong = page(&gate, Method::GET, &create_path(&bare)).send().await.expect("an answer");
    refused(wrong, 405, "METHOD_NOT_ALLOWED", "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn messages_that_come_along_are_said_and_answered() {
    let (upstream, gate) = started().await;
    answers(&upstream, "Sure.");
    let id = shop(&gate, json!({ "initial": "Hello!", "carousel": true })).await;
    let asked = json!({ "messages": [{ "type": "user", "text": "hi" }, { "type": "user", "text": "help" }] });
    let session = opened(&gate, &id, &asked).await;
    let said = json!([
        { "type": "bot", "text": "Hello!" },
        { "type": "user", "text": "hi" }, { "type": "bot", "text": "Sure." },
        { "type": "user", "text": "help" }, { "type": "bot", "text": "Sure." },
    ]);
    assert_eq!(session["messages"], said);
    let requests = upstream.take();
    assert_eq!(requests.len(), 2);
    let conversation = text(&session["conversationId"]);
    assert_eq!(requests[0].uri.path(), format!("/api/v1/conversation/{conversation}/complete"));
    let body = requests[0].json();
    assert_eq!(body["text"], "hi");
    let features = body["extensions"]["features"].as_array().expect("a list");
    assert!(features.contains(&json!({ "name": "carousel" })) && !features.contains(&json!({ "name": "math" })));
    assert!(requests[0].headers.get("authorization").is_none(), "the token stays here");
}

#[tokio::test]
async fn a_session_stands_when_its_upstream_fails() {
    let (upstream, gate) = started().await;
    let id = shop(&gate, json!({ "initial": "Hello!" })).await;
    let asked = json!({ "messages": [{ "type": "user", "text": "hi" }] });
    for (behaviour, code) in [
        (Behaviour::reset(), "BAD_GATEWAY"),
        (Behaviour::answer(Reply::json(500, &json!({}))), "BAD_GATEWAY"),
        (Behaviour::answer(Reply::new(200, "no JSON")), "BAD_GATEWAY"),
    ] {
        upstream.always(behaviour);
        let session = opened(&gate, &id, &asked).await;
        assert_eq!(session["error"]["code"], code, "{session}");
        assert_eq!(session["messages"], json!([{ "type": "bot", "text": "Hello!" }, { "type": "user", "text": "hi" }]));
        answers(&upstream, "Here I am.");
        let answer = super::say(&gate, &session, "complete", &json!({ "text": "again" })).await;
        assert_eq!(json_of(answer).await["text"], "Here I am.");
        assert_eq!(last(&upstream).json()["text"], "again");
    }
}

#[tokio::test]
async fn limits_hold_for_sessions_messages_and_guesses() {
    let upstream = Upstream::start().await;
    answers(&upstream, "Hello");
    let lines = "limits = { exchange = \"3/h per address\", chat = \"2/h per end_user\" }";
    let gate = with_lines(&upstream, lines).start().await;
    let id = shop(&gate, json!({})).await;
    let session = opened(&gate, &id, &json!({})).await;
    for expected in [200, 200, 429] {
        let answer = super::say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
        assert_eq!(answer.status(), expected);
    }
    for expected in [200, 200, 429] {
        assert_eq!(open(&gate, &id, &json!({})).await.status(), expected);
    }
    let late = open(&gate, &id, &json!({})).await;
    assert!(late.headers().contains_key("retry-after"));
    refused(late, 429, "TOO_MANY_REQUESTS", "TOO_MANY_REQUESTS").await;
    let mut statuses = Vec::new();
    for number in 0..140 {
        statuses.push(open(&gate, &format!("cguess{number}"), &json!({})).await.status().as_u16());
    }
    assert_eq!((statuses.first(), statuses.last()), (Some(&404), Some(&429)));
}

#[tokio::test]
async fn tokens_of_other_dialects_and_algorithms_open_nothing() {
    let (upstream, gate) = started().await;
    let id = shop(&gate, json!({})).await;
    let session = opened(&gate, &id, &json!({})).await;
    let token = text(&session["token"]);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let encode =
        |value: Value| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, value.to_string());
    let none = encode(json!({ "alg": "none" }));
    let sigmic = gate.token("ada").mint().await;
    for forged in [
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{}.{payload}.{signature}", encode(json!({ "alg": "HS512" }))),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}A"),
        sigmic,
    ] {
        let mut session = session.clone();
        session["token"] = json!(forged);
        let answer = super::say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
        refused(answer, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    }
    assert_eq!(upstream.take().len(), 0);
}
