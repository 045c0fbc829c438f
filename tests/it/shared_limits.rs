//! Limits that replicas on one Redis count together.

use futures_util::future::join_all;
use reqwest::Method;

use crate::support::gate::{Gate, assert_refused};
use crate::support::redis::RedisServer;
use crate::support::upstream::Upstream;

async fn replicas(server: &RedisServer, upstream: &Upstream, app: &str) -> Vec<Gate> {
    let replica = || server.share(Gate::builder(upstream)).set("store.redis.timeout=10s").app(app).start();
    join_all((0..3).map(|_| replica())).await
}

async fn ask(gate: &Gate, token: &str) -> u16 {
    gate.chat(Method::GET, "/api/v1/tasks", token).send().await.expect("an answer").status().as_u16()
}

fn count(statuses: &[u16], wanted: u16) -> usize {
    statuses.iter().filter(|status| **status == wanted).count()
}

#[tokio::test]
async fn a_limit_holds_for_all_replicas_together() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gates = replicas(&server, &upstream, "limits.chat = \"100/h per end_user\"").await;
    let (ada, grace) = (gates[0].token("ada").mint().await, gates[1].token("grace").mint().await);
    let statuses = join_all((0..300).map(|index| ask(&gates[index % 3], &ada))).await;
    assert_eq!((count(&statuses, 200), count(&statuses, 429)), (100, 200));
    assert_eq!(upstream.count(), 100);
    for gate in &gates {
        assert_eq!(ask(gate, &grace).await, 200, "another end user");
    }
    let refused = gates[2].chat(Method::GET, "/api/v1/tasks", &ada).send().await.expect("an answer");
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=36).contains(&wait), "{wait}");
    assert_refused(refused, 429, "RATE_LIMITED").await;
}

#[tokio::test]
async fn exchanges_and_addresses_are_counted_together() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let app = "limits.exchange = \"4/h\"\nlimits.chat = \"2/h per address\"";
    let gates = replicas(&server, &upstream, app).await;
    let mut tokens = Vec::new();
    for gate in gates.iter().chain(&gates[..1]) {
        tokens.push(gate.token("ada").mint().await);
    }
    let fifth = serde_json::json!({
        "appId": crate::support::gate::APP, "appSecret": crate::support::gate::SECRET, "endUserId": "ada",
    });
    assert_refused(gates[1].exchange(&fifth).await, 429, "RATE_LIMITED").await;
    let mut statuses = Vec::new();
    for gate in &gates {
        statuses.push(ask(gate, &tokens[0]).await);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn several_rates_hold_for_all_replicas_together() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let app = "limits.chat = [\"10/h per end_user\", \"25/h\"]";
    let gates = replicas(&server, &upstream, app).await;
    let mut passed = Vec::new();
    for user in ["ada", "grace", "edsger"] {
        let token = gates[0].token(user).mint().await;
        let statuses = join_all((0..30).map(|index| ask(&gates[index % 3], &token))).await;
        passed.push((count(&statuses, 200), count(&statuses, 429)));
    }
    assert_eq!(passed, [(10, 20), (10, 20), (5, 25)]);
}

#[tokio::test]
async fn counters_outlive_a_replica() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    let start = || server.share(Gate::builder(&upstream)).app("limits.chat = \"1/h per end_user\"").start();
    let gate = start().await;
    let token = gate.token("ada").mint().await;
    assert_eq!(ask(&gate, &token).await, 200);
    drop(gate);
    assert_eq!(ask(&start().await, &token).await, 429);
}

/// One and the same client is who two rates count: each has a counter of its own all the same.
#[tokio::test]
async fn rates_that_count_the_same_client_do_not_share_a_counter() {
    let (server, upstream) = (RedisServer::start(), Upstream::start().await);
    for (rates, most) in [
        ("[\"2/h per address\", \"100/h per network\"]", 2),
        ("[\"100/h per address\", \"2/h per network\"]", 2),
        // Its tokens have no id, so that a session is all that an end user does.
        ("[\"3/h per session\", \"100/h per end_user\"]", 3),
        ("[\"100/m per session\", \"4/h per end_user\", \"90/m\"]", 4),
    ] {
        for shared in [false, true] {
            let gate = Gate::builder(&upstream).app(&format!("limits.chat = {rates}"));
            let gate = if shared { server.share(gate) } else { gate };
            let gate = gate.set("listen.trusted_proxies=[\"127.0.0.1/32\"]").start().await;
            let token = gate.token("ada").mint().await;
            let mut statuses = Vec::new();
            for _ in 0..6 {
                let request = gate.chat(Method::GET, "/api/v1/tasks", &token);
                let request = request.header("x-forwarded-for", "2001:db8::1");
                statuses.push(request.send().await.expect("an answer").status().as_u16());
            }
            assert_eq!((count(&statuses, 200), count(&statuses, 429)), (most, 6 - most), "{rates}, shared: {shared}");
            server.command::<String>(&["FLUSHALL"]).await;
        }
    }
}
