//! What the gate places into JSON bodies, and which bodies it refuses to rewrite.

use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::json;

use crate::support::cases::cases;
use crate::support::gate::{Gate, PATIENCE, assert_refused};
use crate::support::raw::{Raw, page};
use crate::support::upstream::{Recorded, Upstream};

const INJECT: &str = r#"
[apps.inject.body]
"/tenant" = "{{env.TENANT}}"
"/context/user/id" = "{{claims.sub}}"
"/optional" = "{{env.OPTIONAL?}}"
"#;

async fn injecting(upstream: &Upstream) -> Gate {
    Gate::builder(upstream).app(INJECT).start().await
}

fn post(gate: &Gate, token: &str, body: &str) -> RequestBuilder {
    gate.chat(Method::POST, "/api/v1/tasks", token).header("content-type", "application/json").body(body.to_owned())
}

async fn seen(upstream: &Upstream, request: RequestBuilder) -> Recorded {
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    upstream.take().pop().expect("a request")
}

#[tokio::test]
async fn fields_are_set_at_their_pointers_and_all_else_keeps_its_bytes() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let sent =
        r#"{ "message" : "caf\u00e9 \/", "n":1.50,"big":12345678901234567890123,"e":1E5, "a":[ 1,{"x":null } ]}"#;
    let seen = seen(&upstream, post(&gate, &token, sent)).await;
    let expected = concat!(
        r#"{"message":"caf\u00e9 \/","n":1.50,"big":12345678901234567890123,"e":1E5,"a":[ 1,{"x":null } ],"#,
        r#""context":{"user":{"id":"ada"}},"tenant":"acme"}"#
    );
    assert_eq!(String::from_utf8_lossy(&seen.body), expected);
    assert_eq!(seen.header("content-length"), expected.len().to_string());
    assert_eq!(seen.headers.get("transfer-encoding"), None);
}

#[tokio::test]
async fn a_clients_values_of_our_fields_are_replaced_or_removed() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let sent = r#"{"ten\u0061nt":"evil","optional":"evil","context":{"user":{"id":"evil","name":"x"},"k":1},"z":0}"#;
    let seen = seen(&upstream, post(&gate, &token, sent)).await;
    let expected = r#"{"tenant":"acme","context":{"user":{"id":"ada","name":"x"},"k":1},"z":0}"#;
    assert_eq!(String::from_utf8_lossy(&seen.body), expected);
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_pointer_is_replaced() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let seen = seen(&upstream, post(&gate, &token, r#"{"context":[{"user":"evil"}]}"#)).await;
    assert_eq!(seen.json(), json!({ "context": { "user": { "id": "ada" } }, "tenant": "acme" }));
}

#[tokio::test]
async fn a_value_cannot_leave_its_string() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let value = "\",\"admin\":true,\"\\\u{0}\u{1f}\r\n\u{2028}</script>";
    let token = gate.token("ada").env("TENANT", value).mint().await;
    let seen = seen(&upstream, post(&gate, &token, "{}")).await;
    assert_eq!(seen.json(), json!({ "tenant": value, "context": { "user": { "id": "ada" } } }));
}

#[tokio::test]
async fn templates_are_filled_deep_inside_a_value_and_percent_encoded_in_urls() {
    let upstream = Upstream::start().await;
    let inject = r#"
[apps.inject.body]
"/mcp_servers" = [{ name = "db", on = true, url = "https://mcp.example.com/{{env.TENANT}}?t={{mcp.TOKEN}}", headers = { Authorization = "Bearer {{mcp.TOKEN}}" } }]
"#;
    let gate = Gate::builder(&upstream).app(inject).start().await;
    let token = gate.token("ada").env("TENANT", "../a?b").secret("TOKEN", "s&x=1").mint().await;
    let seen = seen(&upstream, post(&gate, &token, r#"{"mcp_servers":[{"name":"evil"}]}"#)).await;
    let expected = json!([{
        "name": "db",
        "on": true,
        "url": "https://mcp.example.com/..%2Fa%3Fb?t=s%26x%3D1",
        "headers": { "Authorization": "Bearer s&x=1" },
    }]);
    assert_eq!(seen.json(), json!({ "mcp_servers": expected }));
}

#[tokio::test]
async fn a_value_that_would_lead_a_url_elsewhere_refuses_the_request() {
    let upstream = Upstream::start().await;
    let inject = r#"
[apps.inject]
allowed_hosts = ["mcp.example.com"]
[apps.inject.body]
"/url" = "https://{{env.HOST}}/x"
"#;
    let gate = Gate::builder(&upstream).app(inject).start().await;
    let good = gate.token("ada").env("HOST", "mcp.example.com").mint().await;
    assert_eq!(seen(&upstream, post(&gate, &good, "{}")).await.json()["url"], "https://mcp.example.com/x");
    for host in ["evil.example", "mcp.example.com.evil.example", "mcp.example.com@evil.example", ".."] {
        let token = gate.token("ada").env("HOST", host).mint().await;
        let answer = post(&gate, &token, "{}").send().await.expect("an answer");
        assert_refused(answer, 403, "CONTEXT_UNRESOLVED").await;
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn messages_are_rewritten_as_well() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    seen(&upstream, post(&gate, &token, "{}")).await;
    let request = gate.chat(Method::POST, "/api/v1/tasks/task_1/messages", &token).json(&json!({ "message": "x" }));
    assert_eq!(seen(&upstream, request).await.json()["tenant"], "acme");
}

#[tokio::test]
async fn a_missing_value_refuses_the_body_and_nothing_is_sent() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").mint().await;
    let answer = post(&gate, &token, "{}").send().await.expect("an answer");
    assert_refused(answer, 403, "CONTEXT_UNRESOLVED").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_chunked_body_is_framed_anew_by_its_length() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let head = page(&gate, &token);
    raw.send(format!(
        "POST /api/v1/tasks HTTP/1.1\r\n{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    raw.send("5;x=y\r\n{\"n\":\r\n5\r\n1.50}\r\n0\r\nX-Trailer: t\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    let seen = &upstream.requests()[0];
    let expected = r#"{"n":1.50,"context":{"user":{"id":"ada"}},"tenant":"acme"}"#;
    assert_eq!(String::from_utf8_lossy(&seen.body), expected);
    assert_eq!(seen.header("content-length"), expected.len().to_string());
    assert_eq!(seen.headers.get("transfer-encoding"), None);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let head = page(&gate, &token);
    raw.send(format!("POST /api/v1/tasks HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n")).await;
    assert_eq!(raw.answer().await.status, 100);
    raw.send("{\"n\":1}").await;
    assert_eq!(raw.answer().await.status, 200);
    let seen = &upstream.requests()[0];
    assert_eq!((seen.headers.get("expect"), &seen.json()["n"]), (None, &json!(1)));
}

#[tokio::test]
async fn a_refused_client_is_not_asked_for_its_body() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let mut raw = Raw::connect(gate.public).await;
    let head = page(&gate, "eyJ.e30.x");
    raw.send(format!("POST /api/v1/tasks HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n")).await;
    assert_eq!(raw.answer().await.status, 401);
    assert_eq!(upstream.count(), 0);
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    body: String,
    #[serde(default = "json_type")]
    content_type: String,
    content_encoding: Option<String>,
    status: u16,
    code: String,
}

fn json_type() -> String {
    "application/json".into()
}

#[tokio::test]
async fn a_body_that_cannot_be_rewritten_is_refused() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app(INJECT).set("limits.json_body=256").start().await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    for case in cases::<Refused>("sigmic/bodies_refused.json") {
        println!("{}", case.name);
        let request = gate.chat(Method::POST, "/api/v1/tasks", &token).header("content-type", case.content_type);
        let request = match &case.content_encoding {
            Some(coding) => request.header("content-encoding", coding),
            None => request,
        };
        let answer = request.body(case.body).send().await.expect("an answer");
        assert_refused(answer, case.status, &case.code).await;
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_refused() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let request = gate.chat(Method::POST, "/api/v1/tasks", &token).header("content-type", "application/json");
    let answer = request.body(b"{\"a\":\"\xff\"}".to_vec()).send().await.expect("an answer");
    assert_refused(answer, 400, "INVALID_REQUEST").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_chunked_body_above_the_limit_is_refused_while_it_is_read() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app(INJECT).set("limits.json_body=256").start().await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let head = page(&gate, &token);
    raw.send(format!(
        "POST /api/v1/tasks HTTP/1.1\r\n{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    raw.send(format!("200\r\n{}\r\n", " ".repeat(512))).await;
    assert_eq!(raw.answer().await.status, 413);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_never_reaches_the_upstream() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let mut raw = Raw::connect(gate.public).await;
    let head = page(&gate, &token);
    raw.send(format!(
        "POST /api/v1/tasks HTTP/1.1\r\n{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    raw.send("5\r\n{\"n\":\r\nZZ\r\n1}\r\n0\r\n\r\n").await;
    let rest = tokio::time::timeout(PATIENCE, raw.closed()).await.expect("closed");
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn json_in_another_charset_is_refused() {
    let upstream = Upstream::start().await;
    let gate = injecting(&upstream).await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let send = |content_type: &str| {
        let request = gate.chat(Method::POST, "/api/v1/tasks", &token).header("content-type", content_type);
        request.body(r#"{"tenant":1,"m":"a+ACI-,+ACI-tenant+ACI-:+ACI-evil"}"#).send()
    };
    for other in ["utf-7", "\"UTF-7\"", "utf-8; charset=utf-7", "\"utf\\-7\"", ""] {
        let answer = send(&format!("application/json; charset={other}")).await.expect("an answer");
        assert_eq!(answer.status(), 415, "{other}");
    }
    assert!(upstream.take().is_empty());
    for utf8 in ["application/json;charset=UTF-8", "application/json; charset=\"utf-8\""] {
        assert_eq!(send(utf8).await.expect("an answer").status(), 200, "{utf8}");
    }
}

#[tokio::test]
async fn a_browser_cannot_choose_env_or_secrets_of_a_task() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let sent = json!({ "message": "hi", "env": { "TENANT": "evil" }, "secrets": { "T": "x" }, "ENV": {}, "n": 1 });
    let answer = gate.chat(Method::POST, "/api/v1/tasks", &token).json(&sent).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.take().pop().expect("a request").json(), json!({ "message": "hi", "n": 1 }));
}

#[tokio::test]
async fn env_of_a_task_is_what_the_app_injects() {
    let upstream = Upstream::start().await;
    let inject = "[apps.inject.body]\n\"/env/TENANT\" = \"{{env.TENANT}}\"";
    let gate = Gate::builder(&upstream).app(inject).start().await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let sent = json!({ "env": { "TENANT": "evil", "OTHER": "evil" }, "message": "hi" });
    let answer = gate.chat(Method::POST, "/api/v1/tasks", &token).json(&sent).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        upstream.take().pop().expect("a request").json(),
        json!({ "env": { "TENANT": "acme" }, "message": "hi" })
    );
}
