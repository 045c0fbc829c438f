//! What is asked of the CDN, and what a browser gets of its answer.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AT_CDN, BODY, BUNDLE, ask, counted, field, get, next, over, read, script, started};
use crate::support::cases::cases;
use crate::support::gate::{Gate, SHOP, sidegate};
use crate::support::raw;
use crate::support::tls::certificates;
use crate::support::upstream::{Behaviour, Reply, Upstream};
use crate::support::wire::metric;

const NOT_FOUND: &str = r#"{"detail":"ChatKit asset not found."}"#;
const FAILED: &str = r#"{"detail":"Failed to fetch ChatKit asset."}"#;

#[derive(Deserialize)]
struct Case {
    /// Behind the gate's address.
    target: String,
    /// What the CDN is asked for; nothing if it is not asked.
    upstream: Option<String>,
}

#[tokio::test]
async fn each_path_leads_into_its_folder_or_nowhere() {
    let (cdn, gate) = started().await;
    cdn.always(Behaviour::answer(script("no-store")));
    for case in cases::<Case>("orcheo/assets.json") {
        println!("{}", case.target);
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", case.target, gate.public);
        let answer = raw::ask(&gate, request).await;
        let asked: Vec<_> = cdn.take().iter().map(|seen| seen.uri.to_string()).collect();
        assert_eq!(asked, Vec::from_iter(case.upstream.clone()));
        assert_eq!(answer.status, if case.upstream.is_some() { 200 } else { 404 });
        if case.upstream.is_none() {
            assert_eq!((&*answer.body, answer.header("x-content-type-options")), (NOT_FOUND, Some("nosniff")));
        }
    }
    assert!(metric(&gate, &counted("refused")).await > 0.0);
}

#[tokio::test]
async fn nothing_of_the_browsers_goes_along_but_what_it_accepts() {
    let (cdn, gate) = started().await;
    cdn.on(AT_CDN, Behaviour::answer(script("max-age=0")));
    let fields = [
        ("accept", "text/javascript"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "de"),
        ("authorization", "Bearer secret"),
        ("cache-control", "no-cache"),
        ("cookie", "session=1"),
        ("forwarded", "for=192.0.2.1"),
        ("range", "bytes=0-1"),
        ("referer", "https://shop.example.com/basket"),
        ("user-agent", "Browser/1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-orcheo-oauth-subject", "root"),
    ];
    assert_eq!(get(&gate, BUNDLE, &fields).await.status(), 206);
    assert_eq!(ask(&gate, Method::HEAD, BUNDLE, &[]).await.status(), 200);
    let seen = cdn.take();
    let names = |index: usize| {
        let seen: &crate::support::upstream::Recorded = &seen[index];
        let mut names: Vec<_> =
            seen.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        names.sort();
        (seen.method.clone(), names)
    };
    let host = format!("host: {}", cdn.address());
    let first = ["accept-encoding: identity", "accept: text/javascript", &host].map(str::to_owned).to_vec();
    assert_eq!(names(0), (Method::GET, first));
    let second = ["accept-encoding: identity", "accept: */*", &host, "if-none-match: \"v1\""];
    let second = second.map(str::to_owned).to_vec();
    assert_eq!(names(1), (Method::GET, second), "a HEAD is answered from what a GET brings");
}

#[tokio::test]
async fn of_the_answer_only_what_a_browser_needs_passes() {
    let (cdn, gate) = started().await;
    let reply = script("public, max-age=60").header("set-cookie", "cdn=1").header("server", "cdn");
    let reply = reply.header("access-control-allow-origin", "*").header("access-control-allow-credentials", "true");
    let reply = reply
        .header("content-security-policy", "default-src 'none'")
        .header("x-amz-id", "1")
        .header("vary", "Accept-Encoding");
    let reply = reply.header("last-modified", super::DATED).header("expires", super::DATED).header("age", "7");
    let reply =
        reply.header("alt-svc", "h3=\":443\"").header("strict-transport-security", "max-age=1").header("link", "</x>");
    next(&cdn, reply);
    let answer = get(&gate, BUNDLE, &[]).await;
    let mut names: Vec<_> = answer.headers().keys().map(ToString::to_string).collect();
    names.sort();
    let expected = [
        "accept-ranges",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "age",
        "cache-control",
        "content-length",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "vary",
        "x-content-type-options",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    for (name, value) in [
        ("access-control-allow-origin", SHOP),
        ("cache-control", "public, max-age=60"),
        ("content-type", "text/javascript"),
        ("etag", "\"v1\""),
        ("age", "7"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(field(&answer, name), value, "{name}");
    }
    let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["Accept-Encoding", "Origin"]);
    assert_eq!(answer.text().await.expect("a body"), BODY);
}

#[tokio::test]
async fn the_origins_of_any_app_of_orcheo_may_read_it_and_no_other() {
    let cdn = Upstream::start().await;
    let other = r#"
[[apps]]
id = "blog"
dialect = "orcheo"
upstream = "chat"
origins = ["https://blog.example.com"]
workflows = [{ id = "33333333-3333-4333-8333-333333333333" }]
token.key = { value = "the-key-that-the-backend-shares-0123456789" }
"#;
    let gate = over(&cdn).origins(&["https://sigmic.example.com"]).toml(other).start().await;
    cdn.on(AT_CDN, Behaviour::answer(script("max-age=3600")));
    for (origin, allowed) in [
        (SHOP, SHOP),
        ("https://blog.example.com", "https://blog.example.com"),
        ("https://sigmic.example.com", ""),
        ("null", ""),
    ] {
        let answer = gate.public(Method::GET, BUNDLE).header("origin", origin).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), field(&answer, "access-control-allow-origin")), (200, allowed));
        assert_eq!((field(&answer, "vary"), field(&answer, "access-control-allow-credentials")), ("Origin", ""));
        let refused = gate.public(Method::GET, "/api/chatkit/assets/a//b").header("origin", origin);
        assert_eq!(field(&refused.send().await.expect("an answer"), "access-control-allow-origin"), allowed);
    }
}

#[tokio::test]
async fn preflights_are_answered_for_get_and_head() {
    let (cdn, gate) = started().await;
    for path in [BUNDLE, "/assets/ck1/a.js", "/api/chatkit/assets/../x"] {
        for (origin, status) in [(SHOP, 204), ("https://evil.example", 403)] {
            let fields = format!("Host: {}\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET", gate.public);
            let answer =
                raw::ask(&gate, format!("OPTIONS {path} HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(answer.status, status, "{path}");
            let methods = answer.header("access-control-allow-methods");
            assert_eq!(methods, (status == 204).then_some("GET, HEAD"));
        }
    }
    assert_eq!(cdn.count(), 0);
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let (cdn, gate) = started().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = ask(&gate, method.clone(), BUNDLE, &[]).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "allow")), (405, "GET, HEAD"), "{method}");
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["detail"]["code"], "sidegate.method_not_allowed");
    }
    assert_eq!(cdn.count(), 0);
}

#[tokio::test]
async fn there_are_none_without_an_app_of_orcheo_or_when_they_are_switched_off() {
    let cdn = Upstream::start().await;
    cdn.on(AT_CDN, Behaviour::answer(script("max-age=60")));
    let off = over(&cdn).set("assets.enabled=false").start().await;
    let set = format!("assets.base_url={}", cdn.url());
    let no_app = Gate::builder(&cdn).set(&set).start().await;
    for gate in [off, no_app] {
        let answer = get(&gate, BUNDLE, &[]).await;
        let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"));
        assert_eq!((status, &body["code"]), (404, &json!("NOT_FOUND")));
        let preflight = gate.public(Method::OPTIONS, BUNDLE).header("origin", SHOP);
        let preflight = preflight.header("access-control-request-method", "GET").send().await.expect("an answer");
        assert_eq!(preflight.status(), 404);
    }
    assert_eq!(cdn.count(), 0);
}

#[tokio::test]
async fn the_backends_own_environment_names_the_cdn_unless_the_settings_do() {
    let (cdn, other) = (Upstream::start().await, Upstream::start().await);
    for upstream in [&cdn, &other] {
        upstream.always(Behaviour::answer(script("no-store")));
    }
    for name in ["ORCHEO_CHATKIT_CDN_BASE_URL", "CHATKIT_CDN_BASE_URL"] {
        let mut command = sidegate();
        command.env(name, format!("{}/mirror/", cdn.url()));
        let gate = super::builder(&other).command(command).start().await;
        assert_eq!(get(&gate, BUNDLE, &[]).await.status(), 200);
        assert_eq!(cdn.take()[0].uri.path(), "/mirror/deployments/chatkit/chatkit.js");
    }
    let mut command = sidegate();
    command.env("ORCHEO_CHATKIT_CDN_BASE_URL", cdn.url());
    let gate = over(&other).command(command).start().await;
    assert_eq!(get(&gate, BUNDLE, &[]).await.status(), 200);
    assert_eq!((cdn.take().len(), other.take().len()), (0, 1));
}

#[tokio::test]
async fn what_the_cdn_does_not_have_is_not_found_and_its_failures_are_the_gates() {
    let (cdn, gate) = started().await;
    for status in [404, 410] {
        next(&cdn, Reply::new(status, "<html>not here</html>"));
        assert_eq!(read(get(&gate, BUNDLE, &[]).await).await, (404, NOT_FOUND.to_owned()));
    }
    for status in [500, 503, 403, 429, 204, 206, 304] {
        next(&cdn, Reply::new(status, ""));
        let answer = get(&gate, BUNDLE, &[]).await;
        assert_eq!(field(&answer, "access-control-allow-origin"), SHOP);
        assert_eq!(field(&answer, "proxy-status"), "sidegate; error=destination_unavailable", "{status}");
        assert_eq!(read(answer).await, (502, FAILED.to_owned()));
    }
    for behaviour in [Behaviour::reset(), Behaviour::garbage("no HTTP\r\n\r\n"), Behaviour::close()] {
        cdn.on(AT_CDN, behaviour);
        assert_eq!(read(get(&gate, BUNDLE, &[]).await).await, (502, FAILED.to_owned()));
        cdn.on(AT_CDN, Behaviour::answer(script("max-age=0")));
        assert_eq!(get(&gate, &format!("{BUNDLE}?"), &[]).await.status(), 200, "the next request is not held to it");
    }
    let coded = script("max-age=60").header("content-encoding", "gzip");
    next(&cdn, coded);
    assert_eq!(read(get(&gate, "/api/chatkit/assets/chatkit.js?gz", &[]).await).await, (502, FAILED.to_owned()));
}

#[tokio::test]
async fn a_file_above_the_limit_is_not_served() {
    let cdn = Upstream::start().await;
    let gate = over(&cdn).set("assets.max_asset=\"1KiB\"").start().await;
    let of = |size: usize| Reply::new(200, "x".repeat(size)).header("cache-control", "max-age=60");
    next(&cdn, of(1_025));
    let answer = get(&gate, BUNDLE, &[]).await;
    assert_eq!(field(&answer, "proxy-status"), "sidegate; error=http_response_body_size");
    assert_eq!(read(answer).await, (502, FAILED.to_owned()));
    gate.wait_for_line("assets.max_asset").await;
    next(&cdn, of(1_024));
    assert_eq!(get(&gate, BUNDLE, &[]).await.status(), 200);
}

#[tokio::test]
async fn redirects_are_followed_on_the_cdn_below_its_base_alone() {
    let (cdn, elsewhere) = (Upstream::start().await, Upstream::start().await);
    let gate = super::builder(&cdn).set(&format!("assets.base_url={}/mirror", cdn.url())).start().await;
    let bundle = format!("/mirror{AT_CDN}");
    let to = |location: &str| Behaviour::answer(Reply::new(302, "").header("location", location));
    for hop in 1..4 {
        cdn.on(&format!("/mirror/deployments/{hop}"), to(&format!("../deployments/{}", hop + 1)));
    }
    cdn.on("/mirror/deployments/4", Behaviour::answer(script("no-store")));
    elsewhere.always(Behaviour::answer(script("no-store")));
    cdn.on("/outside", Behaviour::answer(script("no-store")));
    let away = format!("{}/mirror/deployments/4", elsewhere.url());
    let up = format!("{}/outside", cdn.url());
    for (location, status) in [
        ("/mirror/deployments/4", 200),
        ("/mirror/deployments/2", 200),
        ("/mirror/deployments/1", 502),
        ("/outside", 502),
        ("../../../outside", 502),
        (&*up, 502),
        (&*away, 502),
        ("https://127.0.0.1/mirror/x", 502),
    ] {
        cdn.once(&bundle, to(location));
        assert_eq!(get(&gate, BUNDLE, &[]).await.status(), status, "{location}");
    }
    cdn.once(&bundle, Behaviour::answer(Reply::new(302, "")));
    assert_eq!(get(&gate, BUNDLE, &[]).await.status(), 502, "without Location");
    assert!(cdn.take().iter().all(|seen| seen.uri.path() != "/outside"));
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn links_of_a_page_lead_through_the_gate_and_its_scripts_stay() {
    let (cdn, gate) = started().await;
    let html = "<head><script>fetch('https://api.openai.com/v1/chatkit/domain_keys/verify')</script>\
        <script src=\"/assets/ck1/index.js\"></script><link href='/assets/ck1/a.css'></head>";
    let through = html.replace("\"/assets/", "\"/api/chatkit/assets/").replace("'/assets/", "'/api/chatkit/assets/");
    let at = "/deployments/chatkit/index.html";
    let page = |cache: &str| {
        let reply = Reply::new(200, html.to_owned()).header("content-type", "text/html; charset=utf-8");
        Behaviour::answer(reply.header("etag", "\"h1\"").header("cache-control", cache))
    };
    cdn.once(at, page("max-age=3600"));
    let answer = get(&gate, "/api/chatkit/assets/index.html", &[]).await;
    assert_eq!(field(&answer, "etag"), "W/\"h1\"");
    assert_eq!(field(&answer, "content-length"), through.len().to_string());
    assert_eq!(read(answer).await, (200, through.clone()));
    let known = get(&gate, "/api/chatkit/assets/index.html", &[("if-none-match", "W/\"h1\"")]).await;
    assert_eq!((known.status().as_u16(), field(&known, "etag")), (304, "W/\"h1\""));
    let part = get(&gate, "/api/chatkit/assets/index.html", &[("range", "bytes=0-1"), ("if-range", "\"h1\"")]).await;
    assert_eq!(part.status(), 200, "the CDN's bytes are not ours");
    cdn.once(at, page("max-age=0"));
    cdn.once(at, Behaviour::answer(Reply::new(304, "").header("etag", "\"h1\"")));
    for _ in 0..2 {
        let answer = get(&gate, "/api/chatkit/assets/index.html?v=2", &[]).await;
        assert_eq!((field(&answer, "etag").to_owned(), read(answer).await.1), ("W/\"h1\"".to_owned(), through.clone()));
    }
    assert_eq!(cdn.requests()[2].header("if-none-match"), "\"h1\"", "the CDN is asked for its own");
    let other = Reply::new(200, "<a href=\"/x\">").header("content-type", "text/html").header("etag", "\"h2\"");
    cdn.once(at, Behaviour::answer(other));
    assert_eq!(field(&get(&gate, "/api/chatkit/assets/index.html?v=3", &[]).await, "etag"), "\"h2\"");
}

#[tokio::test]
async fn tls_of_the_cdn_is_verified_with_the_authority_of_the_settings() {
    let made = certificates();
    let cdn = Upstream::builder().tls(&made.server.0, &made.server.1).start().await;
    cdn.on(AT_CDN, Behaviour::answer(script("max-age=60")));
    let folder = tempfile::tempdir().expect("a folder");
    let (good, bad) = (folder.path().join("good.pem"), folder.path().join("bad.pem"));
    std::fs::write(&good, &made.authority).expect("written");
    std::fs::write(&bad, &certificates().authority).expect("written");
    for (ca, status) in [(good, 200), (bad, 502)] {
        let gate = over(&cdn).set(&format!("assets.ca={}", ca.display())).start().await;
        assert_eq!(get(&gate, BUNDLE, &[]).await.status(), status);
    }
}

#[tokio::test]
async fn the_log_knows_the_route_alone() {
    let (cdn, gate) = started().await;
    cdn.always(Behaviour::answer(script("max-age=60")));
    get(&gate, "/api/chatkit/assets/canary.js?canary=1", &[]).await;
    get(&gate, "/assets/ck1/canary//x", &[]).await;
    let line = gate.wait_for_line("\"code\":\"ASSET_NOT_FOUND\"").await;
    assert!(line.contains("\"route\":\"/api/chatkit/assets/{path}\""), "{line}");
    let lines = gate.output();
    assert_eq!(lines.matches("/api/chatkit/assets/{path}").count(), 2, "{lines}");
    assert!(!lines.contains("canary"), "{lines}");
}
