//! A chat that has ended is closed here, too, before anybody is told.

use http::Request;
use http_body_util::{BodyExt as _, Full};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;

use super::{UNLIMITED, anonymous, identified, of, opened, page, refused, say, sent, started, token, with_lines};
use crate::leash;
use crate::support::gate::{SHOP, json_of};
use crate::support::redis::{RedisServer, until};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{http2, within};

#[tokio::test]
async fn a_reply_that_ends_the_chat_closes_the_session() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let reply = json!({ "text": "bye", "session_id": session, "chat_ended": true, "ticket_number": "T-1" });
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(200, &reply)));
    assert_eq!(json_of(say(&gate, &session, "bye").await).await, reply, "it passes unchanged");
    refused(say(&gate, &session, "still there?").await, 409, "session_closed").await;
    let answer = sent(page(&gate, Method::POST, &of("escalate", &session)).json(&json!({}))).await;
    refused(answer, 409, "session_closed").await;
    // What was said can still be read.
    assert_eq!(sent(page(&gate, Method::GET, &of("history", &session))).await.status(), 200);
    let (again, _) = opened(&gate, &json!({ "bot_id": super::BOT })).await;
    assert_ne!(again, session);
}

#[tokio::test]
async fn the_history_of_a_closed_session_is_whole_however_it_comes() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let reply = json!({ "text": "bye", "session_id": session, "chat_ended": true });
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(200, &reply)));
    say(&gate, &session, "bye").await;
    let (behaviour, stream) = Behaviour::stream(Reply::new(200, "").header("content-type", "application/json"));
    upstream.once("/widget/history", behaviour);
    let mut answer = within(sent(page(&gate, Method::GET, &of("history", &session)))).await;
    stream.chunk("{\"messages\":");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), "{\"messages\":");
    // Another session is closed meanwhile: when a stream of it has ended, all streams were asked for.
    let other = anonymous(&gate).await;
    let (behaviour, of_other) = Behaviour::sse();
    upstream.once("/widget/chat", behaviour);
    let (open, _of_other) = leash::begun(say(&gate, &other, "hi").await, of_other).await;
    let reply = json!({ "text": "bye", "session_id": other, "chat_ended": true });
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(200, &reply)));
    say(&gate, &other, "bye").await;
    assert_eq!(leash::data_of(&leash::rest(open).await)["reason"], "SESSION_CLOSED");
    stream.chunk("[]}");
    stream.end();
    assert_eq!(within(answer.text()).await.expect("it is whole"), "[]}");
}

#[tokio::test]
async fn a_frame_that_ends_the_chat_arrives_when_the_session_is_closed() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once("/widget/chat", behaviour);
    let mut answer = within(say(&gate, &session, "bye")).await;
    let (first, second) = ("data: {\"type\":\"done\",\"chat_en", "ded\":true}\n\ndata: more\n\n");
    stream.chunk(first);
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), first);
    stream.chunk(second);
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), second);
    // The stream is still open, and the session closed.
    refused(say(&gate, &session, "still there?").await, 409, "session_closed").await;
    stream.chunk("data: last\n\n");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), "data: last\n\n");
    stream.end();
    assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
}

#[tokio::test]
async fn text_that_looks_like_an_end_is_none() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let events = concat!(
        "data: {\"type\":\"chunk\",\"text\":\"\\\"chat_ended\\\":true\"}\n\n",
        ": {\"chat_ended\":true}\n\n",
        "data: {\"type\":\"done\",\"text\":\"x\",\"chat_ended\":false}\n\n",
        "event: {\"chat_ended\":true}\ndata: x\n\n",
    );
    let reply = Reply::new(200, events).header("content-type", "text/event-stream");
    upstream.once("/widget/chat", Behaviour::answer(reply));
    assert_eq!(say(&gate, &session, "hi").await.text().await.expect("text"), events);
    assert_eq!(say(&gate, &session, "hi").await.status(), 200);
}

#[tokio::test]
async fn a_history_that_has_ended_closes_the_session() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let reply = json!({ "session_id": session, "messages": [], "chat_ended": true, "ticket_number": "T-1" });
    upstream.once("/widget/history", Behaviour::answer(Reply::json(200, &reply)));
    assert_eq!(sent(page(&gate, Method::GET, &of("history", &session))).await.status(), 200);
    refused(say(&gate, &session, "hi").await, 409, "session_closed").await;
}

/// Else the visitor would be given the same lost session again and again.
#[tokio::test]
async fn a_session_that_the_upstream_has_lost_is_not_resumed() {
    let (upstream, gate) = started().await;
    let vouched = token(&gate, &json!({ "user_id": "ada" })).await;
    let session = identified(&gate, &vouched).await;
    let lost = json!({ "detail": { "code": "session_not_found", "message": "Session not found" } });
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(409, &lost)));
    let answer = say(&gate, &session, "hi").await;
    assert_eq!((answer.status().as_u16(), json_of(answer).await), (409, lost));
    refused(say(&gate, &session, "hi").await, 409, "session_closed").await;
    assert_ne!(identified(&gate, &vouched).await, session);
    // A refusal of something else ends nothing.
    let open = identified(&gate, &vouched).await;
    let busy = json!({ "detail": { "code": "message_required", "message": "x" } });
    upstream.once("/widget/chat", Behaviour::answer(Reply::json(422, &busy)));
    assert_eq!(say(&gate, &open, "hi").await.status(), 422);
    assert_eq!(say(&gate, &open, "hi").await.status(), 200);
}

#[tokio::test]
async fn over_http2_the_last_frame_waits_for_the_session_too() {
    let upstream = Upstream::start().await;
    let gate = with_lines(&upstream, UNLIMITED).set("listen.trusted_proxies=[\"127.0.0.1/32\"]").start().await;
    let session = anonymous(&gate).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once("/widget/chat", behaviour);
    let mut page = http2(TcpStream::connect(gate.public).await.expect("connected")).await;
    let body = Full::from(json!({ "message": "bye" }).to_string()).map_err(|never| match never {}).boxed();
    let ask = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}{}", gate.public, of("chat", &session)))
        .header("origin", SHOP)
        .header("content-type", "application/json");
    let mut answer = within(page.send_request(ask.body(body).expect("a request"))).await.expect("an answer");
    let end = "data: {\"type\":\"done\",\"chat_ended\":true}\n\n";
    stream.chunk(end);
    let frame = within(answer.body_mut().frame()).await.expect("not the end").expect("whole");
    assert_eq!(frame.into_data().expect("data"), end);
    refused(say(&gate, &session, "still there?").await, 409, "session_closed").await;
    stream.end();
    let rest = within(answer.into_body().collect()).await.expect("a clean end");
    assert!(rest.to_bytes().is_empty());
}

#[tokio::test]
async fn an_answer_passes_when_its_session_cannot_be_closed() {
    let (mut server, upstream) = (RedisServer::start(), Upstream::start().await);
    let gate = server.share(with_lines(&upstream, UNLIMITED));
    let gate = gate.set("store.redis.timeout=1s").set("store.redis.connect_timeout=1s").start().await;
    for ends_in_stream in [true, false] {
        let session = anonymous(&gate).await;
        let end = json!({ "type": "done", "text": "bye", "chat_ended": true }).to_string();
        if ends_in_stream {
            let (behaviour, stream) = Behaviour::sse();
            upstream.once("/widget/chat", behaviour);
            let mut answer = within(say(&gate, &session, "bye")).await;
            server.kill();
            let frame = format!("data: {end}\n\n");
            stream.chunk(frame.clone());
            assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), frame);
            stream.end();
            assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
        } else {
            let before = upstream.progress().recorded;
            let (behaviour, release) = Behaviour::held(Reply::json(200, &serde_json::from_str(&end).expect("JSON")));
            upstream.once("/widget/chat", behaviour);
            let (answer, ()) = tokio::join!(say(&gate, &session, "bye"), async {
                upstream.wait_for(before + 1).await;
                server.kill();
                release.release();
            });
            assert_eq!((answer.status().as_u16(), answer.text().await.expect("text")), (200, end));
        }
        let told = usize::from(!ends_in_stream) + 1;
        until("it is told", async || gate.output().matches("its session could not be closed").count() == told).await;
        server.revive();
        gate.wait_for_line("the store works again").await;
    }
}
