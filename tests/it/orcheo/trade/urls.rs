//! How a URL names an app, and what a page may read of it.

use super::*;

const COOKIE: &str =
    "authorize = { kind = \"request\", upstream = \"chat\", path = \"/whoami\", cookie = \"session\" }";

fn preflight(gate: &Gate, path: &str, origin: &str) -> RequestBuilder {
    let request = gate.public(Method::OPTIONS, path).header("origin", origin);
    request.header("access-control-request-method", "POST").header("access-control-request-headers", "x-login")
}

#[tokio::test]
async fn preflights_give_leave_for_cookies_where_the_url_names_the_app() {
    let (_upstream, gate) = started(COOKIE).await;
    for path in
        [TOKEN, &format!("{TOKEN}?workflow_id={OTHER}"), "/apps/support/chatkit-token", "/apps/support/api/chatkit"]
    {
        let answer = sent(preflight(&gate, path, SHOP)).await;
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true", "{path}");
        assert_eq!(answer.headers()["access-control-allow-methods"], "POST");
        assert_eq!(answer.headers()["access-control-allow-headers"], "x-login");
        let answer = sent(preflight(&gate, path, "https://evil.example")).await;
        assert_eq!(answer.status(), 403);
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    }
    let answer = sent(preflight(&gate, "/api/chatkit", SHOP)).await;
    assert_eq!(answer.status(), 204);
    assert!(!answer.headers().contains_key("access-control-allow-credentials"), "which app this is nobody knows yet");
}

#[tokio::test]
async fn an_app_is_found_by_prefix_host_or_workflow() {
    let upstream = Upstream::start().await;
    upstream.on(SESSION, Behaviour::answer(made("eyJ.first.token", 300)));
    let third = "33333333-3333-4333-8333-333333333333";
    let second_app = format!(
        r#"
[[apps]]
id = "second"
dialect = "orcheo"
authority = "upstream"
upstream = "chat"
hosts = ["Second.Example.com"]
workflows = [{{ id = "{third}" }}]
trade = {{ credential = {{ value = "another-credential" }} }}
{BY_JWT}
"#
    );
    let gate =
        builder(&upstream, &format!("hosts = [\"first.example.com\"]\n{BY_JWT}")).toml(&second_app).start().await;
    let at = |host: &str, path: &str| {
        let login = jwt::sign(&json!({ "sub": format!("{host}{path}"), "exp": forge::now() + 60 }), LOGIN_KEY);
        gate.public(Method::POST, path).header("origin", SHOP).header("x-login", login).header("host", host)
    };
    let any = gate.public.to_string();
    let by_workflow = format!("{TOKEN}?workflow_id={third}");
    for (host, path, expected) in [
        (&*any, "/apps/support/chatkit-token", Some(WORKFLOW)),
        (&*any, "/apps/second/chatkit-token", Some(third)),
        ("first.example.com", TOKEN, Some(WORKFLOW)),
        ("second.example.com:8080", TOKEN, Some(third)),
        ("SECOND.example.com", "/apps/second/chatkit-token", Some(third)),
        (&*any, &by_workflow, Some(third)),
        (&*any, TOKEN, None),
        ("first.example.com", &by_workflow, None),
        ("first.example.com", "/apps/second/chatkit-token", None),
        (&*any, "/apps/third/chatkit-token", None),
        (&*any, "/apps/support/apps/support/chatkit-token", None),
        (&*any, "/apps/support", None),
        (&*any, "/apps/%73upport/chatkit-token", None),
        (&*any, "/apps/support//chatkit-token", None),
    ] {
        let answer = sent(at(host, path)).await;
        let seen = upstream.take().pop().map(|request| request.json()["workflow_id"].clone());
        assert_eq!(seen.as_ref().and_then(Value::as_str), expected, "{host}{path}");
        let status = answer.status().as_u16();
        assert!(
            if expected.is_some() { status == 200 } else { [400, 404].contains(&status) },
            "{host}{path}: {status}"
        );
    }
}

#[tokio::test]
async fn a_token_of_another_app_than_the_urls_is_refused() {
    let upstream = Upstream::start().await;
    let gate = super::super::builder(&upstream).start().await;
    let own = super::super::token(&gate, "ada", WORKFLOW).await;
    upstream.on(super::super::GATEWAY, Behaviour::answer(Reply::json(200, &json!({ "data": [], "has_more": false }))));
    let list = json!({ "type": "threads.list", "params": {} });
    let at = |path: &str| gate.chat(Method::POST, path, &own).json(&list);
    assert_eq!(sent(at("/apps/support/api/chatkit")).await.status(), 200);
    let seen = upstream.take().pop().expect("a request");
    assert_eq!(seen.uri.path(), "/api/chatkit", "the prefix is the gate's own");
    let answer = sent(at("/apps/wapp_test/api/chatkit")).await;
    assert_eq!(refused(answer, 401).await, "chatkit.auth.invalid_jwt");
    assert_eq!(upstream.take().len(), 0);
}

#[tokio::test]
async fn the_route_takes_what_it_needs_and_no_more() {
    let (upstream, gate) = started(BY_JWT).await;
    let answer = sent(gate.public(Method::GET, TOKEN).header("origin", SHOP)).await;
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(answer.status(), 405);
    let answer = sent(ask_as(&gate, "ada", "").body("x".repeat(200 * 1024))).await;
    assert_eq!(refused(answer, 413).await, "sidegate.payload_too_large");
    let limited = builder(&upstream, &format!("{BY_JWT}\nlimits.exchange = \"2/h per end_user\"")).start().await;
    for _ in 0..2 {
        token_of(ask_as(&limited, "ada", "")).await;
    }
    let answer = sent(ask_as(&limited, "ada", "")).await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(refused(answer, 429).await, "chatkit.rate_limit.session");
    token_of(ask_as(&limited, "bob", "")).await;
    assert_eq!(users(&upstream.take()), ["ada", "bob"]);
}
