//! `POST /api/chatkit` without a token: workflows for everybody, and for those who have logged in.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{BOOTSTRAP, GATEWAY, KEY, OTHER, UNLISTED, WORKFLOW, page, refused, token};
use crate::support::gate::{Gate, SHOP};
use crate::support::upstream::{Behaviour, Recorded, Reply, Upstream};

/// For those who have logged in.
const MEMBERS: &str = "44444444-4444-4444-8444-444444444444";
/// Another app's, for everybody.
const OF_SALES: &str = "55555555-5555-4555-8555-555555555555";
const VISITOR: &str = "x-orcheo-visitor-id";
const SUBJECT: &str = "x-orcheo-oauth-subject";
const BY_PREFIX: &str = "/apps/support/api/chatkit";

/// A gate with an app that publishes [`WORKFLOW`] and, after a login, [`MEMBERS`]; `site` says who has logged in.
async fn started(site: &Upstream) -> (Upstream, Gate) {
    started_with(site, "").await
}

/// The same, with these lines in the app's table.
async fn started_with(site: &Upstream, lines: &str) -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "data": [], "has_more": false }))));
    let gate = Gate::builder(&upstream).toml(&format!(
        r#"
[[upstreams]]
name = "site"
url = "{site}"

[[apps]]
id = "support"
dialect = "orcheo"
upstream = "chat"
origins = ["{SHOP}"]
token.key = {{ value = "{KEY}" }}
authorize = {{ kind = "request", upstream = "site", path = "/whoami", cookie = "session" }}
{lines}
[[apps.workflows]]
id = "{WORKFLOW}"
name = "Support"
published = true
[[apps.workflows]]
id = "{OTHER}"
[[apps.workflows]]
id = "{MEMBERS}"
published = true
require_login = true

[[apps]]
id = "sales"
dialect = "orcheo"
upstream = "chat"
origins = ["{SHOP}"]
token.key = {{ value = "another-{KEY}" }}
workflows = [{{ id = "{OF_SALES}", published = true }}]

[admin]
bootstrap_token = {{ value = "{BOOTSTRAP}" }}
"#,
        site = site.url(),
    ));
    (upstream, gate.start().await)
}

fn list(workflow: &str) -> Value {
    json!({ "type": "threads.list", "params": {}, "workflow_id": workflow })
}

fn of_thread(kind: &str, workflow: &str, thread: &str) -> Value {
    json!({ "type": kind, "params": { "thread_id": thread }, "workflow_id": workflow })
}

fn visit(gate: &Gate, path: &str, body: &Value) -> RequestBuilder {
    gate.public(Method::POST, path).header("origin", SHOP).json(body)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn last(upstream: &Upstream) -> Recorded {
    upstream.take().pop().expect("a request")
}

/// Creates a thread, as the one whom `credential` makes of a request.
async fn create(upstream: &Upstream, gate: &Gate, workflow: &str, id: &str, credential: (&str, &str)) {
    let event = format!("data: {{\"type\":\"thread.created\",\"thread\":{{\"id\":\"{id}\"}}}}\n\n");
    let reply = Reply::new(200, event).header("content-type", "text/event-stream");
    upstream.once(GATEWAY, Behaviour::answer(reply));
    let params = json!({ "input": { "content": [], "attachments": [] } });
    let body = json!({ "type": "threads.create", "params": params, "workflow_id": workflow });
    let answer = sent(visit(gate, BY_PREFIX, &body).header(credential.0, credential.1)).await;
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("events");
    upstream.take();
}

#[tokio::test]
async fn a_visitor_of_a_published_workflow_needs_no_token() {
    let site = Upstream::start().await;
    let (upstream, gate) = started(&site).await;
    let mut body = list(WORKFLOW);
    body["metadata"] = json!({ "workflow_id": OTHER, "page": "/" });
    let request = visit(&gate, GATEWAY, &body).header(VISITOR, "browser-0123456789");
    let request = request.header(SUBJECT, "admin").header("cookie", "orcheo_oauth_session=admin");
    let answer = sent(request.header("x-orcheo-proxy-secret", "guess")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert!(!answer.headers().contains_key("set-cookie"));
    let seen = last(&upstream).await;
    let visitor = seen.header(VISITOR);
    assert!(visitor.starts_with("visitor-") && visitor.len() == 40, "{visitor}");
    for absent in [SUBJECT, "cookie", "x-orcheo-proxy-secret", "authorization"] {
        assert_eq!(seen.header(absent), "", "{absent}");
    }
    let metadata = json!({ "page": "/", "workflow_id": WORKFLOW, "workflow_name": "Support" });
    assert_eq!((&seen.json()["workflow_id"], &seen.json()["metadata"]), (&json!(WORKFLOW), &metadata));
    assert_eq!(site.count(), 0);
}

#[tokio::test]
async fn one_visitors_threads_are_not_another_ones() {
    let site = Upstream::start().await;
    let (upstream, gate) = started(&site).await;
    let (ada, bob) = ((VISITOR, "browser-of-ada"), (VISITOR, "browser-of-bob"));
    create(&upstream, &gate, WORKFLOW, "thr_ada", ada).await;
    let read = of_thread("threads.get_by_id", WORKFLOW, "thr_ada");
    assert_eq!(sent(visit(&gate, GATEWAY, &read).header(ada.0, ada.1)).await.status(), 200);
    let answer = sent(visit(&gate, GATEWAY, &read).header(bob.0, bob.1)).await;
    assert_eq!(refused(answer, 404).await, "sidegate.not_found");
    let own_word = token(&gate, "browser-of-ada", WORKFLOW).await;
    assert_eq!(refused(sent(page(&gate, &own_word, &read)).await, 404).await, "sidegate.not_found");
    let threads = json!({ "data": [{ "id": "thr_ada" }, { "id": "thr_x" }], "has_more": false });
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &threads)));
    for ((name, value), expected) in [(ada, json!(["thr_ada"])), (bob, json!([]))] {
        let answer = sent(visit(&gate, GATEWAY, &list(WORKFLOW)).header(name, value)).await;
        let body: Value = answer.json().await.expect("JSON");
        let ids: Value = body["data"].as_array().expect("a list").iter().map(|thread| thread["id"].clone()).collect();
        assert_eq!(ids, expected);
    }
}

#[tokio::test]
async fn a_visitor_has_the_streams_of_a_token_and_of_a_user() {
    let site = Upstream::start().await;
    let lines = "leash = { streams_per_token = 1, streams_per_end_user = 1 }";
    let (upstream, gate) = started_with(&site, lines).await;
    for id in ["thr_1", "thr_2"] {
        create(&upstream, &gate, WORKFLOW, id, (VISITOR, "browser-of-ada")).await;
    }
}

#[tokio::test]
async fn where_the_url_names_the_app_a_cookie_brings_a_visitor_back() {
    let site = Upstream::start().await;
    let (upstream, gate) = started(&site).await;
    let first = sent(visit(&gate, BY_PREFIX, &list(WORKFLOW))).await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["access-control-allow-credentials"], "true");
    let cookie = first.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.starts_with("__Host-sidegate-visitor=") && cookie.contains("; HttpOnly; Secure; SameSite=None"));
    let seen = last(&upstream).await;
    assert_eq!(seen.uri.path(), GATEWAY);
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let again = sent(visit(&gate, BY_PREFIX, &list(WORKFLOW)).header("cookie", format!("a=b; {pair}"))).await;
    assert!(!again.headers().contains_key("set-cookie"));
    let back = last(&upstream).await;
    assert_eq!(back.header(VISITOR), seen.header(VISITOR));
    assert_eq!(back.header("cookie"), "", "the cookie is the gate's own");
    assert!(!pair.contains(back.header(VISITOR).trim_start_matches("visitor-")));
    let other = sent(visit(&gate, BY_PREFIX, &list(WORKFLOW))).await;
    assert_ne!(other.headers()["set-cookie"].to_str().expect("text").split(';').next(), Some(&*pair));
    assert_ne!(last(&upstream).await.header(VISITOR), seen.header(VISITOR));
    // Elsewhere no cookie counts: which page may read what belongs to it is not known before.
    let answer = sent(visit(&gate, GATEWAY, &list(WORKFLOW)).header("cookie", &pair)).await;
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    assert_eq!(refused(answer, 401).await, "chatkit.auth.missing_visitor_id");
    assert!(!gate.output().contains(pair.split('=').nth(1).expect("a value")));
}

/// One gate has one cookie, which a browser sends to all of its apps.
#[tokio::test]
async fn a_cookie_makes_another_visitor_in_each_app() {
    let site = Upstream::start().await;
    let (upstream, gate) = started(&site).await;
    let first = sent(visit(&gate, BY_PREFIX, &list(WORKFLOW))).await;
    let cookie = first.headers()["set-cookie"].to_str().expect("text").to_owned();
    let pair = ("cookie", cookie.split(';').next().expect("a pair"));
    let of_support = last(&upstream).await.header(VISITOR).to_owned();
    create(&upstream, &gate, WORKFLOW, "thr_1", (VISITOR, "browser-of-ada")).await;
    upstream.take();
    let by_prefix = "/apps/sales/api/chatkit";
    let answer = sent(visit(&gate, by_prefix, &list(OF_SALES)).header(pair.0, pair.1)).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("set-cookie"), "it is known");
    let of_sales = last(&upstream).await.header(VISITOR).to_owned();
    assert!(of_sales.starts_with("visitor-") && of_sales != of_support, "{of_sales}");
    // What is another app's is not there, whoever asks, and neither are its workflows.
    for (thread, visitor) in [("thr_1", pair), ("thr_1", (VISITOR, "browser-of-ada"))] {
        let read = of_thread("threads.get_by_id", OF_SALES, thread);
        let answer = sent(visit(&gate, by_prefix, &read).header(visitor.0, visitor.1)).await;
        assert_eq!(refused(answer, 404).await, "sidegate.not_found");
    }
    let elsewhere = sent(visit(&gate, by_prefix, &list(WORKFLOW)).header(pair.0, pair.1)).await;
    assert!(elsewhere.status().is_client_error(), "{}", elsewhere.status());
    assert_eq!(upstream.take().len(), 0);
}

#[tokio::test]
async fn who_is_over_a_limit_takes_nothing_from_others() {
    let site = Upstream::start().await;
    let limits = "limits = { chat = \"1/h per end_user\", publish = \"2/h per workflow\" }";
    let (upstream, gate) = started_with(&site, limits).await;
    let visit_of = |visitor: &'static str| visit(&gate, GATEWAY, &list(WORKFLOW)).header(VISITOR, visitor);
    assert_eq!(sent(visit_of("browser-of-ada")).await.status(), 200);
    for _ in 0..3 {
        assert_eq!(refused(sent(visit_of("browser-of-ada")).await, 429).await, "chatkit.rate_limit.identity");
    }
    assert_eq!(sent(visit_of("browser-of-bob")).await.status(), 200);
    assert_eq!(refused(sent(visit_of("browser-of-eve")).await, 429).await, "chatkit.rate_limit.publish");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn what_a_login_shows_to_the_gate_stays_there() {
    let upstream = Upstream::start().await;
    upstream.on(GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "data": [], "has_more": false }))));
    let digest = sidegate_core::secret::SecretDigest::of(&"site-key".into());
    let app = format!(
        r#"
[[apps]]
id = "support"
dialect = "orcheo"
upstream = "chat"
origins = ["{SHOP}"]
token.key = {{ value = "{KEY}" }}
authorize = {{ kind = "secret", header = "X-Site-Key", end_user_header = "X-End-User-Id", secret_digests = ["{digest}"] }}
workflows = [{{ id = "{MEMBERS}", published = true, require_login = true }}]
"#
    );
    let gate = Gate::builder(&upstream).toml(&app).start().await;
    let request = visit(&gate, GATEWAY, &list(MEMBERS)).header("x-site-key", "site-key").header("x-end-user-id", "ada");
    assert_eq!(sent(request).await.status(), 200);
    let seen = last(&upstream).await;
    assert_eq!((seen.header(SUBJECT), seen.header("x-site-key"), seen.header("x-end-user-id")), ("ada", "", ""));
}

#[tokio::test]
async fn what_is_not_published_or_not_right_goes_nowhere() {
    let site = Upstream::start().await;
    let (upstream, gate) = started(&site).await;
    let foreign = Value::String("Workflow not found".to_owned());
    for (path, body, status, code) in [
        (GATEWAY, list(OTHER), 403, json!("chatkit.auth.not_published")),
        (BY_PREFIX, list(OTHER), 403, json!("chatkit.auth.not_published")),
        (GATEWAY, list(UNLISTED), 404, foreign.clone()),
        ("/apps/wapp_test/api/chatkit", list(WORKFLOW), 404, foreign),
        (GATEWAY, json!({ "type": "threads.list", "params": {} }), 400, json!("chatkit.workflow_id_missing")),
        (GATEWAY, list("wf_123"), 400, json!("chatkit.workflow_id_invalid")),
        (
            GATEWAY,
            json!({ "type": "threads.explode", "workflow_id": WORKFLOW }),
            400,
            json!("sidegate.invalid_request"),
        ),
        (GATEWAY, json!([]), 400, json!("sidegate.invalid_request")),
    ] {
        let answer = sent(visit(&gate, path, &body).header(VISITOR, "browser-0123456789")).await;
        let allowed = answer.headers().get("access-control-allow-origin").is_some_and(|origin| origin == SHOP);
        assert!(allowed, "{path} {body}");
        assert_eq!(refused(answer, status).await, code, "{path} {body}");
    }
    let evil = gate.public(Method::POST, GATEWAY).header("origin", "https://evil.example").header(VISITOR, "browser-1");
    let answer = sent(evil.json(&list(WORKFLOW))).await;
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    assert_eq!(refused(answer, 403).await, "sidegate.origin_not_allowed");
    let form = visit(&gate, GATEWAY, &list(WORKFLOW)).header(VISITOR, "browser-1").header("content-type", "text/plain");
    assert!([400, 415].contains(&sent(form).await.status().as_u16()));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    let large = gate
        .public(Method::POST, GATEWAY)
        .header("origin", SHOP)
        .header("content-type", "application/json")
        .body(large);
    assert_eq!(refused(sent(large).await, 413).await, "sidegate.payload_too_large");
    let bad_token = visit(&gate, GATEWAY, &list(WORKFLOW)).header(VISITOR, "browser-0123456789").bearer_auth("eyJ.x.y");
    assert_eq!(refused(sent(bad_token).await, 401).await, "chatkit.auth.invalid_jwt", "a bad token is no visitor");
    assert_eq!((upstream.count(), site.count()), (0, 0));
}

#[tokio::test]
async fn a_workflow_for_logins_asks_the_customers_server() {
    let site = Upstream::start().await;
    let (upstream, gate) = started(&site).await;
    let member = |body: &Value| visit(&gate, BY_PREFIX, body).header("cookie", "session=1");
    let oauth_required = "chatkit.auth.oauth_required";
    let nobody = visit(&gate, BY_PREFIX, &list(MEMBERS)).header(VISITOR, "browser-0123456789").header(SUBJECT, "ada");
    assert_eq!(refused(sent(nobody).await, 401).await, oauth_required);
    assert_eq!(site.count(), 0, "nobody is asked about who shows no cookie");
    for (answer, status, code) in [
        (Reply::new(401, ""), 401, oauth_required),
        (Reply::new(204, ""), 401, oauth_required),
        (Reply::new(403, ""), 403, "sidegate.not_authorized"),
        (Reply::new(500, ""), 502, "sidegate.authorization_unavailable"),
    ] {
        site.on("/whoami", Behaviour::answer(answer));
        let answer = sent(member(&list(MEMBERS))).await;
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
        assert_eq!(refused(answer, status).await, code);
    }
    assert_eq!(upstream.count(), 0);

    site.on("/whoami", Behaviour::answer(Reply::new(204, "").header("x-end-user-id", "ada")));
    assert_eq!(sent(member(&list(MEMBERS))).await.status(), 200);
    let seen = last(&upstream).await;
    assert_eq!((seen.header(SUBJECT), seen.header(VISITOR), seen.header("cookie")), ("ada", "", ""));
    create(&upstream, &gate, MEMBERS, "thr_ada", ("cookie", "session=1")).await;
    let read = of_thread("threads.get_by_id", MEMBERS, "thr_ada");
    assert_eq!(sent(member(&read)).await.status(), 200);
    let own = token(&gate, "ada", MEMBERS).await;
    assert_eq!(sent(page(&gate, &own, &read)).await.status(), 200, "with a token she is the same");
    site.on("/whoami", Behaviour::answer(Reply::new(204, "").header("x-end-user-id", "bob")));
    assert_eq!(refused(sent(member(&read)).await, 404).await, "sidegate.not_found");
}
