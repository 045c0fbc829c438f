//! Whether a visitor is a program, asked of a server in Turnstile's words.

use serde_json::{Value, json};

use super::{enter, identity, issued, keys, refused, with_lines};
use crate::support::gate::Gate;
use crate::support::upstream::{Behaviour, Reply, Upstream};

const VERIFY: &str = "/turnstile/v0/siteverify";
const SECRET: &str = "canary-turnstile-secret";

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let lines = format!(
        "{}\nwidget.modes = [\"identified\", \"guest\", \"anonymous\"]\n\
         challenge = {{ upstream = \"turnstile\", secret = {{ value = \"{SECRET}\" }} }}\n\
         limits = {{ exchange = [], guest = [] }}",
        keys()
    );
    let other =
        format!("[[upstreams]]\nname = \"turnstile\"\nurl = \"{}\"\nfirst_byte_timeout = \"500ms\"", upstream.url());
    let gate = with_lines(&upstream, &lines).toml(&other).start().await;
    (upstream, gate)
}

fn says(upstream: &Upstream, answer: &Value) {
    upstream.once(VERIFY, Behaviour::answer(Reply::json(200, answer)));
}

#[tokio::test]
async fn who_solves_it_comes_in_and_who_does_not_stays_out() {
    let (upstream, gate) = started().await;
    says(&upstream, &json!({ "success": true, "hostname": "shop.example.com" }));
    assert_eq!(issued(enter(&gate, &json!({ "proof": "solved" })).await).await["mode"], "anonymous");
    let asked = upstream.take().pop().expect("a question");
    assert_eq!(asked.json(), json!({ "secret": SECRET, "response": "solved", "remoteip": "127.0.0.1" }));
    assert_eq!((asked.header("content-type"), asked.header("origin")), ("application/json", ""));
    says(&upstream, &json!({ "success": false, "error-codes": ["timeout-or-duplicate"] }));
    let mut guest = super::guest();
    guest["proof"] = "used".into();
    refused(enter(&gate, &guest).await, 403, "CHALLENGE_FAILED").await;
    upstream.take();
    for nothing in [json!({}), json!({ "proof": "" }), super::guest()] {
        refused(enter(&gate, &nothing).await, 403, "CHALLENGE_FAILED").await;
    }
    // Who is vouched for is asked for nothing.
    assert_eq!(issued(enter(&gate, &json!({ "token": identity("ada") })).await).await["mode"], "identified");
    assert_eq!(upstream.take().len(), 0);
    assert!(!gate.output().contains("canary"));
}

#[tokio::test]
async fn nobody_comes_in_while_it_cannot_be_asked() {
    let (upstream, gate) = started().await;
    for answer in [
        Behaviour::answer(Reply::json(500, &json!({ "success": true }))),
        Behaviour::answer(Reply::json(200, &json!({ "success": "true" }))),
        Behaviour::answer(Reply::json(200, &json!({ "success": true, "x": "x".repeat(20_000) }))),
    ] {
        upstream.once(VERIFY, answer);
        refused(enter(&gate, &json!({ "proof": "solved" })).await, 502, "CHALLENGE_UNAVAILABLE").await;
    }
}
