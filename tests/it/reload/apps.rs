//! Apps, their keys and limits.

use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;

use super::{APPLIED, TASKS, hang_up, list, reload, unwatched};
use crate::support::admin::{self, APPS, BOOTSTRAP, call, done};
use crate::support::gate::{APP, Gate, SECRET, SIGNING_KEY, assert_refused, json_of};
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::{Wire, head, http2, no_body, request, within};

/// A configuration with no app.
fn without_app(config: &str) -> String {
    config.split("[[apps]]").next().expect("what stands before").to_owned()
}

#[tokio::test]
async fn an_app_that_is_gone_is_refused_on_connections_that_stay() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream)).set("listen.trusted_proxies=[\"127.0.0.1/32\"]");
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let mut wire = Wire::connect(gate.public).await;
    let mut page = http2(TcpStream::connect(gate.public).await.expect("connected")).await;
    for status in [200, 401, 200] {
        wire.send(format!("{}\r\n", head("GET", TASKS, &token))).await;
        assert_eq!(wire.status().await, status);
        let ask = request(Method::GET, "http", TASKS, &token).body(no_body()).expect("a request");
        let answer = within(page.send_request(ask)).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status);
        let next = if status == 200 { without_app(&config) } else { config.clone() };
        reload(&gate, &next).await;
    }
    assert_eq!(upstream.count(), 4, "what was refused went nowhere");
}

#[tokio::test]
async fn a_new_app_is_served_from_the_next_request_on() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let other = json!({ "appId": "other", "appSecret": SECRET, "endUserId": "ada" });
    assert_refused(gate.exchange(&other).await, 401, "INVALID_CREDENTIALS").await;
    let app = config
        .split("[[apps]]")
        .nth(1)
        .expect("an app")
        .replace(APP, "other")
        .replace(SIGNING_KEY, &SIGNING_KEY.replace('s', "t"));
    reload(&gate, &format!("{config}\n[[apps]]{app}")).await;
    let token = json_of(gate.exchange(&other).await).await["data"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(list(&gate, &token).await, 200);
    assert_eq!(list(&gate, &gate.token("ada").mint().await).await, 200);
}

#[tokio::test]
async fn a_signing_key_is_rotated_with_both_for_a_while() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    std::fs::write(&new, SIGNING_KEY).expect("written");
    let key = format!("key = {{ file = {new:?} }}");
    let builder = unwatched(Gate::builder(&upstream)).token(&key);
    let (config, gate) = (builder.config(), builder.start().await);
    let first = gate.token("ada").mint().await;
    std::fs::write(&old, SIGNING_KEY).expect("written");
    std::fs::write(&new, SIGNING_KEY.to_uppercase()).expect("written");
    reload(&gate, &config.replace(&key, &format!("{key}\ntoken.retired_keys = [{{ file = {old:?} }}]"))).await;
    let second = gate.token("ada").mint().await;
    assert_eq!((list(&gate, &first).await, list(&gate, &second).await), (200, 200));
    reload(&gate, &config).await;
    assert_eq!((list(&gate, &first).await, list(&gate, &second).await), (401, 200));
}

#[tokio::test]
async fn a_limit_goes_on_counting_unless_its_rate_has_changed() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream)).app("limits.chat = \"3/h per end_user\"");
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    for _ in 0..3 {
        assert_eq!(list(&gate, &token).await, 200);
        hang_up(&gate, APPLIED).await;
    }
    assert_eq!(list(&gate, &token).await, 429);
    reload(&gate, &config.replace("3/h", "4/h")).await;
    assert_eq!(list(&gate, &token).await, 200);
}

#[tokio::test]
async fn apps_of_the_registry_are_served_on_and_their_limits_go_on_counting() {
    let upstream = Upstream::start().await;
    let builder = unwatched(admin::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let app = json!({ "id": "kept", "dialect": "sigmic", "upstream": "chat", "limits": { "chat": "2/h" } });
    let secret = done(&gate, Method::POST, APPS, app).await["secret"].as_str().expect("a secret").to_owned();
    let exchange = json!({ "appId": "kept", "appSecret": secret, "endUserId": "ada" });
    let token = json_of(gate.exchange(&exchange).await).await["data"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(list(&gate, &token).await, 200);
    hang_up(&gate, APPLIED).await;
    assert_eq!(list(&gate, &token).await, 200);
    hang_up(&gate, APPLIED).await;
    assert_eq!(list(&gate, &token).await, 429);
    // An app of the configuration stands above it, until it is gone again.
    reload(&gate, &config.replace(APP, "kept")).await;
    assert_eq!(list(&gate, &token).await, 401);
    let ready = json_of(gate.ops("/readyz").send().await.expect("an answer")).await;
    assert_eq!((&ready["checks"]["apps"], &ready["checks"]["apps_unusable"]), (&json!(1), &json!(1)));
    let refused = call(&gate, BOOTSTRAP, Method::POST, &format!("{APPS}/kept/disable"), json!(null)).await;
    assert_eq!(refused.status(), 409, "it comes from the configuration");
    reload(&gate, &config).await;
    assert_eq!(list(&gate, &token).await, 200);
    done(&gate, Method::POST, &format!("{APPS}/kept/disable"), json!(null)).await;
    assert_eq!(list(&gate, &token).await, 401, "changes of the registry are followed");
}

#[tokio::test]
async fn a_stream_under_way_ends_as_it_was_admitted() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let path = format!("{TASKS}/{}/stream", gate.create_task(&token).await);
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    stream.event("status", &json!({ "status": "processing" }));
    assert!(answer.chunk().await.expect("a chunk").is_some());
    reload(&gate, &config.replace("name = \"chat\"", "name = \"chat\"\nmax_requests = 7")).await;
    stream.event("done", &json!({ "finalResponse": "whole" }));
    let chunk = within(answer.chunk()).await.expect("still there").expect("a chunk");
    assert!(String::from_utf8_lossy(&chunk).contains("whole"));
    stream.end();
    assert!(within(answer.chunk()).await.expect("a proper end").is_none());
}
