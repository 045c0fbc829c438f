//! `sidegate reload` at the control socket, and what the service manager hears of it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::{APPLIED, list, unwatched};
use crate::leash::{REVOKED, opened, passes, rest, revoke};
use crate::support::admin;
use crate::support::gate::{APP, Builder, Gate, PATIENCE, SECRET, SIGNING_KEY, sidegate};
use crate::support::program::{Run, program};
use crate::support::upstream::Upstream;
use crate::support::wire::{metric, within};

/// A folder of the test's own, and a path for the socket in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("control.sock");
    (folder, path)
}

fn with_control(upstream: &Upstream, path: &Path) -> Builder {
    unwatched(Gate::builder(upstream)).set(&format!("listen.control={}", path.display()))
}

/// `sidegate reload`, beside the test.
async fn told(path: &Path) -> Run {
    let path = path.display().to_string();
    let run = tokio::task::spawn_blocking(move || program(&["reload", "--control", path.as_str()]).run());
    within(run).await.expect("joined")
}

#[tokio::test]
async fn it_returns_when_the_new_configuration_is_in_force() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let builder = with_control(&upstream, &path);
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    for generation in 1..=3 {
        let next = if generation % 2 == 1 { config.replace(APP, "other") } else { config.clone() };
        gate.configure(&next);
        let run = told(&path).await;
        let says = format!("the new configuration is in force (generation {generation})\n");
        assert_eq!((run.code, run.out, run.err), (0, says, String::new()));
        assert_eq!(list(&gate, &token).await, if generation % 2 == 1 { 401 } else { 200 });
    }
    assert_eq!(metric(&gate, APPLIED).await, 3.0);
}

#[tokio::test]
async fn every_mistake_is_told_and_all_stays_as_it_was() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let builder = with_control(&upstream, &path);
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let store = "[listen]\nhead_timeout = \"soon\"\n\n[store]";
    gate.configure(&config.replace("[[apps]]", "[[upstreems]]").replace("[store]", store));
    let run = told(&path).await;
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    for says in ["goes on as it was:\n", "listen.head_timeout: must be a duration", "upstreems: unknown key"] {
        assert!(run.err.contains(says), "{}", run.err);
    }
    gate.configure(&format!("{config}\n[listen]\nworkers = 3\nmax_connections = 3\n"));
    let run = told(&path).await;
    for key in ["listen.workers", "listen.max_connections"] {
        assert!(run.err.contains(&format!("\n  {key}: has changed; it needs a restart")), "{}", run.err);
    }
    assert_eq!(list(&gate, &token).await, 200);
    gate.configure(&config);
    assert_eq!(told(&path).await.code, 0);
}

/// More than a line of the socket's answer has room for.
#[tokio::test]
async fn of_very_many_mistakes_as_many_are_told_as_fit() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let builder = with_control(&upstream, &path);
    let (config, gate) = (builder.config(), builder.start().await);
    let wrong: String = (0..2_000).map(|number| format!("unknown_{number} = \"\\\"\"\n")).collect();
    gate.configure(&format!("{wrong}\n{config}"));
    let run = told(&path).await;
    assert_eq!(run.code, 1);
    let told = run.err.lines().filter(|line| line.contains("unknown_")).count();
    let more = run.err.lines().last().and_then(|line| line.strip_prefix("  and ")).expect("more");
    let more: usize = more.strip_suffix(" more: see its log").expect("more").parse().expect("a number");
    assert!(told > 200 && told + more == 2_000, "{told} and {more}");
    assert_eq!(gate.ops("/readyz").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn its_own_socket_needs_a_restart() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let control = format!("[listen]\ncontrol = {:?}\n\n[store]", path.display().to_string());
    let builder = unwatched(Gate::builder(&upstream));
    let config = builder.config().replace("[store]", &control);
    let gate = builder.whole_config(&config).start().await;
    gate.configure(&config.replace("control.sock", "other.sock"));
    let run = told(&path).await;
    assert!(run.err.contains("listen.control: has changed; it needs a restart"), "{}", run.err);
    gate.configure(&config);
    assert_eq!(told(&path).await.code, 0);
}

#[tokio::test]
async fn a_gate_that_drains_refuses() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let gate = with_control(&upstream, &path).set("listen.drain_timeout=1h").start().await;
    let token = gate.token("ada").mint().await;
    let (answer, stream) = opened(&upstream, &gate, &token).await;
    gate.signal("TERM");
    gate.wait_for_line("\"draining\"").await;
    let run = told(&path).await;
    assert_eq!(run.code, 1);
    assert!(run.err.ends_with("the gate refuses: it is draining\n"), "{}", run.err);
    stream.end();
    rest(answer).await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn streams_of_an_app_that_is_gone_end_and_others_go_on() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let builder = with_control(&upstream, &path);
    let config = builder.config();
    let app = config.split("[[apps]]").nth(1).expect("an app").replace(APP, "other");
    let app = app.replace(SIGNING_KEY, &SIGNING_KEY.replace('s', "t"));
    let both = format!("{config}\n[[apps]]{app}");
    let gate = builder.whole_config(&both).start().await;
    let exchange = json!({ "appId": "other", "appSecret": SECRET, "endUserId": "ada" });
    let answer: Value = gate.exchange(&exchange).await.json().await.expect("JSON");
    let other = answer["data"]["token"].as_str().expect("a token").to_owned();
    let (mut stays, of_stays) = opened(&upstream, &gate, &gate.token("ada").mint().await).await;
    let (goes, of_goes) = opened(&upstream, &gate, &other).await;
    // Its upstream has changed as well: what it was admitted by has not.
    gate.configure(&config.replace("name = \"chat\"", "name = \"chat\"\nmax_requests = 7"));
    assert_eq!(told(&path).await.code, 0);
    assert_eq!(rest(goes).await, REVOKED);
    within(of_goes.closed()).await;
    passes(&mut stays, &of_stays).await;
}

/// What is asked of the gate of now goes for streams of a gate before it.
#[tokio::test]
async fn what_is_revoked_after_a_reload_ends_streams_from_before_it() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let builder = unwatched(admin::builder(&upstream));
    let gate = builder.set(&format!("listen.control={}", path.display())).start().await;
    let token = gate.token("ada").mint().await;
    let (answer, stream) = opened(&upstream, &gate, &token).await;
    assert_eq!(told(&path).await.code, 0);
    revoke(&gate, json!({ "token": token })).await;
    assert_eq!(rest(answer).await, REVOKED);
    within(stream.closed()).await;
}

#[tokio::test]
async fn what_a_token_has_used_of_its_leash_is_counted_on_and_a_new_leash_holds_from_then_on() {
    let (upstream, (_folder, path)) = (Upstream::start().await, place());
    let builder = with_control(&upstream, &path).app("leash.messages = 2");
    let (config, gate) = (builder.config(), builder.start().await);
    let token = gate.token("ada").mint().await;
    let say = || async {
        let request = gate.chat(Method::POST, super::TASKS, &token).json(&json!({ "message": "Hello" }));
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(say().await, 200);
    assert_eq!(told(&path).await.code, 0);
    assert_eq!(say().await, 200);
    let refused = say().await;
    assert!(refused >= 400, "{refused}");
    gate.configure(&config.replace("leash.messages = 2", "leash.messages = 3"));
    assert_eq!(told(&path).await.code, 0);
    assert_eq!((say().await, say().await), (200, refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_hears_when_it_begins_and_when_it_is_done() {
    let (upstream, (folder, path)) = (Upstream::start().await, place());
    let name = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&name).expect("bound");
    manager.set_read_timeout(Some(PATIENCE)).expect("set");
    let hears = || {
        let mut bytes = [0; 1_000];
        let read = manager.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..read].to_vec()).expect("text")
    };
    let mut command = sidegate();
    command.env("NOTIFY_SOCKET", &name);
    let builder = with_control(&upstream, &path);
    let (config, gate) = (builder.config(), builder.command(command).start().await);
    assert_eq!(hears(), "READY=1\nSTATUS=Listening");
    for (config, code) in [(config.clone(), 0), (config.replace("[[apps]]", "[[upstreems]]"), 1)] {
        gate.configure(&config);
        assert_eq!(told(&path).await.code, code);
        assert!(hears().starts_with("RELOADING=1\nMONOTONIC_USEC="), "first of all");
        assert_eq!(hears(), "READY=1\nSTATUS=Listening", "whatever came of it");
    }
    gate.signal("HUP");
    assert!(hears().starts_with("RELOADING=1\n"));
    assert_eq!(hears(), "READY=1\nSTATUS=Listening");
    gate.signal("TERM");
    assert_eq!(hears(), "STOPPING=1\nSTATUS=Draining");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}
