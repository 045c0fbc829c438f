//! The backend's own variables, in the gate's environment: origins, and what is wrong with any of them.

use reqwest::Method;

use super::{BOOTSTRAP, GATEWAY, KEY, WORKFLOW, list, refused, token};
use crate::support::gate::{Builder, Gate, SHOP, sidegate};
use crate::support::program::{Run, program};
use crate::support::upstream::{Behaviour, Reply, Upstream};

/// The configuration of an app that leaves its origins out, with these lines instead.
fn without_origins(upstream: &Upstream, lines: &str) -> String {
    Gate::builder(upstream).config() + &table(lines)
}

fn table(lines: &str) -> String {
    format!(
        "[[apps]]\nid = \"support\"\ndialect = \"orcheo\"\nupstream = \"chat\"\n\
         workflows = [{{ id = \"{WORKFLOW}\" }}]\ntoken.key = {{ value = \"{KEY}\" }}\n{lines}\n\
         [admin]\nbootstrap_token = {{ value = \"{BOOTSTRAP}\" }}\n"
    )
}

fn with_origins(upstream: &Upstream, listed: &str, lines: &str) -> Builder {
    let mut command = sidegate();
    command.env("ORCHEO_CORS_ALLOW_ORIGINS", listed);
    Gate::builder(upstream).toml(&table(lines)).command(command)
}

/// The status of a page's request from an origin, and whether it may read the answer.
async fn ask(gate: &Gate, origin: &str) -> (u16, bool) {
    let ada = token(gate, "ada", WORKFLOW).await;
    let request = gate.public(Method::POST, GATEWAY).bearer_auth(ada).header("origin", origin).json(&list());
    let answer = request.send().await.expect("an answer");
    let readable = answer.headers().get("access-control-allow-origin").is_some_and(|allowed| allowed == origin);
    (answer.status().as_u16(), readable)
}

#[tokio::test]
async fn origins_come_from_the_backends_variable_in_both_spellings() {
    let upstream = Upstream::start().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &serde_json::json!({ "data": [], "has_more": false }))));
    for listed in [
        r#"["https://one.example","http://localhost:8080"]"#,
        " [ \"https://one.example\", \"http://localhost:8080\" ] ",
        "https://one.example,http://localhost:8080",
        " https://one.example , http://localhost:8080 ",
    ] {
        let gate = with_origins(&upstream, listed, "").start().await;
        assert_eq!(ask(&gate, "https://one.example").await, (200, true), "{listed}");
        assert_eq!(ask(&gate, "http://localhost:8080").await, (200, true), "{listed}");
        for other in ["https://two.example", "http://localhost:8081", SHOP] {
            assert_eq!(ask(&gate, other).await, (403, false), "{listed} {other}");
        }
    }
    let gate = with_origins(&upstream, "*", "").start().await;
    assert_eq!(ask(&gate, "https://any.example").await, (200, true));
}

#[tokio::test]
async fn what_an_app_says_itself_wins_and_other_dialects_are_not_asked() {
    let upstream = Upstream::start().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &serde_json::json!({ "data": [], "has_more": false }))));
    let gate = with_origins(&upstream, "https://one.example", &format!("origins = [\"{SHOP}\"]")).start().await;
    assert_eq!((ask(&gate, SHOP).await, ask(&gate, "https://one.example").await), ((200, true), (403, false)));
    let sigmic = gate.token("ada").mint().await;
    let request = gate.public(Method::GET, "/api/v1/tasks").bearer_auth(sigmic);
    let elsewhere = request.header("origin", "https://one.example").send().await.expect("an answer");
    assert_eq!(elsewhere.status(), 403);
}

#[tokio::test]
async fn apps_of_the_registry_do_not_get_them() {
    let upstream = Upstream::start().await;
    let gate = with_origins(&upstream, "https://one.example", "").start().await;
    let other = "33333333-3333-4333-8333-333333333333";
    let settings = serde_json::json!({
        "id": "kept", "dialect": "orcheo", "upstream": "chat", "origins": [SHOP],
        "workflows": [{ "id": other }], "token": { "key": { "value": KEY } },
    });
    let request = gate.private(Method::POST, "/admin/v1/apps").bearer_auth(BOOTSTRAP).json(&settings);
    assert_eq!(request.send().await.expect("an answer").status(), 201);
    let ada = token(&gate, "ada", other).await;
    let request = gate.public(Method::POST, GATEWAY).bearer_auth(ada).header("origin", "https://one.example");
    let answer = request.json(&list()).send().await.expect("an answer");
    assert_eq!(refused(answer, 403).await, "sidegate.origin_not_allowed");
}

async fn check(variable: &str, value: &str) -> Run {
    let upstream = Upstream::start().await;
    program(&["check"]).config(&without_origins(&upstream, "")).env(variable, value).run()
}

#[tokio::test]
async fn what_is_wrong_in_the_environment_names_the_variable() {
    for (variable, value, problem) in [
        (
            "ORCHEO_CORS_ALLOW_ORIGINS",
            "https://ok.example,shop.example",
            "origins: ORCHEO_CORS_ALLOW_ORIGINS: entry 2: ",
        ),
        (
            "ORCHEO_CORS_ALLOW_ORIGINS",
            r#"["https://ok.example","https://b.example/"]"#,
            "origins: ORCHEO_CORS_ALLOW_ORIGINS: entry 2: ",
        ),
        ("ORCHEO_CORS_ALLOW_ORIGINS", "https://ok.example,", "origins: ORCHEO_CORS_ALLOW_ORIGINS: entry 2: "),
        ("ORCHEO_CORS_ALLOW_ORIGINS", "[]", "origins: ORCHEO_CORS_ALLOW_ORIGINS: names no origin"),
        (
            "ORCHEO_CORS_ALLOW_ORIGINS",
            "[\"https://ok.example\"",
            "origins: ORCHEO_CORS_ALLOW_ORIGINS: must be a JSON list of strings, or divided by commas",
        ),
        ("ORCHEO_CORS_ALLOW_ORIGINS", "[7]", "origins: ORCHEO_CORS_ALLOW_ORIGINS: must be a JSON list"),
        (
            "ORCHEO_CHATKIT_RATE_LIMIT_IP_LIMIT",
            "many",
            "limits.chat: ORCHEO_CHATKIT_RATE_LIMIT_IP_LIMIT must be an integer from 0 to 4294967295",
        ),
        (
            "CHATKIT_RATE_LIMIT_JWT_INTERVAL",
            "0",
            "limits.chat: CHATKIT_RATE_LIMIT_JWT_INTERVAL must be an integer from 1 to 31536000",
        ),
        ("CHATKIT_RATE_LIMIT_SESSION_LIMIT", "-1", "limits.exchange: CHATKIT_RATE_LIMIT_SESSION_LIMIT must be "),
        ("CHATKIT_RATE_LIMIT_PUBLISH_LIMIT", "1.5", "limits.publish: CHATKIT_RATE_LIMIT_PUBLISH_LIMIT must be "),
        ("ORCHEO_CHATKIT_MAX_UPLOAD_SIZE_BYTES", "5MB", "limits.upload: ORCHEO_CHATKIT_MAX_UPLOAD_SIZE_BYTES must be "),
    ] {
        let run = check(variable, value).await;
        let told = run.err.lines().any(|line| line.contains(&format!("apps[1].{problem}")));
        assert!(run.code == 2 && told, "{variable}={value}: {}", run.err);
    }
    for (variable, value) in
        [("ORCHEO_CHATKIT_RATE_LIMIT_IP_LIMIT", "0"), ("CHATKIT_MAX_UPLOAD_SIZE_BYTES", " 9000000 ")]
    {
        let run = check(variable, value).await;
        assert_eq!(run.code, 0, "{variable}: {}", run.err);
    }
}
