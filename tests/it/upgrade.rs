//! A new gate takes over from the running one, and nobody notices.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::json;
use tokio::time::Instant;

use crate::chat9;
use crate::leash;
use crate::support::gate::{APP, Builder, Gate, PATIENCE, SECRET, SHOP, json_of, sidegate, started};
use crate::support::load::exchange;
use crate::support::program::program;
use crate::support::raw::{Raw, ask, page};
use crate::support::upstream::{Behaviour, Reply, StreamHandle, Upstream};
use crate::support::wire::{metric_becomes, within};

/// How often the gate is replaced.
const UPGRADES: usize = 10;
/// Streams that are open before the first, and as many more in all after each.
const STREAMS: usize = 200;
const MORE_STREAMS: usize = 20;
/// Answers that each client must get between two upgrades.
const SOME: usize = 5;

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("control.sock");
    (folder, path)
}

fn with_control(upstream: &Upstream, path: &Path) -> Builder {
    Gate::builder(upstream).set(&format!("listen.control={}", path.display())).set("listen.drain_timeout=1h")
}

/// An open event stream, from both ends.
struct Stream {
    answer: Response,
    upstream: StreamHandle,
}

async fn open(upstream: &Upstream, gate: &Gate, token: &str) -> Stream {
    let path = format!("/api/v1/tasks/{}/stream", gate.create_task(token).await);
    let (behaviour, handle) = Behaviour::sse();
    upstream.on(&path, behaviour);
    // Without the harness's limit of time: it would end the stream.
    let asked = reqwest::Client::new().get(format!("http://{}{path}", gate.public)).bearer_auth(token);
    let answer = within(asked.header("origin", SHOP).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    Stream { answer, upstream: handle }
}

impl Stream {
    async fn says(&mut self, word: &str) {
        self.upstream.event("content", &json!({ "delta": word }));
        let mut text = String::new();
        while !text.contains(word) {
            let chunk = within(self.answer.chunk()).await.expect("connected");
            text += &String::from_utf8_lossy(&chunk.expect("no end yet"));
        }
    }

    async fn ends(mut self) {
        self.upstream.end();
        assert!(within(self.answer.chunk()).await.expect("a proper end").is_none());
    }
}

/// Clients that ask without a pause until they are told to stop. Each fails the test at the first answer that
/// does not come, or is not 200.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Vec<Arc<AtomicUsize>>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn new() -> Self {
        Self { stop: Arc::default(), answered: Vec::new(), clients: Vec::new() }
    }

    /// A client that keeps its connection for as long as it may, or takes a new one each time.
    fn client(&mut self, to: std::net::SocketAddr, request: String, keeps: bool) {
        let (stop, answered) = (Arc::clone(&self.stop), Arc::<AtomicUsize>::default());
        self.answered.push(Arc::clone(&answered));
        self.clients.push(tokio::spawn(async move {
            let mut raw = None;
            while !stop.load(Ordering::Relaxed) {
                let mut connection = match raw.take() {
                    Some(connection) => connection,
                    None => Raw::connect(to).await,
                };
                connection.send(&request).await;
                let answer = connection.answer().await;
                assert_eq!(answer.status, 200, "{answer:?}");
                answered.fetch_add(1, Ordering::Relaxed);
                let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                raw = Some(connection).filter(|_| keeps && !closes);
            }
        }));
    }

    /// Waits until each client has had some more answers.
    async fn goes_on(&self) {
        let now = || self.answered.iter().map(|answered| answered.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let before = now();
        let more = async {
            while now().iter().zip(&before).any(|(now, before)| *now < before + SOME) {
                assert!(self.clients.iter().all(|client| !client.is_finished()), "a client has failed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // On a machine with much else to do this takes its time.
        tokio::time::timeout(3 * PATIENCE, more).await.expect("the load goes on");
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            within(client).await.expect("no client fails");
        }
        self.answered.iter().map(|answered| answered.load(Ordering::Relaxed)).sum()
    }
}

fn load(gate: &Gate, token: &str, id: &str) -> Load {
    let mut load = Load::new();
    let get = format!("GET /api/v1/tasks/{id} HTTP/1.1\r\n{}\r\n", page(gate, token));
    let once = get.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    for _ in 0..4 {
        load.client(gate.public, get.clone(), true);
        load.client(gate.public, once.clone(), false);
        load.client(gate.private, exchange(APP, SECRET, "x"), true);
    }
    load
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_upgrades_under_load_fail_no_request_and_end_no_stream() {
    upgrades(STREAMS).await;
}

/// Needs 10,000 file descriptors here and as many in the gate: `cargo test --test it five_thousand -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and 20,000 file descriptors"]
async fn ten_upgrades_with_five_thousand_streams() {
    upgrades(5_000).await;
}

async fn upgrades(open_streams: usize) {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let mut gate = with_control(&upstream, &path).upstream("max_requests = 20000").start().await;
    let token = gate.token("ada").env("VALUE", "kept").mint().await;
    let id = gate.create_task(&token).await;
    let mut streams = Vec::new();
    for _ in 0..open_streams {
        streams.push(open(&upstream, &gate, &token).await);
    }
    let load = load(&gate, &token, &id);
    let mut former = Vec::new();
    for _ in 0..UPGRADES {
        load.goes_on().await;
        let begun = tokio::time::Instant::now();
        let next = gate.successor().await;
        println!("{open_streams} streams: taken over in {} ms", begun.elapsed().as_millis());
        assert_eq!((next.public, next.private, next.ops), (gate.public, gate.private, gate.ops));
        former.push(std::mem::replace(&mut gate, next));
        for _ in 0..MORE_STREAMS / UPGRADES {
            streams.push(open(&upstream, &gate, &token).await);
        }
    }
    load.goes_on().await;
    for stream in &mut streams {
        stream.says("still here").await;
    }
    let answered = load.end().await;
    println!("{open_streams} streams: {answered} requests answered, none failed");
    assert!(answered > UPGRADES * SOME);
    for stream in streams {
        stream.ends().await;
    }
    all_stop(former, gate, &path).await;
}

/// What a program says that ends by itself; the load goes on meanwhile.
async fn output_of(mut command: std::process::Command) -> std::process::Output {
    tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("it runs")
}

/// Those of before have ended well, and so does the last one when it is told to.
async fn all_stop(former: Vec<Gate>, gate: Gate, path: &Path) {
    for old in former {
        old.wait_for_line("\"stopped\"").await;
        assert_eq!(within(old.wait()).await.code(), Some(0));
    }
    assert_eq!(program(&["drain", "--control", &path.display().to_string()]).run().code, 0);
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_gate_that_fails_or_dies_before_it_is_ready_changes_nothing() {
    let (folder, path) = place();
    let upstream = Upstream::start().await;
    let gate = with_control(&upstream, &path).start().await;
    let token = gate.token("ada").mint().await;
    let id = gate.create_task(&token).await;
    let load = load(&gate, &token, &id);
    // It has the sockets, and then finds that its store cannot be opened.
    let broken = folder.path().join("broken.db");
    std::fs::write(&broken, "x".repeat(200)).expect("written");
    let failing = gate.succeeding(&["--set", &format!("store.path={}", broken.display())]);
    let output = output_of(failing).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("it is not an SQLite file"), "{said}");
    gate.wait_for_line("another gate is about to take over").await;
    gate.wait_for_line("the gate that was to take over has left: this one goes on").await;
    load.goes_on().await;
    // It is killed while it waits for a registry that does not answer.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let redis = format!("store.redis.url=redis://{}", silent.local_addr().expect("an address"));
    let of_redis = ["--set", "store.state=redis", "--set", &redis, "--set", "store.redis.connect_timeout=1h"];
    let mut waiting = gate.succeeding(&of_redis);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let _connection = within(silent.accept()).await.expect("it asks Redis");
    // While one is about to take over, another one is refused.
    let refused = output_of(gate.succeeding(&[])).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("the gate refuses: another gate is taking over already"), "{said}");
    waiting.kill().expect("killed");
    waiting.wait().expect("gone");
    let twice = async {
        while gate.output().matches("has left: this one goes on").count() < 2 {
            tokio::task::yield_now().await
        }
    };
    within(twice).await;
    load.goes_on().await;
    let next = gate.successor().await;
    load.goes_on().await;
    load.end().await;
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    let health = program(&["health", "--ops", &next.ops.to_string()]).run();
    assert_eq!((health.code, health.out.as_str()), (0, "ready\n"));
    assert!(path.exists(), "the socket is the new gate's");
}

#[tokio::test]
async fn where_nobody_listens_there_is_nothing_to_take_over() {
    let (_folder, path) = place();
    let control = format!("listen.control={}", path.display());
    let run = program(&["serve", "--upgrade"]).set(&control).run();
    assert_eq!(run.code, 1);
    let expected = format!("sidegate: cannot take over at {}: no gate answers there", path.display());
    assert!(run.err.contains(&expected), "{}", run.err);
    let run = program(&["serve", "--upgrade"]).run();
    assert_eq!(run.code, 2);
    assert_eq!(run.err, "--upgrade needs listen.control, by which the running gate is found\n");
}

#[tokio::test]
async fn a_listener_that_the_new_configuration_has_elsewhere_is_bound_there() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let gate = with_control(&upstream, &path).start().await;
    let next = started(gate.succeeding(&["--set", "listen.ops=127.0.0.2:0"])).await;
    assert_eq!((next.public, next.private), (gate.public, gate.private));
    assert_eq!(next.ops.ip().to_string(), "127.0.0.2");
    assert_eq!(next.ops("/readyz").send().await.expect("an answer").status(), 200);
    assert!(tokio::net::TcpStream::connect(gate.ops).await.is_err(), "nobody has the former one any more");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
}

#[tokio::test]
async fn who_waits_in_the_queue_is_served_by_the_new_gate() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let gate = with_control(&upstream, &path).set("listen.max_connections=1").start().await;
    let token = gate.token("ada").mint().await;
    let (behaviour, stream) = Behaviour::sse();
    // A connection that is kept would hold the one place.
    let (fields, body) = (page(&gate, &token), "{\"message\":\"Hello\"}");
    let request = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n{fields}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let created: serde_json::Value = serde_json::from_str(&ask(&gate, request).await.body).expect("JSON");
    let id = created["data"]["id"].as_str().expect("an id");
    metric_becomes(&gate, "sidegate_connections{listener=\"public\"}", 0.0).await;
    let stream_path = format!("/api/v1/tasks/{id}/stream");
    upstream.on(&stream_path, behaviour);
    // Holds the one place.
    let mut holding = Raw::connect(gate.public).await;
    holding.send(format!("GET {stream_path} HTTP/1.1\r\n{}\r\n", page(&gate, &token))).await;
    upstream.wait_heads(2).await;
    // So many more are taken, to be told that there is no room. These say nothing, and keep those places for five seconds.
    let (begun, mut silent) = (Instant::now(), Vec::new());
    for _ in 0..64 {
        silent.push(Raw::connect(gate.public).await);
    }
    metric_becomes(&gate, "sidegate_connections{listener=\"public\"}", 65.0).await;
    let mut queued = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(gate.public).await;
        raw.send(format!("GET /api/v1/tasks/{id} HTTP/1.1\r\nConnection: close\r\n{}\r\n", page(&gate, &token))).await;
        queued.push(raw);
    }
    let next = started(gate.succeeding(&["--set", "listen.max_connections=100"])).await;
    for mut raw in queued {
        let status = raw.answer().await.status;
        // Where the new gate was late some have been told so after all, by the former one.
        assert!(status == 200 || status == 503 && begun.elapsed() >= Duration::from_secs(5), "{status}");
    }
    stream.end();
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    drop((next, silent));
}

#[tokio::test]
async fn contexts_and_sessions_of_before_are_good_for_the_new_gate() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let app = "[apps.inject.headers]\nX-Tenant = \"{{env.TENANT}}\"";
    let gate = with_control(&upstream, &path).app(app).start().await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let next = gate.successor().await;
    let id = next.create_task(&token).await;
    let got = upstream.take();
    assert_eq!(got.last().expect("a request").header("x-tenant"), "acme");
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    let answer = next.chat(Method::GET, &format!("/api/v1/tasks/{id}"), &token).send().await.expect("an answer");
    assert_eq!(json_of(answer).await["success"], true);
    next.wait_for_line("the gate before this one has ended").await;
    metric_becomes(&next, "sidegate_forwards", 0.0).await;
}

#[tokio::test]
async fn a_session_that_one_gate_closes_ends_its_streams_on_the_other_one() {
    let (_folder, path) = place();
    let upstream = Upstream::start().await;
    let builder = chat9::with_lines(&upstream, chat9::UNLIMITED).set(&format!("listen.control={}", path.display()));
    let gate = builder.set("listen.drain_timeout=1h").start().await;
    let (session, other) = (chat9::anonymous(&gate).await, chat9::anonymous(&gate).await);
    let mut open = Vec::new();
    for session in [&session, &other] {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once("/widget/chat", behaviour);
        open.push(leash::begun(chat9::say(&gate, session, "hi").await, stream).await);
    }
    let next = gate.successor().await;
    for (answer, _) in &mut open {
        let draining = within(answer.chunk()).await.expect("a chunk").expect("not the end");
        assert_eq!(draining, ": sidegate draining\n\n");
    }
    let (mut of_other, others) = open.pop().expect("two");
    let (answer, stream) = open.pop().expect("one");
    let reply = json!({ "text": "bye", "session_id": session, "chat_ended": true });
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(200, &reply)));
    assert_eq!(chat9::say(&next, &session, "bye").await.status(), 200);
    assert_eq!(leash::data_of(&leash::rest(answer).await)["reason"], "SESSION_CLOSED");
    within(stream.closed()).await;
    leash::passes(&mut of_other, &others).await;
    // And the other way round, with the last that the former one does.
    let (behaviour, stream) = Behaviour::sse();
    upstream.once("/widget/chat", behaviour);
    let (answer, stream) = leash::begun(chat9::say(&next, &other, "hi").await, stream).await;
    let last = "data: {\"type\":\"done\",\"chat_ended\":true}\n\n";
    others.chunk(last);
    others.end();
    assert_eq!(leash::rest(of_other).await, last);
    assert_eq!(within(gate.wait()).await.code(), Some(0));
    assert_eq!(leash::data_of(&leash::rest(answer).await)["reason"], "SESSION_CLOSED");
    within(stream.closed()).await;
}

#[tokio::test]
async fn the_gate_starts_its_own_successor_when_told_to() {
    let (folder, path) = place();
    let upstream = Upstream::start().await;
    let name = folder.path().join("sidegate");
    let stands_for = |program: &std::ffi::OsStr| {
        // There is none at first.
        let _ = std::fs::remove_file(&name);
        std::os::unix::fs::symlink(program, &name).expect("linked");
    };
    stands_for(sidegate().get_program());
    let mut command = std::process::Command::new(&name);
    command.env_clear();
    let gate = with_control(&upstream, &path).command(command).start().await;
    let token = gate.token("ada").mint().await;
    let id = gate.create_task(&token).await;
    let load = load(&gate, &token, &id);
    let upgrade = || {
        let control = path.display().to_string();
        tokio::task::spawn_blocking(move || program(&["upgrade", "--control", &control]).run())
    };
    stands_for("/bin/false".as_ref());
    let run = within(upgrade()).await.expect("joined");
    assert_eq!(run.code, 1);
    assert!(run.err.contains("the gate refuses: the new program has ended (exit status: 1)"), "{}", run.err);
    load.goes_on().await;
    stands_for(sidegate().get_program());
    let run = within(upgrade()).await.expect("joined");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let pid = run.out.split([' ', ',']).find_map(|word| word.parse::<u32>().ok()).expect("a process");
    assert_ne!(pid, gate.pid());
    load.goes_on().await;
    let (ops, _directory, former) = (gate.ops, gate.directory(), gate.wait());
    assert_eq!(within(former).await.code(), Some(0));
    load.goes_on().await;
    load.end().await;
    let health = program(&["health", "--ops", &ops.to_string()]).run();
    assert_eq!((health.code, health.out.as_str()), (0, "ready\n"));
    let drained = program(&["drain", "--control", &path.display().to_string()]).run();
    assert_eq!(drained.out, format!("the gate, process {pid}, has ended\n"));
}
