//! Settings of the gate as a whole.

use reqwest::Method;
use serde_json::{Value, json};

use super::{APPLIED, TASKS, list, reload, unwatched};
use crate::support::admin::{self, APPS, BOOTSTRAP, assert_problem, call};
use crate::support::gate::{Gate, SHOP};
use crate::support::upstream::Upstream;
use crate::support::wire::{Wire, head, metric};

#[tokio::test]
async fn the_level_of_log_lines_and_the_access_log() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    list(&gate, &token).await;
    gate.wait_for_line("\"/api/v1/tasks\"").await;
    reload(&gate, &format!("{config}\n[log]\nlevel = \"error\"\naccess = false\n")).await;
    let missing = gate.chat(Method::GET, &format!("{TASKS}/unseen"), &token).send().await.expect("an answer");
    missing.bytes().await.expect("a body");
    reload(&gate, &config).await;
    let third = gate.wait_for_line("\"generation\":2").await;
    assert!(third.contains("the configuration was read anew and is in force"), "{third}");
    list(&gate, &token).await;
    let output = gate.output();
    assert!(!output.contains("\"generation\":1"), "{output}");
    assert!(!output.contains("/api/v1/tasks/{id}"), "{output}");
}

#[tokio::test]
async fn whether_a_proxy_is_trusted_also_on_a_connection_that_it_has_open() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream)).toml("[listen]\ntrusted_proxies = [\"127.0.0.1\"]");
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let mut wire = Wire::connect(gate.public).await;
    let mut told = Vec::new();
    for next in [config.replace("[\"127.0.0.1\"]", "[]"), config.clone(), config.clone()] {
        wire.send(format!("{}X-Forwarded-For: 203.0.113.7\r\n\r\n", head("GET", TASKS, &token))).await;
        assert_eq!(wire.status().await, 200);
        told.push(upstream.take().remove(0).header("x-forwarded-for").to_owned());
        reload(&gate, &next).await;
    }
    assert_eq!(told, ["203.0.113.7, 127.0.0.1", "127.0.0.1", "203.0.113.7, 127.0.0.1"]);
}

#[tokio::test]
async fn the_bootstrap_token() {
    let upstream = Upstream::start().await;
    let builder = unwatched(admin::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let next = BOOTSTRAP.to_uppercase();
    assert_eq!(call(&gate, BOOTSTRAP, Method::GET, APPS, Value::Null).await.status(), 200);
    reload(&gate, &config.replace(BOOTSTRAP, &next)).await;
    assert_problem(call(&gate, BOOTSTRAP, Method::GET, APPS, Value::Null).await, 401, "INVALID_SERVICE_TOKEN").await;
    assert_eq!(call(&gate, &next, Method::GET, APPS, Value::Null).await.status(), 200);
}

#[tokio::test]
async fn a_seal_key_that_comes_first_and_the_one_of_before_both_open() {
    let upstream = Upstream::start().await;
    let app = "[apps.inject.headers]\nX-Secret = \"{{secrets.KEY}}\"";
    let builder = unwatched(Gate::builder(&upstream)).app(app);
    let (config, gate) = (builder.config(), builder.start().await);
    let old = gate.token("ada").secret("KEY", "one").mint().await;
    let key = "c2VhbC1rZXktdGhhdC1jb21lcy1maXJzdC0wMTIzNDU";
    let both = config.replace("seal_keys = [", &format!("seal_keys = [{{ value = \"{key}\" }}, "));
    reload(&gate, &both).await;
    let new = gate.token("ada").secret("KEY", "two").mint().await;
    for (token, secret) in [(&old, "one"), (&new, "two")] {
        assert_eq!(list(&gate, token).await, 200);
        assert_eq!(upstream.take().remove(0).header("x-secret"), secret);
    }
}

#[tokio::test]
async fn sizes_and_what_browsers_are_told() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let say = || gate.chat(Method::POST, TASKS, &token).json(&json!({ "message": "x".repeat(2_000) })).send();
    assert_eq!(say().await.expect("an answer").status(), 200);
    reload(&gate, &format!("{config}\n[limits]\njson_body = \"1KiB\"\n[cors]\nmax_age = \"7s\"\n")).await;
    assert_eq!(say().await.expect("an answer").status(), 413);
    let preflight =
        gate.public(Method::OPTIONS, TASKS).header("origin", SHOP).header("access-control-request-method", "POST");
    assert_eq!(preflight.send().await.expect("an answer").headers()["access-control-max-age"], "7");
    reload(&gate, &config.replace(SHOP, "https://other.example.com")).await;
    assert_eq!(list(&gate, &token).await, 403);
    reload(&gate, &config.replace(&format!("[\"{SHOP}\"]"), "[]")).await;
    gate.wait_for_line("origins is empty").await;
    assert_eq!(metric(&gate, APPLIED).await, 3.0);
}

#[tokio::test]
async fn the_hosts_of_the_private_and_ops_listeners() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let asked = |address| gate.client.get(format!("http://{address}/livez")).header("host", "gate.internal").send();
    assert_eq!(asked(gate.ops).await.expect("an answer").status(), 421);
    assert_eq!(asked(gate.private).await.expect("an answer").status(), 421);
    reload(&gate, &format!("{config}\n[listen]\nhosts = [\"gate.internal\"]\n")).await;
    assert_eq!(asked(gate.ops).await.expect("an answer").status(), 200);
    assert_eq!(asked(gate.private).await.expect("an answer").status(), 404);
}
