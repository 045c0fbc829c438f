//! The control socket, and `sidegate drain`.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::{Builder, Gate, PATIENCE, sidegate};
use crate::support::program::{Run, program};
use crate::support::upstream::{Behaviour, Upstream};

/// A folder of the test's own, and a path for the socket in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("control.sock");
    (folder, path)
}

fn with_control(upstream: &Upstream, path: &Path) -> Builder {
    Gate::builder(upstream).set(&format!("listen.control={}", path.display())).set("listen.drain_timeout=1h")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

/// `sidegate drain` with these arguments, beside the test.
fn drain(path: &Path, arguments: &[&str]) -> tokio::task::JoinHandle<Run> {
    let path = path.display().to_string();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        program(&[&["drain", "--control", path.as_str()][..], arguments.as_slice()].concat()).run()
    })
}

/// Sends bytes and reads to the end.
fn say(path: &Path, bytes: &[u8]) -> String {
    let mut socket = UnixStream::connect(path).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket.write_all(bytes).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

#[tokio::test]
async fn drain_returns_when_the_gate_has_ended_and_its_socket_is_gone() {
    let (_folder, path) = place();
    let gate = with_control(&Upstream::start().await, &path).start().await;
    let found = std::fs::symlink_metadata(&path).expect("there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    let run = drain(&path, &[]).await.expect("joined");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(run.out, format!("the gate, process {}, has ended\n", gate.pid()));
    assert!(!path.exists());
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn drain_waits_for_what_is_under_way_and_neither_another_nor_the_platforms_signal_hurries_it() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let gate = with_control(&upstream, &path).start().await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let stream_path = format!("/api/v1/tasks/{id}/stream");
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(&stream_path, behaviour);
    let mut answer = gate.chat(Method::GET, &stream_path, &token).send().await.expect("an answer");
    let waiting = drain(&path, &[]);
    gate.wait_for_line("\"draining\"").await;
    let told = drain(&path, &["--no-wait"]).await.expect("joined");
    assert_eq!((told.code, told.out), (0, format!("the gate, process {}, drains\n", gate.pid())));
    let health = program(&["health", "--ops", &gate.ops.to_string()]).run();
    assert_eq!(health.err, "sidegate: not ready: status 503\n");
    gate.signal("TERM");
    stream.event("done", &json!({ "finalResponse": "whole" }));
    let mut text = String::new();
    while !text.contains("whole") {
        text += &String::from_utf8_lossy(&within(answer.chunk()).await.expect("connected").expect("a chunk"));
    }
    assert!(!waiting.is_finished(), "the gate still runs");
    stream.end();
    while within(answer.chunk()).await.expect("a proper end").is_some() {}
    assert_eq!(within(waiting).await.expect("joined").code, 0);
    gate.wait_for_line("\"stopped\"").await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn two_signals_after_drain_end_the_gate_at_once() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let gate = with_control(&upstream, &path).start().await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let stream_path = format!("/api/v1/tasks/{id}/stream");
    let (behaviour, _stream) = Behaviour::sse();
    upstream.on(&stream_path, behaviour);
    let _answer = gate.chat(Method::GET, &stream_path, &token).send().await.expect("an answer");
    assert_eq!(drain(&path, &["--no-wait", "--delay", "0s"]).await.expect("joined").code, 0);
    gate.wait_for_line("\"draining\"").await;
    // Two of one kind could become one on their way.
    gate.signal("TERM");
    gate.signal("INT");
    gate.wait_for_line("\"stopped with requests under way\"").await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn who_waits_learns_of_the_end_of_a_gate_that_is_killed() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let gate = with_control(&upstream, &path).start().await;
    let token = gate.token("user-1").mint().await;
    let id = gate.create_task(&token).await;
    let stream_path = format!("/api/v1/tasks/{id}/stream");
    let (behaviour, _stream) = Behaviour::sse();
    upstream.on(&stream_path, behaviour);
    let _answer = gate.chat(Method::GET, &stream_path, &token).send().await.expect("an answer");
    let waiting = drain(&path, &[]);
    gate.wait_for_line("\"draining\"").await;
    gate.signal("KILL");
    assert_eq!(within(waiting).await.expect("joined").code, 0);
    assert!(path.exists(), "nobody was left to remove it");
    drop(gate);
    let next = with_control(&upstream, &path).start().await;
    assert_eq!(drain(&path, &[]).await.expect("joined").code, 0);
    assert_eq!(within(next.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn the_socket_of_a_living_gate_is_not_taken() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let gate = with_control(&upstream, &path).start().await;
    let before = std::fs::symlink_metadata(&path).expect("there").ino();
    let mut second = program(&["serve"]).set(&format!("listen.control={}", path.display()));
    for listener in ["public", "private", "ops"] {
        second = second.set(&format!("listen.{listener}=127.0.0.1:0"));
    }
    let run = second.set("store.state=memory").run();
    assert_eq!(run.code, 1);
    let expected = format!("sidegate: cannot listen on {} (listen.control): a gate listens there", path.display());
    assert!(run.err.contains(&expected), "{}", run.err);
    assert_eq!(std::fs::symlink_metadata(&path).expect("there").ino(), before);
    assert_eq!(drain(&path, &[]).await.expect("joined").code, 0);
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn what_is_no_command_is_refused_and_changes_nothing() {
    let (_folder, path) = place();
    let gate = with_control(&Upstream::start().await, &path).start().await;
    let long = [b"{\"command\":\"drain\"".as_slice(), &[b' '; 5_000], b"}\n"].concat();
    for bytes in [b"fly\n".as_slice(), b"{\"command\":\"fly\"}\n", b"\xff\xfe\n", b"\n", b"drain\n", &long[..4_096]] {
        let answer: Value = serde_json::from_str(&say(&path, bytes)).expect("one line of JSON");
        assert_eq!(answer["outcome"], "refused", "{answer}");
    }
    for _ in 0..100 {
        let mut silent = UnixStream::connect(&path).expect("connected");
        silent.write_all(b"{\"command\":\"dra").expect("sent");
    }
    let health = program(&["health", "--ops", &gate.ops.to_string()]).run();
    assert_eq!((health.code, health.out.as_str()), (0, "ready\n"));
    assert_eq!(drain(&path, &[]).await.expect("joined").code, 0);
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

/// Only root can become another user; `may_ask` has a unit test that anybody can run.
#[tokio::test]
async fn another_user_is_refused_even_where_the_mode_would_let_it_in() {
    let (folder, path) = place();
    let gate = with_control(&Upstream::start().await, &path).start().await;
    if std::fs::symlink_metadata(&path).expect("there").uid() != 0 {
        return println!("not root: cannot become another user");
    }
    for (path, mode) in [(folder.path(), 0o755), (path.as_path(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }
    let program = folder.path().join("sidegate");
    std::fs::copy(sidegate().get_program(), &program).expect("copied");
    let mut command = std::process::Command::new(&program);
    let output = command.uid(65_534).gid(65_534).arg("drain").arg("--control").arg(&path).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.ends_with("the gate refuses: only root and the gate's own user may ask\n"), "{said}");
    gate.wait_for_line("a process of another user was refused at listen.control").await;
    assert_eq!(gate.ops("/readyz").send().await.expect("an answer").status(), 200);
}

#[test]
fn drain_needs_a_socket_and_somebody_at_it() {
    let run = program(&["drain"]).run();
    assert_eq!(run.code, 2);
    assert_eq!(run.err, "the configuration has no listen.control: set it, or give --control\n");
    let (_folder, path) = place();
    let run = program(&["drain"]).config(&format!("listen.control = {:?}", path.display().to_string())).run();
    assert_eq!(run.code, 1);
    assert!(run.err.contains("no gate answers there: No such file"), "{}", run.err);
}
