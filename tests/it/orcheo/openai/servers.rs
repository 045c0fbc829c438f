//! OpenAI's own routes on the private listener: what customers' servers ask for, and what becomes of it.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    APP, CLIENT_SECRETS, KEY, LATE, REALTIME, SESSIONS, SETTINGS, WORKFLOW, answer, app, refused, sent, server,
    session, started, with_apps, workflows,
};
use crate::orcheo::{BOOTSTRAP, service_token};
use crate::support::cases::cases;
use crate::support::gate::json_of;
use crate::support::upstream::{Behaviour, Reply, Upstream};

const CANCEL: &str = "/v1/chatkit/sessions/cksess_1/cancel";

/// What is asked, and what OpenAI sees, or how it is refused.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    path: String,
    body: Value,
    #[serde(default)]
    sees: Option<Value>,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    message: String,
}

#[tokio::test]
async fn a_body_goes_on_as_it_is_documented_and_within_the_apps_settings() {
    let (upstream, gate) = started().await;
    let made = json!({ "id": "cksess_1", "any": ["thing"] });
    upstream.on(SESSIONS, answer(&made));
    upstream.on(CLIENT_SECRETS, answer(&made));
    for case in cases::<Case>("orcheo/openai.json") {
        println!("{}", case.name);
        let got = sent(server(&gate, &case.path, BOOTSTRAP, &case.body)).await;
        let Some(sees) = case.sees else {
            assert_eq!(got.status(), case.status);
            let body = json_of(got).await;
            assert_eq!(body["error"]["message"], case.message.as_str());
            assert_eq!(body["error"]["type"], "invalid_request_error");
            assert!(upstream.take().is_empty());
            continue;
        };
        assert_eq!(got.status(), 200);
        assert_eq!(got.headers()["content-type"], "application/json");
        assert_eq!(json_of(got).await, made, "as it came");
        let seen = upstream.take();
        assert_eq!((seen.len(), seen[0].json()), (1, sees));
        assert_eq!(seen[0].header("authorization"), format!("Bearer {KEY}"));
        let beta = if case.path.ends_with("/sessions") { "chatkit_beta=v1" } else { "" };
        assert_eq!(seen[0].header("openai-beta"), beta);
    }
    let two = [sent(ask(&gate, BOOTSTRAP)).await, sent(ask(&gate, BOOTSTRAP)).await];
    assert!(two.iter().all(|got| got.status() == 200));
    assert_eq!(upstream.take().len(), 2, "each has its own");
}

fn ask(gate: &crate::support::gate::Gate, token: &str) -> reqwest::RequestBuilder {
    server(gate, SESSIONS, token, &json!({ "user": "ada", "workflow": { "id": WORKFLOW } }))
}

#[tokio::test]
async fn a_service_token_of_the_app_is_needed() {
    let (upstream, gate) = started().await;
    upstream.on(SESSIONS, answer(&session("cksess_1", "ek_1")));
    let own = service_token(&gate, "chatkit:session", &[APP]).await;
    assert_eq!(sent(ask(&gate, &own)).await.status(), 200);
    let (reader, other) = (
        service_token(&gate, "admin:apps:read", &[]).await,
        service_token(&gate, "chatkit:session", &["wapp_test"]).await,
    );
    for token in [&reader, &other] {
        assert_eq!(refused(sent(ask(&gate, token)).await, 403, "permission_error").await, "missing_scope");
    }
    let unknown = sent(ask(&gate, "sgst_unknown")).await;
    assert!(unknown.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    assert_eq!(refused(unknown, 401, "authentication_error").await, "invalid_service_token");
    let bare = gate.private(Method::POST, SESSIONS).json(&json!({}));
    assert_eq!(refused(sent(bare).await, 401, "authentication_error").await, "auth_required");
    let basic = gate.private(Method::POST, SESSIONS).basic_auth("a", Some("b")).json(&json!({}));
    assert_eq!(refused(sent(basic).await, 401, "authentication_error").await, "invalid_auth_format");
    assert_eq!(sent(ask(&gate, &own).header("origin", "http://localhost")).await.status(), 403, "no page's business");
    let public = gate.public(Method::POST, SESSIONS).bearer_auth(&own).json(&json!({}));
    assert_eq!(sent(public).await.status(), 404);
    assert_eq!(upstream.count(), 1);
    assert!(!gate.output().contains("canary") && !gate.output().contains(&own));
}

#[tokio::test]
async fn other_methods_paths_and_bodies_are_refused_in_openais_shape() {
    let (upstream, gate) = started().await;
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        for path in [SESSIONS, CLIENT_SECRETS, CANCEL] {
            let got = sent(gate.private(method.clone(), path).bearer_auth(BOOTSTRAP)).await;
            assert_eq!(got.headers()["allow"], "POST");
            assert_eq!(refused(got, 405, "invalid_request_error").await, "method_not_allowed", "{method} {path}");
        }
    }
    for path in [
        "/v1/models",
        "/v1/chatkit/sessions/cksess_1",
        "/v1/chatkit/sessions/cksess_1%2F..%2Fx/cancel",
        "/v1/chatkit/sessions/sess_1/cancel",
        "/apps/nobody/v1/chatkit/sessions",
    ] {
        let got = sent(server(&gate, path, BOOTSTRAP, &json!({}))).await;
        assert_eq!(refused(got, 404, "invalid_request_error").await, "not_found", "{path}");
    }
    let form = gate.private(Method::POST, SESSIONS).bearer_auth(BOOTSTRAP).body("user=ada");
    assert_eq!(refused(sent(form).await, 415, "invalid_request_error").await, "unsupported_media_type");
    let long =
        json!({ "user": "ada", "workflow": { "id": WORKFLOW, "state_variables": { "a": "a".repeat(200_000) } } });
    let long = sent(server(&gate, SESSIONS, BOOTSTRAP, &long)).await;
    assert_eq!(refused(long, 413, "invalid_request_error").await, "payload_too_large");
    let filled = sent(server(&gate, CANCEL, BOOTSTRAP, &json!({}))).await;
    assert_eq!(refused(filled, 400, "invalid_request_error").await, "invalid_request");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_session_is_cancelled_by_who_may_use_its_app() {
    let upstream = Upstream::start().await;
    let apps = format!("{}{SETTINGS}{}", app(APP, &workflows(), ""), app("second", r#"[{ id = "wf_3" }]"#, ""));
    let gate = with_apps(&upstream, &apps).start().await;
    upstream.on(CANCEL, answer(&session("cksess_1", "ek_1")));
    let cancel = |path: &str, token: &str| gate.private(Method::POST, path).bearer_auth(token);
    let own = service_token(&gate, "chatkit:session", &["second"]).await;
    let got = sent(cancel(CANCEL, &own)).await;
    assert_eq!((got.status().as_u16(), json_of(got).await), (200, session("cksess_1", "ek_1")));
    let seen = &upstream.take()[0];
    assert_eq!((seen.header("openai-beta"), seen.header("content-type")), ("chatkit_beta=v1", ""));
    assert_eq!((seen.header("content-length"), seen.body.len()), ("0", 0));
    let several = sent(cancel(CANCEL, BOOTSTRAP)).await;
    assert_eq!(refused(several, 400, "invalid_request_error").await, "invalid_request");
    assert_eq!(sent(cancel(&format!("/apps/{APP}{CANCEL}"), BOOTSTRAP)).await.status(), 200);
    let foreign = sent(cancel(&format!("/apps/{APP}{CANCEL}"), &own)).await;
    assert_eq!(refused(foreign, 404, "invalid_request_error").await, "not_found");
    for (status, got, kind, code) in [
        (400, 400, "invalid_request_error", "invalid_request"),
        (401, 502, "server_error", "upstream_refused"),
        (404, 404, "invalid_request_error", "not_found"),
        (409, 409, "invalid_request_error", "conflict"),
        (429, 429, "rate_limit_error", "upstream_rate_limited"),
        (503, 502, "server_error", "upstream_unavailable"),
    ] {
        let error =
            json!({ "error": { "message": format!("canary {KEY}"), "type": "x", "param": null, "code": null } });
        upstream.once(CANCEL, Behaviour::answer(Reply::json(status, &error).header("retry-after", "7")));
        let answer = sent(cancel(CANCEL, &own)).await;
        let waits = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        assert_eq!(waits.as_deref(), matches!(status, 429 | 503).then_some("7"));
        assert_eq!(refused(answer, got, kind).await, code, "{status}");
    }
    assert_eq!(upstream.take().len(), 7, "asked once each");
    for body in [json!([]), json!({ "id": KEY })] {
        upstream.once(CANCEL, answer(&body));
        let unreadable = sent(cancel(CANCEL, &own)).await;
        assert_eq!(refused(unreadable, 502, "server_error").await, "upstream_invalid_response");
    }
    assert!(!gate.output().contains("canary"));
}

#[tokio::test]
async fn a_client_secret_is_of_the_one_app_that_has_the_realtime_api() {
    let upstream = Upstream::start().await;
    let apps = format!("{}{SETTINGS}{}", app(APP, &workflows(), ""), app("second", r#"[{ id = "wf_3" }]"#, ""));
    let gate = with_apps(&upstream, &apps).start().await;
    upstream.on(CLIENT_SECRETS, answer(&json!({ "value": "ek_1", "expires_at": LATE, "session": {} })));
    let got = sent(server(&gate, CLIENT_SECRETS, BOOTSTRAP, &json!({}))).await;
    assert_eq!(json_of(got).await, json!({ "value": "ek_1", "expires_at": LATE, "session": {} }));
    let other = service_token(&gate, "chatkit:session", &["second"]).await;
    let none = sent(server(&gate, CLIENT_SECRETS, &other, &json!({}))).await;
    assert_eq!(refused(none, 404, "invalid_request_error").await, "not_found");
    let misplaced = sent(server(&gate, REALTIME, BOOTSTRAP, &json!({}))).await;
    assert_eq!(misplaced.status(), 404, "the page's route is on the public listener");
    let named = format!("/apps/second{SESSIONS}");
    let foreign = sent(server(&gate, &named, BOOTSTRAP, &json!({ "user": "a", "workflow": { "id": WORKFLOW } }))).await;
    assert_eq!(refused(foreign, 404, "invalid_request_error").await, "workflow_not_found");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn the_limit_of_exchanges_counts_servers_too() {
    let upstream = Upstream::start().await;
    let gate = with_apps(&upstream, &app(APP, &workflows(), "limits.exchange = \"1/h per end_user\"")).start().await;
    upstream.on(SESSIONS, answer(&session("cksess_1", "ek_1")));
    assert_eq!(sent(ask(&gate, BOOTSTRAP)).await.status(), 200);
    assert_eq!(refused(sent(ask(&gate, BOOTSTRAP)).await, 429, "rate_limit_error").await, "rate_limited");
    let metrics = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("a text");
    assert!(metrics.contains("sidegate_trades_total{outcome=\"fetched\"} 1\n"), "{metrics}");
}
