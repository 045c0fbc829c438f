//! Preflights: answered before any token is looked at, by the route and the lists alone.

use reqwest::{Method, Response};

use crate::support::gate::{Gate, SHOP, assert_refused};
use crate::support::upstream::Upstream;

async fn preflight(gate: &Gate, path: &str, origin: &str, names: &str) -> Response {
    let request = gate.public(Method::OPTIONS, path).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let request = if names.is_empty() { request } else { request.header("access-control-request-headers", names) };
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_listed_origin_is_told_what_it_may_do_and_for_how_long() {
    let upstream = Upstream::start().await;
    let gate = Gate::builder(&upstream).set("cors.max_age=2m").start().await;
    let answer = preflight(&gate, "/api/v1/tasks", SHOP, "authorization,content-type").await;
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], SHOP);
    assert_eq!(headers["access-control-allow-methods"], "GET, POST");
    assert_eq!(headers["access-control-allow-headers"], "authorization, content-type");
    assert_eq!(headers["access-control-max-age"], "120");
    assert_eq!(headers["vary"], "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    assert_eq!(headers.get("access-control-allow-credentials"), None);
    assert_eq!(headers.get("access-control-allow-private-network"), None);
    assert_eq!(answer.text().await.expect("a body"), "");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn each_route_names_its_own_methods() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for (path, methods) in [
        ("/api/v1/tasks", "GET, POST"),
        ("/api/v1/tasks/task_1", "GET"),
        ("/api/v1/tasks/task_1/history", "GET"),
        ("/api/v1/tasks/task_1/stream", "GET"),
        ("/api/v1/tasks/task_1/messages", "POST"),
    ] {
        let answer = preflight(&gate, path, SHOP, "").await;
        assert_eq!((answer.status().as_u16(), path), (204, path));
        assert_eq!(answer.headers()["access-control-allow-methods"], methods, "{path}");
        assert_eq!(answer.headers().get("access-control-allow-headers"), None);
    }
}

#[tokio::test]
async fn a_page_may_not_send_what_is_the_gates_own() {
    let upstream = Upstream::start().await;
    let injected = "[apps.inject.headers]\nX-Tenant = \"{{env.TENANT}}\"";
    let gate = Gate::builder(&upstream).app(injected).start().await;
    let asked = "authorization, cookie, x-tenant, X-Tenant, x-forwarded-for, forwarded, x-api-key, x-real-ip, \
        x-request-id, x-sidegate-app, proxy-authorization, host, x-page, b@d";
    let answer = preflight(&gate, "/api/v1/tasks", SHOP, asked).await;
    assert_eq!(answer.headers()["access-control-allow-headers"], "authorization, x-page");
}

#[tokio::test]
async fn an_unlisted_origin_is_refused_and_told_nothing() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for origin in ["https://evil.example", "null", "https://shop.example.com.evil.example"] {
        let answer = preflight(&gate, "/api/v1/tasks", origin, "authorization").await;
        let told: Vec<_> = answer.headers().keys().filter(|name| name.as_str().starts_with("access-control")).collect();
        assert_eq!(told, Vec::<&reqwest::header::HeaderName>::new());
        assert_eq!(answer.headers()["vary"], "Origin");
        assert_refused(answer, 403, "ORIGIN_NOT_ALLOWED").await;
    }
}

#[tokio::test]
async fn there_is_no_preflight_for_a_path_that_is_no_route() {
    let upstream = Upstream::start().await;
    let gate = Gate::start(&upstream).await;
    for path in ["/", "/api/v1/auth/token", "/api/v1/tasks/task_1/cancel", "/api/v1/tasks/"] {
        let answer = preflight(&gate, path, SHOP, "authorization").await;
        assert_eq!(answer.headers().get("access-control-allow-methods"), None);
        assert_eq!((answer.status().as_u16(), path), (404, path));
    }
}

#[tokio::test]
async fn the_union_of_all_apps_lists_decides() {
    let upstream = Upstream::start().await;
    let other = r#"
[[apps]]
id = "wapp_blog"
dialect = "sigmic"
upstream = "chat"
origins = ["https://blog.example.com"]
token.key = { value = "another-key-of-the-tests-0123456789abcdef" }
"#;
    let gate = Gate::builder(&upstream).toml(other).start().await;
    for origin in [SHOP, "https://blog.example.com"] {
        let answer = preflight(&gate, "/api/v1/tasks", origin, "authorization").await;
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    }
    assert_eq!(preflight(&gate, "/api/v1/tasks", "https://evil.example", "").await.status(), 403);
}
