//! What of a request and its answer stops at the gate: credentials, fields of the gate's own, fields
//! of one hop; and what the gate says of the client instead.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

use crate::support::gate::{Gate, SHOP, assert_refused};
use crate::support::raw::{Raw, page};
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};

const TASKS: &str = "/api/v1/tasks";

fn list(gate: &Gate, token: &str) -> RequestBuilder {
    gate.chat(Method::GET, TASKS, token)
}

async fn seen(upstream: &Upstream, request: RequestBuilder) -> Recorded {
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    upstream.take().pop().expect("a request")
}

/// A list's answer with more fields.
fn answering(fields: &[(&'static str, &str)]) -> Behaviour {
    let page =
        json!({ "success": true, "data": [], "pagination": { "total": 0, "limit": 1, "offset": 0, "hasMore": false } });
    Behaviour::answer(fields.iter().fold(Reply::json(200, &page), |reply, (name, value)| reply.header(name, value)))
}

async fn answered(upstream: &Upstream, gate: &Gate, fields: &[(&'static str, &str)]) -> Response {
    let token = gate.token("ada").mint().await;
    let path = format!("{TASKS}/{}", gate.create_task(&token).await);
    upstream.once(&path, answering(fields));
    gate.chat(Method::GET, &path, &token).send().await.expect("an answer")
}

#[tokio::test]
async fn a_browsers_credentials_and_claims_do_not_reach_the_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let stripped = [
        ("cookie", "canary"),
        ("x-api-key", "canary"),
        ("proxy-authorization", "canary"),
        ("forwarded", "for=canary"),
        ("x-real-ip", "canary"),
        ("x-forwarded-user", "canary"),
        ("x-forwarded-port", "canary"),
        ("x-sidegate-app", "canary"),
        ("x_end_user", "canary"),
    ];
    let request = stripped.iter().fold(list(&gate, &token), |request, (name, value)| request.header(*name, *value));
    let seen = seen(&upstream, request).await;
    for name in stripped.map(|(name, _)| name).into_iter().chain(["authorization"]) {
        assert_eq!(seen.headers.get(name), None, "{name}");
    }
    let raw = upstream.raw(seen.connection);
    let raw = String::from_utf8_lossy(&raw);
    assert!(!raw.contains("canary") && !raw.contains("eyJ"), "{raw}");
}

/// Frameworks that take a method or path from these would undo the gate's choice of routes.
#[tokio::test]
async fn fields_that_command_another_method_path_or_address_do_not_reach_the_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let commands = [
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-original-host",
        "x-rewrite-url",
        "x-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
    ];
    let request = commands.iter().fold(list(&gate, &token), |request, name| request.header(*name, "/canary"));
    let seen = seen(&upstream, request).await;
    let passed: Vec<_> = commands.iter().filter(|name| seen.headers.contains_key(**name)).collect();
    assert_eq!(passed, Vec::<&&str>::new());
}

#[tokio::test]
async fn other_fields_pass_as_they_are() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let fields = [
        ("traceparent", trace),
        ("tracestate", "a=b"),
        ("accept-language", "lv"),
        ("user-agent", "page"),
        ("x-page", "1"),
        ("last-event-id", "7"),
    ];
    let request = fields.iter().fold(list(&gate, &token), |request, (name, value)| request.header(*name, *value));
    let seen = seen(&upstream, request).await;
    for (name, value) in fields {
        assert_eq!(seen.header(name), value);
    }
    assert_eq!(seen.header("origin"), SHOP);
}

#[tokio::test]
async fn the_upstream_is_told_of_the_client_by_the_gate() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let request = list(&gate, &token)
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.example")
        .header("x-request-id", "evil");
    let seen = seen(&upstream, request).await;
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-forwarded-host", gate.public.to_string()),
        ("via", "1.1 sidegate".to_owned()),
        ("host", upstream.address().to_string()),
    ] {
        assert_eq!(seen.headers.get_all(name).iter().collect::<Vec<_>>(), [&value], "{name}");
    }
}

#[tokio::test]
async fn a_trusted_proxys_word_of_the_client_is_passed_on() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.trusted_proxies=[\"127.0.0.1/32\"]").start().await;
    let token = gate.token("ada").mint().await;
    let request = list(&gate, &token)
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-forwarded-for", "198.51.100.2")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "chat.example.com")
        .header("forwarded", "for=203.0.113.9;proto=https");
    let seen = seen(&upstream, request).await;
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9, 198.51.100.2, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "chat.example.com"),
        ("forwarded", "for=203.0.113.9;proto=https"),
    ] {
        assert_eq!(seen.headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
}

#[tokio::test]
async fn one_request_id_goes_both_ways_and_is_nobody_elses() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = answered(&upstream, &gate, &[("x-request-id", "theirs")]).await;
        let told: Vec<_> = answer.headers().get_all("x-request-id").iter().cloned().collect();
        let seen = upstream.take().pop().expect("a request");
        assert_eq!(told, [seen.header("x-request-id")]);
        ids.push(told);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn fields_of_one_hop_do_not_reach_the_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let fields = "Connection: keep-alive, X-Hop\r\nConnection: X-Other\r\nX-Hop: 1\r\nX-Other: 1\r\nKeep-Alive: 5\r\n\
        Proxy-Connection: close\r\nTE: trailers\r\nTrailer: X-T\r\nUpgrade: h2c\r\nX-End: 1\r\n";
    raw.send(format!("GET {TASKS} HTTP/1.1\r\n{}{fields}\r\n", page(&gate, &token))).await;
    assert_eq!(raw.answer().await.status, 200);
    let seen = &upstream.requests()[0];
    for name in ["connection", "x-hop", "x-other", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"] {
        assert_eq!(seen.headers.get(name), None, "{name}");
    }
    assert_eq!(seen.header("x-end"), "1");
}

/// A client cannot name a field of ours in `Connection` to have it taken out again.
#[tokio::test]
async fn no_field_of_the_gates_can_be_named_away() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream)
        .upstream("headers = { X-Service = \"s\" }")
        .app("[apps.inject.headers]\nX-User = \"{{claims.sub}}\"")
        .start()
        .await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let named = "Connection: X-User, X-Service, X-Forwarded-For, Host, Via, Authorization, Origin\r\n";
    raw.send(format!("GET {TASKS} HTTP/1.1\r\n{}{named}\r\n", page(&gate, &token))).await;
    assert_eq!(raw.answer().await.status, 200);
    let seen = &upstream.requests()[0];
    for (name, value) in [("x-user", "ada"), ("x-service", "s"), ("x-forwarded-for", "127.0.0.1")] {
        assert_eq!(seen.header(name), value);
    }
    assert_eq!(seen.header("host"), upstream.address().to_string());
}

/// Nor one by which the gate has let it in: the upstream would take it for somebody else's.
#[tokio::test]
async fn no_field_that_passes_by_the_apps_will_can_be_named_away() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("pass = [\"token\", \"cookies\"]").start().await;
    let token = gate.token("ada").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let named = "Cookie: a=b\r\nConnection: Authorization, cookie\r\nConnection: ORIGIN\r\n";
    raw.send(format!("GET {TASKS} HTTP/1.1\r\n{}{named}\r\n", page(&gate, &token))).await;
    assert_eq!(raw.answer().await.status, 200);
    let (bearer, seen) = (format!("Bearer {token}"), &upstream.requests()[0]);
    for (name, value) in [("authorization", &*bearer), ("cookie", "a=b"), ("origin", SHOP)] {
        assert_eq!(seen.header(name), value);
    }
}

#[tokio::test]
async fn fields_of_one_hop_do_not_reach_the_browser() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let fields = [
        ("connection", "X-Hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2"),
        ("proxy-authenticate", "Basic"),
        ("alt-svc", "h3=\":443\""),
        ("x-accel-redirect", "/internal"),
    ];
    let answer = answered(&upstream, &gate, &[&fields[..], &[("x-end", "1")]].concat()).await;
    assert_eq!(answer.status(), 200);
    for (name, _) in fields {
        assert_eq!(answer.headers().get(name), None, "{name}");
    }
    assert_eq!(answer.headers()["x-end"], "1");
}

#[tokio::test]
async fn an_upstreams_cookies_do_not_reach_the_browser() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let answer = answered(&upstream, &gate, &[("set-cookie", "a=1"), ("set-cookie", "b=2")]).await;
    assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (200, None));
}

#[tokio::test]
async fn an_upstreams_cookies_pass_if_the_app_says_so() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("pass = [\"set_cookie\"]").start().await;
    let answer = answered(&upstream, &gate, &[("set-cookie", "a=1"), ("set-cookie", "b=2")]).await;
    assert_eq!(answer.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    let token = gate.token("ada").mint().await;
    assert_eq!(seen(&upstream, list(&gate, &token).header("cookie", "c=3")).await.headers.get("cookie"), None);
}

#[tokio::test]
async fn a_browsers_cookies_pass_if_the_app_says_so() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("pass = [\"cookies\"]").start().await;
    let token = gate.token("ada").mint().await;
    let seen = seen(&upstream, list(&gate, &token).header("cookie", "a=1; b=2")).await;
    assert_eq!((seen.header("cookie"), seen.headers.get("authorization")), ("a=1; b=2", None));
    let answer = answered(&upstream, &gate, &[("set-cookie", "a=1")]).await;
    assert_eq!(answer.headers().get("set-cookie"), None);
}

#[tokio::test]
async fn the_widget_token_passes_if_the_app_says_so() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("pass = [\"token\"]").start().await;
    let token = gate.token("ada").mint().await;
    let seen = seen(&upstream, list(&gate, &token).header("cookie", "a=1")).await;
    assert_eq!(seen.header("authorization"), format!("Bearer {token}"));
    assert_eq!(seen.headers.get("cookie"), None);
}

/// The gate's own credentials are wrong then, and no fresh token of the page's would help.
#[tokio::test]
async fn an_upstreams_401_is_the_gates_fault_not_the_pages() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    upstream.always(Behaviour::answer(Reply::new(401, "canary").header("www-authenticate", "Bearer")));
    let answer = list(&gate, &token).send().await.expect("an answer");
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=proxy_configuration_error");
    assert_eq!(answer.headers().get("www-authenticate"), None);
    assert_refused(answer, 502, "UPSTREAM_UNAVAILABLE").await;
}

#[tokio::test]
async fn an_upstreams_401_passes_if_the_token_does() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("pass = [\"token\"]").start().await;
    let token = gate.token("ada").mint().await;
    upstream.always(Behaviour::answer(Reply::new(401, "theirs")));
    let answer = list(&gate, &token).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.text().await.expect("text"), "theirs");
}
