//! One end user never sees another's tasks: who created a task owns it, lists included.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::gate::{Gate, assert_refused, json_of};
use crate::support::upstream::{Behaviour, Reply, Upstream};

const TASKS: &str = "/api/v1/tasks";

/// Every route with an id.
fn id_routes(id: &str) -> [(Method, String); 4] {
    [
        (Method::GET, format!("{TASKS}/{id}")),
        (Method::GET, format!("{TASKS}/{id}/history")),
        (Method::GET, format!("{TASKS}/{id}/stream")),
        (Method::POST, format!("{TASKS}/{id}/messages")),
    ]
}

async fn ask(gate: &Gate, method: Method, path: &str, token: &str) -> Response {
    let request = gate.chat(method.clone(), path, token);
    let request = if method == Method::POST { request.json(&json!({ "message": "Hello" })) } else { request };
    request.send().await.expect("an answer")
}

/// Ids and total of a list of tasks.
async fn listed(gate: &Gate, token: &str) -> (Vec<String>, u64) {
    let answer = ask(gate, Method::GET, TASKS, token).await;
    assert_eq!(answer.status(), 200);
    let body = json_of(answer).await;
    let ids = body["data"].as_array().expect("a list").iter();
    let ids = ids.map(|task| task["id"].as_str().expect("an id").to_owned()).collect();
    (ids, body["pagination"]["total"].as_u64().expect("a total"))
}

#[tokio::test]
async fn its_creator_uses_a_task_on_every_route() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let ada = gate.token("ada").mint().await;
    let id = gate.create_task(&ada).await;
    for (method, path) in id_routes(&id) {
        assert_eq!((ask(&gate, method, &path, &ada).await.status().as_u16(), path.clone()), (200, path));
    }
    assert_eq!(upstream.count(), 5);
}

#[tokio::test]
async fn a_fresh_token_of_the_same_user_finds_the_task() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let first = gate.token("ada").mint().await;
    let id = gate.create_task(&first).await;
    let second = gate.token("ada").env("TENANT", "acme").mint().await;
    assert_ne!(first, second);
    assert_eq!(ask(&gate, Method::GET, &format!("{TASKS}/{id}"), &second).await.status(), 200);
}

#[tokio::test]
async fn another_users_task_is_not_found_on_any_route() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let id = gate.create_task(&ada).await;
    for (method, path) in id_routes(&id) {
        assert_refused(ask(&gate, method, &path, &eve).await, 404, "NOT_FOUND").await;
    }
    assert_eq!(upstream.count(), 1, "the created task alone");
}

/// Status, fields but for the request's id and time, and body.
async fn told(answer: Response) -> (u16, Vec<String>, String) {
    let fields = answer.headers().iter().filter(|(name, _)| !matches!(name.as_str(), "x-request-id" | "date"));
    let fields = fields.map(|(name, value)| format!("{name}: {value:?}")).collect();
    (answer.status().as_u16(), fields, answer.text().await.expect("a body"))
}

#[tokio::test]
async fn another_users_task_looks_like_one_that_never_was() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let id = gate.create_task(&ada).await;
    for ((method, path), (_, never)) in id_routes(&id).into_iter().zip(id_routes("task_9")) {
        let real = told(ask(&gate, method.clone(), &path, &eve).await).await;
        assert_eq!(real, told(ask(&gate, method, &never, &eve).await).await);
    }
}

#[tokio::test]
async fn a_task_made_elsewhere_is_nobodys() {
    let upstream = Upstream::start().await;
    let (gate, other) = tokio::join!(Gate::start(&upstream), Gate::start(&upstream));
    let id = other.create_task(&other.token("ada").mint().await).await;
    let ada = gate.token("ada").mint().await;
    let answer = ask(&gate, Method::GET, &format!("{TASKS}/{id}"), &ada).await;
    assert_refused(answer, 404, "NOT_FOUND").await;
}

/// A second app before the same upstream.
const OTHER_APP: &str = r#"
[[apps]]
id = "wapp_other"
dialect = "sigmic"
upstream = "chat"
origins = ["https://shop.example.com"]
token.key = { value = "another-key-of-the-tests-0123456789abcdef" }
"#;

fn token_of_other_app(end_user: &str) -> String {
    use crate::support::forge::{HEADER, claims, merge, sign};
    let mut claims = claims();
    merge(&mut claims, &json!({ "appId": "wapp_other", "sub": end_user }));
    let key = "another-key-of-the-tests-0123456789abcdef";
    sign(HEADER, &claims.to_string(), key, jsonwebtoken::Algorithm::HS256)
}

#[tokio::test]
async fn a_user_of_the_same_name_in_another_app_is_another_user() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).toml(OTHER_APP).start().await;
    let (ada, namesake) = (gate.token("ada").mint().await, token_of_other_app("ada"));
    let id = gate.create_task(&ada).await;
    for (method, path) in id_routes(&id) {
        assert_refused(ask(&gate, method, &path, &namesake).await, 404, "NOT_FOUND").await;
    }
    assert_eq!(listed(&gate, &namesake).await, (Vec::new(), 0));
}

#[tokio::test]
async fn a_list_has_the_callers_own_tasks_and_their_number() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    for token in [&ada, &eve, &ada] {
        gate.create_task(token).await;
    }
    assert_eq!(listed(&gate, &ada).await, (vec!["task_3".into(), "task_1".into()], 2));
    assert_eq!(listed(&gate, &eve).await, (vec!["task_2".into()], 1));
    assert_eq!(listed(&gate, &gate.token("new").mint().await).await, (Vec::new(), 0));
}

#[tokio::test]
async fn a_listed_task_keeps_its_bytes() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let ada = gate.token("ada").mint().await;
    gate.create_task(&ada).await;
    let task = r#"{"id":"task_1","cost":1.50,"title":"caf\u00e9","x":[ 1 ]}"#;
    let rest = r#""pagination":{"total":7,"limit":50,"offset":0,"hasMore":true}"#;
    let body = format!(r#"{{"success":true,"data":[{{"id":"task_0"}}, {task}],{rest}}}"#);
    let reply = Reply::new(200, body).header("content-type", "application/json");
    upstream.once(TASKS, Behaviour::answer(reply));
    let answer = ask(&gate, Method::GET, TASKS, &ada).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let rest = rest.replace("\"total\":7", "\"total\":1");
    assert_eq!(answer.text().await.expect("text"), format!(r#"{{"success":true,"data":[{task}],{rest}}}"#));
}

/// Asserts that this upstream answer to `method` on the collection becomes a 502.
async fn assert_not_believed(method: Method, reply: Reply) {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let ada = gate.token("ada").mint().await;
    upstream.once(TASKS, Behaviour::answer(reply));
    let answer = ask(&gate, method, TASKS, &ada).await;
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=http_protocol_error");
    assert_refused(answer, 502, "UPSTREAM_INVALID_RESPONSE").await;
}

#[tokio::test]
async fn a_list_in_an_unknown_shape_does_not_pass() {
    for body in [
        "",
        "[]",
        r#"[{"id":"task_1"}]"#,
        r#"{"success":true,"tasks":[{"id":"task_1"}]}"#,
        r#"{"success":true,"data":{"id":"task_1"},"pagination":{"total":1,"limit":1,"offset":0,"hasMore":false}}"#,
        r#"{"success":true,"data":["task_1"],"pagination":{"total":1,"limit":1,"offset":0,"hasMore":false}}"#,
        r#"{"success":true,"data":[{"taskId":"x"}],"pagination":{"total":1,"limit":1,"offset":0,"hasMore":false}}"#,
        r#"{"success":true,"data":[{"id":"a","id":"b"}],"pagination":{"total":1,"limit":1,"offset":0,"hasMore":false}}"#,
        r#"{"success":true,"data":[]}"#,
    ] {
        println!("{body}");
        assert_not_believed(Method::GET, Reply::new(200, body)).await;
    }
}

#[tokio::test]
async fn a_created_task_without_a_proper_id_does_not_pass() {
    for body in [
        "",
        "{}",
        r#"{"success":true,"data":{"status":"pending"}}"#,
        r#"{"success":true,"data":{"id":7}}"#,
        r#"{"success":true,"data":{"id":""}}"#,
        r#"{"success":true,"data":{"id":"../admin"}}"#,
        r#"{"success":true,"data":{"id":"a","id":"b"}}"#,
        r#"{"success":true,"id":"task_1"}"#,
    ] {
        println!("{body}");
        assert_not_believed(Method::POST, Reply::new(200, body)).await;
    }
}

#[tokio::test]
async fn what_must_be_read_is_asked_for_without_coding() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let ada = gate.token("ada").mint().await;
    for request in [
        gate.chat(Method::POST, TASKS, &ada).json(&json!({})),
        gate.chat(Method::GET, TASKS, &ada),
        gate.chat(Method::GET, "/api/v1/tasks/task_1", &ada),
    ] {
        request.header("accept-encoding", "gzip, br").send().await.expect("an answer");
    }
    let asked: Vec<_> = upstream.requests().iter().map(|seen| seen.header("accept-encoding").to_owned()).collect();
    assert_eq!(asked, ["identity", "identity", "gzip, br"]);
}

#[tokio::test]
async fn a_list_in_a_coding_all_the_same_does_not_pass() {
    let gzip = [0x1f_u8, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].to_vec();
    assert_not_believed(Method::GET, Reply::new(200, gzip).header("content-encoding", "gzip")).await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_read_does_not_pass() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("limits.read_answer=1KiB").start().await;
    let ada = gate.token("ada").mint().await;
    let padding = "x".repeat(1024);
    let body = json!({ "success": true, "data": { "id": "task_1", "padding": padding } });
    upstream.once(TASKS, Behaviour::answer(Reply::json(200, &body)));
    let answer = ask(&gate, Method::POST, TASKS, &ada).await;
    assert_eq!(answer.headers()["proxy-status"], "sidegate; error=http_response_body_size");
    assert_refused(answer, 502, "UPSTREAM_INVALID_RESPONSE").await;
}

#[tokio::test]
async fn the_upstreams_refusals_pass_with_their_bodies() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let ada = gate.token("ada").mint().await;
    for method in [Method::GET, Method::POST] {
        for status in [400, 403, 500, 503] {
            let body = json!({ "success": false, "error": { "message": "No", "code": "THEIRS" } });
            upstream.once(TASKS, Behaviour::answer(Reply::json(status, &body)));
            let answer = ask(&gate, method.clone(), TASKS, &ada).await;
            assert_eq!(answer.status(), status);
            assert_eq!(json_of(answer).await, body);
        }
    }
}

#[tokio::test]
async fn a_full_store_refuses_a_task_before_the_upstream_is_touched() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("store.state=memory").set("store.memory=4KiB").start().await;
    let ada = gate.token("ada").mint().await;
    gate.create_task(&ada).await;
    let answer = ask(&gate, Method::POST, TASKS, &ada).await;
    assert_refused(answer, 503, "STORE_UNAVAILABLE").await;
    assert_eq!(upstream.count(), 1);
    assert_eq!(ask(&gate, Method::GET, "/api/v1/tasks/task_1", &ada).await.status(), 200, "what was kept stays");
}

/// An upstream that gives one id twice: the first owner keeps it.
#[tokio::test]
async fn an_id_that_has_an_owner_is_not_given_away() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let (ada, eve) = (gate.token("ada").mint().await, gate.token("eve").mint().await);
    let id = gate.create_task(&ada).await;
    upstream.once(TASKS, Behaviour::answer(Reply::json(200, &json!({ "success": true, "data": { "id": id } }))));
    assert_refused(ask(&gate, Method::POST, TASKS, &eve).await, 503, "STORE_UNAVAILABLE").await;
    let path = format!("{TASKS}/{id}");
    assert_refused(ask(&gate, Method::GET, &path, &eve).await, 404, "NOT_FOUND").await;
    assert_eq!(ask(&gate, Method::GET, &path, &ada).await.status(), 200);
}

#[tokio::test]
async fn an_upstream_that_scopes_by_itself_is_told_who_asks_and_left_alone() {
    let upstream = Upstream::start().await;
    let settings = "scoping = \"upstream\"\n[apps.inject.headers]\nX-End-User = \"{{claims.sub}}\"";
    let gate = Gate::builder(&upstream).app(settings).start().await;
    let ada = gate.token("ada").mint().await;
    let list: Value = json!([{ "any": "shape" }]);
    upstream.once(TASKS, Behaviour::answer(Reply::json(200, &list)));
    assert_eq!(json_of(ask(&gate, Method::GET, TASKS, &ada).await).await, list);
    upstream.once("/api/v1/tasks/theirs", Behaviour::answer(Reply::json(200, &json!({}))));
    assert_eq!(ask(&gate, Method::GET, "/api/v1/tasks/theirs", &ada).await.status(), 200);
    assert!(upstream.requests().iter().all(|seen| seen.header("x-end-user") == "ada"));
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn fields_that_describe_the_whole_list_do_not_pass() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let ada = gate.token("ada").mint().await;
    let fields =
        [("x-total-count", "7"), ("link", "</api/v1/tasks?offset=50>; rel=next"), ("etag", "\"all\""), ("digest", "x")];
    let body = r#"{"success":true,"data":[],"pagination":{"total":7,"limit":50,"offset":0,"hasMore":true}}"#;
    let mut reply = Reply::new(200, body).header("content-type", "application/json");
    for (name, value) in fields {
        reply = reply.header(name, value);
    }
    upstream.once(TASKS, Behaviour::answer(reply));
    let answer = ask(&gate, Method::GET, TASKS, &ada).await;
    for (name, _) in fields {
        assert_eq!(answer.headers().get(name), None, "{name}");
    }
    assert_eq!(answer.headers()["cache-control"], "no-store");
}
