//! Which requests get as far as the upstream: the chat routes, with a credential in its proper form.
//! What makes a token good is in `tokens`.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::support::cases::cases;
use crate::support::gate::{Gate, SHOP, assert_refused};
use crate::support::upstream::Upstream;

#[derive(Deserialize)]
struct Route {
    method: String,
    target: String,
    body: Option<String>,
}

#[tokio::test]
async fn every_chat_route_is_forwarded_with_method_path_query_and_body() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    for Route { method, target, body } in cases("sigmic/routes.json") {
        upstream.take();
        let mut request = gate.chat(method.parse().expect("a method"), &target, &token);
        if let Some(body) = &body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{method} {target}");
        let seen = upstream.take();
        assert_eq!(seen.len(), 1, "{method} {target}");
        assert_eq!((seen[0].method.as_str(), seen[0].uri.to_string()), (method.as_str(), target));
        assert_eq!(seen[0].body, body.unwrap_or_default());
    }
}

#[tokio::test]
async fn a_form_with_files_is_forwarded_as_it_is() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nHello\r\n--b--\r\n";
    let request = gate.chat(Method::POST, "/api/v1/tasks", &token);
    let request = request.header("content-type", "multipart/form-data; boundary=b").body(body);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let seen = &upstream.requests()[0];
    assert_eq!(seen.header("content-type"), "multipart/form-data; boundary=b");
    assert_eq!(seen.body, body);
}

#[tokio::test]
async fn the_upstreams_base_path_comes_first() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder_for(&format!("{}/base/", upstream.url())).start().await;
    let token = gate.token("ada").mint().await;
    gate.chat(Method::GET, "/api/v1/tasks?limit=1", &token).send().await.expect("an answer");
    assert_eq!(upstream.requests()[0].uri.to_string(), "/base/api/v1/tasks?limit=1");
}

#[derive(Deserialize)]
struct NoRoute {
    method: String,
    target: String,
    status: u16,
    allow: Option<String>,
}

#[tokio::test]
async fn no_other_path_or_method_reaches_the_upstream() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    gate.create_task(&token).await;
    for NoRoute { method, target, status, allow } in cases("sigmic/no_routes.json") {
        let request = gate.chat(method.parse().expect("a method"), &target, &token);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{method} {target}");
        let got = answer.headers().get("allow").map(|value| value.to_str().expect("text"));
        assert_eq!(got, allow.as_deref(), "{method} {target}");
    }
    assert_eq!(upstream.count(), 1, "the created task alone");
}

#[tokio::test]
async fn another_method_is_refused_in_the_vendors_shape() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let answer = gate.chat(Method::DELETE, "/api/v1/tasks/task_1", &token).send().await.expect("an answer");
    assert_refused(answer, 405, "METHOD_NOT_ALLOWED").await;
}

#[tokio::test]
async fn a_route_without_body_takes_none() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let request = gate.chat(Method::GET, "/api/v1/tasks", &token).json(&json!({ "a": 1 }));
    assert_refused(request.send().await.expect("an answer"), 400, "INVALID_REQUEST").await;
    assert_eq!(upstream.count(), 0);
}

#[derive(Deserialize)]
struct Credential {
    name: String,
    #[serde(default)]
    authorization: Vec<String>,
    x_api_key: Option<String>,
    code: String,
}

#[tokio::test]
async fn a_credential_in_another_form_is_refused_by_its_code() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    for Credential { name, authorization, x_api_key, code } in cases("sigmic/credentials.json") {
        let mut request = gate.public(Method::GET, "/api/v1/tasks").header("origin", SHOP);
        for field in authorization {
            request = request.header("authorization", field.replace("TOKEN", &token));
        }
        if let Some(key) = x_api_key {
            request = request.header("x-api-key", key);
        }
        println!("{name}");
        assert_refused(request.send().await.expect("an answer"), 401, &code).await;
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_in_the_query_is_no_credential() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let request = gate.public(Method::GET, &format!("/api/v1/tasks?access_token={token}&token={token}"));
    assert_refused(request.header("origin", SHOP).send().await.expect("an answer"), 401, "AUTH_REQUIRED").await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_schemes_name_is_read_in_any_case() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    let token = gate.token("ada").mint().await;
    let request = gate.public(Method::GET, "/api/v1/tasks").header("origin", SHOP);
    let answer = request.header("authorization", format!("bEARER {token}")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

/// RFC 6750 section 3: `error` is said only where a token was shown.
#[tokio::test]
async fn each_401_carries_its_challenge() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for (authorization, challenge) in [
        (None, "Bearer realm=\"sidegate\""),
        (Some("Bearer sigmic_0123"), "Bearer realm=\"sidegate\""),
        (Some("Bearer nothing"), "Bearer realm=\"sidegate\", error=\"invalid_request\""),
        (Some("Bearer eyJ.e30.x"), "Bearer realm=\"sidegate\", error=\"invalid_token\""),
    ] {
        let mut request = gate.public(Method::GET, "/api/v1/tasks").header("origin", SHOP);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["www-authenticate"], challenge, "{authorization:?}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
}
