//! The private listener takes programs that know it, and no web page.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{APP, Gate, SECRET, json_of};
use crate::support::raw::Raw;
use crate::support::upstream::Upstream;

const PATH: &str = "/api/v1/auth/token";

/// An exchange with these header fields; its status and stable code, if it has one outside any dialect.
async fn exchange_with(gate: &Gate, fields: &[(&str, &str)]) -> (u16, Option<String>) {
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" });
    let mut request = gate.private(Method::POST, PATH).json(&body);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let problem = answer.headers()["content-type"] == "application/problem+json";
    let code = json_of(answer).await["code"].as_str().map(str::to_owned);
    assert_eq!(problem, code.is_some());
    (status, code)
}

#[tokio::test]
async fn a_request_from_a_web_page_is_refused() {
    let gate = Gate::start(&Upstream::start().await).await;
    for fields in [
        ("origin", "https://evil.example"),
        ("origin", "http://localhost"),
        ("origin", "null"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        let answer = exchange_with(&gate, &[fields]).await;
        assert_eq!(answer, (403, Some("FORBIDDEN".to_owned())), "{fields:?}");
    }
}

#[tokio::test]
async fn a_preflight_is_refused_and_allows_nothing() {
    let gate = Gate::start(&Upstream::start().await).await;
    let request = gate.private(Method::OPTIONS, PATH).header("origin", "https://evil.example");
    let answer = request.header("access-control-request-method", "POST").send().await.expect("an answer");
    assert_eq!(answer.status(), 403);
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control-")));
}

#[tokio::test]
async fn addresses_and_localhost_are_known_hosts() {
    let gate = Gate::start(&Upstream::start().await).await;
    for host in ["127.0.0.1", "127.0.0.1:8081", "10.1.2.3:80", "[::1]:8081", "localhost", "LocalHost:1"] {
        assert_eq!(exchange_with(&gate, &[("host", host)]).await.0, 200, "{host}");
    }
}

#[tokio::test]
async fn other_hosts_are_misdirected() {
    let gate = Gate::start(&Upstream::start().await).await;
    for host in ["evil.example", "localhost.evil.example", "gate.internal", "127.0.0.1.evil.example", "localhost."] {
        let answer = exchange_with(&gate, &[("host", host)]).await;
        assert_eq!(answer, (421, Some("MISDIRECTED_REQUEST".to_owned())), "{host}");
    }
}

#[tokio::test]
async fn configured_hosts_are_known() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.hosts=[\"gate.internal\"]").start().await;
    for host in ["gate.internal", "gate.internal:8081", "GATE.internal", "localhost"] {
        assert_eq!(exchange_with(&gate, &[("host", host)]).await.0, 200, "{host}");
    }
    assert_eq!(exchange_with(&gate, &[("host", "a.gate.internal")]).await.0, 421);
}

#[tokio::test]
async fn an_unknown_host_is_refused_on_unknown_paths_as_well() {
    let gate = Gate::start(&Upstream::start().await).await;
    let answer = gate.private(Method::GET, "/nothing").header("host", "evil.example").send().await.expect("an answer");
    assert_eq!(answer.status(), 421);
}

#[tokio::test]
async fn the_chat_routes_are_not_served() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("user-1").mint().await;
    for (method, path) in [
        (Method::GET, "/api/v1/tasks"),
        (Method::POST, "/api/v1/tasks"),
        (Method::GET, "/api/v1/tasks/t1"),
        (Method::GET, "/api/v1/tasks/t1/stream"),
        (Method::POST, "/api/v1/tasks/t1/messages"),
        (Method::GET, "/"),
        (Method::GET, "/metrics"),
        (Method::POST, "/api/v1/auth/token/"),
    ] {
        let answer = gate.private(method, path).bearer_auth(&token).send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), json_of(answer).await["code"].take()),
            (404, json!("NOT_FOUND")),
            "{path}"
        );
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn each_request_has_an_id_and_one_line_in_the_log() {
    let gate = Gate::start(&Upstream::start().await).await;
    let answer = gate.private(Method::GET, "/api/v1/auth/token?canary=1").send().await.expect("an answer");
    let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    let line: Value = serde_json::from_str(&gate.wait_for_line(&id).await).expect("JSON");
    assert_eq!(line["listener"], "private");
    assert_eq!((&line["method"], &line["route"]), (&json!("GET"), &json!("/api/v1/auth/token")));
    assert_eq!((&line["status"], &line["code"]), (&json!(405), &json!("METHOD_NOT_ALLOWED")));
    assert_eq!(gate.output().matches(&id).count(), 1);
    assert!(!gate.output().contains("canary"));
}

#[tokio::test]
async fn refusals_are_counted() {
    let gate = Gate::start(&Upstream::start().await).await;
    let request = gate.private(Method::POST, "/api/v1/auth/token").header("origin", "https://evil.example");
    assert_eq!(request.send().await.expect("an answer").status(), 403);
    let metrics = gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text");
    assert_eq!(metrics.lines().filter(|line| line.ends_with("{code=\"FORBIDDEN\"} 1")).count(), 1);
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_refused_as_a_problem_without_cors() {
    let gate = Gate::start(&Upstream::start().await).await;
    let host = "Host: localhost\r\nOrigin: https://shop.example.com\r\n";
    for (head, status, code) in [
        (format!("POST {PATH} HTTP/1.1\r\n{host}bad name: x\r\n\r\n"), 400, "INVALID_REQUEST"),
        (format!("POST {PATH} HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(100_000)), 431, "HEAD_TOO_LARGE"),
        (
            format!("POST {PATH} HTTP/1.1\r\n{host}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400,
            "INVALID_REQUEST",
        ),
    ] {
        let mut raw = Raw::connect(gate.private).await;
        raw.send(&head).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, status, "{}", answer.head);
        assert!(answer.head.contains("application/problem+json") && answer.body.contains(code), "{answer:?}");
        assert!(!answer.head.to_ascii_lowercase().contains("access-control-"), "{}", answer.head);
    }
}

#[tokio::test]
async fn exchanges_follow_one_another_on_one_connection() {
    let gate = Gate::start(&Upstream::start().await).await;
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" }).to_string();
    let length = body.len();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut raw = Raw::connect(gate.private).await;
    // All at once: a client may send a request before it has the answer to the last.
    raw.send(request.repeat(3)).await;
    for _ in 0..3 {
        let answer = raw.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.to_ascii_lowercase().contains("\r\ndate: "), "{}", answer.head);
        assert!(answer.body.starts_with("{\"success\":true"), "{}", answer.body);
    }
}
