//! Widgets that the vendor keeps: its API passed on, its sessions behind tokens of the gate's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ACCOUNT, OPEN, WIDGETS, api, create_path, json_of, last, open, opened, page, refused, say, shop, text, with_lines,
};
use crate::reload::reload;
use crate::support::admin::{APPS, call, done, service_token};
use crate::support::forge::now;
use crate::support::gate::{Gate, SHOP};
use crate::support::raw::Raw;
use crate::support::upstream::{Behaviour, Reply, Upstream};

/// The customer's key at the vendor.
const VENDOR_KEY: &str = "sk-of-the-customer-at-the-vendor";
const WIDGET: &str = "cvendorwidget1";

/// A token as the vendor makes it; with a key that nobody here has.
fn vendor_token() -> String {
    let claims =
        json!({ "options": { "engine": { "features": [{ "name": "attachments" }] } }, "conversationId": "cvc1" });
    format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let lines = format!("{OPEN}\norigins = [\"{SHOP}\"]\nauthority = \"upstream\"");
    let gate =
        with_lines(&upstream, &lines).upstream(&format!("headers = {{ Authorization = \"Bearer {VENDOR_KEY}\" }}"));
    (upstream, gate.start().await)
}

/// The vendor opens sessions like this.
fn opens(upstream: &Upstream) {
    let session = json!({
        "id": WIDGET, "conversationId": "cvc1", "token": vendor_token(), "expiresAt": (now() + 3_600) * 1_000,
        "messages": [{ "type": "bot", "text": "Welcome" }],
    });
    upstream.on(&create_path(WIDGET), Behaviour::answer(Reply::json(200, &session)));
    upstream.always(Behaviour::answer(Reply::json(200, &json!({ "text": "Hello" }))));
}

#[tokio::test]
async fn the_api_is_passed_on_with_the_customers_key() {
    let (upstream, gate) = started().await;
    let list = json!({ "items": [], "cursor": "c1" });
    let reply = Reply::json(200, &list).header("set-cookie", "a=b").header("x-internal", "1");
    upstream.on(&format!("{WIDGETS}/list"), Behaviour::answer(reply));
    let answer = api(&gate, Method::GET, &format!("{WIDGETS}/list?take=2&meta.a=b"), Value::Null).await;
    assert!(answer.headers().get("set-cookie").is_none() && answer.headers().get("x-internal").is_none());
    assert_eq!(json_of(answer).await, list);
    let asked = last(&upstream);
    assert_eq!(asked.headers["authorization"], format!("Bearer {VENDOR_KEY}"));
    assert_eq!(asked.uri.query(), Some("take=2&meta.a=b"));
    let refusal = json!({ "message": "Not found", "code": "NOT_FOUND" });
    let reply = Reply::json(404, &refusal).header("x-failure-code", "NOT_FOUND");
    upstream.on(&format!("{WIDGETS}/none/update"), Behaviour::answer(reply));
    let answer = api(&gate, Method::POST, &format!("{WIDGETS}/none/update"), json!({ "name": "a" })).await;
    refused(answer, 404, "NOT_FOUND", "NOT_FOUND").await;
    assert_eq!(last(&upstream).json(), json!({ "name": "a" }));
    // Whoever lacks the scope reaches nobody.
    let reads = service_token(&gate, &["widgets:read"], &[ACCOUNT]).await;
    let answer = call(&gate, &reads, Method::POST, &format!("{WIDGETS}/create"), json!({})).await;
    refused(answer, 403, "NOT_AUTHORIZED", "MISSING_SCOPE").await;
    assert_eq!(upstream.take().len(), 0);
    // A key that the vendor refuses is no matter of the caller's.
    upstream.always(Behaviour::answer(Reply::json(401, &json!({}))));
    let answer = api(&gate, Method::POST, &format!("{WIDGETS}/create"), json!({})).await;
    assert_eq!(answer.status(), 502);
}

/// The key opens all of the vendor's API, and who may see widgets is to have no more of it.
#[tokio::test]
async fn nothing_else_of_the_vendors_api_is_passed_on() {
    let (upstream, gate) = started().await;
    opens(&upstream);
    let token = service_token(&gate, &["widgets:read", "widgets:write"], &[ACCOUNT]).await;
    for (line, status) in [
        ("GET /v1/conversation/list", 404),
        ("GET /v1/conversation/cvc2/message/list", 404),
        ("GET /api/v1/bot/list", 404),
        ("GET /v1/blueprint/../secret/list", 404),
        ("GET /v1/blueprint/%2e%2e/fetch", 404),
        ("GET /v1/integration/widget//list", 404),
        ("POST /v1/integration/widget/cw1/session/create", 404),
        ("POST /v1/conversation/cvc2/session/create/", 404),
        ("POST /v1/integration/widget/cw1/usage", 404),
        ("TRACE /v1/integration/widget/list", 405),
        ("POST /v1/integration/widget/list", 405),
        ("DELETE /v1/integration/widget/cw1/delete", 405),
    ] {
        let mut raw = Raw::connect(gate.private).await;
        let body = r#"{"conversationId":"cvc2"}"#;
        let fields = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 25\r\n";
        raw.send(format!("{line} HTTP/1.1\r\n{fields}Authorization: Bearer {token}\r\n\r\n{body}")).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(!answer.body.contains(&vendor_token()), "{line}");
    }
    assert_eq!(upstream.take().len(), 0);
}

#[tokio::test]
async fn a_page_chats_with_a_token_of_the_gates_and_the_vendor_gets_its_own() {
    let (upstream, gate) = started().await;
    opens(&upstream);
    let session = json_of(open(&gate, WIDGET, &json!({ "durationInSeconds": 3_600 })).await).await;
    assert_eq!(last(&upstream).json(), json!({ "durationInSeconds": 3_600 }));
    assert_eq!((&session["id"], &session["messages"][0]["text"]), (&json!(WIDGET), &json!("Welcome")));
    assert_ne!(text(&session["token"]), vendor_token());
    let answer =
        say(&gate, &session, "complete", &json!({ "text": "hi", "extensions": { "a": 1 }, "model": "x" })).await;
    assert_eq!(json_of(answer).await["text"], "Hello");
    let asked = last(&upstream);
    assert_eq!(asked.headers["authorization"], format!("Bearer {}", vendor_token()));
    assert_eq!(asked.json(), json!({ "text": "hi" }));
    assert_eq!(say(&gate, &session, "attachment/upload", &json!({ "name": "a" })).await.status(), 200);
    upstream.take();
    // The vendor's token itself is none here, nor is another conversation.
    let mut theirs = session.clone();
    theirs["token"] = json!(vendor_token());
    refused(say(&gate, &theirs, "complete", &json!({})).await, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    let mut other = session.clone();
    other["conversationId"] = json!("cvc2");
    refused(say(&gate, &other, "complete", &json!({})).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    assert_eq!(upstream.take().len(), 0);
    assert!(!gate.output().contains(&vendor_token()));
}

/// A session of the one would go on with the customer's key, one of the other with the vendor's token.
#[tokio::test]
async fn sessions_end_when_another_keeps_the_widgets() {
    let (upstream, gate) = started().await;
    opens(&upstream);
    let passed = json_of(open(&gate, WIDGET, &json!({})).await).await;
    assert_eq!(say(&gate, &passed, "complete", &json!({ "text": "hi" })).await.status(), 200);
    let with = |authority: &str| {
        let builder = with_lines(&upstream, &format!("{OPEN}\norigins = [\"{SHOP}\"]\n{authority}"));
        builder.upstream(&format!("headers = {{ Authorization = \"Bearer {VENDOR_KEY}\" }}")).config()
    };
    reload(&gate, &with("")).await;
    let kept = opened(&gate, &shop(&gate, json!({})).await, &json!({})).await;
    upstream.take();
    refused(say(&gate, &passed, "complete", &json!({})).await, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(say(&gate, &kept, "complete", &json!({ "text": "hi" })).await.status(), 200);
    reload(&gate, &with("authority = \"upstream\"")).await;
    upstream.take();
    refused(say(&gate, &kept, "complete", &json!({})).await, 401, "NOT_AUTHENTICATED", "NOT_AUTHENTICATED").await;
    assert_eq!(upstream.take().len(), 0);
}

/// The gate signs their tokens, whoever keeps the widgets.
#[tokio::test]
async fn an_app_of_the_registry_has_a_key_and_keeps_it() {
    let upstream = Upstream::start().await;
    let gate = crate::support::admin::builder(&upstream).start().await;
    opens(&upstream);
    let app = |more: Value| {
        let mut app =
            json!({ "id": "acc_registry", "dialect": "chatbotkit", "upstream": "chat", "authority": "upstream" });
        app.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        app
    };
    done(&gate, Method::POST, APPS, app(json!({ "origins": [SHOP] }))).await;
    let session = json_of(open(&gate, WIDGET, &json!({})).await).await;
    let change = app(json!({ "origins": [SHOP, "https://other.example.com"] }));
    done(&gate, Method::PUT, &format!("{APPS}/acc_registry"), change).await;
    assert_eq!(say(&gate, &session, "complete", &json!({ "text": "hi" })).await.status(), 200);
}

#[tokio::test]
async fn a_page_goes_on_with_no_conversation_but_its_own() {
    let (upstream, gate) = started().await;
    opens(&upstream);
    let session = json_of(open(&gate, WIDGET, &json!({})).await).await;
    upstream.take();
    let ask = async |conversation: &str, token: Option<&str>| {
        let body = json!({ "conversationId": conversation, "contact": { "email": "ada@example.com" }, "more": 1 });
        let request = page(&gate, Method::POST, &format!("{}?conversationId=cvc7", create_path(WIDGET))).json(&body);
        token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await.expect("an answer")
    };
    let own = text(&session["token"]);
    for (conversation, token) in [("cvc1", None), ("cvc2", Some(&*own)), ("cvc1", Some(&*vendor_token()))] {
        refused(ask(conversation, token).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    }
    let form = page(&gate, Method::POST, &create_path(WIDGET))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("conversationId=cvc1");
    assert_eq!(form.send().await.expect("an answer").status(), 415);
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(ask("cvc1", Some(&own)).await.status(), 200);
    let asked = last(&upstream);
    assert_eq!(
        (asked.uri.query(), &asked.json()["conversationId"], &asked.json()["more"]),
        (None, &json!("cvc1"), &json!(1))
    );
}

#[tokio::test]
async fn pages_elsewhere_open_nothing_and_the_vendors_refusal_passes() {
    let (upstream, gate) = started().await;
    let evil =
        gate.public(Method::POST, &create_path(WIDGET)).header("origin", "https://evil.example").json(&json!({}));
    let answer = evil.send().await.expect("an answer");
    assert!(answer.headers().get("access-control-allow-origin").is_none());
    refused(answer, 403, "NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED").await;
    assert_eq!(upstream.take().len(), 0);
    let limits = json!({ "message": "Limits reached", "code": "LIMITS_REACHED" });
    upstream.always(Behaviour::answer(Reply::json(429, &limits).header("retry-after", "7")));
    let answer = open(&gate, WIDGET, &json!({})).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"7".parse().expect("a value")));
    for nonsense in [json!({}), json!({ "token": "t" }), json!([])] {
        upstream.always(Behaviour::answer(Reply::json(200, &nonsense)));
        assert_eq!(open(&gate, WIDGET, &json!({})).await.status(), 502);
    }
    let wrong = page(&gate, Method::GET, &create_path(WIDGET)).send().await.expect("an answer");
    refused(wrong, 405, "METHOD_NOT_ALLOWED", "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn a_server_opens_a_session_of_the_vendors_conversation_and_frames_are_held() {
    let (upstream, gate) = started().await;
    let path = "/v1/conversation/cvc9/session/create";
    let session = json!({ "id": "cvc9", "token": vendor_token(), "expiresAt": (now() + 60) * 1_000 });
    upstream.on(path, Behaviour::answer(Reply::json(200, &session)));
    let mut opened = json_of(api(&gate, Method::POST, path, json!({})).await).await;
    assert_eq!(last(&upstream).headers["authorization"], format!("Bearer {VENDOR_KEY}"));
    opened["conversationId"] = opened["id"].clone();
    upstream.always(Behaviour::answer(Reply::json(200, &json!({ "text": "Hello" }))));
    assert_eq!(say(&gate, &opened, "send", &json!({ "text": "hi" })).await.status(), 200);
    upstream.always(Behaviour::answer(Reply::new(200, "<p>").header("content-type", "text/html")));
    let frame =
        gate.public(Method::GET, &format!("/integrations/widget/{WIDGET}/frame")).send().await.expect("an answer");
    assert_eq!(frame.headers()["content-security-policy"], format!("frame-ancestors 'self' {SHOP}"));
}
