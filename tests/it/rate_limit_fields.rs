//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11): what a limit says before it refuses,
//! and when it does; and the keys that count by session and by route.

use reqwest::{Method, Response};
use serde_json::json;

use crate::chat9;
use crate::support::gate::{APP, Gate, SECRET, SHOP};
use crate::support::redis::RedisServer;
use crate::support::upstream::{Behaviour, Reply, Upstream};

const TASKS: &str = "/api/v1/tasks";

async fn limited(upstream: &Upstream, lines: &str) -> Gate {
    Gate::builder(upstream).app(lines).start().await
}

async fn ask(gate: &Gate, token: &str) -> Response {
    gate.chat(Method::GET, TASKS, token).send().await.expect("an answer")
}

/// All lines of a field.
fn lines<'a>(answer: &'a Response, name: &str) -> Vec<&'a str> {
    answer.headers().get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
}

/// What `RateLimit` says: name, requests left, effective window in seconds.
fn standing(answer: &Response) -> (String, u64, u64) {
    let [field] = lines(answer, "ratelimit")[..] else { panic!("one field: {answer:?}") };
    let mut parts = field.split(';');
    let name = parts.next().and_then(|name| name.strip_prefix('"')?.strip_suffix('"')).expect("a string");
    let mut number = |key: &str| -> u64 {
        let part = parts.next().and_then(|part| part.strip_prefix(key)).expect(key);
        part.parse().expect("an integer")
    };
    (name.to_owned(), number("r="), number("t="))
}

fn retry_after(answer: &Response) -> u64 {
    answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds")
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_a_refusal_when_to_come_back() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.chat = \"3/h per end_user\"").await;
    let token = gate.token("ada").mint().await;
    // One is given back every 20 minutes: whoever spreads what is left over the window is never refused.
    for (left, window) in [(2, 2_400), (1, 1_200), (0, 1_200)] {
        let answer = ask(&gate, &token).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(lines(&answer, "ratelimit-policy"), ["\"chat\";q=3;w=3600"]);
        assert!(!answer.headers().contains_key("retry-after"));
        let (name, told, seconds) = standing(&answer);
        assert_eq!((&*name, told), ("chat", left));
        assert!((window - 30..=window).contains(&seconds), "{seconds}");
    }
    let refused = ask(&gate, &token).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(lines(&refused, "ratelimit-policy"), ["\"chat\";q=3;w=3600"]);
    assert_eq!(standing(&refused), ("chat".to_owned(), 0, retry_after(&refused)));
}

#[tokio::test]
async fn a_page_may_read_them() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.chat = \"1/h per end_user\"").await;
    let token = gate.token("ada").mint().await;
    for status in [200, 429] {
        let answer = ask(&gate, &token).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        let exposed = answer.headers()["access-control-expose-headers"].to_str().expect("text");
        for name in ["RateLimit", "RateLimit-Policy", "Retry-After"] {
            assert!(exposed.split(", ").any(|listed| listed == name), "{exposed}");
        }
    }
}

#[tokio::test]
async fn of_several_rates_the_one_that_ends_first_is_told() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.chat = [\"9/h\", \"3/h per address\", \"2/h per end_user\"]").await;
    let (ada, grace) = (gate.token("ada").mint().await, gate.token("grace").mint().await);
    let policy = "\"chat-address\";q=3;w=3600, \"chat-end_user\";q=2;w=3600, \"chat-app\";q=9;w=3600";
    for (token, status, name, left) in [
        (&ada, 200, "chat-end_user", 1),
        (&ada, 200, "chat-end_user", 0),
        (&ada, 429, "chat-end_user", 0),
        (&grace, 200, "chat-address", 0),
        (&grace, 429, "chat-address", 0),
    ] {
        let answer = ask(&gate, token).await;
        assert_eq!(answer.status(), status);
        assert_eq!(lines(&answer, "ratelimit-policy"), [policy]);
        let told = standing(&answer);
        assert_eq!((&*told.0, told.1), (name, left));
    }
}

#[tokio::test]
async fn of_two_that_leave_as_many_the_one_that_takes_longer_to_give_back_is_told() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.chat = [\"2/m\", \"2/h per end_user\", \"2/m per address\"]").await;
    let token = gate.token("ada").mint().await;
    for left in [1, 0] {
        let (name, told, seconds) = standing(&ask(&gate, &token).await);
        assert_eq!((&*name, told), ("chat-end_user", left));
        assert!((1_700..=1_800).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn what_is_not_limited_says_nothing() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.chat = \"9/h\"").await;
    let token = gate.token("ada").mint().await;
    let elsewhere = gate.public(Method::GET, TASKS).bearer_auth(&token).header("origin", "https://evil.example");
    let health = gate.public(Method::GET, "/nowhere").header("origin", SHOP);
    for request in [elsewhere, health] {
        let answer = request.send().await.expect("an answer");
        assert!(lines(&answer, "ratelimit").is_empty() && lines(&answer, "ratelimit-policy").is_empty(), "{answer:?}");
    }
    let exchanged = gate.exchange(&json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada" })).await;
    assert_eq!(exchanged.status(), 200);
    assert!(lines(&exchanged, "ratelimit").is_empty());
}

#[tokio::test]
async fn an_exchange_says_it_too() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.exchange = \"2/h per end_user\"").await;
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada" });
    for (status, left) in [(200, 1), (200, 0), (429, 0)] {
        let answer = gate.exchange(&body).await;
        assert_eq!(answer.status(), status);
        let (name, told, _) = standing(&answer);
        assert_eq!((&*name, told), ("exchange", left));
    }
}

#[tokio::test]
async fn a_request_that_was_counted_says_it_whatever_comes_of_it() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.chat = \"9/h\"").await;
    let token = gate.token("ada").mint().await;
    upstream.once(TASKS, Behaviour::garbage("no http"));
    let failed = ask(&gate, &token).await;
    assert_eq!((failed.status().as_u16(), standing(&failed).1), (502, 8));
    let others = gate.chat(Method::GET, "/api/v1/tasks/task_of_nobody/stream", &token);
    let missing = others.send().await.expect("an answer");
    assert_eq!((missing.status().as_u16(), standing(&missing).1), (404, 7));
}

#[tokio::test]
async fn what_an_upstream_says_of_its_own_limits_stays() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("limits.chat = \"9/h\"\nscoping = \"upstream\"");
    let gate = gate.app("inject.headers = { X-User = \"{{claims.sub}}\" }").start().await;
    let reply = Reply::json(200, &json!([])).header("ratelimit", "\"theirs\";r=5;t=7");
    let reply = reply.header("ratelimit-policy", "\"theirs\";q=50;w=70");
    upstream.always(Behaviour::answer(reply));
    let answer = ask(&gate, &gate.token("ada").mint().await).await;
    assert_eq!(lines(&answer, "ratelimit-policy"), ["\"theirs\";q=50;w=70", "\"chat\";q=9;w=3600"]);
    let told = lines(&answer, "ratelimit");
    assert_eq!((told.len(), told[0]), (2, "\"theirs\";r=5;t=7"));
    assert!(told[1].starts_with("\"chat\";r=8;t="), "{told:?}");
}

#[tokio::test]
async fn replicas_say_what_all_of_them_have_left() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let app = "limits.chat = [\"5/h per app\", \"3/h per end_user\"]";
    let replica = || server.share(Gate::builder(&upstream)).set("store.redis.timeout=10s").app(app).start();
    let gates = [replica().await, replica().await];
    let (ada, grace) = (gates[0].token("ada").mint().await, gates[0].token("grace").mint().await);
    let rows = [
        (0, &ada, 200, "chat-end_user", 2, 2_400),
        (1, &ada, 200, "chat-end_user", 1, 1_200),
        (0, &ada, 200, "chat-end_user", 0, 1_200),
        (1, &ada, 429, "chat-end_user", 0, 1_200),
        (0, &grace, 200, "chat-app", 1, 720),
        (1, &grace, 200, "chat-app", 0, 720),
        (0, &grace, 429, "chat-app", 0, 720),
    ];
    for (gate, token, status, name, left, window) in rows {
        let answer = ask(&gates[gate], token).await;
        assert_eq!(answer.status(), status, "{name} {left}");
        let told = standing(&answer);
        assert_eq!((&*told.0, told.1), (name, left));
        assert!((window - 60..=window).contains(&told.2), "{told:?}");
        if status == 429 {
            assert_eq!(told.2, retry_after(&answer));
        }
    }
}

#[tokio::test]
async fn a_session_is_counted_alone_here_and_in_redis() {
    let server = RedisServer::start();
    let lines = "limits = { exchange = [], chat = \"2/h per session\" }";
    for shared in [false, true] {
        let upstream = Upstream::start().await;
        upstream.on("/widget/chat", Behaviour::answer(Reply::json(200, &json!({ "text": "Hi", "chat_ended": false }))));
        let gate = chat9::with_lines(&upstream, lines);
        let gate = if shared { server.share(gate) } else { gate };
        let gate = gate.start().await;
        let sessions = [chat9::anonymous(&gate).await, chat9::anonymous(&gate).await];
        for session in &sessions {
            for status in [200, 200, 429] {
                let message = chat9::page(&gate, Method::POST, &chat9::of("chat", session));
                let answer = message.json(&json!({ "message": "hi" })).send().await.expect("an answer");
                assert_eq!(answer.status(), status, "shared: {shared}");
                assert_eq!(standing(&answer).0, "chat");
            }
        }
        if shared {
            let keys: Vec<String> = server.command(&["KEYS", "*limit*session*"]).await;
            assert_eq!(keys.len(), 2, "{keys:?}");
            assert!(keys.iter().all(|key| sessions.iter().all(|session| !key.contains(session.as_str()))), "{keys:?}");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_session_counts_by_its_id() {
    let upstream = Upstream::start().await;
    let gate = limited(&upstream, "limits.chat = \"1/h per session\"").await;
    let (first, second) = (gate.token("ada").env("A", "1").mint().await, gate.token("ada").env("A", "1").mint().await);
    for (token, status) in [(&first, 200), (&first, 429), (&second, 200), (&second, 429)] {
        assert_eq!(ask(&gate, token).await.status(), status);
    }
}

#[tokio::test]
async fn a_route_is_counted_alone_for_all_users_here_and_in_redis() {
    let server = RedisServer::start();
    for shared in [false, true] {
        let upstream = Upstream::start().await;
        let gate = Gate::builder(&upstream).app("limits.chat = \"1/h per route\"");
        let gate = if shared { server.share(gate) } else { gate };
        let gate = gate.start().await;
        let (ada, grace) = (gate.token("ada").mint().await, gate.token("grace").mint().await);
        assert_eq!(ask(&gate, &ada).await.status(), 200, "shared: {shared}");
        assert_eq!(ask(&gate, &grace).await.status(), 429, "of another user");
        let create = gate.chat(Method::POST, TASKS, &grace).json(&json!({ "message": "hi" }));
        assert_eq!(create.send().await.expect("an answer").status(), 200, "another method is another route");
    }
}

/// What the limits of two kinds say of one request.
#[tokio::test]
async fn a_guest_is_told_of_both_limits() {
    let upstream = Upstream::start().await;
    let keys = crate::mitigate::keys();
    let settings = format!(
        "{keys}\nwidget.modes = [\"anonymous\"]\nlimits = {{ exchange = \"9/h per address\", guest = \"2/h per network\" }}"
    );
    let gate = crate::mitigate::with_lines(&upstream, &settings).start().await;
    let answer = crate::mitigate::enter(&gate, &json!({})).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(lines(&answer, "ratelimit-policy"), ["\"exchange\";q=9;w=3600", "\"guest\";q=2;w=3600"]);
    assert_eq!((&*standing(&answer).0, standing(&answer).1), ("guest", 1));
}
