//! `POST /api/chatkit` with a token: bound to its workflow, and to the end user's own threads.

use reqwest::Method;
use serde_json::{Value, json};

use super::{GATEWAY, KEY, OTHER, UNLISTED, WORKFLOW, create, page, refused, started, token};
use crate::support::gate::{Gate, SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::{jwcrypto, jwt};

/// The events of a new thread, as PyPI's `openai-chatkit` writes them.
fn events(thread: &str) -> String {
    format!(
        "data: {{\"type\":\"thread.created\",\"thread\":{{\"id\":\"{thread}\",\"items\":{{\"data\":[]}}}}}}\n\n\
         data: {{\"type\":\"thread.item.done\",\"item\":{{\"id\":\"msg_1\"}}}}\n\n"
    )
}

fn of(kind: &str, thread: &str) -> Value {
    let mut params =
        json!({ "thread_id": thread, "item_id": "msg_1", "item_ids": [], "title": "x", "kind": "positive" });
    params["input"] = json!({ "content": [], "attachments": [] });
    json!({ "type": kind, "params": params })
}

/// Creates a thread of this id.
async fn create_thread(upstream: &Upstream, gate: &Gate, token: &str, id: &str) {
    let reply = Reply::new(200, events(id)).header("content-type", "text/event-stream; charset=utf-8");
    upstream.once(GATEWAY, Behaviour::answer(reply));
    let answer = page(gate, token, &create()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.expect("events"), events(id), "every event passes");
}

const OF_A_THREAD: [&str; 11] = [
    "threads.add_user_message",
    "threads.retry_after_item",
    "threads.add_client_tool_output",
    "threads.add_structured_input",
    "threads.custom_action",
    "threads.sync_custom_action",
    "threads.get_by_id",
    "threads.update",
    "threads.delete",
    "items.list",
    "items.feedback",
];

#[tokio::test]
async fn a_request_is_bound_to_the_workflow_of_its_token() {
    let (upstream, gate) = started().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "data": [], "has_more": false }))));
    let token = token(&gate, "ada", WORKFLOW).await;
    let body = json!({
        "type": "threads.list", "params": { "limit": 20 }, "workflowId": WORKFLOW, "Workflow-ID": OTHER,
        "metadata": { "workflow_id": OTHER, "workflow_name": "Other", "page": "/pricing" },
    });
    let request =
        page(&gate, &token, &body).header("x-orcheo-oauth-subject", "root").header("cookie", "orcheo_oauth_session=1");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(answer.status(), 200);
    let seen = &upstream.requests()[0];
    let expected = json!({
        "type": "threads.list", "params": { "limit": 20 }, "workflow_id": WORKFLOW,
        "metadata": { "workflow_id": WORKFLOW, "workflow_name": "Support", "page": "/pricing" },
    });
    assert_eq!(seen.json(), expected);
    assert_eq!(seen.header("authorization"), format!("Bearer {token}"), "the backend checks it, too");
    assert_eq!((seen.header("x-orcheo-oauth-subject"), seen.header("cookie")), ("", ""));
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
}

#[tokio::test]
async fn another_workflow_than_the_tokens_is_refused() {
    let (upstream, gate) = started().await;
    let token = token(&gate, "ada", WORKFLOW).await;
    for (named, status, code) in [
        (OTHER, 403, "chatkit.auth.workflow_mismatch"),
        (UNLISTED, 403, "chatkit.auth.workflow_mismatch"),
        ("wf_123", 400, "chatkit.workflow_id_invalid"),
    ] {
        let body = json!({ "type": "threads.list", "params": {}, "workflow_id": named });
        assert_eq!(refused(page(&gate, &token, &body).send().await.expect("an answer"), status).await, code);
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn its_creator_uses_a_thread_in_every_way_and_nobody_else_in_any() {
    let (upstream, gate) = started().await;
    let (ada, eve) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "eve", WORKFLOW).await);
    create_thread(&upstream, &gate, &ada, "thr_1").await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "id": "thr_1" }))));
    upstream.take();
    for kind in OF_A_THREAD {
        let foreign = page(&gate, &eve, &of(kind, "thr_1")).send().await.expect("an answer");
        assert_eq!(refused(foreign, 404).await, "sidegate.not_found", "{kind}");
        let unknown = page(&gate, &eve, &of(kind, "thr_9")).send().await.expect("an answer");
        assert_eq!(refused(unknown, 404).await, "sidegate.not_found", "{kind}");
    }
    assert!(upstream.take().is_empty());
    for kind in OF_A_THREAD {
        let mut body = of(kind, "thr_1");
        body["params"]["threadId"] = json!("thr_2");
        let own = page(&gate, &ada, &body).send().await.expect("an answer");
        assert_eq!(own.status(), 200, "{kind}");
    }
    let seen = upstream.take();
    assert_eq!(seen.len(), OF_A_THREAD.len());
    assert!(seen.iter().all(|seen| seen.json()["params"].get("threadId").is_none()), "no other spelling beside it");
}

#[tokio::test]
async fn a_new_thread_passes_as_it_comes_once_its_owner_is_known() {
    let (upstream, gate) = started().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let (behaviour, stream) = Behaviour::sse();
    upstream.on(GATEWAY, behaviour);
    let asked = tokio::spawn(page(&gate, &ada, &create()).send());
    let (first, second) = (
        "data: {\"type\":\"stream_options\"}\n\n",
        "data: {\"type\":\"thread.created\",\"thread\":{\"id\":\"thr_1\"}}\n\n",
    );
    stream.chunk(first);
    stream.chunk(second);
    let mut answer = asked.await.expect("joined").expect("an answer");
    let mut got = String::new();
    while got.len() < first.len() + second.len() {
        got.push_str(std::str::from_utf8(&answer.chunk().await.expect("bytes").expect("more")).expect("UTF-8"));
    }
    assert_eq!(got, format!("{first}{second}"), "before the stream goes on");
    stream.chunk("data: {\"type\":\"progress_update\",\"text\":\"…\"}\n\n");
    let more = answer.chunk().await.expect("bytes").expect("more");
    assert!(std::str::from_utf8(&more).expect("UTF-8").contains("progress_update"));
    stream.end();
    assert_eq!(answer.chunk().await.expect("an end"), None);
}

#[tokio::test]
async fn a_stream_that_names_no_thread_is_an_error_or_not_believed() {
    let (upstream, gate) = started().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let error = "data: {\"type\":\"error\",\"code\":\"stream.error\",\"allow_retry\":true}\n\n";
    for (events, status) in [(error, 200), ("data: {\"type\":\"thread.item.done\"}\n\n", 502), ("data: x\n\n", 502)] {
        let reply = Reply::new(200, events).header("content-type", "text/event-stream");
        upstream.once(GATEWAY, Behaviour::answer(reply));
        let answer = page(&gate, &ada, &create()).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{events}");
    }
}

#[tokio::test]
async fn a_list_shows_the_end_users_own_threads() {
    let (upstream, gate) = started().await;
    let (ada, eve) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "eve", WORKFLOW).await);
    create_thread(&upstream, &gate, &ada, "thr_a").await;
    create_thread(&upstream, &gate, &eve, "thr_e").await;
    let all = json!({ "data": [{ "id": "thr_e", "title": "E" }, { "id": "thr_a", "title": "A" }], "has_more": false });
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &all)));
    let list = json!({ "type": "threads.list", "params": { "limit": 20, "order": "desc" } });
    for (token, own) in [(&ada, "thr_a"), (&eve, "thr_e")] {
        let page = json_of(page(&gate, token, &list).send().await.expect("an answer")).await;
        let ids: Vec<_> = page["data"].as_array().expect("a list").iter().map(|thread| &thread["id"]).collect();
        assert_eq!(ids, [&json!(own)]);
    }
}

#[tokio::test]
async fn attachments_are_their_creators() {
    let (upstream, gate) = started().await;
    let (ada, eve) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "eve", WORKFLOW).await);
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "id": "atc_1", "name": "a.png" }))));
    let make =
        json!({ "type": "attachments.create", "params": { "name": "a.png", "size": 1, "mime_type": "image/png" } });
    assert_eq!(page(&gate, &ada, &make).send().await.expect("an answer").status(), 200);
    let end = json!({ "type": "attachments.delete", "params": { "attachment_id": "atc_1" } });
    let mut with = create();
    with["params"]["input"]["attachments"] = json!(["atc_1"]);
    for body in [&end, &with] {
        let foreign = page(&gate, &eve, body).send().await.expect("an answer");
        assert_eq!(refused(foreign, 404).await, "sidegate.not_found");
    }
    assert_eq!(page(&gate, &ada, &end).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn tokens_that_are_none_of_ours_and_bodies_that_are_no_requests_are_refused() {
    let (upstream, gate) = started().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let list = json!({ "type": "threads.list", "params": {} });
    let sigmic = gate.token("ada").mint().await;
    let mut claims = jwcrypto::verify(&ada, "HS256", KEY)["claims"].clone();
    claims["aud"] = "another".into();
    let elsewhere = jwt::sign(&claims, KEY);
    for (header, code) in [
        (format!("Bearer {}", &ada[..ada.len() - 2]), "chatkit.auth.invalid_jwt"),
        (format!("Bearer {sigmic}"), "chatkit.auth.invalid_jwt"),
        ("Bearer x.y.z".to_owned(), "chatkit.auth.invalid_jwt"),
        (format!("Bearer {elsewhere}"), "chatkit.auth.invalid_jwt_claims"),
        (format!("Basic {ada}"), "chatkit.auth.invalid_scheme"),
    ] {
        let request = gate.public(Method::POST, GATEWAY).header("origin", SHOP).header("authorization", header);
        let answer = request.json(&list).send().await.expect("an answer");
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        assert_eq!(refused(answer, 401).await, code);
    }
    let bare = gate.public(Method::POST, GATEWAY).header("origin", SHOP).json(&list).send().await.expect("an answer");
    assert_eq!(bare.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(refused(bare, 403).await, "chatkit.auth.not_published");
    for (body, message) in [
        ("", "Invalid JSON payload."),
        ("{", "Invalid JSON payload."),
        ("[]", "Invalid JSON payload."),
        ("{\"type\":\"threads.explode\"}", "Invalid ChatKit payload."),
        ("{\"type\":1}", "Invalid ChatKit payload."),
    ] {
        let request = gate.chat(Method::POST, GATEWAY, &ada).header("content-type", "application/json").body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{body}");
        let detail = json_of(answer).await["detail"].clone();
        assert_eq!(detail["message"], message, "{body}");
        assert_eq!(detail["errors"].as_array().map(Vec::len), Some(1), "{detail}");
    }
    let form = gate.chat(Method::POST, GATEWAY, &ada).body("x").send().await.expect("an answer");
    refused(form, 415).await;
    let elsewhere = gate.public(Method::POST, GATEWAY).bearer_auth(&ada).header("origin", "https://evil.example");
    let answer = elsewhere.json(&list).send().await.expect("an answer");
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    refused(answer, 403).await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn sigmics_routes_take_no_token_of_this_dialect() {
    let (upstream, gate) = started().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    assert_eq!(gate.chat(Method::GET, "/api/v1/tasks", &ada).send().await.expect("an answer").status(), 401);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_backend_that_keeps_users_apart_itself_is_trusted_where_the_app_says_so() {
    let upstream = Upstream::start().await;
    let lines = "scoping = \"upstream\"\n[apps.inject.headers]\nX-End-User = \"{{claims.sub}}\"";
    let gate =
        super::with_app(&upstream, &format!("token.key = {{ value = \"{}\" }}\n{lines}", super::KEY)).start().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "id": "thr_7" }))));
    let ada = token(&gate, "ada", WORKFLOW).await;
    assert_eq!(page(&gate, &ada, &of("threads.get_by_id", "thr_7")).send().await.expect("an answer").status(), 200);
    assert_eq!(upstream.requests()[0].header("x-end-user"), "ada");
}
