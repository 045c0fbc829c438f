//! Visitors whom nobody vouches for cost an attacker something.

use reqwest::Method;
use serde_json::{Value, json};

use super::{SESSION, enter, identity, issued, keys, page, refused, sent, started_with};
use crate::support::gate::Gate;

/// Comes in from an address, as a trusted proxy says.
async fn from(gate: &Gate, address: &str, body: &Value) -> u16 {
    let request = page(gate, Method::POST, SESSION).header("x-forwarded-for", address).json(body);
    sent(request).await.status().as_u16()
}

async fn started(lines: &str) -> (crate::support::upstream::Upstream, Gate) {
    let upstream = crate::support::upstream::Upstream::start().await;
    let lines = format!("{}\nwidget.modes = [\"identified\", \"guest\", \"anonymous\"]\n{lines}", keys());
    let gate = super::with_lines(&upstream, &lines).set("listen.trusted_proxies=[\"127.0.0.1\"]").start().await;
    (upstream, gate)
}

#[tokio::test]
async fn a_network_is_counted_as_one() {
    let (_upstream, gate) = started("limits = { exchange = [], guest = \"3/h per network\" }").await;
    for address in ["192.0.2.1", "192.0.2.77", "192.0.2.254"] {
        assert_eq!(from(&gate, address, &json!({})).await, 200, "{address}");
    }
    assert_eq!(from(&gate, "192.0.2.9", &json!({})).await, 429);
    assert_eq!(from(&gate, "192.0.2.9", &super::guest()).await, 429, "guests are counted with them");
    assert_eq!(from(&gate, "192.0.3.1", &json!({})).await, 200, "another /24");
    for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::", "2001:db8:1:2:3:4:5:6"] {
        assert_eq!(from(&gate, address, &json!({})).await, 200, "{address}");
    }
    assert_eq!(from(&gate, "2001:db8:1:2::9", &json!({})).await, 429);
    assert_eq!(from(&gate, "2001:db8:1:3::1", &json!({})).await, 200, "another /64");
    // Who is vouched for is not counted there.
    assert_eq!(from(&gate, "192.0.2.9", &json!({ "token": identity("ada") })).await, 200);
}

#[tokio::test]
async fn without_a_word_there_are_limits() {
    let (_upstream, gate) = started("").await;
    let mut let_in = 0;
    while from(&gate, &format!("192.0.2.{}", let_in + 1), &json!({})).await == 200 {
        let_in += 1;
        assert!(let_in < 100, "no limit");
    }
    assert!((20..=22).contains(&let_in), "{let_in}");
    let (_upstream, gate) = started_with(&keys()).await;
    let mut let_in = 0;
    loop {
        let answer = enter(&gate, &json!({ "token": "x" })).await;
        if answer.status() == 429 {
            assert!(answer.headers().contains_key("retry-after"));
            refused(answer, 429, "RATE_LIMITED").await;
            break;
        }
        let_in += 1;
        assert!(let_in < 200, "no limit");
    }
    assert!((60..=63).contains(&let_in), "{let_in}");
    let answer = sent(page(&gate, Method::GET, super::CONFIG)).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_chat_is_counted_by_its_visitor() {
    let lines = "widget.modes = [\"anonymous\"]\nlimits = { chat = \"2/h per end_user\" }";
    let (_upstream, gate) = started_with(lines).await;
    for _ in 0..2 {
        let token = super::text(&issued(enter(&gate, &json!({})).await).await["token"]);
        for expected in [200, 200, 429] {
            assert_eq!(super::chat(&gate, &token, &json!({ "prompt": "hi" })).await.status(), expected);
        }
        // Another token is no way round it.
        let again = page(&gate, Method::POST, super::REFRESH).bearer_auth(&token);
        refused(sent(again).await, 429, "RATE_LIMITED").await;
    }
}
