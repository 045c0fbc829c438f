//! A wall clock that jumps. How long things take is another clock's business and must not change; what is over by the wall
//! clock is over, and what was revoked or used up stays so when it jumps back.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::support::admin::{BOOTSTRAP, builder, call};
use crate::support::clock::FakeClock;
use crate::support::forge;
use crate::support::gate::{Gate, SHOP, assert_refused, sidegate};
use crate::support::redis::until;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::wire::{stream_path, within};

const TASKS: &str = "/api/v1/tasks";
const DAY: i64 = 24 * 3_600;
/// The gate drops what is over every five seconds; so long is waited for it to have done so.
const SWEPT: Duration = Duration::from_secs(7);

/// A gate whose clock can be set, with these lines in its app's table.
async fn start(upstream: &Upstream, lines: &str) -> (Gate, FakeClock, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = FakeClock::new(folder.path(), 0);
    let mut command = sidegate();
    clock.rule(&mut command);
    let gate = builder(upstream).app(lines).command(command).start().await;
    (gate, clock, folder)
}

async fn list(gate: &Gate, token: &str) -> u16 {
    within(gate.chat(Method::GET, TASKS, token).send()).await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_token_is_over_when_the_clock_says_so_and_good_again_when_it_takes_that_back() {
    let upstream = Upstream::start().await;
    let (gate, clock, _folder) = start(&upstream, "").await;
    let token = gate.token("ada").expires_in("1h").mint().await;
    assert_eq!(list(&gate, &token).await, 200);
    clock.set(DAY);
    assert_eq!(list(&gate, &token).await, 401, "though it was verified before");
    let tomorrows = gate.token("ada").expires_in("1h").mint().await;
    assert_eq!(list(&gate, &tomorrows).await, 200);
    clock.set(0);
    assert_eq!(list(&gate, &token).await, 200, "a wrong clock ends nothing for ever");
    assert_eq!(list(&gate, &tomorrows).await, 401, "it was issued in the future");
}

#[tokio::test]
async fn what_was_revoked_stays_so_when_the_clock_jumps_there_and_back() {
    let upstream = Upstream::start().await;
    let (gate, clock, _folder) = start(&upstream, "").await;
    let token = gate.token("ada").expires_in("1h").mint().await;
    let answer = call(&gate, BOOTSTRAP, Method::POST, "/admin/v1/revocations", json!({ "token": token })).await;
    assert_eq!(answer.status(), 201);
    until("it is revoked", async || list(&gate, &token).await == 401).await;
    clock.set(DAY);
    tokio::time::sleep(SWEPT).await;
    clock.set(0);
    let request = gate.chat(Method::GET, TASKS, &token).send();
    let why = assert_refused(within(request).await.expect("an answer"), 401, "INVALID_TOKEN").await;
    assert!(why.contains("revoked"), "{why}");
}

#[tokio::test]
async fn a_token_for_one_request_is_used_up_when_the_clock_jumps_there_and_back() {
    let upstream = Upstream::start().await;
    let (gate, clock, _folder) = start(&upstream, "token.single_use = true").await;
    let token = gate.token("ada").expires_in("1h").mint().await;
    assert_eq!(list(&gate, &token).await, 200);
    assert_eq!(list(&gate, &token).await, 401);
    clock.set(DAY);
    tokio::time::sleep(SWEPT).await;
    clock.set(0);
    let request = gate.chat(Method::GET, TASKS, &token).send();
    let why = assert_refused(within(request).await.expect("an answer"), 401, "INVALID_TOKEN").await;
    assert!(why.contains("used"), "{why}");
}

#[tokio::test]
async fn a_context_is_still_there_when_the_clock_has_jumped_there_and_back() {
    let upstream = Upstream::start().await;
    let (gate, clock, _folder) = start(&upstream, "inject.headers = { X-A = \"{{env.A}}\" }").await;
    let token = gate.token("ada").env("A", "1").expires_in("1h").mint().await;
    clock.set(DAY);
    tokio::time::sleep(SWEPT).await;
    clock.set(0);
    assert_eq!(list(&gate, &token).await, 200);
}

#[tokio::test]
async fn streams_and_limits_do_not_mind() {
    let upstream = Upstream::start().await;
    let (gate, clock, _folder) = start(&upstream, "limits.chat = \"3/h per end_user\"").await;
    let (ada, bob) = (gate.token("ada").mint().await, gate.token("bob").mint().await);
    let path = stream_path(&gate, &bob).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut answer = gate.chat(Method::GET, &path, &bob).send().await.expect("an answer");
    for _ in 0..3 {
        assert_eq!(list(&gate, &ada).await, 200);
    }
    for ahead in [-DAY, DAY / 100, 0] {
        clock.set(ahead);
        // A token of the gate's time, whatever that is now.
        let now = i64::try_from(forge::now()).expect("a time") + ahead;
        let claims = json!({ "iat": now, "exp": now + 600 });
        assert_eq!(
            list(&gate, &forge::token_with(&claims)).await,
            429,
            "{ahead}: time that has passed gives back, no other"
        );
        stream.chunk("data: x\n\n");
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), "data: x\n\n", "{ahead}");
    }
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
}
