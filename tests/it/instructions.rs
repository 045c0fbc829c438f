//! What a request costs in instructions, held to recorded figures: no change slows the path in silence.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use crate::support::callgrind::{Callgrind, asleep};
use crate::support::gate::{APP, Gate, SECRET};
use crate::support::raw::{Raw, page};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{Wire, head, stream_path, within};

/// Figures of the profile `ci`, for each architecture.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/instructions.json");
/// Set by `make instructions`: write the figures down instead of comparing them.
const RECORD: &str = "SIDEGATE_RECORD_INSTRUCTIONS";
/// Room for other compilers and C libraries. On one machine, runs differ by a tenth of a percent or two.
const TOLERANCE_PERCENT: u64 = 10;

/// Where each path's profile is left.
const PROFILES: &str = env!("CARGO_TARGET_TMPDIR");

const WARM_UP: u32 = 100;
const COUNTED: u32 = 400;
/// Of a request's and an answer's JSON.
const BODY_BYTES: usize = 1024;
const JSON: &str = "application/json";

const HEADERS: &str = r#"
[apps.inject.headers]
X-Tenant = "acme"
X-End-User = "{{claims.sub}}"
X-App = "{{app.id}}"

[apps.limits]
exchange = "1000000/s"
chat = "1000000/s per end_user"
"#;
const BODY: &str = r#"
[apps.inject.body]
"/tenant" = "acme"
"/end_user" = "{{claims.sub}}"
"#;

type Figures = BTreeMap<String, u64>;

#[tokio::test]
async fn a_request_takes_as_many_instructions_as_recorded() {
    let measured = measure().await;
    let mut all = recorded();
    let architecture = std::env::consts::ARCH.to_owned();
    #[expect(clippy::disallowed_methods, reason = "a wish of whoever runs the tests, not a setting of the program")]
    if std::env::var_os(RECORD).is_some() {
        all.insert(architecture, measured);
        std::fs::write(RECORDED, format!("{:#}\n", json!(all))).expect("written");
        return;
    }
    let report = moved(&measured, &all.remove(&architecture).unwrap_or_default());
    assert!(
        report.is_empty(),
        "instructions per request (profile ci, built as `make test` does, {architecture}) are not within {TOLERANCE_PERCENT} % of \
        tests/fixtures/instructions.json:\n{report}`callgrind_annotate {PROFILES}/forward.callgrind` shows where they go. \
        If the change is meant, record it with `make instructions`, and say why in the commit."
    );
}

fn recorded() -> BTreeMap<String, Figures> {
    let text = std::fs::read_to_string(RECORDED).expect("figures");
    serde_json::from_str(&text).expect("figures")
}

/// A line for each figure that is not where it was.
fn moved(measured: &Figures, recorded: &Figures) -> String {
    let mut report = String::new();
    for (path, now) in measured {
        let before = recorded.get(path).copied().unwrap_or_default();
        if now.abs_diff(before) * 100 > before * TOLERANCE_PERCENT {
            let _ = writeln!(report, "  {path}: {now} measured, {before} recorded");
        }
    }
    for path in recorded.keys().filter(|path| !measured.contains_key(*path)) {
        let _ = writeln!(report, "  {path}: recorded, but not measured");
    }
    report
}

async fn measure() -> Figures {
    let plain = Lab::start(HEADERS).await;
    let injecting = Lab::start(&[HEADERS, BODY].concat()).await;
    Figures::from([
        plain.forward("forward").await,
        injecting.forward("forward-injected-body").await,
        plain.exchange("exchange").await,
        plain.stream_event("stream-event").await,
    ])
}

/// A gate that counts, with one worker, and its upstream.
struct Lab {
    upstream: Upstream,
    gate: Gate,
    callgrind: Callgrind,
}

impl Lab {
    async fn start(app: &str) -> Self {
        let upstream = Upstream::start().await;
        let callgrind = Callgrind::new();
        let mut builder = Gate::builder(&upstream).app(app).command(callgrind.command());
        // Far off, for a program that runs many times slower.
        for timeout in ["connect_timeout", "first_byte_timeout", "idle_timeout", "pool_idle"] {
            builder = builder.upstream(&format!("{timeout} = \"10m\""));
        }
        for timeout in ["head_timeout", "body_timeout", "write_timeout"] {
            builder = builder.set(&format!("listen.{timeout}=10m"));
        }
        let gate = builder.set("listen.workers=1").set("log.access=false").start().await;
        Self { upstream, gate, callgrind }
    }

    /// The mean of what is done again and again, once all that is done only once is over.
    async fn each(&self, name: &str, mut once: impl AsyncFnMut()) -> (String, u64) {
        for _ in 0..WARM_UP {
            once().await;
        }
        self.callgrind.take(&self.gate).await;
        for _ in 0..COUNTED {
            once().await;
        }
        let counts = self.callgrind.take(&self.gate).await;
        std::fs::write(format!("{PROFILES}/{name}.callgrind"), counts.text).expect("written");
        (name.to_owned(), counts.total / u64::from(COUNTED))
    }

    /// A message to a task, 1 KiB of JSON each way, over one connection.
    async fn forward(&self, name: &str) -> (String, u64) {
        let token = self.gate.token("ada").mint().await;
        let path = format!("/api/v1/tasks/{}/messages", self.gate.create_task(&token).await);
        let request = post(&path, &page(&self.gate, &token), &filled("message"));
        let mut client = Raw::connect(self.gate.public).await;
        self.each(name, async || {
            let (behaviour, answer) = Behaviour::held(Reply::new(200, filled("text")).header("content-type", JSON));
            self.upstream.once(&path, behaviour);
            self.upstream.take();
            let seen = self.upstream.count();
            client.send(&request).await;
            within(self.upstream.wait_for(seen + 1)).await;
            asleep(&self.gate).await;
            answer.release();
            assert_eq!(client.answer().await.status, 200);
            asleep(&self.gate).await;
        })
        .await
    }

    /// A token without context, over one connection.
    async fn exchange(&self, name: &str) -> (String, u64) {
        let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada" }).to_string();
        let request = post("/api/v1/auth/token", &format!("Host: {}\r\n", self.gate.private), &body);
        let mut client = Raw::connect(self.gate.private).await;
        self.each(name, async || {
            client.send(&request).await;
            assert_eq!(client.answer().await.status, 200);
            asleep(&self.gate).await;
        })
        .await
    }

    /// An event of a stream that is open.
    async fn stream_event(&self, name: &str) -> (String, u64) {
        let token = self.gate.token("ada").mint().await;
        let path = stream_path(&self.gate, &token).await;
        let (behaviour, stream) = Behaviour::sse();
        self.upstream.once(&path, behaviour);
        let mut client = Wire::connect(self.gate.public).await;
        client.send(head("GET", &path, &token) + "\r\n").await;
        client.head().await;
        asleep(&self.gate).await;
        self.each(name, async || {
            stream.event("content", &json!({ "text": "a few words of an answer", "isPartial": true }));
            client.until("}\n\n\r\n").await;
            asleep(&self.gate).await;
        })
        .await
    }
}

/// A JSON object of [`BODY_BYTES`].
fn filled(member: &str) -> String {
    let room = BODY_BYTES - json!({ member: "" }).to_string().len();
    json!({ member: "x".repeat(room) }).to_string()
}

fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\n{fields}Content-Type: {JSON}\r\nContent-Length: {length}\r\n\r\n{body}")
}
