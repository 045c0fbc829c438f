//! A gate under attack, and what must be true of it afterwards, whatever was done to it.

use std::cell::Cell;
use std::future::Future;

use reqwest::Client;

use crate::support::gate::{Builder, Gate, PATIENCE};
use crate::support::raw::{Raw, RawAnswer, page};
use crate::support::upstream::Upstream;
use crate::support::wire::metric_becomes;

/// Memory in KiB by which a third round may exceed those before it: the allocator takes it from the kernel in pieces of
/// 4 MiB, for each thread, and gives it back when it has the time. Each round repeats each row, up to [`TIMES`] times, so that a leak adds up.
const SLACK: u64 = 12 * 1024;

/// How often a round repeats a row that is a request or a few.
pub const TIMES: usize = 20;

/// Open connections of browsers.
pub const PUBLIC: &str = "sidegate_connections{listener=\"public\"}";

/// A gate, its upstream, and a token that is good there.
pub struct Siege {
    pub upstream: Upstream,
    pub gate: Gate,
    pub token: String,
    /// Requests that the upstream may have seen so far: heads, and whole ones.
    expected: Cell<(usize, usize)>,
}

impl Siege {
    /// A gate with one app, all else as it comes.
    pub async fn lay() -> Self {
        Self::with(|builder| builder).await
    }

    /// A gate that is built so; its log says only that it listens and what went wrong. What an attack makes of the upstream, or
    /// a busy machine of the gate, must not keep an honest page out: circuit and lag have tests of their own.
    pub async fn with(build: impl FnOnce(Builder) -> Builder) -> Self {
        let upstream = Upstream::start().await;
        let builder = Gate::builder(&upstream).upstream("circuit.failures = 0");
        let mut gate = build(builder.set("log.access=false")).start().await;
        // Its connections are counted, and gone when a request is over.
        gate.client = Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build().expect("a client");
        let token = gate.token("ada").mint().await;
        Self { upstream, gate, token, expected: Cell::default() }
    }

    /// The same, whose honest page has another token.
    pub fn showing(mut self, token: String) -> Self {
        self.token = token;
        self
    }

    /// Three rounds of an attack; after each, the gate is well, and the third took no more memory than those before.
    pub async fn rounds(&self, mut attack: impl AsyncFnMut()) {
        let mut sizes = [0; 3];
        for size in &mut sizes {
            attack().await;
            self.is_well().await;
            *size = self.resident();
        }
        println!("resident after each round: {sizes:?} KiB");
        assert_flat(sizes);
    }

    /// The upstream may see so many requests of what follows.
    pub fn expect(&self, requests: usize) {
        let (heads, recorded) = self.expected.get();
        self.expected.set((heads + requests, recorded + requests));
    }

    /// What the upstream has seen by now, a test has looked at.
    pub async fn forget(&self) {
        self.is_idle().await;
        self.upstream.take();
        let progress = self.upstream.progress();
        self.expected.set((progress.heads, progress.recorded));
    }

    /// Everybody has left; the gate lives, is ready, serves a page, and its upstream saw nothing but what it should.
    pub async fn is_well(&self) {
        self.is_idle().await;
        for path in ["/livez", "/readyz"] {
            assert_eq!(self.gate.ops(path).send().await.expect("an answer").status(), 200, "{path}");
        }
        self.expect(1);
        let served = within_one(&self.gate, self.get("/api/v1/tasks", "Connection: close\r\n")).await;
        assert_eq!(served.map(|answer| answer.status), Some(200), "an honest page");
        self.is_idle().await;
        let seen: Vec<_> = self.upstream.take().iter().map(|seen| format!("{} {}", seen.method, seen.uri)).collect();
        let progress = self.upstream.progress();
        assert_eq!((progress.heads, progress.recorded), self.expected.get(), "what reached the upstream: {seen:?}");
        let output = self.gate.output();
        assert!(!output.contains("panicked"), "{output}");
    }

    /// Until nobody is connected and nothing is under way.
    pub async fn is_idle(&self) {
        metric_becomes(&self.gate, PUBLIC, 0.0).await;
        metric_becomes(&self.gate, "sidegate_forwards", 0.0).await;
    }

    /// A page's request for a path, with these fields added.
    pub fn get(&self, path: &str, fields: &str) -> String {
        format!("GET {path} HTTP/1.1\r\n{}{fields}\r\n", page(&self.gate, &self.token))
    }

    /// The same with a body of this type.
    pub fn post(&self, path: &str, kind: &str, body: &str) -> String {
        let (page, length) = (page(&self.gate, &self.token), body.len());
        format!("POST {path} HTTP/1.1\r\n{page}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    /// The program's memory in KiB.
    pub fn resident(&self) -> u64 {
        resident(&self.gate)
    }
}

/// What a gate has taken after each of three rounds, in KiB: what stays of each adds up.
pub fn assert_flat([first, second, third]: [u64; 3]) {
    assert!(third <= first.max(second) + SLACK, "the third round cost memory: {first}, {second}, {third} KiB");
}

/// A program's memory in KiB.
pub fn resident(gate: &Gate) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", gate.pid())).expect("it runs");
    let pages: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a count of pages");
    pages * page_kib()
}

/// KiB of a page.
fn page_kib() -> u64 {
    let size = std::process::Command::new("getconf").arg("PAGESIZE").output().expect("getconf runs").stdout;
    let size: u64 = String::from_utf8_lossy(&size).trim().parse().expect("a size");
    size / 1024
}

/// What a connection of its own gets for these bytes.
pub async fn within_one(gate: &Gate, bytes: impl AsRef<[u8]>) -> Option<RawAnswer> {
    let mut raw = Raw::connect(gate.public).await;
    raw.send(bytes).await;
    raw.answer_or_end().await
}

/// What went wrong with rows, all of them at once.
#[derive(Default)]
pub struct Faults(Vec<String>);

impl Faults {
    pub fn check(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            let fault = fault();
            println!("{fault}");
            self.0.push(fault);
        }
    }

    pub fn none(self) {
        assert!(self.0.is_empty(), "{} of the attacks:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// Runs a future to its end, without the clients' patience in between.
pub async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(futures).await
}
