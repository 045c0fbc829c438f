//! The demo servers, asked over the wire.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sidegate::demo::{customer, upstream};
use tokio::net::{TcpListener, TcpStream};

use crate::support::demo::Demo;
use crate::support::upstream::{Behaviour, Reply, Upstream};

const KEY: &str = "service-key";

async fn chat_service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let now = || "2026-01-31T12:00:00.000Z".to_owned();
    let mut settings = upstream::Settings::new(KEY.into(), now);
    settings.pace = Duration::ZERO;
    tokio::spawn(upstream::serve(listener, settings, std::future::pending()));
    address
}

async fn customer_of(gate: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = customer::Settings {
        private: gate,
        gate_url: "http://127.0.0.1:8080".into(),
        app_id: "wapp_1".into(),
        app_secret: "wsec_hidden".into(),
        users: customer::User::demo(),
        links: Vec::new(),
    };
    tokio::spawn(customer::serve(listener, settings, std::future::pending()));
    address
}

async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let socket = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json_of(response: Response<Incoming>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// A request as the gate forwards it for ada.
fn forwarded(method: &str, path: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "chat")
        .header("authorization", format!("Bearer {KEY}"))
        .header("x-end-user", "ada")
        .header("x-api-token", "sk-hidden")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

fn token_request(body: &Value) -> Request<Full<Bytes>> {
    Request::post("/api/sigmic-chat/token")
        .header("host", "shop")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn the_chat_service_streams_a_reply_that_names_the_context() {
    let chat = chat_service().await;
    let asked = json!({
        "message": "hi",
        "mcp_servers": [{ "name": "db", "headers": { "Authorization": "Bearer sk-hidden" } }],
    });
    let created = json_of(send(chat, forwarded("POST", "/api/v1/tasks", &asked)).await).await;
    let pending = json!({ "success": true, "data": { "id": "task_1", "status": "pending" } });
    assert_eq!(created, pending);

    let stream = forwarded("GET", "/api/v1/tasks/task_1/stream", &Value::Null);
    let live = text(send(chat, stream.clone()).await).await;
    let names: Vec<&str> = live.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let opening = ["history_message", "history_done", "status", "status", "thought", "content"];
    assert_eq!(names[..6], opening);
    assert_eq!(names.last(), Some(&"done"));
    let print = upstream::fingerprint(b"sk-hidden");
    assert!(live.contains(&format!("X-Api-Token ({print})")), "{live}");
    let print = upstream::fingerprint(b"Bearer sk-hidden");
    assert!(live.contains(&format!("mcp_servers[0] Authorization ({print})")), "{live}");
    assert!(live.contains("X-End-User: ada"), "{live}");
    assert!(!live.contains("sk-hidden") && !live.contains(KEY), "{live}");

    // Idle now: the history has both messages, and the stream ends after it.
    let idle = text(send(chat, stream).await).await;
    assert_eq!(idle.matches("event: history_message").count(), 2);
    assert!(idle.trim_end().ends_with(r#"{"isStreaming":false,"messageCount":2}"#), "{idle}");
}

#[tokio::test]
async fn the_chat_service_takes_a_form_with_files() {
    let chat = chat_service().await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nlook\r\n\
        --b\r\nContent-Disposition: form-data; name=\"files[]\"; filename=\"a.txt\"\r\n\r\nabc\r\n--b--\r\n";
    let mut request = forwarded("POST", "/api/v1/tasks", &Value::Null).map(|_| Full::from(body));
    request.headers_mut().insert("content-type", "multipart/form-data; boundary=b".parse().unwrap());
    assert_eq!(send(chat, request).await.status(), StatusCode::OK);
    let history = forwarded("GET", "/api/v1/tasks/task_1/history", &Value::Null);
    let history = json_of(send(chat, history).await).await;
    assert_eq!(history["data"][0]["content"], "look");
    assert_eq!(history["data"][0]["attachedFiles"], json!(["a.txt"]));
}

#[tokio::test]
async fn the_chat_service_lists_by_page_and_user() {
    let chat = chat_service().await;
    for _ in 0..3 {
        send(chat, forwarded("POST", "/api/v1/tasks", &json!({ "message": "hi" }))).await;
    }
    let page = forwarded("GET", "/api/v1/tasks?limit=2&offset=0", &Value::Null);
    let page = json_of(send(chat, page).await).await;
    assert_eq!(page["data"][0]["id"], "task_3");
    let expected = json!({ "total": 3, "limit": 2, "offset": 0, "hasMore": true });
    assert_eq!(page["pagination"], expected);
    let mut other = forwarded("GET", "/api/v1/tasks/task_1", &Value::Null);
    other.headers_mut().insert("x-end-user", "grace".parse().unwrap());
    assert_eq!(send(chat, other).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_chat_service_wants_its_key() {
    let chat = chat_service().await;
    for (key, code) in [(None, "AUTH_REQUIRED"), (Some("Bearer no"), "INVALID_API_KEY")] {
        let mut request = forwarded("GET", "/api/v1/tasks", &Value::Null);
        request.headers_mut().remove("authorization");
        if let Some(key) = key {
            request.headers_mut().insert("authorization", key.parse().unwrap());
        }
        let response = send(chat, request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let body = json_of(response).await;
        assert_eq!((&body["success"], &body["error"]["code"]), (&json!(false), &json!(code)));
    }
}

#[tokio::test]
async fn the_customer_trades_its_secret_for_a_token() {
    let gate = Upstream::start().await;
    let issued = json!({ "success": true, "data": { "token": "t.o.k", "expiresAt": "…" } });
    gate.always(Behaviour::answer(Reply::json(200, &issued)));
    let shop = customer_of(gate.address()).await;
    let request = token_request(&json!({ "userId": "ada", "expiresIn": "2s" }));
    assert_eq!(json_of(send(shop, request).await).await, json!({ "token": "t.o.k" }));
    let seen = &gate.take()[0];
    assert_eq!(seen.uri.path(), "/api/v1/auth/token");
    let sent = seen.json();
    assert_eq!((&sent["appId"], &sent["appSecret"]), (&json!("wapp_1"), &json!("wsec_hidden")));
    assert_eq!((&sent["endUserId"], &sent["expiresIn"]), (&json!("ada"), &json!("2s")));
    assert_eq!(sent["env"], json!({ "TENANT": "acme" }));
    assert!(sent["secrets"]["API_TOKEN"].is_string());
}

#[tokio::test]
async fn the_customer_passes_errors_on_but_never_its_secret() {
    let gate = Upstream::start().await;
    let shop = customer_of(gate.address()).await;
    let refusals = [
        (400, "INVALID_EXPIRES_IN", "no", 400, "INVALID_EXPIRES_IN"),
        (401, "INVALID_CREDENTIALS", "Invalid app credentials", 502, "INVALID_CREDENTIALS"),
        (400, "ODD", "you sent wsec_hidden", 400, "TOKEN_REFUSED"),
    ];
    for (status, code, message, expected_status, expected_code) in refusals {
        let body = json!({ "success": false, "error": { "message": message, "code": code } });
        gate.always(Behaviour::answer(Reply::json(status, &body)));
        let response = send(shop, token_request(&json!({ "userId": "ada" }))).await;
        assert_eq!(response.status(), expected_status);
        let body = text(response).await;
        assert!(body.contains(expected_code) && !body.contains("wsec_hidden"), "{body}");
    }
    let nobody = send(shop, token_request(&json!({ "userId": "eve" }))).await;
    assert_eq!(nobody.status(), StatusCode::FORBIDDEN);
    gate.stop().await;
    let response = send(shop, token_request(&json!({ "userId": "ada" }))).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn the_page_has_a_strict_policy_and_no_inline_script() {
    let shop = customer_of(Upstream::nowhere().await).await;
    for path in ["/", "/page.js", "/page.css", "/icon.svg", "/config.json"] {
        let request = Request::get(path).header("host", "shop").body(Full::default()).unwrap();
        let response = send(shop, request).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(policy.contains("connect-src 'self' http://127.0.0.1:8080;"), "{policy}");
        assert!(!text(response).await.contains("wsec_hidden"));
    }
}

#[test]
fn a_gate_url_that_could_bend_the_policy_is_refused() {
    for url in ["", "chat.example", "javascript:alert(1)", "http://a;script-src *", "ftp://a"] {
        let settings = customer::Settings {
            private: ([127, 0, 0, 1], 1).into(),
            gate_url: url.into(),
            app_id: String::new(),
            app_secret: "".into(),
            users: Vec::new(),
            links: Vec::new(),
        };
        assert!(customer::router(settings).is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_server_ends_when_it_is_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let settings = upstream::Settings::new(KEY.into(), String::new);
    let served = tokio::spawn(upstream::serve(listener, settings, async {
        let _ = stopped.await;
    }));
    // A kept-alive connection does not keep the server.
    let response = send(address, forwarded("GET", "/api/v1/tasks", &Value::Null)).await;
    assert_eq!(response.status(), StatusCode::OK);
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(crate::support::gate::PATIENCE, served).await;
    assert!(ended.unwrap().unwrap().is_ok());
}

/// Runs shell commands as somebody would who pastes them; what they print.
async fn bash(commands: String) -> String {
    let mut shell = tokio::process::Command::new("bash");
    let output = shell.args(["-euo", "pipefail", "-c", &commands]).output().await.unwrap();
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_printed_commands_work_as_printed() {
    let demo = Demo::start().await;
    let printed = bash(demo.commands()).await;
    let (streamed, refused) = printed.split_once("HTTP/1.1 ").unwrap();
    assert!(streamed.contains("event: history_done\n"), "{streamed}");
    assert!(streamed.contains(r#""finalResponse":"You said: Hello\n"#), "{streamed}");
    assert!(streamed.contains(&format!("X-Api-Token ({})", upstream::fingerprint(b"sk-ada"))), "{streamed}");
    assert!(streamed.contains("X-Tenant: acme") && !streamed.contains("sk-ada"), "{streamed}");
    assert!(refused.starts_with("403 Forbidden\r\n"), "{refused}");
    assert!(refused.contains(r#""code":"ORIGIN_NOT_ALLOWED""#), "{refused}");
    assert!(!refused.contains("access-control-allow-origin"), "{refused}");
}

#[tokio::test]
async fn the_printed_addresses_answer() {
    let demo = Demo::start().await;
    for url in [&demo.page, &demo.other_page, &format!("{}/readyz", demo.ops), &format!("{}/metrics", demo.ops)] {
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{url}");
    }
}
