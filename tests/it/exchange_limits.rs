//! What an exchange may cost: sizes, rates, room in the store, and the longest lifetime.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::support::gate::{APP, Gate, SECRET, SIGNING_KEY, assert_refused, json_of};
use crate::support::jwt;
use crate::support::upstream::Upstream;

fn exchange_with(env: &[(&str, usize)], secrets: &[(&str, usize)]) -> Value {
    let object = |entries: &[(&str, usize)]| -> Map<String, Value> {
        entries.iter().map(|(name, size)| ((*name).to_owned(), "v".repeat(*size).into())).collect()
    };
    json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u", "env": object(env), "secrets": object(secrets) })
}

#[tokio::test]
async fn a_value_is_taken_up_to_its_limit_and_no_further() {
    let gate = Gate::start(&Upstream::start().await).await;
    assert_eq!(gate.exchange(&exchange_with(&[("A", 16_384)], &[])).await.status(), 200);
    let message = assert_refused(gate.exchange(&exchange_with(&[], &[("A", 16_385)])).await, 400, "INVALID_ENV").await;
    assert_eq!(message, "secrets: the value of \"A\" is longer than 16384 bytes");
}

#[tokio::test]
async fn names_and_values_are_taken_up_to_their_total_and_no_further() {
    let gate = Gate::start(&Upstream::start().await).await;
    let at_the_limit = exchange_with(&[("A", 16_383), ("B", 16_383)], &[("C", 16_383), ("D", 16_383)]);
    assert_eq!(gate.exchange(&at_the_limit).await.status(), 200);
    let over = exchange_with(&[("A", 16_383), ("B", 16_383)], &[("C", 16_383), ("D", 16_384)]);
    let message = assert_refused(gate.exchange(&over).await, 400, "INVALID_ENV").await;
    assert!(message.contains("65536 bytes together"), "{message}");
}

#[tokio::test]
async fn the_limits_on_context_are_the_configured_ones() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream)
        .set("limits.context_entries=2")
        .set("limits.context_name=4")
        .set("limits.context_value=8")
        .set("limits.context_total=12")
        .start()
        .await;
    assert_eq!(gate.exchange(&exchange_with(&[("ABCD", 2)], &[("EFGH", 2)])).await.status(), 200);
    for (over, says) in [
        (exchange_with(&[("A", 0), ("B", 0)], &[("C", 0)]), "at most 2 entries"),
        (exchange_with(&[("ABCDE", 0)], &[]), "4 bytes"),
        (exchange_with(&[("A", 9)], &[]), "8 bytes"),
        (exchange_with(&[("ABCD", 2)], &[("EFGH", 3)]), "12 bytes together"),
    ] {
        let message = assert_refused(gate.exchange(&over).await, 400, "INVALID_ENV").await;
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_in_the_same_envelope() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.exchange_body=1KiB").start().await;
    let padded = |size: usize| {
        let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u", "x": "" }).to_string();
        body.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "x".repeat(size - body.len())))
    };
    let send = async |body: reqwest::Body| {
        let request = gate.private(Method::POST, "/api/v1/auth/token").header("content-type", "application/json");
        request.body(body).send().await.expect("an answer")
    };
    assert_eq!(send(padded(1024).into()).await.status(), 200);
    assert_refused(send(padded(1025).into()).await, 413, "PAYLOAD_TOO_LARGE").await;
    // Without a length, so that only counting can tell.
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(padded(1025))]);
    assert_refused(send(reqwest::Body::wrap_stream(chunks)).await, 413, "PAYLOAD_TOO_LARGE").await;
}

#[tokio::test]
async fn a_lifetime_is_taken_up_to_the_apps_longest_and_no_further() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("token.ttl = \"5m\"\ntoken.max_ttl = \"2h\"").start().await;
    let lifetime = async |token: String| {
        let claims = jwt::claims(&token, SIGNING_KEY);
        claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat")
    };
    assert_eq!(lifetime(gate.token("u").mint().await).await, 300);
    assert_eq!(lifetime(gate.token("u").expires_in("120m").mint().await).await, 7_200);
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u", "expiresIn": "7201s" });
    let message = assert_refused(gate.exchange(&body).await, 400, "INVALID_EXPIRES_IN").await;
    assert_eq!(message, "expiresIn may be at most 7200s for this app");
}

#[tokio::test]
async fn exchanges_over_the_apps_rate_are_429_and_told_when_to_come_back() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("limits.exchange = \"2/h\"").start().await;
    let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" });
    for _ in 0..2 {
        assert_eq!(gate.exchange(&body).await.status(), 200);
    }
    let answer = gate.exchange(&body).await;
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1_700..=1_800).contains(&wait), "{wait}");
    assert_refused(answer, 429, "RATE_LIMITED").await;
}

#[tokio::test]
async fn a_wrong_secret_does_not_use_up_the_apps_rate() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("limits.exchange = \"1/h\"").start().await;
    let wrong = json!({ "appId": APP, "appSecret": "wsec_wrong", "endUserId": "u" });
    for _ in 0..3 {
        assert_refused(gate.exchange(&wrong).await, 401, "INVALID_CREDENTIALS").await;
    }
    assert_eq!(gate.exchange(&json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" })).await.status(), 200);
}

#[tokio::test]
async fn a_rate_per_end_user_counts_each_for_itself() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).app("limits.exchange = \"1/h per end_user\"").start().await;
    let body = |user: &str| json!({ "appId": APP, "appSecret": SECRET, "endUserId": user });
    assert_eq!(gate.exchange(&body("ada")).await.status(), 200);
    assert_eq!(gate.exchange(&body("grace")).await.status(), 200);
    assert_refused(gate.exchange(&body("ada")).await, 429, "RATE_LIMITED").await;
}

#[tokio::test]
async fn a_full_store_is_503_and_hands_out_no_token() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("store.state=memory").set("store.memory=2KiB").start().await;
    let with_context = exchange_with(&[("A", 512)], &[]);
    let mut taken = 0;
    let refused = loop {
        let answer = gate.exchange(&with_context).await;
        if answer.status() != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 4, "2 KiB hold fewer than four contexts of more than 512 bytes");
    };
    assert!(taken > 0);
    let (status, text) = (refused.status(), refused.text().await.expect("a body"));
    assert_eq!(status, 503);
    assert!(text.contains("STORE_UNAVAILABLE") && !text.contains("eyJ"), "{text}");
}

#[tokio::test]
async fn a_full_store_still_hands_out_tokens_without_context() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("store.state=memory").set("store.memory=1").start().await;
    assert_refused(gate.exchange(&exchange_with(&[("A", 1)], &[])).await, 503, "STORE_UNAVAILABLE").await;
    let plain = json_of(gate.exchange(&json!({ "appId": APP, "appSecret": SECRET, "endUserId": "u" })).await).await;
    assert_eq!(plain["success"], true);
}

#[tokio::test]
async fn room_in_the_store_comes_back_when_tokens_have_expired() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("store.state=memory").set("store.memory=1KiB").start().await;
    let mut short = exchange_with(&[("A", 512)], &[]);
    short["expiresIn"] = "1s".into();
    assert_eq!(gate.exchange(&short).await.status(), 200);
    assert_refused(gate.exchange(&short).await, 503, "STORE_UNAVAILABLE").await;
    let room_again = async {
        while gate.exchange(&short).await.status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(crate::support::gate::PATIENCE, room_again).await.expect("room before patience ends");
}

#[tokio::test]
async fn the_longest_token_that_is_handed_out_is_taken() {
    let upstream = Upstream::start().await;
    let origins: Vec<_> = (0..146).map(|index| format!("https://{index:0>4}.shop.example")).collect();
    let origins: Vec<_> = origins.iter().map(String::as_str).collect();
    let app = "[apps.inject.headers]\nX-A = \"{{env.A?}}\"";
    let gate = Gate::builder(&upstream).origins(&origins).app(app).start().await;
    // In JSON a quotation mark is two bytes.
    let token = gate.token(&"\"".repeat(256)).env("A", "1").mint().await;
    assert!(token.len() > 6_000, "{}", token.len());
    let request = gate.public(Method::GET, "/api/v1/tasks").bearer_auth(&token).header("origin", origins[145]);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("listen.body_timeout=100ms").start().await;
    let mut socket = tokio::net::TcpStream::connect(gate.private).await.expect("connected");
    let head = "POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let begun = format!("{head}Content-Length: 100\r\n\r\n{{\"appId\":");
    socket.write_all(begun.as_bytes()).await.expect("written");
    let mut answer = String::new();
    // The rest of the body will never come, so the connection cannot be used again and ends.
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"REQUEST_TIMEOUT\""), "{answer}");
}
