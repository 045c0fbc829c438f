//! What is refused as a whole, and leaves everything as it was.

use reqwest::Method;
use serde_json::json;

use super::{APPLIED, REFUSED, TASKS, hang_up, list, reload, unwatched};
use crate::support::gate::{APP, Gate, json_of};
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::{metric, within};

const CURRENT: &str = "sidegate_config_current";

#[tokio::test]
async fn a_bad_file_leaves_all_as_it_was_and_every_mistake_is_told() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let read_at = metric(&gate, "sidegate_config_read_timestamp_seconds").await;
    // An app less, and two mistakes.
    let bad =
        config.replace("[[apps]]", "[[upstreems]]").replace("[store]", "[listen]\nhead_timeout = \"soon\"\n\n[store]");
    gate.configure(&bad);
    hang_up(&gate, REFUSED).await;
    for mistake in ["listen.head_timeout: must be a duration", "upstreems: unknown key"] {
        let line = gate.wait_for_line(mistake).await;
        assert!(line.contains("the new configuration is refused") && line.contains("sidegate.toml:"), "{line}");
    }
    gate.wait_for_line("everything stays as it was configured before").await;
    assert_eq!(list(&gate, &token).await, 200);
    let answer = gate.ops("/readyz").send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "it serves as before");
    assert_eq!(json_of(answer).await["checks"]["config"], "refused");
    assert_eq!(metric(&gate, CURRENT).await, 0.0);
    assert_eq!(metric(&gate, "sidegate_config_read_timestamp_seconds").await, read_at);
    reload(&gate, &config).await;
    assert_eq!(metric(&gate, CURRENT).await, 1.0);
    assert!(metric(&gate, "sidegate_config_read_timestamp_seconds").await > read_at);
    assert_eq!(json_of(gate.ops("/readyz").send().await.expect("an answer")).await["checks"]["config"], "ok");
}

#[tokio::test]
async fn what_is_bound_at_the_start_cannot_be_changed_and_nothing_beside_it_is() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let keys = [
        ("listen.workers", "[listen]\nworkers = 3\n"),
        ("listen.max_connections", "[listen]\nmax_connections = 3\n"),
        ("listen.tls", "[listen.tls]\ncert = \"cert\"\nkey = \"key\"\n"),
        ("log.format", "[log]\nformat = \"text\"\n"),
    ];
    for (_, table) in &keys {
        gate.configure(&format!("{}\n{table}", config.replace(APP, "other")));
        hang_up(&gate, REFUSED).await;
    }
    let bad = config.replace(APP, "other").replace("[store]", "[store]\nstate = \"memory\"\nmemory = \"1MiB\"");
    gate.configure(&bad);
    hang_up(&gate, REFUSED).await;
    for key in keys.iter().map(|(key, _)| *key).chain(["store.state", "store.memory"]) {
        gate.wait_for_line(&format!("{key}: has changed; it needs a restart")).await;
    }
    assert_eq!(list(&gate, &token).await, 200);
}

#[tokio::test]
async fn a_gate_that_drains_reads_nothing() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let path = format!("{TASKS}/{}/stream", gate.create_task(&token).await);
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    stream.event("status", &json!({}));
    assert!(within(answer.chunk()).await.expect("a chunk").is_some());
    gate.signal("TERM");
    gate.wait_for_line("\"draining\"").await;
    gate.configure(&config.replace(APP, "other"));
    gate.signal("HUP");
    gate.wait_for_line("the gate is draining").await;
    assert_eq!(metric(&gate, APPLIED).await, 0.0);
    stream.end();
    // But for the comment that says so, it ends as it would have.
    while within(answer.chunk()).await.expect("a proper end").is_some() {}
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn signals_that_come_at_once_end_with_the_last_configuration() {
    let upstream = Upstream::start().await;
    let builder = unwatched(Gate::builder(&upstream));
    let (config, gate) = (builder.config(), builder.start().await);
    for round in 0..20 {
        gate.configure(&config.replace("name = \"chat\"", &format!("name = \"chat\"\nheaders.X-Round = \"{round}\"")));
        gate.signal("HUP");
    }
    let token = gate.token("ada").mint().await;
    let last = async {
        loop {
            assert_eq!(list(&gate, &token).await, 200);
            if upstream.take().iter().any(|seen| seen.header("x-round") == "19") {
                return;
            }
        }
    };
    within(last).await;
    assert_eq!(metric(&gate, REFUSED).await, 0.0);
    assert!((1.0..=20.0).contains(&metric(&gate, APPLIED).await));
}
