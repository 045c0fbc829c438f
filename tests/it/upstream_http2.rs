//! HTTP/2 towards the upstream: one shared connection, replaced when it dies.

use bytes::Bytes;
use http::{Method, Version};
use serde_json::json;

use crate::support::gate::{Builder, Gate, assert_refused};
use crate::support::redis::until;
use crate::support::tls::certificates;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric, stream_path, within};

const TASKS: &str = "/api/v1/tasks";

/// A gate with one worker, whose upstream speaks HTTP/2 without TLS.
async fn gate_for(builder: Builder) -> Gate {
    builder.upstream("protocol = \"http2\"").set("listen.workers=1").start().await
}

#[tokio::test]
async fn requests_share_one_connection_to_the_upstream() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(&path, behaviour);
        let answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
        open.push((answer, stream));
    }
    for (n, (answer, stream)) in open.iter_mut().enumerate().rev() {
        stream.chunk(format!("data: {n}\n\n"));
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), format!("data: {n}\n\n"));
    }
    assert_eq!(upstream.progress().connections, 1);
    let seen = upstream.requests().remove(1);
    assert_eq!((seen.version, seen.header("host")), (Version::HTTP_2, ""));
    assert_eq!(seen.uri.authority().expect("an authority").as_str(), upstream.address().to_string());
}

#[tokio::test]
async fn http2_with_the_upstream_is_agreed_by_alpn() {
    let made = certificates();
    let ca = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(ca.path(), &made.authority).expect("written");
    let upstream = Upstream::builder().tls(&made.server.0, &made.server.1).http2().start().await;
    for (protocol, version) in [("auto", Version::HTTP_2), ("http2", Version::HTTP_2), ("http1", Version::HTTP_11)] {
        let builder = Gate::builder(&upstream).upstream(&format!("ca = {:?}", ca.path()));
        let gate = builder.upstream(&format!("protocol = {protocol:?}")).start().await;
        let token = gate.token("ada").mint().await;
        gate.create_task(&token).await;
        assert_eq!(upstream.take()[0].version, version, "{protocol}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_stream_only() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    drop(answer);
    within(stream.closed()).await;
    gate.create_task(&token).await;
    assert_eq!(upstream.progress().connections, 1);
}

#[tokio::test]
async fn an_upload_that_breaks_off_resets_its_stream() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream).set("limits.json_body=1KiB")).await;
    let token = gate.token("ada").mint().await;
    let pieces = futures_util::stream::iter([Bytes::from_static(b"{"), Bytes::from(vec![b' '; 2_000])]);
    let body = reqwest::Body::wrap_stream(futures_util::StreamExt::map(pieces, Ok::<_, std::io::Error>));
    let request = gate.chat(Method::POST, TASKS, &token).header("content-type", "application/json");
    assert_refused(within(request.body(body).send()).await.expect("an answer"), 413, "PAYLOAD_TOO_LARGE").await;
    gate.create_task(&token).await;
    assert!(upstream.requests().iter().filter(|seen| seen.body_complete).count() == 1);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_replaced() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    for round in 1..=20 {
        gate.create_task(&token).await;
        within(upstream.close_idle()).await;
        assert_eq!(upstream.count(), round, "each was sent once");
    }
    assert_eq!(upstream.progress().connections, 20);
}

#[tokio::test]
async fn a_connection_that_the_upstream_is_winding_up_gets_no_new_requests() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(&path, behaviour);
    let mut answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    let rest = async {
        for _ in 0..20 {
            gate.create_task(&token).await;
        }
        stream.chunk("data: still here\n\n");
        assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("data"), "data: still here\n\n");
        stream.end();
        assert_eq!(within(answer.chunk()).await.expect("a clean end"), None);
    };
    // The first connection says GOAWAY now and ends with its stream.
    tokio::select! {
        () = upstream.close_idle() => panic!("the stream ended first"),
        () = rest => {}
    }
    assert_eq!(upstream.count(), 22, "each was sent once");
}

#[tokio::test]
async fn a_connection_that_dies_under_a_post_fails_it_and_is_replaced() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    upstream.once(TASKS, Behaviour::reset());
    let request = gate.chat(Method::POST, TASKS, &token).json(&json!({ "message": "Hello" }));
    assert_refused(within(request.send()).await.expect("an answer"), 502, "UPSTREAM_UNAVAILABLE").await;
    assert_eq!(upstream.count(), 2, "it was sent, so it is not repeated");
    gate.create_task(&token).await;
}

/// They wait for the one place on the connection, and it dies. Of those that were sent only a tenth would be sent again.
#[tokio::test]
async fn an_upstream_that_takes_few_streams_at_once_gets_more_connections() {
    let upstream = Upstream::builder().http2_of(2).start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let mut open = Vec::new();
    for _ in 0..6 {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once(&path, behaviour);
        open.push((within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer"), stream));
        gate.create_task(&token).await;
    }
    let connections = upstream.progress().connections;
    assert!((3..=6).contains(&connections), "{connections}");
    for (answer, stream) in open {
        stream.end();
        assert!(within(answer.text()).await.is_ok());
    }
    // Nothing is left that is not needed.
    until("one connection is left", async || upstream.progress().open == 1).await;
    gate.create_task(&token).await;
}

#[tokio::test]
async fn who_takes_no_answer_stops_no_other() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let path = format!("{TASKS}/{}/history", gate.create_task(&eve).await);
    upstream.on(&path, Behaviour::answer(Reply::json(200, &json!("x".repeat(8 << 20)))));
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(within(gate.chat(Method::GET, &path, &eve).send()).await.expect("an answer"));
    }
    for _ in 0..10 {
        gate.create_task(&ada).await;
    }
    assert_eq!(upstream.progress().connections, 1);
    for answer in unread {
        assert_eq!(within(answer.bytes()).await.expect("all of it").len(), (8 << 20) + 2);
    }
}

#[tokio::test]
async fn a_get_whose_connection_dies_is_repeated_once() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream)).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    upstream.once(TASKS, Behaviour::reset());
    let answer = within(gate.chat(Method::GET, TASKS, &token).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let seen: Vec<_> = upstream.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(seen, [1, 1, 2]);
    assert!((metric(&gate, "sidegate_upstream_repeats_total").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_slow_answer_over_http2_times_out_alone() {
    let upstream = Upstream::builder().http2().start().await;
    let gate = gate_for(Gate::builder(&upstream).upstream("first_byte_timeout = \"300ms\"")).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    let (behaviour, _release) = Behaviour::held(Reply::new(200, ""));
    upstream.once(TASKS, behaviour);
    let answer = within(gate.chat(Method::GET, TASKS, &token).send()).await.expect("an answer");
    assert_refused(answer, 504, "UPSTREAM_TIMEOUT").await;
    within(upstream.wait_cancelled()).await;
    gate.create_task(&token).await;
    assert_eq!((upstream.progress().connections, upstream.progress().heads), (1, 3));
}
