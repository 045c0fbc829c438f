//! What pages ask for: `/api/chatkit/start`, `/api/chatkit/refresh`, `/chatkit-token`, `/api/realtime/client_secrets`.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    APP, KEY, LATE, OTHER, REALTIME, REFRESH, SETTINGS, START, WORKFLOW, answer, app, page, refused, secret_of, sent,
    session, started, visitor, with_apps, workflows,
};
use crate::support::cases::cases;
use crate::support::gate::{SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};

const VENDOR: &str = "/v1/chatkit/sessions";
const VENDOR_REALTIME: &str = "/v1/realtime/client_secrets";

#[tokio::test]
async fn a_page_gets_a_session_of_its_end_user() {
    let (upstream, gate) = started().await;
    upstream.once(VENDOR, answer(&session("cksess_1", "ek_1")));
    let got = sent(page(&gate, START, "ada")).await;
    assert_eq!(got.status(), 200);
    assert_eq!(got.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(got.headers()["cache-control"], "no-store");
    let expected = json!({ "client_secret": "ek_1", "token": "ek_1", "expires_at": "2100-01-01T00:00:00.000000Z" });
    assert_eq!(json_of(got).await, expected);
    let seen = upstream.take();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), format!("Bearer {KEY}"));
    assert_eq!(seen[0].header("openai-beta"), "chatkit_beta=v1");
    assert_eq!((seen[0].header("x-site"), seen[0].header("x-user"), seen[0].header("origin")), ("", "", ""));
    let asked = json!({
        "user": "ada", "workflow": { "id": WORKFLOW, "version": "2", "state_variables": { "plan": "pro" } },
        "expires_after": { "anchor": "created_at", "seconds": 600 },
        "rate_limits": { "max_requests_per_1_minute": 10 },
        "chatkit_configuration": { "file_upload": { "max_file_size": 25, "max_files": 3 }, "history": { "enabled": false } },
    });
    assert_eq!(seen[0].json(), asked);
    assert!(!gate.output().contains("canary") && !gate.output().contains("ek_1"));
}

#[tokio::test]
async fn a_session_is_shared_by_one_end_users_pages_and_by_nobody_else() {
    let (upstream, gate) = started().await;
    for (id, secret) in [("cksess_1", "ek_1"), ("cksess_2", "ek_2"), ("cksess_3", "ek_3"), ("cksess_4", "ek_4")] {
        upstream.once(VENDOR, answer(&session(id, secret)));
    }
    assert_eq!(secret_of(page(&gate, START, "ada")).await, "ek_1");
    for path in [START, "/chatkit-token", "/apps/studio/api/chatkit/start"] {
        assert_eq!(secret_of(page(&gate, path, "ada")).await, "ek_1", "{path}");
    }
    let other = format!("{START}?workflow_id={OTHER}");
    assert_eq!(secret_of(page(&gate, &other, "ada")).await, "ek_2", "another workflow");
    assert_eq!(secret_of(visitor(&gate, START)).await, "ek_3");
    assert_eq!(secret_of(visitor(&gate, START)).await, "ek_4", "nobody is anybody");
    let users: Vec<_> = upstream.take().iter().map(|seen| seen.json()["user"].as_str().unwrap().to_owned()).collect();
    assert!(users[0] == "ada" && users[1] == "ada" && users[2].starts_with("anon-") && users[2] != users[3]);
}

#[tokio::test]
async fn a_refresh_gives_another_secret_than_the_one_that_it_names() {
    let (upstream, gate) = started().await;
    upstream.once(VENDOR, answer(&session("cksess_1", "ek_1")));
    assert_eq!(secret_of(page(&gate, START, "ada")).await, "ek_1");
    let refresh = |current: &str| page(&gate, REFRESH, "ada").json(&json!({ "currentClientSecret": current }));
    let (behaviour, release) = Behaviour::held(Reply::json(200, &session("cksess_2", "ek_2")));
    upstream.on(VENDOR, behaviour);
    let asked: Vec<_> = (0..8).map(|_| tokio::spawn(secret_of(refresh("ek_1")))).collect();
    upstream.wait_heads(2).await;
    release.release();
    for asked in asked {
        assert_eq!(asked.await.expect("joined"), "ek_2", "one for all who ask");
    }
    assert_eq!(secret_of(refresh("ek_1")).await, "ek_2", "the one at hand is another one already");
    assert_eq!(secret_of(refresh("ek_old")).await, "ek_2");
    assert_eq!(secret_of(page(&gate, REFRESH, "ada")).await, "ek_2", "none is named");
    assert_eq!(upstream.count(), 2);
    upstream.on(VENDOR, answer(&session("cksess_3", "ek_3")));
    assert_eq!(secret_of(refresh("ek_2")).await, "ek_3");
    assert!(upstream.take().iter().all(|seen| !String::from_utf8_lossy(&seen.body).contains("ek_")), "copied nowhere");
}

#[tokio::test]
async fn a_refusal_has_openais_shape_and_can_be_read() {
    let (upstream, gate) = started().await;
    let bare = gate.public(Method::POST, START).header("origin", SHOP);
    assert_eq!(refused(sent(bare).await, 401, "authentication_error").await, "auth_required");
    let wrong = gate.public(Method::POST, START).header("origin", SHOP).header("x-site", "wrong");
    let wrong = sent(wrong).await;
    assert_eq!(wrong.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(refused(wrong, 403, "permission_error").await, "not_authorized");
    let unlisted = format!("{START}?workflow_id=wf_3");
    assert_eq!(
        refused(sent(page(&gate, &unlisted, "ada")).await, 404, "invalid_request_error").await,
        "workflow_not_found"
    );
    let prefixed = format!("/apps/studio{REFRESH}?workflow_id=wf_3");
    assert_eq!(
        refused(sent(page(&gate, &prefixed, "ada")).await, 404, "invalid_request_error").await,
        "workflow_not_found"
    );
    for body in ["{", "[]", r#"{"currentClientSecret":1}"#] {
        let asked = sent(page(&gate, REFRESH, "ada").body(body)).await;
        assert_eq!(refused(asked, 400, "invalid_request_error").await, "invalid_request", "{body}");
    }
    for path in [START, REFRESH, REALTIME] {
        let get = gate.public(Method::GET, path).header("origin", SHOP);
        let got = sent(get).await;
        assert_eq!(got.headers()["allow"], "POST");
        assert_eq!(refused(got, 405, "invalid_request_error").await, "method_not_allowed", "{path}");
        let evil =
            gate.public(Method::POST, path).header("origin", "https://evil.example").header("x-site", super::SITE);
        let evil = sent(evil).await;
        assert!(!evil.headers().contains_key("access-control-allow-origin"));
        assert_eq!(refused(evil, 403, "permission_error").await, "origin_not_allowed", "{path}");
        let preflight = gate.public(Method::OPTIONS, path).header("origin", SHOP);
        let preflight = sent(preflight.header("access-control-request-method", "POST")).await;
        assert_eq!(preflight.headers()["access-control-allow-origin"], SHOP);
        assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"), "{path}");
    }
    assert_eq!(upstream.count(), 0);
}

/// What OpenAI answers, and what the page makes of it.
#[derive(Debug, Deserialize)]
struct Answered {
    name: String,
    status: u16,
    body: Value,
    #[serde(default)]
    retry_after: Option<String>,
    page: u16,
    #[serde(rename = "type")]
    kind: String,
    code: String,
}

#[tokio::test]
async fn what_openai_refuses_is_said_in_our_words() {
    let upstream = Upstream::start().await;
    for case in cases::<Answered>("orcheo/openai_answers.json") {
        println!("{}", case.name);
        // A gate of its own: one that has failed is left alone for a while.
        let gate = with_apps(&upstream, &app(APP, &workflows(), "")).start().await;
        let mut reply = Reply::json(case.status, &case.body);
        if let Some(wait) = &case.retry_after {
            reply = reply.header("retry-after", wait);
        }
        upstream.on(VENDOR, Behaviour::answer(reply.header("openai-organization", "canary")));
        let got = sent(page(&gate, START, "ada")).await;
        assert_eq!(got.headers()["access-control-allow-origin"], SHOP);
        assert!(!format!("{:?}", got.headers()).contains("canary"));
        let waits = got.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        assert_eq!(waits, case.retry_after);
        assert_eq!(refused(got, case.page, &case.kind).await, case.code);
        assert!(!gate.output().contains("canary"), "{}", gate.output());
    }
}

#[tokio::test]
async fn a_page_gets_a_client_secret_for_the_realtime_api() {
    let (upstream, gate) = started().await;
    let made = |value: &str| {
        let tools = json!([{ "type": "mcp", "server_label": "db", "authorization": "canary" }]);
        let session = json!({ "type": "realtime", "model": "gpt-realtime", "tools": tools });
        json!({ "value": value, "expires_at": LATE, "session": session, "more": 1 })
    };
    for value in ["ek_1", "ek_2", "ek_3", "ek_4"] {
        upstream.once(VENDOR_REALTIME, answer(&made(value)));
    }
    let got = json_of(sent(page(&gate, REALTIME, "ada")).await).await;
    let tools = json!([{ "type": "mcp", "server_label": "db" }]);
    let session = json!({ "type": "realtime", "model": "gpt-realtime", "tools": tools });
    assert_eq!(got, json!({ "value": "ek_1", "expires_at": LATE, "session": session }));
    assert_eq!(json_of(sent(page(&gate, REALTIME, "ada")).await).await["value"], "ek_1");
    assert_eq!(json_of(sent(page(&gate, REALTIME, "eve")).await).await["value"], "ek_2");
    assert_eq!(json_of(sent(visitor(&gate, REALTIME)).await).await["value"], "ek_3");
    assert_eq!(json_of(sent(visitor(&gate, REALTIME)).await).await["value"], "ek_4");
    let seen = upstream.take();
    let asked = json!({
        "expires_after": { "anchor": "created_at", "seconds": 120 },
        "session": { "type": "realtime", "model": "gpt-realtime" },
    });
    assert!(seen.len() == 4 && seen.iter().all(|seen| seen.json() == asked), "{seen:?}");
    assert_eq!((seen[0].header("authorization"), seen[0].header("openai-beta")), (&*format!("Bearer {KEY}"), ""));
    upstream.once(VENDOR, answer(&super::session("cksess_1", "ek_5")));
    assert_eq!(secret_of(page(&gate, START, "ada")).await, "ek_5", "a chat is something else");
}

#[tokio::test]
async fn an_app_without_realtime_has_none() {
    let upstream = Upstream::start().await;
    let gate = with_apps(&upstream, &app(APP, &workflows(), "")).start().await;
    let got = sent(page(&gate, REALTIME, "ada")).await;
    assert_eq!(refused(got, 404, "invalid_request_error").await, "not_found");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_limit_of_exchanges_counts_refreshes_too() {
    let upstream = Upstream::start().await;
    let limited = format!("{}{SETTINGS}", app(APP, &workflows(), "limits.exchange = \"2/h per end_user\""));
    let gate = with_apps(&upstream, &limited).start().await;
    upstream.on(VENDOR, answer(&session("cksess_1", "ek_1")));
    assert_eq!(secret_of(page(&gate, START, "ada")).await, "ek_1");
    let refresh = || page(&gate, REFRESH, "ada").json(&json!({ "currentClientSecret": "ek_1" }));
    assert_eq!(secret_of(refresh()).await, "ek_1");
    let over = sent(refresh()).await;
    assert!(over.headers().contains_key("retry-after"));
    assert_eq!(refused(over, 429, "rate_limit_error").await, "rate_limited");
}
