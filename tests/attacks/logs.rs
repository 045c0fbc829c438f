//! What an attacker writes into the log: nothing. A line is one JSON object of the gate's own making, whatever
//! stands in the fields of a request, of an exchange, or of an upstream's answer. (Secrets: `secrets` in `tests/it`.)

use reqwest::Method;
use serde_json::{Value, json};

use crate::dialects::{BOT, WORKSPACE, lay};
use crate::siege::{Siege, within_one};
use crate::support::admin::BOOTSTRAP;
use crate::support::gate::{APP, SECRET, SHOP};
use crate::support::raw::{Raw, page};
use crate::support::upstream::Behaviour;

/// A word that is in every attack and must be in no line.
const WORD: &str = "forged";

/// Ends of a line, of a text, of a terminal's patience; as an attacker would have them logged.
const TEXTS: [&str; 14] = [
    "forged\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}",
    "forged\nforged",
    "forged\rforged",
    "\",\"code\":\"forged\",\"x\":\"",
    "\\\",\"code\":\"forged",
    "forged\\",
    "}\n{\"forged\":1}",
    "\u{1b}[2J\u{1b}[1;31mforged\u{1b}]0;forged\u{7}",
    "\u{9b}31mforged",
    "forged\u{0}forged",
    "forged\u{2028}forged\u{85}forged",
    "\u{202e}degrof forged",
    "%0d%0aforged%1b",
    "${jndi:ldap://forged.example/forged}{{forged}}<script>forged</script>",
];

/// What of a text may stand in a head.
fn in_a_head(text: &str) -> String {
    text.replace(['\r', '\n', '\0', '\u{1b}', '\u{7}'], "_")
}

/// What of it may stand in a target.
fn in_a_target(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Heads with the text in every place that could be logged.
fn heads(siege: &Siege, text: &str) -> Vec<String> {
    let (page, head, target) = (page(&siege.gate, &siege.token), in_a_head(text), in_a_target(text));
    let host = &siege.gate.public;
    let mut heads = vec![
        format!("{WORD} /api/v1/tasks HTTP/1.1\r\n{page}\r\n"),
        format!("GET /{target} HTTP/1.1\r\n{page}\r\n"),
        format!("GET /api/v1/tasks/{target} HTTP/1.1\r\n{page}\r\n"),
        format!("GET /api/v1/tasks/{WORD}/history HTTP/1.1\r\n{page}\r\n"),
        format!("GET /nothing?{target} HTTP/1.1\r\n{page}\r\n"),
        format!("GET /apps/{target}/api/v1/tasks HTTP/1.1\r\n{page}\r\n"),
        format!("GET /apps/{WORD}/api/v1/tasks HTTP/1.1\r\n{page}\r\n"),
        format!("GET /api/v1/workspaces/{WORD}/widget-config HTTP/1.1\r\n{page}\r\n"),
        format!("GET /nothing HTTP/1.1\r\nHost: {WORD}.example\r\n\r\n"),
        format!("GET /api/v1/tasks HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{WORD}.example\r\n\r\n"),
        // Broken: refused before there is a request.
        format!("GET /api/v1/tasks HTTP/1.1\r\n{page}X-A: {text}\r\n\r\n"),
        format!("{text} /api/v1/tasks HTTP/1.1\r\n{page}\r\n"),
        format!("GET {text} HTTP/1.1\r\n{page}\r\n"),
    ];
    let names = [
        "X-Request-Id",
        "Traceparent",
        "User-Agent",
        "X-Forwarded-For",
        "Forwarded",
        "Authorization",
        "Origin",
        "Cookie",
    ];
    heads.extend(names.map(|name| format!("GET /nothing HTTP/1.1\r\n{page}{name}: {head}\r\n\r\n")));
    heads
}

/// Bodies with the text in every member that names something.
fn bodies(text: &str) -> Vec<(String, Value)> {
    vec![
        ("/api/v1/auth/token".into(), json!({ "appId": text, "appSecret": SECRET, "endUserId": "ada" })),
        ("/api/v1/auth/token".into(), json!({ "appId": APP, "appSecret": text, "endUserId": "ada" })),
        ("/api/v1/auth/token".into(), json!({ "appId": APP, "appSecret": SECRET, "endUserId": format!("{text}\n") })),
        (
            "/api/v1/auth/token".into(),
            json!({ "appId": APP, "appSecret": SECRET, "endUserId": "a", "expiresIn": text }),
        ),
        (
            "/api/v1/auth/token".into(),
            json!({ "appId": APP, "appSecret": SECRET, "endUserId": "a", "env": { text: "x" } }),
        ),
        ("/api/v1/auth/token".into(), json!({ text: text })),
        ("/admin/v1/service-tokens".into(), json!({ "id": text, "scopes": [text] })),
        ("/admin/v1/apps".into(), json!({ "id": text, "dialect": text, "upstream": text, "origins": [text] })),
        ("/admin/v1/revocations".into(), json!({ "app": text, "end_user": text, "jti": text })),
        ("/api/chatkit/session".into(), json!({ "workflow_id": text, "user": { "id": text } })),
        (format!("/v1/apps/{BOT}/identity-tokens"), json!({ "user_id": text, text: text })),
        ("/api/v1/integration/widget/create".into(), json!({ "botId": text, "origin": text, text: text })),
    ]
}

/// Public ones, of visitors.
fn visits(text: &str) -> Vec<(String, Value)> {
    vec![
        ("/widget/session/init".into(), json!({ "bot_id": text, "identity_token": text })),
        ("/widget/session/init".into(), json!({ "bot_id": BOT, "identity_token": text })),
        (format!("/api/v1/workspaces/{WORKSPACE}/session"), json!({ "token": text })),
        (
            format!("/api/v1/workspaces/{WORKSPACE}/session"),
            json!({ "guest": { "name": text, "email": text, "consent": true } }),
        ),
        ("/api/v1/integration/widget/w/session/create".into(), json!({ "contact": { "name": text }, text: text })),
    ]
}

async fn upstreams_answers(siege: &Siege, text: &str) {
    let answers = [
        format!("HTTP/1.1 500 {}\r\nServer: {}\r\nContent-Length: 0\r\n\r\n", in_a_head(text), in_a_head(text)),
        format!("HTTP/1.1 {text}\r\n\r\n"),
        format!("{text}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nX-A: {text}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {}\r\n\r\n", in_a_head(text)),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
    ];
    for answer in answers {
        siege.upstream.once("/api/v1/tasks", Behaviour::garbage(answer));
        let mut raw = Raw::connect(siege.gate.public).await;
        raw.send(siege.get("/api/v1/tasks", "Connection: close\r\n")).await;
        raw.closed().await;
    }
    siege.forget().await;
}

#[tokio::test]
async fn no_line_of_the_log_is_an_attackers() {
    let siege =
        lay(|gate| gate.set("log.access=true").set("log.level=trace").set("listen.trusted_proxies=[\"127.0.0.1/32\"]"))
            .await;
    siege
        .rounds(async || {
            for text in TEXTS {
                for head in heads(&siege, text) {
                    within_one(&siege.gate, head).await;
                }
                for (path, body) in bodies(text) {
                    let request = siege.gate.private(Method::POST, &path).bearer_auth(BOOTSTRAP).json(&body);
                    request.send().await.expect("an answer");
                }
                for (path, body) in visits(text) {
                    let request = siege.gate.public(Method::POST, &path).header("origin", SHOP).json(&body);
                    request.send().await.expect("an answer");
                }
                upstreams_answers(&siege, text).await;
            }
            siege.forget().await;
        })
        .await;
    siege.gate.signal("TERM");
    siege.gate.wait_for_line("\"stopped\"").await;
    let output = siege.gate.output();
    let mut lines = 0;
    for line in output.lines() {
        let read: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
        assert!(read["timestamp"].is_string() && read["level"].is_string(), "{line}");
        assert!(!line.contains(WORD) && !line.contains(char::is_control), "{line}");
        lines += 1;
    }
    assert!(lines > 1_000, "a log of {lines} lines says little");
}
