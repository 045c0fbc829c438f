//! `/livez`, `/readyz`, `/metrics`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{APP, Gate, PATIENCE, SECRET, SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};

async fn metrics(gate: &Gate) -> String {
    gate.ops("/metrics").send().await.expect("an answer").text().await.expect("text")
}

/// Waits until this line is among the metrics: a request is counted when its answer has ended,
/// which the client may see a moment earlier.
async fn wait_for_metric(gate: &Gate, line: &str) {
    let found = async {
        while !metrics(gate).await.lines().any(|found| found == line) {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(PATIENCE, found).await.is_err() {
        panic!("no {line} in:\n{}", metrics(gate).await);
    }
}

#[tokio::test]
async fn livez_says_ok() {
    let gate = Gate::start(&Upstream::start().await).await;
    let answer = gate.ops("/livez").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.text().await.expect("text"), "ok\n");
}

#[tokio::test]
async fn readyz_tells_each_check() {
    let gate = Gate::start(&Upstream::start().await).await;
    let answer = gate.ops("/readyz").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let expected = json!({ "ready": true, "checks": { "accepting": "ok", "store": "ok", "apps": 1, "config": "ok" } });
    assert_eq!(json_of(answer).await, expected);
}

#[tokio::test]
async fn a_full_store_shows_in_readyz_and_keeps_the_gate_ready() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("store.state=memory").set("store.memory=1").start().await;
    let answer = gate.ops("/readyz").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(json_of(answer).await["checks"]["store"], "full");
}

#[tokio::test]
async fn metrics_are_prometheus_text_with_help_and_type() {
    let gate = Gate::start(&Upstream::start().await).await;
    let answer = gate.ops("/metrics").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.expect("text");
    for name in [
        "sidegate_requests_total",
        "sidegate_head_seconds",
        "sidegate_denials_total",
        "sidegate_upstream_failures_total",
        "sidegate_connections",
        "sidegate_forwards",
        "sidegate_exchanges_total",
        "sidegate_upstream_repeats_total",
        "sidegate_sent_bytes_total",
        "sidegate_client_aborts_total",
    ] {
        for kind in ["HELP", "TYPE"] {
            let head = format!("# {kind} {name} ");
            assert_eq!(text.lines().filter(|line| line.starts_with(&head)).count(), 1, "{head}");
        }
    }
}

#[tokio::test]
async fn counts_of_all_workers_add_up() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.workers=2").start().await;
    let token = gate.token("user-1").mint().await;
    // A connection each, kept open, so that both workers get some.
    let clients: Vec<_> = (0..6).map(|_| reqwest::Client::new()).collect();
    for client in &clients {
        let request = client.get(format!("http://{}/api/v1/tasks", gate.public)).bearer_auth(&token);
        assert_eq!(request.header("origin", SHOP).send().await.expect("an answer").status(), 200);
    }
    wait_for_metric(&gate, "sidegate_connections{listener=\"public\"} 6").await;
    gate.token("user-2").mint().await;
    let route = "method=\"GET\",route=\"/api/v1/tasks\"";
    wait_for_metric(&gate, &format!("sidegate_requests_total{{{route},status=\"2xx\"}} 6")).await;
    wait_for_metric(&gate, &format!("sidegate_head_seconds_count{{{route}}} 6")).await;
    wait_for_metric(&gate, "sidegate_exchanges_total 2").await;
    wait_for_metric(&gate, "sidegate_forwards 0").await;
}

#[tokio::test]
async fn refusals_are_counted_by_code() {
    let gate = Gate::start(&Upstream::start().await).await;
    let token = gate.token("user-1").mint().await;
    let wrong = json!({ "appId": APP, "appSecret": "wsec_wrong", "endUserId": "u" });
    for _ in 0..2 {
        assert_eq!(gate.exchange(&wrong).await.status(), 401);
    }
    assert_eq!(gate.exchange(&json!({})).await.status(), 400);
    let elsewhere =
        gate.public(Method::GET, "/api/v1/tasks").bearer_auth(&token).header("origin", "https://evil.example");
    assert_eq!(elsewhere.send().await.expect("an answer").status(), 403);
    wait_for_metric(&gate, "sidegate_denials_total{code=\"INVALID_CREDENTIALS\"} 2").await;
    wait_for_metric(&gate, "sidegate_denials_total{code=\"MISSING_CREDENTIALS\"} 1").await;
    wait_for_metric(&gate, "sidegate_denials_total{code=\"ORIGIN_NOT_ALLOWED\"} 1").await;
    let refused = "sidegate_requests_total{method=\"GET\",route=\"/api/v1/tasks\",status=\"4xx\"} 1";
    wait_for_metric(&gate, refused).await;
}

#[tokio::test]
async fn an_upstreams_failures_are_counted_by_kind() {
    let gate = Gate::builder_for(&format!("http://{}", Upstream::nowhere().await)).start().await;
    let token = gate.token("user-1").mint().await;
    let answer = gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer");
    assert_eq!(answer.status(), 502);
    wait_for_metric(&gate, "sidegate_upstream_failures_total{error=\"connection_refused\"} 1").await;
    wait_for_metric(&gate, "sidegate_denials_total{code=\"UPSTREAM_UNAVAILABLE\"} 1").await;
}

#[tokio::test]
async fn sent_bytes_are_the_bytes_of_the_bodies() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let before = sent_bytes(&gate).await;
    let path = format!("/api/v1/tasks/{id}");
    upstream.on(&path, Behaviour::answer(Reply::new(200, "0123456789")));
    for _ in 0..3 {
        gate.chat(Method::GET, &path, &token).send().await.expect("an answer").bytes().await.expect("a body");
    }
    wait_for_metric(&gate, &format!("sidegate_sent_bytes_total {}", before + 30)).await;
}

async fn sent_bytes(gate: &Gate) -> u64 {
    let created = "sidegate_requests_total{method=\"POST\",route=\"/api/v1/tasks\",status=\"2xx\"} 1";
    wait_for_metric(gate, created).await;
    let text = metrics(gate).await;
    let line = text.lines().find_map(|line| line.strip_prefix("sidegate_sent_bytes_total ")).expect("the counter");
    line.parse().expect("a number")
}

#[tokio::test]
async fn open_connections_and_streams_are_gauges_that_go_down_again() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.workers=2").start().await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let path = format!("/api/v1/tasks/{id}/stream");
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let client = reqwest::Client::new();
    let request = client.get(format!("http://{}{path}", gate.public)).bearer_auth(&token).header("origin", SHOP);
    let answer = request.send().await.expect("an answer");
    wait_for_metric(&gate, "sidegate_forwards 1").await;
    wait_for_metric(&gate, "sidegate_connections{listener=\"public\"} 2").await;
    stream.end();
    answer.bytes().await.expect("the end");
    drop(client);
    wait_for_metric(&gate, "sidegate_forwards 0").await;
    wait_for_metric(&gate, "sidegate_connections{listener=\"public\"} 1").await;
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let path = format!("/api/v1/tasks/{id}/stream");
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    drop(answer);
    stream.closed().await;
    wait_for_metric(&gate, "sidegate_client_aborts_total 1").await;
}

async fn problem(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    (answer.status().as_u16(), json_of(answer).await)
}

#[tokio::test]
async fn an_unknown_path_is_a_404_problem() {
    let gate = Gate::start(&Upstream::start().await).await;
    for path in ["/", "/metrics/", "/api/v1/tasks", "/api/v1/auth/token"] {
        let (status, body) = problem(gate.ops(path)).await;
        let expected = json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not found", "code": "NOT_FOUND",
        });
        assert_eq!((status, body), (404, expected), "{path}");
    }
}

#[tokio::test]
async fn another_method_is_a_405_problem_with_allow() {
    let gate = Gate::start(&Upstream::start().await).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = gate.client.post(format!("http://{}{path}", gate.ops)).send().await.expect("an answer");
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], "GET, HEAD");
        assert_eq!(json_of(answer).await["code"], "METHOD_NOT_ALLOWED");
        let head = gate.client.head(format!("http://{}{path}", gate.ops)).send().await.expect("an answer");
        assert_eq!(head.status(), 200);
    }
}

#[tokio::test]
async fn web_pages_are_refused() {
    let gate = Gate::start(&Upstream::start().await).await;
    for (name, value) in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "same-origin")] {
        let (status, body) = problem(gate.ops("/metrics").header(name, value)).await;
        assert_eq!((status, &body["code"]), (403, &json!("FORBIDDEN")));
    }
}

#[tokio::test]
async fn unknown_hosts_are_misdirected_and_configured_ones_pass() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.hosts=[\"gate.internal\"]").start().await;
    let (status, body) = problem(gate.ops("/metrics").header("host", "evil.example")).await;
    assert_eq!((status, &body["code"]), (421, &json!("MISDIRECTED_REQUEST")));
    let known = gate.ops("/metrics").header("host", "gate.internal:8082").send().await.expect("an answer");
    assert_eq!(known.status(), 200);
}

#[tokio::test]
async fn the_exchange_secret_is_no_way_in_here() {
    let gate = Gate::start(&Upstream::start().await).await;
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" });
    let request = gate.client.post(format!("http://{}/api/v1/auth/token", gate.ops)).json(&body);
    assert_eq!(problem(request).await.0, 404);
}
