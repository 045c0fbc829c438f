//! What clients need who keep asking while a store comes and goes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::lane::is_used;
use super::raw::{Raw, RawAnswer};
use super::redis::until;

/// Requests of each kind, at each gate, that must pass before each kill, and fail before each restart.
pub const SOME: usize = 20;
/// Two calls of the store at most, of a few seconds each; the rest is for a machine that has much to do.
const BEARABLE: Duration = Duration::from_secs(30);

/// Answers that came so far: those that passed, and those without a store.
#[derive(Default)]
pub struct Seen {
    passed: AtomicUsize,
    failed: AtomicUsize,
}

impl Seen {
    pub fn count(&self, answer: &RawAnswer) {
        match answer.status {
            200 => &self.passed,
            503 if answer.body.contains("\"STORE_UNAVAILABLE\"") => &self.failed,
            _ => panic!("{answer:?}"),
        }
        .fetch_add(1, Ordering::SeqCst);
    }

    /// How many passed, and how many failed.
    pub fn both(&self) -> (usize, usize) {
        (self.passed.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst))
    }
}

/// Waits until each gate has seen some more of both, by what `which` picks.
pub async fn some_more(what: &str, which: impl Fn((usize, usize)) -> usize, kinds: &[&Vec<Seen>]) {
    let now = || kinds.iter().flat_map(|kind| kind.iter()).map(|seen| which(seen.both())).collect::<Vec<_>>();
    let before = now();
    until(what, async || now().iter().zip(&before).all(|(now, before)| *now >= before + SOME)).await;
}

/// How many gates admitted a single-use token: one at most, and the others refused it for a reason.
pub fn admitted(index: usize, answers: &[Option<RawAnswer>]) -> usize {
    let answers: Vec<&RawAnswer> = answers.iter().map(|answer| answer.as_ref().expect("an answer")).collect();
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 503 || is_used(answer)).count();
    assert!(admitted <= 1 && admitted + refused == answers.len(), "token {index}: {answers:?}");
    admitted
}

pub async fn within<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(BEARABLE, answer).await.expect("an answer in a bearable time")
}

pub async fn ask(raw: &mut Raw, request: &str) -> RawAnswer {
    raw.send(request).await;
    within(raw.answer()).await
}

/// An exchange for ada with a context, in one piece.
pub fn exchange(app: &str, secret: &str, value: &str) -> String {
    let body = json!({ "appId": app, "appSecret": secret, "endUserId": "ada", "env": { "VALUE": value } });
    let body = body.to_string();
    format!(
        "POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
