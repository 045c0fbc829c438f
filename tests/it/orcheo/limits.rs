//! Limits as the backend has them: by address, end user and workflow, each told by its own name.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{BOOTSTRAP, GATEWAY, OTHER, UNLISTED, WORKFLOW, list, page, refused, session, token, with_lines};
use crate::support::gate::{Gate, SHOP, json_of, sidegate};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Behaviour, Reply, Upstream};

async fn upstream() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "data": [], "has_more": false }))));
    upstream
}

async fn limited(upstream: &Upstream, lines: &str) -> Gate {
    with_lines(upstream, lines).start().await
}

async fn ask(gate: &Gate, token: &str) -> Response {
    page(gate, token, &list()).send().await.expect("an answer")
}

/// How many of these requests pass until one is refused, and that one.
async fn until_refused(gate: &Gate, token: &str) -> (usize, Response) {
    for passed in 0..400 {
        let answer = ask(gate, token).await;
        if answer.status() != 200 {
            return (passed, answer);
        }
    }
    panic!("nothing is refused");
}

/// A refusal over a limit: its code and message.
async fn over(answer: Response) -> (Value, String) {
    assert_eq!(answer.status(), 429);
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert!(header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    assert!(header("www-authenticate").starts_with("Bearer"));
    let detail = json_of(answer).await["detail"].clone();
    (detail["code"].clone(), detail["message"].as_str().expect("a message").to_owned())
}

#[tokio::test]
async fn an_app_that_says_nothing_has_the_backends_limits() {
    let upstream = upstream().await;
    let gate = limited(&upstream, "").await;
    let (ada, eve) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "eve", OTHER).await);
    let (passed, refusal) = until_refused(&gate, &ada).await;
    // One is given back every half second.
    assert!((120..130).contains(&passed), "{passed}");
    assert_eq!(refusal.headers()["access-control-allow-origin"], SHOP);
    let (code, message) = over(refusal).await;
    assert_eq!((code, &*message), (json!("chatkit.rate_limit.ip"), "Too many ChatKit requests from 127.0.0.1"));
    let (code, _) = over(until_refused(&gate, &eve).await.1).await;
    assert_eq!(code, "chatkit.rate_limit.ip", "another end user of the same address");
    let mut sessions = 0;
    let refusal = loop {
        let answer = session(&gate, BOOTSTRAP, &json!({ "workflow_id": WORKFLOW, "user": { "id": "bob" } })).await;
        if answer.status() != 200 {
            break answer;
        }
        sessions += 1;
    };
    assert!((60..65).contains(&sessions), "{sessions}");
    assert_eq!(over(refusal).await.0, "chatkit.rate_limit.session");
}

#[tokio::test]
async fn each_limit_is_told_by_its_own_name_and_no_id() {
    let upstream = upstream().await;
    for (rate, code) in [
        ("1/h per end_user", "chatkit.rate_limit.identity"),
        ("1/h per workflow", "chatkit.rate_limit.publish"),
        ("1/h per address", "chatkit.rate_limit.ip"),
        ("1/h", "sidegate.rate_limited"),
    ] {
        let gate = limited(&upstream, &format!("limits.chat = \"{rate}\"")).await;
        let ada = token(&gate, "ada-canary", WORKFLOW).await;
        assert_eq!(ask(&gate, &ada).await.status(), 200);
        let (got, message) = over(ask(&gate, &ada).await).await;
        assert_eq!(got, code);
        assert!(!message.contains("canary") && !message.contains(WORKFLOW), "{message}");
    }
}

#[tokio::test]
async fn a_workflow_is_shared_by_its_users_and_no_other_workflow() {
    let upstream = upstream().await;
    let gate = limited(&upstream, "limits = { chat = \"2/h per workflow\", exchange = [] }").await;
    let (ada, eve, other) =
        (token(&gate, "ada", WORKFLOW).await, token(&gate, "eve", WORKFLOW).await, token(&gate, "ada", OTHER).await);
    for user in [&ada, &eve] {
        assert_eq!(ask(&gate, user).await.status(), 200);
    }
    assert_eq!(over(ask(&gate, &ada).await).await.0, "chatkit.rate_limit.publish");
    assert_eq!(ask(&gate, &other).await.status(), 200);
}

/// The address has as many left as were not refused by the end user's limit.
async fn refused_uses_nothing_up(gate: &Gate) {
    let (ada, eve) = (token(gate, "ada", WORKFLOW).await, token(gate, "eve", WORKFLOW).await);
    assert_eq!(ask(gate, &ada).await.status(), 200);
    for _ in 0..5 {
        assert_eq!(over(ask(gate, &ada).await).await.0, "chatkit.rate_limit.identity");
    }
    assert_eq!(ask(gate, &eve).await.status(), 200);
    assert_eq!(over(ask(gate, &token(gate, "bob", WORKFLOW).await).await).await.0, "chatkit.rate_limit.ip");
}

const TWO: &str = "limits.chat = [\"1/h per end_user\", \"2/h per address\"]";

#[tokio::test]
async fn a_refused_request_uses_nothing_up() {
    let upstream = upstream().await;
    refused_uses_nothing_up(&limited(&upstream, TWO).await).await;
}

#[tokio::test]
async fn a_refused_request_uses_nothing_up_where_replicas_count_together() {
    let (server, upstream) = (RedisServer::start(), upstream().await);
    let gate = server.share(with_lines(&upstream, TWO)).set("store.redis.timeout=10s").start().await;
    refused_uses_nothing_up(&gate).await;
    let other = server.share(with_lines(&upstream, TWO)).set("store.redis.timeout=10s").start().await;
    let ada = token(&other, "ada", WORKFLOW).await;
    assert_eq!(over(ask(&other, &ada).await).await.0, "chatkit.rate_limit.ip", "on every replica");
}

#[tokio::test]
async fn an_empty_list_is_no_limit() {
    let upstream = upstream().await;
    let gate = limited(&upstream, "limits = { chat = [], exchange = [] }").await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    for _ in 0..200 {
        assert_eq!(ask(&gate, &ada).await.status(), 200);
    }
    for _ in 0..80 {
        token(&gate, "ada", WORKFLOW).await;
    }
}

#[tokio::test]
async fn the_backends_environment_changes_what_is_not_said() {
    let upstream = upstream().await;
    for prefix in ["ORCHEO_", ""] {
        let environment = |command: &mut std::process::Command| {
            for (name, value) in [
                ("IP_LIMIT", "0"),
                ("JWT_LIMIT", "2"),
                ("JWT_INTERVAL", "3600"),
                ("SESSION_LIMIT", "3"),
                ("SESSION_INTERVAL", "7200"),
            ] {
                command.env(format!("{prefix}CHATKIT_RATE_LIMIT_{name}"), value);
            }
        };
        let mut command = sidegate();
        environment(&mut command);
        let gate = with_lines(&upstream, "").command(command).start().await;
        let ada = token(&gate, "ada", WORKFLOW).await;
        let (passed, refusal) = until_refused(&gate, &ada).await;
        assert_eq!((passed, over(refusal).await.0), (2, json!("chatkit.rate_limit.identity")), "{prefix}");
        for _ in 0..2 {
            token(&gate, "ada", WORKFLOW).await;
        }
        let fourth = session(&gate, BOOTSTRAP, &json!({ "workflow_id": WORKFLOW, "user": { "id": "ada" } })).await;
        assert_eq!(over(fourth).await.0, "chatkit.rate_limit.session");
        let mut command = sidegate();
        environment(&mut command);
        let gate = with_lines(&upstream, "limits.chat = \"4/h\"").command(command).start().await;
        let (passed, _) = until_refused(&gate, &token(&gate, "ada", WORKFLOW).await).await;
        assert_eq!(passed, 4, "what the app says wins");
    }
}

#[tokio::test]
async fn apps_of_the_registry_have_the_same_keys_and_not_the_environment() {
    let upstream = upstream().await;
    let mut command = sidegate();
    command.env("ORCHEO_CHATKIT_RATE_LIMIT_SESSION_LIMIT", "1");
    let gate = with_lines(&upstream, "").command(command).start().await;
    let create = async |limits: Value| {
        let settings = json!({
            "id": "kept", "dialect": "orcheo", "upstream": "chat", "origins": [SHOP],
            "workflows": [{ "id": UNLISTED }], "limits": limits,
            "token": { "key": { "value": super::KEY } },
        });
        let request = gate.private(Method::POST, "/admin/v1/apps").bearer_auth(BOOTSTRAP).json(&settings);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), json_of(answer).await)
    };
    for (limits, rule) in [
        (json!({ "chat": ["1/s", "2/s per app"] }), "limits.chat: two of the rates count by the same key"),
        (json!({ "publish": "often" }), "limits.publish: must be COUNT/s"),
        (json!({ "upload": -1 }), "limits.upload: must be a size"),
    ] {
        let (status, problem) = create(limits).await;
        assert!(status == 400 && problem["detail"].as_str().is_some_and(|said| said.contains(rule)), "{problem}");
    }
    let limits = json!({ "chat": ["2/h per end_user", "9/h per workflow"], "publish": [], "upload": 1000 });
    let (status, made) = create(limits.clone()).await;
    assert_eq!((status, &made["settings"]["limits"]), (201, &limits), "{made}");
    for _ in 0..5 {
        token(&gate, "ada", UNLISTED).await;
    }
    let (passed, refusal) = until_refused(&gate, &token(&gate, "ada", UNLISTED).await).await;
    assert_eq!((passed, over(refusal).await.0), (2, json!("chatkit.rate_limit.identity")));
    token(&gate, "ada", WORKFLOW).await;
    let second = session(&gate, BOOTSTRAP, &json!({ "workflow_id": WORKFLOW, "user": { "id": "ada" } })).await;
    assert_eq!(refused(second, 429).await, "chatkit.rate_limit.session", "the app of the file");
}
