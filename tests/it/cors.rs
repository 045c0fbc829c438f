//! What a page may read: CORS on every answer of the gate, whatever it is. Preflights are in
//! `preflight`.

use reqwest::{Method, Response};
use serde_json::json;

use crate::support::forge::{now, token_with};
use crate::support::gate::{Gate, PATIENCE, SHOP};
use crate::support::upstream::{Behaviour, Reply, Upstream};

const BLOG: &str = "https://blog.example.com";

/// Asserts that a page of [`SHOP`] may read this answer, without credentials.
fn assert_readable(answer: &Response, status: u16) {
    let headers = answer.headers();
    assert_eq!(answer.status(), status);
    assert_eq!(headers["access-control-allow-origin"], SHOP);
    assert_eq!(headers.get_all("access-control-allow-origin").iter().count(), 1);
    assert_eq!(headers.get("access-control-allow-credentials"), None);
    let exposed = headers["access-control-expose-headers"].to_str().expect("text");
    for name in ["X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Proxy-Status"] {
        assert!(exposed.split(", ").any(|found| found == name), "{exposed}");
    }
    let varies = headers.get_all("vary").iter().any(|value| value.to_str().expect("text").contains("Origin"));
    assert!(varies, "no Vary: Origin");
}

fn assert_unreadable(answer: &Response, status: u16) {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers().get("access-control-allow-origin"), None);
    assert_eq!(answer.headers()["vary"], "Origin");
}

async fn list(gate: &Gate, token: &str) -> Response {
    gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer")
}

#[tokio::test]
async fn a_page_reads_answers_and_streams() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let id = gate.create_task(&token).await;
    assert_readable(&list(&gate, &token).await, 200);
    let stream = gate.chat(Method::GET, &format!("/api/v1/tasks/{id}/stream"), &token).send().await;
    let stream = stream.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_readable(&stream, 200);
}

#[tokio::test]
async fn a_page_reads_that_it_lacks_a_token() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let request = gate.public(Method::GET, "/api/v1/tasks").header("origin", SHOP);
    assert_readable(&request.send().await.expect("an answer"), 401);
}

#[tokio::test]
async fn a_page_reads_that_its_token_has_expired() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    assert_readable(&list(&gate, &token_with(&json!({ "exp": now() - 60 }))).await, 401);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_page_reads_that_a_value_is_missing() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("[apps.inject.headers]\nX-Tenant = \"{{env.TENANT}}\"").start().await;
    let token = gate.token("ada").mint().await;
    assert_readable(&list(&gate, &token).await, 403);
}

#[tokio::test]
async fn a_page_reads_that_there_is_nothing_or_no_such_method() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    for (method, path, status) in [
        (Method::GET, "/api/v1/tasks/task_9", 404),
        (Method::GET, "/elsewhere", 404),
        (Method::DELETE, "/api/v1/tasks", 405),
    ] {
        let answer = gate.chat(method, path, &token).send().await.expect("an answer");
        assert_readable(&answer, status);
    }
}

#[tokio::test]
async fn a_page_reads_why_its_body_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.json_body=16").start().await;
    let token = gate.token("ada").mint().await;
    for (content_type, status) in [("application/json", 413), ("text/plain", 415)] {
        let request = gate.chat(Method::POST, "/api/v1/tasks", &token).header("content-type", content_type);
        let answer = request.body("{\"message\":\"0123456789\"}").send().await.expect("an answer");
        assert_readable(&answer, status);
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_page_reads_that_it_asks_too_often() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("limits.chat = \"1/h\"").start().await;
    let token = gate.token("ada").mint().await;
    assert_readable(&list(&gate, &token).await, 200);
    assert_readable(&list(&gate, &token).await, 429);
}

#[tokio::test]
async fn a_page_reads_that_the_chat_service_cannot_be_reached() {
    let gate = Gate::builder_for(&format!("http://{}", Upstream::nowhere().await)).start().await;
    let token = gate.token("ada").mint().await;
    let answer = list(&gate, &token).await;
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=connection_refused");
    assert_readable(&answer, 502);
}

#[tokio::test]
async fn a_page_reads_that_the_chat_service_is_busy() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("max_requests = 1").start().await;
    let token = gate.token("ada").mint().await;
    let (behaviour, held) = Behaviour::held(Reply::new(500, ""));
    upstream.once("/api/v1/tasks", behaviour);
    let first = tokio::spawn(gate.chat(Method::GET, "/api/v1/tasks", &token).send());
    tokio::time::timeout(PATIENCE, upstream.wait_heads(1)).await.expect("forwarded");
    assert_readable(&list(&gate, &token).await, 503);
    held.release();
    assert_readable(&first.await.expect("joined").expect("an answer"), 500);
}

#[tokio::test]
async fn a_page_reads_that_the_chat_service_is_too_slow() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("first_byte_timeout = \"100ms\"").start().await;
    let token = gate.token("ada").mint().await;
    let (behaviour, _held) = Behaviour::held(Reply::new(200, ""));
    upstream.always(behaviour);
    assert_readable(&list(&gate, &token).await, 504);
}

#[tokio::test]
async fn the_upstreams_own_cors_fields_are_replaced() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("[apps.inject.headers]\nX-User = \"{{claims.sub}}\"").start().await;
    let token = gate.token("ada").mint().await;
    let reply = Reply::json(500, &json!({}))
        .header("access-control-allow-origin", "*")
        .header("access-control-allow-credentials", "true")
        .header("access-control-allow-headers", "*")
        .header("access-control-allow-methods", "DELETE")
        .header("access-control-expose-headers", "X-Internal")
        .header("access-control-max-age", "1")
        .header("access-control-allow-private-network", "true");
    upstream.always(Behaviour::answer(reply));
    let answer = list(&gate, &token).await;
    assert_readable(&answer, 500);
    let ours = ["access-control-allow-origin", "access-control-expose-headers"];
    let found: Vec<_> = answer.headers().keys().filter(|name| name.as_str().starts_with("access-control-")).collect();
    assert!(found.iter().all(|name| ours.contains(&name.as_str())), "{found:?}");
}

#[tokio::test]
async fn the_upstreams_vary_stays_beside_ours() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    for (sent, expected) in [
        ("Accept-Encoding", vec!["Accept-Encoding", "Origin"]),
        ("accept, ORIGIN", vec!["accept, ORIGIN"]),
        ("*", vec!["*"]),
    ] {
        upstream.once("/api/v1/tasks", Behaviour::answer(Reply::new(500, "").header("vary", sent)));
        let answer = list(&gate, &token).await;
        let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
        assert_eq!(vary, expected);
    }
}

#[tokio::test]
async fn a_request_without_origin_gets_vary_and_nothing_to_allow() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("allow_missing_origin = true").start().await;
    let token = gate.token("ada").mint().await;
    let request = gate.public(Method::GET, "/api/v1/tasks").bearer_auth(&token);
    assert_unreadable(&request.send().await.expect("an answer"), 200);
}

#[tokio::test]
async fn a_page_of_an_unlisted_origin_reads_nothing() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let ask = |method, path: &str| gate.public(method, path).header("origin", BLOG);
    assert_unreadable(&ask(Method::GET, "/api/v1/tasks").send().await.expect("an answer"), 401);
    let with_token = ask(Method::GET, "/api/v1/tasks").bearer_auth(&token);
    assert_unreadable(&with_token.send().await.expect("an answer"), 403);
    assert_unreadable(&ask(Method::DELETE, "/api/v1/tasks").send().await.expect("an answer"), 405);
    assert_unreadable(&ask(Method::GET, "/elsewhere").send().await.expect("an answer"), 404);
    assert_eq!(upstream.count(), 0);
}

/// A second app, for pages of [`BLOG`].
const BLOG_APP: &str = r#"
[[apps]]
id = "wapp_blog"
dialect = "sigmic"
upstream = "chat"
origins = ["https://blog.example.com"]
token.key = { value = "another-key-of-the-tests-0123456789abcdef" }
"#;

#[tokio::test]
async fn until_the_app_is_known_any_apps_page_reads_the_refusal() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).toml(BLOG_APP).start().await;
    for origin in [SHOP, BLOG] {
        let request = gate.public(Method::GET, "/api/v1/tasks").header("origin", origin).bearer_auth("eyJ.e30.x");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    }
}

#[tokio::test]
async fn once_the_app_is_known_only_its_own_pages_read() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).toml(BLOG_APP).start().await;
    let good = gate.token("ada").mint().await;
    let expired = token_with(&json!({ "exp": now() - 60 }));
    for (token, status) in [(good, 403), (expired, 401)] {
        let request = gate.public(Method::GET, "/api/v1/tasks").header("origin", BLOG).bearer_auth(token);
        assert_unreadable(&request.send().await.expect("an answer"), status);
    }
    assert_eq!(upstream.count(), 0);
}
