//! Silent streams end within a second when what admitted them is revoked, in every dialect.

use reqwest::Method;
use serde_json::{Value, json};

use super::{REVOKED, begun, data_of, opened, passes, rest, revoke};
use crate::support::admin::builder;
use crate::support::gate::{APP, Gate};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::{metric_becomes, stream_path, within};
use crate::{apps, chat9, chatbotkit, mitigate, orcheo};

const ENDED: &str = "sidegate_streams_ended_total{reason=\"revoked\"}";

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = builder(&upstream).start().await;
    (upstream, gate)
}

#[tokio::test]
async fn whatever_is_revoked_its_streams_end_and_others_go_on() {
    let (upstream, gate) = started().await;
    let ada = gate.token("ada").mint().await;
    let with_id = gate.token("bob").env("PLAN", "pro").mint().await;
    let eve = gate.token("eve").mint().await;
    for (token, body) in [
        (&ada, json!({ "token": ada })),
        (&with_id, json!({ "token": with_id })),
        (&gate.token("cid").mint().await, json!({ "app": APP, "end_user": "cid" })),
    ] {
        let (mut other, of_other) = opened(&upstream, &gate, &eve).await;
        let (answer, stream) = opened(&upstream, &gate, token).await;
        revoke(&gate, body).await;
        assert_eq!(rest(answer).await, REVOKED);
        within(stream.closed()).await;
        passes(&mut other, &of_other).await;
    }
    metric_becomes(&gate, ENDED, 3.0).await;
}

#[tokio::test]
async fn an_apps_streams_end_with_all_its_tokens() {
    for body in [json!({ "app": APP }), json!({ "all": true })] {
        let (upstream, gate) = started().await;
        let mut open = Vec::new();
        for end_user in ["ada", "bob"] {
            open.push(opened(&upstream, &gate, &gate.token(end_user).mint().await).await);
        }
        revoke(&gate, body).await;
        for (answer, stream) in open {
            assert_eq!(rest(answer).await, REVOKED);
            within(stream.closed()).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_stream_of_events_is_cut() {
    let (upstream, gate) = started().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::stream(Reply::new(200, "").header("content-type", "application/x-ndjson"));
    upstream.once(&path, behaviour);
    let mut answer = within(gate.chat(Method::GET, &path, &token).send()).await.expect("an answer");
    stream.chunk("{}\n");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), "{}\n");
    revoke(&gate, json!({ "token": token })).await;
    assert!(within(answer.chunk()).await.is_err(), "a clean end");
    within(stream.closed()).await;
}

/// It was admitted before, and its stream begins after.
#[tokio::test]
async fn one_that_waits_for_its_upstream_meanwhile_ends_when_it_begins() {
    let (upstream, gate) = started().await;
    let token = gate.token("ada").mint().await;
    let path = stream_path(&gate, &token).await;
    let (behaviour, stream) = Behaviour::sse();
    let (behaviour, read) = behaviour.reading_by_hand();
    upstream.once(&path, behaviour);
    let heads = upstream.progress().heads;
    let asking = tokio::spawn(gate.chat(Method::GET, &path, &token).send());
    within(upstream.wait_heads(heads + 1)).await;
    revoke(&gate, json!({ "token": token })).await;
    let refused = async || gate.chat(Method::GET, "/api/v1/tasks", &token).send().await.expect("an answer").status();
    crate::support::redis::until("it is revoked", async || refused().await == 401).await;
    read.all();
    let answer = within(asking).await.expect("joined").expect("an answer");
    assert_eq!(rest(answer).await, REVOKED);
    within(stream.closed()).await;
}

#[tokio::test]
async fn an_app_that_is_disabled_ends_its_streams() {
    let (upstream, gate) = started().await;
    let (app, other) = (apps::make(&gate, apps::settings()).await, apps::make(&gate, apps::settings()).await);
    let (mut of_other, others) = opened(&upstream, &gate, &apps::mint(&gate, &other).await).await;
    let (answer, stream) = opened(&upstream, &gate, &apps::mint(&gate, &app).await).await;
    apps::post(&gate, &app.id, "disable", Value::Null).await;
    assert_eq!(rest(answer).await, REVOKED);
    within(stream.closed()).await;
    passes(&mut of_other, &others).await;
}

#[tokio::test]
async fn a_widget_that_is_disabled_or_deleted_ends_its_streams() {
    let (upstream, gate) = chatbotkit::started().await;
    for (action, code) in [("disable", "WIDGET_DISABLED"), ("delete", "TOKEN_REVOKED")] {
        let (id, other) = (chatbotkit::shop(&gate, json!({})).await, chatbotkit::shop(&gate, json!({})).await);
        let mut open = Vec::new();
        for widget in [&id, &other] {
            let session = chatbotkit::opened(&gate, widget, &json!({})).await;
            let (behaviour, stream) = Behaviour::sse();
            upstream.always(behaviour);
            let answer = chatbotkit::say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
            open.push(begun(answer, stream).await);
        }
        let (mut of_other, others) = open.pop().expect("two");
        let (answer, stream) = open.pop().expect("one");
        let path = format!("{}/{id}/{action}", chatbotkit::WIDGETS);
        chatbotkit::json_of(chatbotkit::api(&gate, Method::POST, &path, json!({})).await).await;
        assert_eq!(data_of(&rest(answer).await)["code"], code);
        within(stream.closed()).await;
        passes(&mut of_other, &others).await;
    }
}

#[tokio::test]
async fn a_session_of_chatbotkit_ends_with_its_token() {
    let (upstream, gate) = chatbotkit::started().await;
    let widget = chatbotkit::shop(&gate, json!({})).await;
    let session = chatbotkit::opened(&gate, &widget, &json!({})).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.always(behaviour);
    let answer = chatbotkit::say(&gate, &session, "complete", &json!({ "text": "hi" })).await;
    let (answer, stream) = begun(answer, stream).await;
    revoke(&gate, json!({ "token": session["token"] })).await;
    assert_eq!(data_of(&rest(answer).await)["code"], "TOKEN_REVOKED");
    within(stream.closed()).await;
}

#[tokio::test]
async fn a_session_of_chat9_ends_with_its_user() {
    let (upstream, gate) = chat9::started().await;
    let ada = chat9::identified(&gate, &chat9::token(&gate, &json!({ "user_id": "ada" })).await).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once("/widget/chat", behaviour);
    let (answer, stream) = begun(chat9::say(&gate, &ada, "hi").await, stream).await;
    revoke(&gate, json!({ "app": chat9::BOT, "end_user": "ada" })).await;
    let data = data_of(&rest(answer).await);
    assert_eq!(
        (&data["type"], &data["code"], &data["reason"]),
        (&json!("error"), &json!(401), &json!("TOKEN_REVOKED"))
    );
    within(stream.closed()).await;
}

#[tokio::test]
async fn a_session_of_chat9_that_is_closed_ends_its_other_streams() {
    let (upstream, gate) = chat9::started().await;
    let (session, other) = (chat9::anonymous(&gate).await, chat9::anonymous(&gate).await);
    let mut open = Vec::new();
    for session in [&session, &session, &other] {
        let (behaviour, stream) = Behaviour::sse();
        upstream.once("/widget/chat", behaviour);
        open.push(begun(chat9::say(&gate, session, "hi").await, stream).await);
    }
    let (mut of_other, others) = open.pop().expect("three");
    let (mut closing, closes) = open.pop().expect("two");
    let (answer, stream) = open.pop().expect("one");
    let last = "data: {\"type\":\"done\",\"chat_ended\":true}\n\n";
    closes.chunk(last);
    assert_eq!(within(closing.chunk()).await.expect("a chunk").expect("not the end"), last);
    assert_eq!(data_of(&rest(answer).await)["reason"], "SESSION_CLOSED");
    within(stream.closed()).await;
    // The one that says so goes on to its own end.
    passes(&mut closing, &closes).await;
    closes.end();
    assert_eq!(rest(closing).await, "");
    passes(&mut of_other, &others).await;
}

#[tokio::test]
async fn a_session_of_mitigate_ends_with_its_user() {
    let (upstream, gate) = mitigate::started().await;
    let token = mitigate::known(&gate, "ada").await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(mitigate::CHATS, behaviour);
    let answer = mitigate::chat(&gate, &token, &json!({ "prompt": "hi" })).await;
    let (answer, stream) = begun(answer, stream).await;
    revoke(&gate, json!({ "app": mitigate::WORKSPACE, "end_user": "ada" })).await;
    assert_eq!(rest(answer).await, REVOKED);
    within(stream.closed()).await;
}

#[tokio::test]
async fn a_stream_of_orcheo_ends_in_the_words_of_chatkit() {
    let (upstream, gate) = orcheo::started().await;
    let token = orcheo::token(&gate, "ada", orcheo::WORKFLOW).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.once(orcheo::GATEWAY, behaviour);
    let created = "data: {\"type\":\"thread.created\",\"thread\":{\"id\":\"thr_1\"}}\n\n";
    stream.chunk(created);
    let create = orcheo::create();
    let mut answer = within(orcheo::page(&gate, &token, &create).send()).await.expect("an answer");
    assert_eq!(within(answer.chunk()).await.expect("a chunk").expect("not the end"), created);
    revoke(&gate, json!({ "token": token })).await;
    let data = data_of(&rest(answer).await);
    assert_eq!(
        (&data["type"], &data["code"], &data["reason"]),
        (&json!("error"), &json!("custom"), &json!("TOKEN_REVOKED"))
    );
    assert_eq!(data["allow_retry"], false);
    within(stream.closed()).await;
}
