//! `POST /api/chatkit/upload`: a file goes to the token's workflow, and is its sender's.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BOOTSTRAP, GATEWAY, OTHER, WORKFLOW, builder, page, refused, started, token, with_lines};
use crate::support::cases::cases;
use crate::support::gate::{Builder, Gate, SHOP, json_of, sidegate};
use crate::support::redis::until;
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};
use crate::support::wire::{Wire, head, metric_becomes, within};

const UPLOAD: &str = "/api/chatkit/upload";
const FORM: &str = "multipart/form-data; boundary=xyz";

/// What the backend answers: also where it has put the file.
fn stored(id: &str) -> Value {
    json!({ "id": id, "name": "a.png", "mime_type": "image/png", "storage_path": "/srv/orcheo/canary/a.png" })
}

fn answers(upstream: &Upstream, body: &Value) {
    upstream.on(UPLOAD, Behaviour::answer(Reply::json(200, body).header("x-storage-path", "/srv/canary")));
}

/// A form with a file of so many bytes.
fn form(bytes: usize) -> Vec<u8> {
    let mut form = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n".to_vec();
    form.extend((0..=250_u8).cycle().take(bytes));
    form.extend(b"\r\n--xyz--\r\n");
    form
}

fn upload(gate: &Gate, token: &str, form: Vec<u8>) -> RequestBuilder {
    gate.chat(Method::POST, UPLOAD, token).header("content-type", FORM).body(form)
}

async fn send(gate: &Gate, token: &str, form: Vec<u8>) -> Response {
    within(upload(gate, token, form).send()).await.expect("an answer")
}

/// A request's head is written; its body is the test's.
async fn begun(gate: &Gate, token: &str, fields: &str) -> Wire {
    let mut wire = Wire::connect(gate.public).await;
    wire.send(format!("{}Content-Type: {FORM}\r\n{fields}\r\n", head("POST", UPLOAD, token))).await;
    wire
}

/// What the backend was asked for.
fn target(seen: &Recorded) -> String {
    seen.uri.path_and_query().expect("a path").to_string()
}

/// The status of an end to this attachment.
async fn uses(gate: &Gate, token: &str, id: &str) -> u16 {
    let body = json!({ "type": "attachments.delete", "params": { "attachment_id": id } });
    page(gate, token, &body).send().await.expect("an answer").status().as_u16()
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default = "post")]
    method: String,
    headers: BTreeMap<String, String>,
    status: u16,
    code: Value,
}

fn post() -> String {
    "POST".to_owned()
}

#[tokio::test]
async fn what_is_no_upload_of_a_token_is_refused_before_the_backend_hears_of_it() {
    let (upstream, gate) = started().await;
    let (ada, sigmic) = (token(&gate, "ada", WORKFLOW).await, gate.token("ada").mint().await);
    for case in cases::<Case>("orcheo/upload.json") {
        println!("{}", case.name);
        let mut request = gate.public(case.method.parse().expect("a method"), UPLOAD);
        if !case.headers.contains_key("origin") {
            request = request.header("origin", SHOP);
        }
        for (name, value) in &case.headers {
            request = request.header(name, value.replace("{ada}", &ada).replace("{sigmic}", &sigmic));
        }
        let answer = request.body(form(10)).send().await.expect("an answer");
        if case.status == 405 {
            assert_eq!(answer.headers()["allow"], "POST");
        }
        assert_eq!(refused(answer, case.status).await, case.code);
    }
    assert_eq!(upstream.progress().connections, 0);
}

#[tokio::test]
async fn a_file_passes_byte_for_byte_to_the_workflow_of_its_token() {
    let (upstream, gate) = started().await;
    answers(&upstream, &stored("atc_1"));
    let ada = token(&gate, "ada", WORKFLOW).await;
    let path = format!("{UPLOAD}?workflow_id={OTHER}&upload_session_id=s%201&workflowId={OTHER}&workflow%5Fid={OTHER}");
    let request =
        gate.chat(Method::POST, &path, &ada).header("content-type", FORM).header("x-orcheo-oauth-subject", "root");
    let answer = within(request.body(form(200_000)).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(!answer.headers().contains_key("x-storage-path"));
    let text = answer.text().await.expect("text");
    assert!(!text.contains("canary"), "{text}");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer, json!({ "id": "atc_1", "name": "a.png", "mime_type": "image/png" }));
    let seen = upstream.requests().remove(0);
    assert_eq!(target(&seen), format!("{UPLOAD}?upload_session_id=s%201&workflow_id={WORKFLOW}"));
    assert_eq!((seen.header("content-type"), seen.header("accept-encoding")), (FORM, "identity"));
    assert_eq!(seen.header("authorization"), format!("Bearer {ada}"), "the backend checks it, too");
    assert_eq!(seen.header("x-orcheo-oauth-subject"), "");
    assert!(seen.body_complete && seen.body == form(200_000));
}

#[tokio::test]
async fn an_attachment_is_its_senders_and_other_workflows_have_their_own() {
    let (upstream, gate) = started().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({}))));
    let (ada, eve) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "eve", OTHER).await);
    for (owner, id) in [(&ada, "atc_a"), (&eve, "atc_e")] {
        answers(&upstream, &stored(id));
        assert_eq!(send(&gate, owner, form(10)).await.status(), 200);
    }
    let seen: Vec<_> = upstream.take().iter().map(target).collect();
    assert_eq!(seen, [format!("{UPLOAD}?workflow_id={WORKFLOW}"), format!("{UPLOAD}?workflow_id={OTHER}")]);
    assert_eq!((uses(&gate, &eve, "atc_a").await, uses(&gate, &ada, "atc_e").await), (404, 404));
    assert!(upstream.take().is_empty());
    assert_eq!((uses(&gate, &ada, "atc_a").await, uses(&gate, &eve, "atc_e").await), (200, 200));
}

#[tokio::test]
async fn an_answer_that_names_no_attachment_does_not_pass() {
    let (upstream, gate) = started().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    for reply in [
        Reply::json(200, &json!({ "storage_path": "/srv/canary" })),
        Reply::json(200, &json!([{ "id": "atc_1" }])),
        Reply::json(200, &json!({ "id": "../canary" })),
        Reply::new(200, "<html>canary</html>").header("content-type", "text/html"),
        Reply::new(200, "\u{1f}\u{8b}canary").header("content-encoding", "gzip"),
        Reply::json(200, &json!({ "id": "atc_1", "more": "canary".repeat(200_000) })),
    ] {
        upstream.once(UPLOAD, Behaviour::answer(reply));
        let answer = send(&gate, &ada, form(10)).await;
        let text = answer.text().await.expect("text");
        assert!(text.contains("sidegate.upstream_invalid_response") && !text.contains("canary"), "{text}");
    }
    upstream.once(UPLOAD, Behaviour::answer(Reply::json(413, &json!({ "detail": "too large for the backend" }))));
    let answer = send(&gate, &ada, form(10)).await;
    assert_eq!(answer.status(), 413);
    assert_eq!(json_of(answer).await["detail"], "too large for the backend", "its own refusals pass");
}

/// The gate with forms of at most 2000 bytes, by each of the places that say so.
fn small(upstream: &Upstream) -> [Builder; 4] {
    let with = |name: &str| {
        let mut command = sidegate();
        command.env(name, "2000");
        builder(upstream).command(command)
    };
    [
        with_lines(upstream, "limits.upload = \"2000B\""),
        with("ORCHEO_CHATKIT_MAX_UPLOAD_SIZE_BYTES"),
        with("CHATKIT_MAX_UPLOAD_SIZE_BYTES"),
        with_lines(upstream, "limits.upload = \"1MiB\"").set("limits.form_body=2000"),
    ]
}

#[tokio::test]
async fn a_form_that_is_announced_too_large_is_refused_before_the_backend_hears_of_it() {
    let upstream = Upstream::start().await;
    answers(&upstream, &stored("atc_1"));
    let around = form(0).len();
    for gate in small(&upstream) {
        let gate = gate.start().await;
        let ada = token(&gate, "ada", WORKFLOW).await;
        let answer = send(&gate, &ada, form(2_001 - around)).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        assert_eq!(refused(answer, 413).await, "sidegate.payload_too_large");
        assert!(upstream.take().is_empty());
        assert_eq!(send(&gate, &ada, form(2_000 - around)).await.status(), 200);
        assert_eq!(upstream.take().len(), 1);
    }
}

#[tokio::test]
async fn a_form_that_turns_out_too_large_is_broken_off() {
    let upstream = Upstream::start().await;
    answers(&upstream, &stored("atc_1"));
    let gate = with_lines(&upstream, "limits.upload = 2000").start().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let mut wire = begun(&gate, &ada, "Transfer-Encoding: chunked\r\n").await;
    wire.send("1\r\nx\r\n").await;
    within(upstream.wait_until(|seen| seen.body_bytes == 1)).await;
    wire.send(format!("7d0\r\n{}\r\n", "x".repeat(2_000))).await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 413") && head.contains(SHOP), "{head}");
    assert!(wire.until("sidegate.payload_too_large").await.contains("{\"detail\":"));
    let seen = within(upstream.wait_for(1)).await;
    assert!(!seen[0].body_complete && seen[0].body == "x", "{seen:?}");
    within(upstream.wait_until(|seen| seen.open == 0)).await;
    assert_eq!(send(&gate, &ada, form(10)).await.status(), 200, "the next one");
}

#[tokio::test]
async fn the_default_is_the_backends() {
    let upstream = Upstream::start().await;
    answers(&upstream, &stored("atc_1"));
    let gate = builder(&upstream).start().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let around = form(0).len();
    assert_eq!(send(&gate, &ada, form(5_000_000 - around)).await.status(), 200);
    assert_eq!(send(&gate, &ada, form(5_000_001 - around)).await.status(), 413);
}

#[tokio::test]
async fn a_client_that_stalls_or_leaves_breaks_its_upload_off_and_owns_nothing() {
    let upstream = Upstream::start().await;
    answers(&upstream, &stored("atc_1"));
    let gate = builder(&upstream).set("listen.body_timeout=300ms").start().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    let mut slow = begun(&gate, &ada, "Content-Length: 100000\r\n").await;
    slow.send("--xyz").await;
    let head = slow.head().await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(!within(upstream.wait_for(1)).await[0].body_complete);
    upstream.take();
    let mut gone = begun(&gate, &ada, "Content-Length: 100000\r\n").await;
    gone.send("--xyz").await;
    within(upstream.wait_until(|seen| seen.heads == 2)).await;
    drop(gone);
    within(upstream.wait_until(|seen| seen.recorded == seen.heads)).await;
    assert!(!upstream.take()[0].body_complete);
    metric_becomes(&gate, "sidegate_forwards", 0.0).await;
    assert_eq!(uses(&gate, &ada, "atc_1").await, 404);
}

#[tokio::test]
async fn two_uploads_at_once_do_not_mix() {
    let (upstream, gate) = started().await;
    let (ada, eve) = (token(&gate, "ada", WORKFLOW).await, token(&gate, "eve", OTHER).await);
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({}))));
    let (of_ada, first) = Behaviour::held(Reply::json(200, &stored("atc_a")));
    let (of_eve, second) = Behaviour::held(Reply::json(200, &stored("atc_e")));
    upstream.once(UPLOAD, of_ada);
    let asked = tokio::spawn(upload(&gate, &ada, form(100_000)).send());
    within(upstream.wait_for(1)).await;
    upstream.once(UPLOAD, of_eve);
    let other = tokio::spawn(upload(&gate, &eve, form(50_000)).send());
    let seen = within(upstream.wait_for(2)).await;
    assert!(seen[0].body == form(100_000) && seen[1].body == form(50_000));
    second.release();
    assert_eq!(json_of(other.await.expect("joined").expect("an answer")).await["id"], "atc_e");
    first.release();
    assert_eq!(json_of(asked.await.expect("joined").expect("an answer")).await["id"], "atc_a");
    assert_eq!((uses(&gate, &ada, "atc_a").await, uses(&gate, &eve, "atc_a").await), (200, 404));
}

#[tokio::test]
async fn a_revoked_token_uploads_nothing() {
    let (upstream, gate) = started().await;
    answers(&upstream, &stored("atc_1"));
    let ada = token(&gate, "ada", WORKFLOW).await;
    assert_eq!(send(&gate, &ada, form(10)).await.status(), 200);
    let revoke = gate.private(Method::POST, "/admin/v1/revocations").bearer_auth(BOOTSTRAP);
    let revoked = revoke.json(&json!({ "token": ada })).send().await.expect("an answer");
    assert!(revoked.status().is_success(), "{}", revoked.status());
    let is_refused = async || send(&gate, &ada, form(10)).await.status() == 401;
    until("the gate knows", is_refused).await;
    let before = upstream.count();
    assert_eq!(refused(send(&gate, &ada, form(10)).await, 401).await, "chatkit.auth.invalid_jwt");
    assert_eq!(upstream.count(), before);
}

#[tokio::test]
async fn uploads_count_with_the_chat() {
    let upstream = Upstream::start().await;
    answers(&upstream, &stored("atc_1"));
    let gate = with_lines(&upstream, "limits.chat = \"1/h per end_user\"").start().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    assert_eq!(send(&gate, &ada, form(10)).await.status(), 200);
    assert_eq!(refused(send(&gate, &ada, form(10)).await, 429).await, "chatkit.rate_limit.identity");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn without_the_token_nothing_would_hold_the_backend_to_the_workflow() {
    let upstream = Upstream::start().await;
    let gate = with_lines(&upstream, "pass = []").start().await;
    let ada = token(&gate, "ada", WORKFLOW).await;
    assert_eq!(refused(send(&gate, &ada, form(10)).await, 403).await, "sidegate.forbidden");
    assert_eq!(upstream.progress().connections, 0);
}

#[tokio::test]
async fn the_path_is_removed_also_where_the_backend_keeps_users_apart() {
    let upstream = Upstream::start().await;
    let lines = "scoping = \"upstream\"\n[apps.inject]\nheaders = { X-End-User = \"{{claims.sub}}\" }\nquery = { tenant = \"acme\" }";
    let gate = with_lines(&upstream, lines).start().await;
    answers(&upstream, &stored("atc_1"));
    let ada = token(&gate, "ada", WORKFLOW).await;
    let answer = send(&gate, &ada, form(10)).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.text().await.expect("text").contains("canary"));
    let seen = upstream.requests().remove(0);
    assert_eq!(seen.header("x-end-user"), "ada");
    assert_eq!(target(&seen), format!("{UPLOAD}?workflow_id={WORKFLOW}&tenant=acme"));
}
