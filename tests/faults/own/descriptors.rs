//! No descriptors left: whoever comes waits, whoever is there is served, the log says so once, and all is well when some are
//! given back.

use std::collections::HashSet;
use std::process::Command;

use http::Method;

use crate::support::gate::{Gate, SHOP, assert_refused, program_file};
use crate::support::redis::until;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, stream_path, within};

/// The numbers of its open descriptors.
fn open_descriptors(gate: &Gate) -> HashSet<usize> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).expect("the gate runs").flatten();
    open.map(|entry| entry.file_name().to_string_lossy().parse().expect("a number")).collect()
}

/// How many more the gate may open from now on. The limit is on their numbers, of which the lowest that is free is
/// taken.
fn leave(gate: &Gate, more: usize) {
    let open = open_descriptors(gate);
    let limit = (0..).filter(|number| !open.contains(number)).nth(more).expect("a number");
    let limit = format!("--nofile={limit}:");
    let done = Command::new("prlimit").args(["--pid", &gate.pid().to_string(), &limit]).status();
    assert!(done.expect("prlimit runs").success());
}

#[tokio::test]
async fn whoever_comes_waits_until_some_are_given_back() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    leave(&gate, 8);
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(Wire::connect(gate.public).await);
    }
    gate.wait_for_line("cannot accept").await;
    // The kernel took it; the gate cannot yet.
    let mut waiting = Wire::connect(gate.public).await;
    waiting.send(format!("{}\r\n", head("GET", "/api/v1/tasks", &token))).await;
    // For a while, so that whatever is said again and again has been.
    for n in 0..20 {
        stream.chunk(format!("data: {n}\n\n"));
        let chunk = within(answer.chunk()).await.expect("a chunk").expect("data");
        assert_eq!(chunk, format!("data: {n}\n\n"), "a stream that was there goes on");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // Who operates the gate has a descriptor kept for this, again and again.
    for _ in 0..5 {
        let client = reqwest::Client::new();
        let answer = within(client.get(format!("http://{}/metrics", gate.ops)).send()).await.expect("an answer");
        assert!(within(answer.text()).await.expect("text").contains("sidegate_connections"));
        drop(client);
    }
    let said = gate.output().matches("cannot accept").count();
    assert_eq!(said, 1, "{}", gate.output());
    drop(held);
    let head = waiting.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    // It is over when the next one comes in a second after the last failure.
    until("it is said to be over", async || {
        drop(Wire::connect(gate.public).await);
        gate.output().contains("accepted again")
    })
    .await;
    assert!(gate.ops("/readyz").send().await.expect("an answer").status().is_success());
    drop(answer);
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
}

/// The upstream is well; it is the gate that cannot reach it.
#[tokio::test]
async fn a_request_for_which_no_connection_can_be_opened_says_who_is_to_blame() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).upstream("pool_idle = \"1ms\"").set("listen.workers=1").start().await;
    let token = gate.token("ada").mint().await;
    // A connection to the gate that is there, and none from it to the upstream.
    let ask = || gate.chat(Method::GET, "/api/v1/tasks", &token).send();
    assert_eq!(ask().await.expect("an answer").status(), 200);
    within(upstream.wait_until(|seen| seen.open == 0)).await;
    leave(&gate, 0);
    let answer = within(ask()).await.expect("an answer");
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=proxy_internal_error");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_refused(answer, 503, "OVERLOADED").await;
    gate.wait_for_line("\"upstream_error\":\"proxy_internal_error\"").await;
    leave(&gate, 100);
    until("it passes again", async || ask().await.expect("an answer").status() == 200).await;
}

/// As most systems start it: with a limit of its own that it may raise.
#[tokio::test]
async fn the_limit_is_raised_as_far_as_the_system_allows() {
    let upstream = Upstream::start().await;
    let limited = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.env_clear().args([&*format!("--nofile={limit}"), "--"]).arg(program_file());
        command
    };
    let few = "fewer open descriptors";
    let gate = Gate::builder(&upstream).command(limited("256:4096")).set("listen.max_connections=2048").start().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gate.pid())).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert_eq!(line.split_whitespace().nth(3), Some("4096"), "{line}");
    assert!(!gate.output().contains(few), "{}", gate.output());
    let gate = Gate::builder(&upstream).command(limited("256:4095")).set("listen.max_connections=2048").start().await;
    let line = gate.wait_for_line(few).await;
    assert!(line.contains("\"allowed\":4095") && line.contains("\"needed\":4096"), "{line}");
}
