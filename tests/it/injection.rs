//! What the gate places into forwarded requests: headers and query parameters. Bodies are in
//! `injection_body`, fields that are stripped in `stripping`.

use reqwest::{Method, RequestBuilder};

use crate::support::gate::{Gate, assert_refused};
use crate::support::upstream::{Recorded, Upstream};

fn list(gate: &Gate, token: &str) -> RequestBuilder {
    gate.chat(Method::GET, "/api/v1/tasks", token)
}

/// The one request that the upstream saw.
async fn seen(upstream: &Upstream, request: RequestBuilder) -> Recorded {
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    upstream.take().pop().expect("a request")
}

async fn injecting(upstream: &Upstream, headers: &str) -> Gate {
    let gate = Gate::builder(upstream).upstream("service = { KEY = { value = \"sk-service\" } }");
    gate.app(&format!("[apps.inject.headers]\n{headers}")).start().await
}

#[tokio::test]
async fn headers_are_filled_from_every_namespace() {
    let upstream = Upstream::start().await;
    let gate = injecting(
        &upstream,
        r#"
X-Env = "{{env.TENANT}}"
X-Secret = "Bearer {{secrets.TOKEN}}"
X-Mcp = "{{mcp.TENANT}} {{mcp.TOKEN}}"
X-User = "{{claims.sub}}"
X-App = "{{app.id}}"
X-Service = "{{service.KEY}}"
X-Fixed = "yes"
"#,
    )
    .await;
    let token = gate.token("ada").env("TENANT", "acme").secret("TOKEN", "sk-1").mint().await;
    let seen = seen(&upstream, list(&gate, &token)).await;
    for (name, value) in [
        ("x-env", "acme"),
        ("x-secret", "Bearer sk-1"),
        ("x-mcp", "acme sk-1"),
        ("x-user", "ada"),
        ("x-app", "wapp_test"),
        ("x-service", "sk-service"),
        ("x-fixed", "yes"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_secret_wins_over_an_env_of_its_name() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Mcp = \"{{mcp.A}}\"\nX-Env = \"{{env.A}}\"").await;
    let token = gate.token("ada").env("A", "plain").secret("A", "sealed").mint().await;
    let seen = seen(&upstream, list(&gate, &token)).await;
    assert_eq!((seen.header("x-mcp"), seen.header("x-env")), ("sealed", "plain"));
}

#[tokio::test]
async fn each_token_has_its_own_values() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
    let first = gate.token("ada").env("TENANT", "one").mint().await;
    let second = gate.token("ada").env("TENANT", "two").mint().await;
    assert_eq!(seen(&upstream, list(&gate, &first)).await.header("x-tenant"), "one");
    assert_eq!(seen(&upstream, list(&gate, &second)).await.header("x-tenant"), "two");
}

#[tokio::test]
async fn a_value_is_never_read_as_a_template() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
    let token = gate.token("ada").env("TENANT", "{{service.KEY}}{{secrets.S}}").secret("S", "s").mint().await;
    assert_eq!(seen(&upstream, list(&gate, &token)).await.header("x-tenant"), "{{service.KEY}}{{secrets.S}}");
}

#[tokio::test]
async fn a_clients_copies_of_an_injected_header_never_pass() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let request = list(&gate, &token).header("x-tenant", "evil").header("X-TENANT", "evil").header("X_Tenant", "evil");
    let seen = seen(&upstream, request).await;
    let values: Vec<_> = seen.headers.get_all("x-tenant").iter().collect();
    assert_eq!(values, ["acme"]);
    assert!(!String::from_utf8_lossy(&upstream.raw(seen.connection)).contains("evil"));
}

#[tokio::test]
async fn an_optional_header_without_a_value_is_left_out_and_the_clients_copy_with_it() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Tenant = \"t-{{env.TENANT?}}\"").await;
    for token in [gate.token("ada").mint().await, gate.token("ada").env("OTHER", "x").mint().await] {
        let seen = seen(&upstream, list(&gate, &token).header("x-tenant", "evil")).await;
        assert_eq!(seen.headers.get("x-tenant"), None);
    }
}

#[tokio::test]
async fn a_missing_value_refuses_the_request_and_names_only_its_key() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
    for token in [gate.token("ada").mint().await, gate.token("ada").secret("TENANT", "canary").mint().await] {
        let answer = list(&gate, &token).send().await.expect("an answer");
        let message = assert_refused(answer, 403, "CONTEXT_UNRESOLVED").await;
        assert!(message.contains("env.TENANT") && !message.contains("canary"), "{message}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_value_that_would_end_a_header_refuses_the_request() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
    for value in ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\u{7f}b", "a\tb", "a\u{85}b"] {
        let token = gate.token("ada").env("TENANT", value).mint().await;
        let answer = list(&gate, &token).send().await.expect("an answer");
        let message = assert_refused(answer, 403, "CONTEXT_UNRESOLVED").await;
        assert!(!message.contains("X-Evil"), "{message}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_value_in_utf_8_passes_byte_for_byte() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
    let token = gate.token("ada").env("TENANT", "Zoë, \"quoted\"; a=b").mint().await;
    let seen = seen(&upstream, list(&gate, &token)).await;
    assert_eq!(seen.headers["x-tenant"].as_bytes(), "Zoë, \"quoted\"; a=b".as_bytes());
}

#[tokio::test]
async fn the_upstreams_own_header_carries_the_service_secret_whatever_the_client_sends() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream)
        .upstream("service = { KEY = { value = \"sk-service\" } }")
        .upstream("headers = { Authorization = \"Bearer {{service.KEY}}\", X-Api-Key = \"{{service.KEY}}\" }")
        .start()
        .await;
    let token = gate.token("ada").mint().await;
    let seen = seen(&upstream, list(&gate, &token).header("x-api-key", "evil")).await;
    for (name, value) in [("authorization", "Bearer sk-service"), ("x-api-key", "sk-service")] {
        assert_eq!(seen.headers.get_all(name).iter().collect::<Vec<_>>(), [value]);
    }
}

#[tokio::test]
async fn a_context_that_is_gone_makes_the_token_invalid() {
    let upstream = Upstream::start().await;
    let token = {
        let gate = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
        let token = gate.token("ada").env("TENANT", "acme").mint().await;
        seen(&upstream, list(&gate, &token)).await;
        token
    };
    let restarted = injecting(&upstream, "X-Tenant = \"{{env.TENANT}}\"").await;
    let answer = list(&restarted, &token).send().await.expect("an answer");
    assert_refused(answer, 401, "INVALID_TOKEN").await;
    assert_eq!(upstream.count(), 1);
}

async fn with_query(upstream: &Upstream) -> Gate {
    let query = "[apps.inject.query]\ntenant = \"{{env.TENANT?}}\"\n\"a b\" = \"{{claims.sub}}\"";
    Gate::builder(upstream).app(query).start().await
}

#[tokio::test]
async fn query_parameters_are_added_percent_encoded() {
    let upstream = Upstream::start().await;
    let gate = with_query(&upstream).await;
    let token = gate.token("a/b&c=d#é").env("TENANT", "x y+z%").mint().await;
    let request = gate.chat(Method::GET, "/api/v1/tasks?limit=5&q=%2F", &token);
    let seen = seen(&upstream, request).await;
    assert_eq!(seen.uri.query(), Some("limit=5&q=%2F&a%20b=a%2Fb%26c%3Dd%23%C3%A9&tenant=x%20y%2Bz%25"),);
}

#[tokio::test]
async fn a_clients_copies_of_an_injected_parameter_never_pass() {
    let upstream = Upstream::start().await;
    let gate = with_query(&upstream).await;
    let token = gate.token("ada").mint().await;
    let evil = "tenant=evil&ten%61nt=evil&tenant&a+b=evil&a%20b=evil&limit=5";
    let request = gate.chat(Method::GET, &format!("/api/v1/tasks?{evil}"), &token);
    let seen = seen(&upstream, request).await;
    assert_eq!(seen.uri.query(), Some("limit=5&a%20b=ada"));
}
