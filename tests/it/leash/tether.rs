//! What an app's leash bounds: how long a stream lasts, and what one token or session uses.

use http::Method;
use reqwest::StatusCode;
use serde_json::json;

use super::{opened, passes, rest};
use crate::support::admin::BOOTSTRAP;
use crate::support::gate::{APP, Gate, SECRET, assert_refused, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric_becomes, stream_path, within};
use crate::{chat9, chatbotkit, mitigate, orcheo};

async fn gate_with(upstream: &Upstream, leash: &str) -> Gate {
    Gate::builder(upstream).app(&format!("leash = {{ {leash} }}")).start().await
}

fn limited(code: &str, message: &str) -> String {
    format!("event: sidegate.limited\ndata: {{\"code\":\"{code}\",\"message\":\"{message}\"}}\n\n")
}

async fn say(gate: &Gate, token: &str) -> reqwest::Response {
    let request = gate.chat(Method::POST, "/api/v1/tasks", token).json(&json!({ "message": "hi" }));
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_stream_lasts_as_long_as_its_app_says_and_may_be_opened_again() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "stream = \"1s\"").await;
    let token = gate.token("ada").mint().await;
    for _ in 0..2 {
        let (answer, stream) = opened(&upstream, &gate, &token).await;
        let words = limited("STREAM_TIME_USED_UP", "The stream has lasted as long as it may; connect again");
        assert_eq!(rest(answer).await, words);
        within(stream.closed()).await;
    }
    metric_becomes(&gate, "sidegate_streams_ended_total{reason=\"time_used_up\"}", 2.0).await;
}

#[tokio::test]
async fn the_tokens_end_comes_first_if_it_is_sooner() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "stream = \"1h\"").await;
    let token = gate.token("ada").expires_in("1s").mint().await;
    let (answer, _stream) = opened(&upstream, &gate, &token).await;
    assert_eq!(rest(answer).await, super::EXPIRED);
}

#[tokio::test]
async fn a_token_says_so_much_and_another_one_begins_anew() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "messages = 2").await;
    let (token, other) = (gate.token("ada").mint().await, gate.token("ada").env("A", "b").mint().await);
    for _ in 0..2 {
        assert_eq!(say(&gate, &token).await.status(), 200);
    }
    let before = upstream.count();
    assert_refused(say(&gate, &token).await, 403, "MESSAGES_USED_UP").await;
    assert_eq!(upstream.count(), before, "it was forwarded");
    // What is no message is not counted.
    assert_eq!(gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer").status(), 200);
    assert_eq!(say(&gate, &other).await.status(), 200);
}

#[tokio::test]
async fn what_is_refused_before_it_is_sent_uses_nothing_up() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "messages = 1").await;
    let token = gate.token("ada").mint().await;
    for _ in 0..3 {
        let request = gate.chat(Method::POST, "/api/v1/tasks", &token).header("content-type", "text/plain").body("hi");
        assert_eq!(request.send().await.expect("an answer").status(), 415);
    }
    assert_eq!(say(&gate, &token).await.status(), 200);
    assert_refused(say(&gate, &token).await, 403, "MESSAGES_USED_UP").await;
}

#[tokio::test]
async fn a_stream_that_uses_up_the_bytes_ends_and_what_comes_after_is_refused() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "bytes = \"1KiB\"").await;
    let token = gate.token("ada").mint().await;
    let (answer, stream) = opened(&upstream, &gate, &token).await;
    let event = format!("data: {}\n\n", "x".repeat(2_000));
    stream.chunk(event.clone());
    let words = limited("BYTES_USED_UP", "No more answers may be had with this token");
    assert_eq!(rest(answer).await, event + &words);
    within(stream.closed()).await;
    assert_refused(say(&gate, &token).await, 403, "BYTES_USED_UP").await;
    let fresh = gate.token("ada").env("A", "b").mint().await;
    assert_eq!(say(&gate, &fresh).await.status(), 200);
}

#[tokio::test]
async fn answers_that_are_read_count_as_well() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "bytes = \"100\"").await;
    let token = gate.token("ada").mint().await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(say(&gate, &token).await.status());
    }
    assert_eq!(statuses.first(), Some(&StatusCode::OK));
    assert_eq!(statuses.last(), Some(&StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn so_many_streams_run_at_once_under_a_token_and_of_a_user() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "streams_per_token = 1, streams_per_end_user = 2").await;
    let (first, second, third) = (
        gate.token("ada").mint().await,
        gate.token("ada").env("A", "b").mint().await,
        gate.token("ada").env("A", "c").mint().await,
    );
    let eve = gate.token("eve").mint().await;
    let (mut answer, stream) = opened(&upstream, &gate, &first).await;
    let path = stream_path(&gate, &first).await;
    let again = async |token: &str, path: &str| gate.chat(Method::GET, path, token).send().await.expect("an answer");
    let refused = again(&first, &path).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_refused(refused, 429, "TOO_MANY_STREAMS").await;
    // Another token of the same user has a place, a third one has not; another user has.
    let (_other, _of_other) = opened(&upstream, &gate, &second).await;
    assert_refused(again(&third, &path).await, 429, "TOO_MANY_STREAMS").await;
    let (_of_eve, _eves) = opened(&upstream, &gate, &eve).await;
    // What is no stream takes no place.
    assert_eq!(gate.chat(Method::GET, "/api/v1/tasks", &first).send().await.expect("an answer").status(), 200);
    passes(&mut answer, &stream).await;
    stream.end();
    assert_eq!(rest(answer).await, "");
    let (_again, _stream) = opened(&upstream, &gate, &first).await;
}

#[tokio::test]
async fn a_browser_that_leaves_gives_its_place_back() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "streams_per_token = 1").await;
    let token = gate.token("ada").mint().await;
    for _ in 0..3 {
        let (answer, stream) = opened(&upstream, &gate, &token).await;
        drop(answer);
        within(stream.closed()).await;
        metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    }
}

#[tokio::test]
async fn a_token_may_have_a_shorter_leash_than_its_app_gives_but_no_longer_one() {
    let upstream = Upstream::start().await;
    let gate = gate_with(&upstream, "messages = 2, stream = \"1h\"").await;
    for (asked, most) in [(json!({ "messages": 1, "bytes": null }), 1), (json!({ "messages": 9 }), 2)] {
        let token = gate.token("ada").leash(asked).mint().await;
        for _ in 0..most {
            assert_eq!(say(&gate, &token).await.status(), 200);
        }
        assert_refused(say(&gate, &token).await, 403, "MESSAGES_USED_UP").await;
    }
    let token = gate.token("ada").leash(json!({ "stream": "1s", "streamsPerToken": 1 })).mint().await;
    let (answer, _stream) = opened(&upstream, &gate, &token).await;
    let path = stream_path(&gate, &token).await;
    let second = gate.chat(Method::GET, &path, &token).send().await.expect("an answer");
    assert_refused(second, 429, "TOO_MANY_STREAMS").await;
    let words = limited("STREAM_TIME_USED_UP", "The stream has lasted as long as it may; connect again");
    assert_eq!(rest(answer).await, words);
}

#[tokio::test]
async fn a_stream_may_last_longer_than_any_clock_goes() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").leash(json!({ "stream": format!("{}s", u64::MAX) })).mint().await;
    let (mut answer, stream) = opened(&upstream, &gate, &token).await;
    passes(&mut answer, &stream).await;
    stream.end();
    assert_eq!(rest(answer).await, "");
}

#[tokio::test]
async fn an_app_without_a_leash_may_give_a_token_one() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (held, free) = (gate.token("ada").leash(json!({ "messages": 1 })).mint().await, gate.token("ada").mint().await);
    for (token, expected) in [(&held, 200), (&held, 403), (&free, 200), (&free, 200)] {
        assert_eq!(say(&gate, token).await.status(), expected);
    }
}

#[tokio::test]
async fn a_leash_that_cannot_be_held_is_refused_at_the_exchange() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for (leash, rule) in [
        (json!({ "mesages": 1 }), "unknown field `mesages`"),
        (json!({ "messages": 0 }), "a count must be an integer above zero"),
        (json!({ "bytes": "1KiB" }), "a count must be an integer above zero"),
        (json!({ "stream": 60 }), "stream must be an integer above zero and one of s, m, h, d"),
        (json!([]), "must be an object"),
    ] {
        let body = json!({ "appId": APP, "appSecret": SECRET, "endUserId": "ada", "leash": leash });
        let message = assert_refused(gate.exchange(&body).await, 400, "INVALID_REQUEST").await;
        assert!(message.starts_with(&format!("leash: {rule}")), "{message}");
    }
}

#[tokio::test]
async fn a_token_of_orcheos_may_have_one_too() {
    let upstream = Upstream::start().await;
    let gate = orcheo::builder(&upstream).start().await;
    let created = "data: {\"type\":\"thread.created\",\"thread\":{\"id\":\"thr_1\"}}\n\n";
    upstream.always(Behaviour::answer(Reply::new(200, created).header("content-type", "text/event-stream")));
    let asked = json!({ "user": { "id": "ada" }, "workflow_id": orcheo::WORKFLOW, "leash": { "messages": 1 } });
    let made = json_of(orcheo::session(&gate, BOOTSTRAP, &asked).await).await;
    let token = made["client_secret"].as_str().expect("a token");
    let create = orcheo::create();
    let status = async || orcheo::page(&gate, token, &create).send().await.expect("an answer").status();
    assert_eq!((status().await.as_u16(), status().await.as_u16()), (200, 403));
    let bad = json!({ "user": { "id": "ada" }, "workflow_id": orcheo::WORKFLOW, "leash": { "messages": 0 } });
    let said = orcheo::refused(orcheo::session(&gate, BOOTSTRAP, &bad).await, 422).await;
    assert_eq!(said[0]["msg"], "leash: a count must be an integer above zero");
}

#[tokio::test]
async fn it_holds_in_every_dialect() {
    let lines = "leash = { messages = 1 }";
    let (_upstream, gate) = chat9::started_with(&format!("{}\n{lines}", chat9::UNLIMITED)).await;
    let session = chat9::anonymous(&gate).await;
    assert_eq!(chat9::say(&gate, &session, "hi").await.status(), 200);
    assert_eq!(chat9::say(&gate, &session, "hi").await.status(), 403);
    let (_upstream, gate) = mitigate::started_with(&format!("{}\n{lines}", mitigate::open())).await;
    let token = mitigate::known(&gate, "ada").await;
    assert_eq!(mitigate::chat(&gate, &token, &json!({ "prompt": "hi" })).await.status(), 200);
    mitigate::refused(mitigate::chat(&gate, &token, &json!({ "prompt": "hi" })).await, 403, "MESSAGES_USED_UP").await;
    let upstream = Upstream::start().await;
    let gate = chatbotkit::with_lines(&upstream, &format!("{}\n{lines}", chatbotkit::OPEN)).start().await;
    chatbotkit::answers(&upstream, "Hello");
    let widget = chatbotkit::shop(&gate, json!({})).await;
    let session = chatbotkit::opened(&gate, &widget, &json!({})).await;
    for expected in [200, 403] {
        let answer = chatbotkit::say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
        assert_eq!(answer.status(), expected);
    }
    let gate = orcheo::with_lines(&upstream, lines).start().await;
    let created = "data: {\"type\":\"thread.created\",\"thread\":{\"id\":\"thr_1\"}}\n\n";
    upstream.always(Behaviour::answer(Reply::new(200, created).header("content-type", "text/event-stream")));
    let token = orcheo::token(&gate, "ada", orcheo::WORKFLOW).await;
    let create = orcheo::create();
    let status = async || orcheo::page(&gate, &token, &create).send().await.expect("an answer").status();
    assert_eq!((status().await.as_u16(), status().await.as_u16()), (200, 403));
}
