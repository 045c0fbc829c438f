//! Gates that share a registry: what is done to a widget at one of them, all know within a moment.

use reqwest::Method;
use serde_json::{Value, json};

use super::{OPEN, WIDGETS, answers, api, create_path, json_of, open, opened, page, refused, say, shop, with_lines};
use crate::support::gate::{Gate, PATIENCE, SHOP};
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::upstream::Upstream;

/// Two gates and what they share; the registry is Redis or PostgreSQL.
struct Pair {
    upstream: Upstream,
    one: Gate,
    other: Gate,
    _redis: RedisServer,
    _postgres: Option<PostgresServer>,
}

impl Pair {
    async fn start(postgres: Option<PostgresServer>, lines: &str) -> Self {
        let (upstream, redis) = (Upstream::start().await, RedisServer::start());
        answers(&upstream, "Hello");
        let gate = || {
            let gate = redis.share(with_lines(&upstream, lines)).set("store.redis.timeout=4s");
            match &postgres {
                Some(postgres) => postgres.share(gate).set("store.postgres.timeout=5s"),
                None => gate,
            }
        };
        let (one, other) = (gate().start().await, gate().start().await);
        Self { upstream, one, other, _redis: redis, _postgres: postgres }
    }
}

async fn done(gate: &Gate, widget: &str, what: &str, body: Value) {
    json_of(api(gate, Method::POST, &format!("{WIDGETS}/{widget}/{what}"), body).await).await;
}

/// Waits until sessions of a widget are refused like this at a gate.
async fn until_refused(gate: &Gate, widget: &str, status: u16, (code, failure): (&str, &str)) {
    let refused_so = async {
        loop {
            let answer = open(gate, widget, &json!({})).await;
            if answer.status() != 200 {
                return refused(answer, status, code, failure).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused_so).await.expect("heard of in time");
}

async fn until_allowed(gate: &Gate, widget: &str) -> Value {
    let allowed = async {
        loop {
            let answer = open(gate, widget, &json!({})).await;
            if answer.status() == 200 {
                return json_of(answer).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, allowed).await.expect("heard of in time")
}

/// Each gate has the widget at hand when the other one changes it.
async fn a_life(pair: &Pair) {
    let Pair { one, other, .. } = pair;
    let id = shop(one, json!({})).await;
    let (here, there) = (opened(one, &id, &json!({})).await, opened(other, &id, &json!({})).await);
    for (gate, session) in [(other, &here), (one, &there)] {
        assert_eq!(say(gate, session, "complete", &json!({ "text": "hi" })).await.status(), 200);
    }
    done(one, &id, "update", json!({ "origin": "https://elsewhere.example" })).await;
    until_refused(other, &id, 403, ("NOT_AUTHORIZED", "ORIGIN_NOT_ALLOWED")).await;
    done(other, &id, "update", json!({ "origin": SHOP })).await;
    until_allowed(one, &id).await;
    done(other, &id, "disable", Value::Null).await;
    until_refused(one, &id, 403, ("NOT_AUTHORIZED", "WIDGET_DISABLED")).await;
    done(one, &id, "enable", Value::Null).await;
    let last = until_allowed(other, &id).await;
    done(one, &id, "delete", Value::Null).await;
    until_refused(other, &id, 404, ("NOT_FOUND", "NOT_FOUND")).await;
    let before = pair.upstream.count();
    for gate in [one, other] {
        assert_ne!(say(gate, &last, "complete", &json!({ "text": "hi" })).await.status(), 200);
    }
    assert_eq!(pair.upstream.count(), before);
}

#[tokio::test]
async fn what_one_does_to_a_widget_the_other_knows_over_redis() {
    a_life(&Pair::start(None, OPEN).await).await;
}

#[tokio::test]
async fn what_one_does_to_a_widget_the_other_knows_over_postgresql() {
    a_life(&Pair::start(Some(PostgresServer::start()), OPEN).await).await;
}

/// A file of translations, for a translator that needs no server.
fn translations() -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
    let list = json!({ "lv": { "Shop": "Veikals" } });
    std::fs::write(file.path(), list.to_string()).expect("written");
    file
}

#[tokio::test]
async fn two_gates_that_set_up_one_widget_at_once_leave_one_whole_map() {
    let file = translations();
    let lines = format!("{OPEN}\ntranslator = {{ file = \"{}\" }}", file.path().display());
    let pair = Pair::start(None, &lines).await;
    let id = shop(&pair.one, json!({ "title": "Shop", "language": "lv" })).await;
    for _ in 0..5 {
        tokio::join!(done(&pair.one, &id, "setup", Value::Null), done(&pair.other, &id, "setup", Value::Null));
    }
    for gate in [&pair.one, &pair.other] {
        let whole = async {
            loop {
                let map =
                    page(gate, Method::GET, &format!("{WIDGETS}/{id}/languages")).send().await.expect("an answer");
                let map = json_of(map).await;
                if map["version"] == json!(10) {
                    return map;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let map = tokio::time::timeout(PATIENCE, whole).await.expect("all ten in time");
        assert_eq!(map["languages"]["lv"]["title"], "Veikals", "{map}");
    }
}

#[tokio::test]
async fn a_key_of_idempotency_counts_at_both() {
    let pair = Pair::start(None, OPEN).await;
    let id = shop(&pair.one, json!({})).await;
    let ask = |gate: &Gate| {
        let request = page(gate, Method::POST, &create_path(&id)).json(&json!({}));
        request.header("idempotency-key", "0123456789abcdef0123456789abcdef").send()
    };
    let (first, second) = tokio::join!(ask(&pair.one), ask(&pair.other));
    let (first, second) = (first.expect("an answer"), second.expect("an answer"));
    // Whoever comes while the first one is at it is told so, or waits for its answer: never is there a second session.
    let mut sessions = Vec::new();
    for answer in [first, second] {
        match answer.status().as_u16() {
            200 => sessions.push(json_of(answer).await),
            status => assert_eq!(status, 409),
        }
    }
    let again = json_of(ask(&pair.other).await.expect("an answer")).await;
    assert!(!sessions.is_empty() && sessions.iter().all(|session| *session == again), "{sessions:?} {again}");
}
