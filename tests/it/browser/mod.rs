//! A real browser on the demo's pages: what CORS does, what JavaScript can see, and what it cannot.

pub mod driver;
mod frames;
mod widgets;

use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sidegate::demo::customer::User;
use sidegate::demo::upstream::fingerprint;

use crate::support::demo::Demo;
use crate::support::gate::assert_refused;
use driver::Browser;

const READY: &str = "#status[data-state='ready']";
const REPLY: &str = "[data-testid='bubble-assistant'][data-partial='false']";

/// The secret that the gate injects for ada, the page's first user.
fn ada_secret() -> String {
    User::demo()[0].api_token.expose_secret().to_owned()
}

async fn send(page: &Browser, text: &str) {
    page.write("#message", text).await;
    page.click("#send").await;
}

/// Sends and waits for the whole reply; the reply.
async fn chat(page: &Browser, text: &str) -> String {
    let before = page.texts(REPLY).await.len();
    send(page, text).await;
    page.wait_until(&format!("document.querySelectorAll(\"{REPLY}\").length > {before}")).await;
    page.wait_for(READY).await;
    page.texts(REPLY).await.pop().expect("a reply")
}

/// A page with a token of two seconds, and the wait until the gate refuses it: five seconds after
/// its end, as clocks may differ by so much.
async fn with_expired_token(demo: &Demo, renews: bool) -> Browser {
    let page = Browser::open(&demo.page).await;
    page.wait_for(READY).await;
    page.choose("#expires", "2s").await;
    if !renews {
        page.click("#refresh").await;
    }
    send(&page, "Hello").await;
    // The reply may break off at the token's end; the conversation is there either way.
    page.wait_for("#status[data-state='ready'], #status[data-state='failed']").await;
    page.wait_until("Date.now() / 1000 > JSON.parse(document.querySelector('#claims').textContent).exp + 5").await;
    page
}

/// The calls that the page notes, oldest first, such as `POST /api/v1/tasks 200`.
async fn calls(page: &Browser) -> Vec<String> {
    let mut calls = page.texts("#calls li").await;
    calls.reverse();
    calls.iter().map(|call| call.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

async fn token_of(demo: &Demo) -> String {
    let body = json!({
        "appId": "wapp_demo", "appSecret": demo.app_secret(), "endUserId": "ada",
        "env": { "TENANT": "acme" }, "secrets": { "API_TOKEN": ada_secret() },
    });
    let request = reqwest::Client::new().post(format!("{}/api/v1/auth/token", demo.private)).json(&body);
    let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    answer["data"]["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_page_on_the_allowed_origin_streams_a_chat() {
    let demo = Demo::start().await;
    let page = Browser::open(&demo.page).await;
    page.wait_for(READY).await;
    page.screenshot("ready").await;
    page.note("[data-testid='bubble-assistant'][data-partial='true']:not(:empty)").await;
    send(&page, "Hello, gate").await;
    let reply = page.wait_for(REPLY).await;
    assert!(page.noted().await, "the reply came in parts");
    page.wait_for(READY).await;
    page.screenshot("chat").await;
    assert!(reply.starts_with("You said: Hello, gate"), "{reply}");
    assert!(reply.contains("X-End-User: ada") && reply.contains("X-Tenant: acme"), "{reply}");
    let again = chat(&page, "And again").await;
    assert!(again.starts_with("You said: And again"), "{again}");
    assert_eq!(page.texts(".bubble").await.len(), 4);
}

#[tokio::test]
async fn the_injected_secret_arrives_upstream_and_nowhere_in_the_browser() {
    let demo = Demo::start().await;
    let page = Browser::open(&demo.page).await;
    page.wait_for(READY).await;
    let reply = chat(&page, "Hello").await;
    let secret = ada_secret();
    let arrived = [
        format!("X-Api-Token ({})", fingerprint(secret.as_bytes())),
        format!("mcp_servers[0] Authorization ({})", fingerprint(format!("Bearer {secret}").as_bytes())),
    ];
    for fact in &arrived {
        assert!(reply.contains(fact), "{fact} is not in {reply}");
    }

    let held = everything_held(&page).await;
    let logged = everything_logged(&page).await;
    // The search would find the secret: it finds what did come.
    assert!(held.contains(&arrived[0]) && logged.contains(&arrived[0]));
    assert!(logged.contains("Bearer eyJ"), "the page's own token is in its requests");
    for hidden in [secret.as_str(), "sk-demo", demo.app_secret(), "wsec_", "mcp.example.com"] {
        assert!(!held.contains(hidden), "the page holds {hidden}");
        assert!(!logged.contains(hidden), "{hidden} went over the page's network");
    }
}

/// The document, every store of the page, its cookies and its globals, as one text.
async fn everything_held(page: &Browser) -> String {
    let stores = "
        const done = arguments[arguments.length - 1];
        Promise.all([indexedDB.databases(), caches.keys()]).then(stores => done(JSON.stringify([
            document.documentElement.outerHTML, document.cookie, { ...localStorage }, { ...sessionStorage },
            history.state, window.name, Object.keys(window), stores,
        ])));";
    let stores = page.run_async(stores, Vec::new()).await;
    let cookies = page.client.get_all_cookies().await.expect("cookies");
    assert!(cookies.is_empty(), "{cookies:?}");
    stores.as_str().expect("a text").to_owned()
}

/// Every request and answer of the page with heads and bodies, as one text.
async fn everything_logged(page: &Browser) -> String {
    let events = page.network_log().await;
    let mut text: String = events.iter().map(|event| format!("{event}\n")).collect();
    let mut bodies = 0;
    for event in events.iter().filter(|event| event["method"] == "Network.responseReceived") {
        if let Some(body) = page.body_of(&event["params"]["requestId"]).await {
            text.push_str(&body);
            bodies += 1;
        }
    }
    assert!(bodies >= 5, "page, script, config, token, task and stream: {bodies} bodies");
    text
}

#[tokio::test]
async fn a_page_on_another_origin_is_blocked_by_the_browser() {
    let demo = Demo::start().await;
    let page = Browser::open(&demo.other_page).await;
    page.wait_for(READY).await;
    send(&page, "Hello").await;
    let error = page.wait_for("#error[data-code='BLOCKED_BY_BROWSER']:not([hidden])").await;
    page.screenshot("refused").await;
    assert!(error.contains(&demo.other_page), "{error}");
    assert!(page.texts(".bubble").await.is_empty());
    assert_eq!(calls(&page).await, ["POST /api/sigmic-chat/token 200", "POST /api/v1/tasks blocked"]);
    let events = page.network_log().await;
    let by_cors = |event: &&Value| event["params"]["corsErrorStatus"]["corsError"].is_string();
    let blocked = events.iter().find(by_cors).expect("an event that names CORS");
    assert_eq!(blocked["params"]["corsErrorStatus"]["corsError"], "PreflightMissingAllowOriginHeader");
    let metrics = reqwest::get(format!("{}/metrics", demo.ops)).await.expect("an answer").text().await.expect("text");
    assert!(metrics.contains(r#"sidegate_denials_total{code="ORIGIN_NOT_ALLOWED"} 1"#), "{metrics}");
}

#[tokio::test]
async fn without_a_browser_the_other_origin_gets_403() {
    let demo = Demo::start().await;
    let token = token_of(&demo).await;
    let list = || reqwest::Client::new().get(format!("{}/api/v1/tasks", demo.public)).bearer_auth(&token);
    let answer = list().header(ORIGIN, &demo.other_page).send().await.expect("an answer");
    assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    assert_refused(answer, 403, "ORIGIN_NOT_ALLOWED").await;
    let answer = list().header(ORIGIN, &demo.page).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "the token itself is good");
}

#[tokio::test]
async fn an_expired_token_is_refused_readably() {
    let demo = Demo::start().await;
    let page = with_expired_token(&demo, false).await;
    page.run("document.querySelector('#message').value = ''").await;
    send(&page, "Are you there?").await;
    // What the page shows is what its JavaScript read: the status and the body's code.
    let error = page.wait_for("#error[data-status='401'][data-code='INVALID_TOKEN']:not([hidden])").await;
    page.screenshot("expired").await;
    assert!(error.contains("The token has expired"), "{error}");
    let last = calls(&page).await.pop().expect("a call");
    assert!(last.starts_with("POST /api/v1/tasks") && last.ends_with(" 401"), "{last}");
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_the_call_repeated() {
    let demo = Demo::start().await;
    let page = with_expired_token(&demo, true).await;
    let before = calls(&page).await.len();
    page.run("document.querySelector('#message').value = ''").await;
    send(&page, "Still me").await;
    page.wait_until("[...document.querySelectorAll('#calls li')].some(call => call.innerText.includes('401'))").await;
    page.wait_until(&format!("document.querySelectorAll('#calls li').length >= {}", before + 3)).await;
    page.wait_until("!document.querySelector('#calls li').innerText.includes('…')").await;
    let calls = calls(&page).await.split_off(before);
    assert!(calls[0].ends_with("/messages 401"), "{calls:?}");
    assert_eq!(calls[1], "POST /api/sigmic-chat/token 200");
    assert!(calls[2].ends_with("/messages 200"), "{calls:?}");
}

#[tokio::test]
async fn a_token_that_ends_in_mid_stream_is_renewed_and_the_reply_is_complete() {
    let demo = Demo::start().await;
    let page = Browser::open(&demo.page).await;
    page.wait_for(READY).await;
    page.choose("#expires", "2s").await;
    // At 60 ms a word they take 9 s: longer than the token and the leeway of five seconds.
    let reply = chat(&page, &"a ".repeat(150)).await;
    assert!(reply.starts_with("You said: a a a") && reply.contains("X-End-User: ada"), "{reply}");
    let calls = calls(&page).await;
    assert!(calls.iter().any(|call| call.ends_with("/stream 401")), "{calls:?}");
}

#[tokio::test]
async fn a_token_is_renewed_only_once() {
    let demo = Demo::start().await;
    let page = Browser::open(&demo.page).await;
    page.wait_for(READY).await;
    // A gate that refuses every token, a fresh one too.
    let refusing = "
        const real = window.fetch;
        const body = JSON.stringify({ success: false, error: { message: 'no', code: 'INVALID_TOKEN' } });
        window.fetch = (url, options) => String(url).startsWith(arguments[0])
            ? Promise.resolve(new Response(body, { status: 401 })) : real(url, options);";
    page.client.execute(refusing, vec![json!(demo.public)]).await.expect("the script runs");
    send(&page, "Hello").await;
    page.wait_for("#error[data-status='401'][data-code='INVALID_TOKEN']:not([hidden])").await;
    let expected = [
        "POST /api/sigmic-chat/token 200",
        "POST /api/v1/tasks 401",
        "POST /api/sigmic-chat/token 200",
        "POST /api/v1/tasks 401",
    ];
    assert_eq!(calls(&page).await, expected);
}
