//! Nothing secret in any output: a canary in every secret place, a mix of good and bad requests at
//! the most talkative log level, and a search through everything that was said.

use std::collections::BTreeMap;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use sidegate_core::secret::SecretDigest;

use crate::support::gate::{APP, Gate, SHOP};
use crate::support::jwt;
use crate::support::upstream::{Behaviour, Reply, Upstream};

const APP_SECRET: &str = "wsec_canary-app-secret";
const SIGNING_KEY: &str = "canary-signing-key-0123456789abcdef0";
/// `canary-seal-key-0123456789abcdef` in base64url.
const SEAL_KEY: &str = "Y2FuYXJ5LXNlYWwta2V5LTAxMjM0NTY3ODlhYmNkZWY";
const SERVICE_KEY: &str = "canary-service-key";
const ENV: &str = "canary-env-value";
const SECRET: &str = "canary-secret-value";
const COOKIE: &str = "canary-cookie";
const QUERY: &str = "canary-query";
const BODY: &str = "canary-chat-body";
const PATH_ID: &str = "canary-path-id";
const API_KEY: &str = "sigmic_canary-api-key";
const END_USER: &str = "canary-end-user";
const UPSTREAM_COOKIE: &str = "canary-set-cookie";
const UPSTREAM_FAULT: &str = "canary-upstream-fault";

/// What must be in no output; a token's signature stands for the token.
const CANARIES: [&str; 14] = [
    APP_SECRET,
    SIGNING_KEY,
    SEAL_KEY,
    SERVICE_KEY,
    ENV,
    SECRET,
    COOKIE,
    QUERY,
    BODY,
    PATH_ID,
    API_KEY,
    END_USER,
    UPSTREAM_COOKIE,
    UPSTREAM_FAULT,
];

/// A gate full of canaries, and everything that it answered.
struct Watched {
    gate: Gate,
    answers: BTreeMap<String, String>,
}

async fn start(upstream: &Upstream) -> Watched {
    let app = format!(
        r#"
[[apps]]
id = "wapp_canaries"
dialect = "sigmic"
upstream = "watched"
secret_digests = ["{}"]
origins = ["{SHOP}"]
token.key = {{ value = "{SIGNING_KEY}" }}
limits.chat = "1000/s"
[apps.inject.headers]
X-Env = "{{{{env.A}}}}"
X-Secret = "{{{{secrets.B}}}}"
X-User = "{{{{claims.sub}}}}"
[apps.inject.body]
"/mcp" = {{ key = "{{{{mcp.B}}}}", service = "{{{{service.KEY}}}}" }}
[[upstreams]]
name = "watched"
url = "{}"
headers = {{ Authorization = "Bearer {{{{service.KEY}}}}" }}
service = {{ KEY = {{ value = "{SERVICE_KEY}" }} }}
first_byte_timeout = "200ms"
"#,
        SecretDigest::of(&APP_SECRET.into()),
        upstream.url(),
    );
    let gate = Gate::builder(upstream)
        .toml(&app)
        .set("log.level=trace")
        .set("listen.public_exchange=true")
        .set(&format!("store.seal_keys=[{{ value = \"{SEAL_KEY}\" }}]"))
        .start()
        .await;
    Watched { gate, answers: BTreeMap::new() }
}

/// Status line, fields and body, as far as they come.
async fn whole(mut answer: Response) -> String {
    let mut text = format!("{} {:?}\n", answer.status(), answer.headers());
    while let Ok(Some(chunk)) = answer.chunk().await {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    text
}

fn exchange_body() -> Value {
    json!({
        "appId": "wapp_canaries", "appSecret": APP_SECRET, "endUserId": END_USER,
        "env": { "A": ENV }, "secrets": { "B": SECRET },
    })
}

impl Watched {
    async fn keep(&mut self, name: &str, request: reqwest::RequestBuilder) -> u16 {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        self.answers.insert(name.to_owned(), whole(answer).await);
        status
    }

    async fn mint(&self) -> String {
        let answer = self.gate.exchange(&exchange_body()).await;
        let body: Value = answer.json().await.expect("JSON");
        body["data"]["token"].as_str().expect("a token").to_owned()
    }

    /// A page's request with all it may carry.
    fn chat(&self, method: Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        let request = self.gate.chat(method, &format!("{path}?key={QUERY}"), token);
        request.header("cookie", COOKIE).header("x-api-key", API_KEY)
    }

    fn create(&self, token: &str) -> reqwest::RequestBuilder {
        self.chat(Method::POST, "/api/v1/tasks", token).json(&json!({ "message": BODY }))
    }

    async fn refused_exchanges(&mut self) {
        for (name, field, value) in [
            ("a wrong app", "appId", json!(APP)),
            ("a bad secret", "appSecret", json!(format!("{APP_SECRET}x"))),
            ("a bad lifetime", "expiresIn", json!(SECRET)),
            ("a bad env value", "env", json!({ "A": [ENV] })),
            ("a bad env name", "secrets", json!({ "A-B": SECRET })),
            ("env as text", "env", json!(ENV)),
            ("a bad end user", "endUserId", json!(format!("{END_USER}\n"))),
        ] {
            let mut body = exchange_body();
            body[field] = value;
            let request = self.gate.private(Method::POST, "/api/v1/auth/token").json(&body);
            assert!(matches!(self.keep(name, request).await, 400 | 401), "{name}");
        }
        let broken = format!("{{\"appSecret\":\"{APP_SECRET}\",\"env\":{{\"A\":\"{ENV}\"}} oops");
        for (name, kind) in [("broken JSON", "application/json"), ("another type", "text/plain")] {
            let request = self.gate.private(Method::POST, "/api/v1/auth/token").header("content-type", kind);
            assert!(matches!(self.keep(name, request.body(broken.clone())).await, 400 | 415), "{name}");
        }
        let page = self.gate.public(Method::POST, "/api/v1/auth/token").header("origin", SHOP).json(&exchange_body());
        assert_eq!(self.keep("an exchange by a page", page).await, 403);
    }

    async fn refused_chats(&mut self, token: &str) {
        let stranger = "https://canary-path-id.example";
        let path = format!("/api/v1/tasks/{PATH_ID}");
        let expired = jwt::sign(&jwt::claims_ending_in(-60), SIGNING_KEY);
        let elsewhere = self.create(token).header("origin", stranger);
        let plain = self.gate.token(END_USER).mint().await;
        for (name, request, status) in [
            ("another's task", self.chat(Method::GET, &path, token), 404),
            ("another's stream", self.chat(Method::GET, &format!("{path}/stream"), token), 404),
            ("two origins", elsewhere, 403),
            ("an unknown path", self.chat(Method::GET, &format!("/{PATH_ID}"), token), 404),
            ("another method", self.chat(Method::DELETE, &path, token), 405),
            ("an expired token", self.create(&expired), 401),
            ("a forged token", self.create(&format!("{token}x")), 401),
            ("an API key", self.create(API_KEY), 401),
            ("another app's token", self.chat(Method::GET, &path, &plain), 404),
            (
                "no JSON",
                self.chat(Method::POST, "/api/v1/tasks", token).header("content-type", "application/json").body(BODY),
                400,
            ),
            (
                "another type",
                self.chat(Method::POST, "/api/v1/tasks", token).header("content-type", "text/plain").body(BODY),
                415,
            ),
        ] {
            assert_eq!(self.keep(name, request).await, status, "{name}");
        }
    }

    async fn failing_upstream(&mut self, upstream: &Upstream, token: &str) {
        let path = "/api/v1/tasks";
        let (held, _release) = Behaviour::held(Reply::new(200, ""));
        for (name, behaviour) in [
            ("a reset", Behaviour::reset()),
            ("garbage", Behaviour::garbage(format!("{UPSTREAM_FAULT}\r\n\r\n"))),
            ("an unreadable answer", Behaviour::answer(Reply::json(200, &json!({ "data": UPSTREAM_FAULT })))),
            ("a refusal of our key", Behaviour::answer(Reply::new(401, UPSTREAM_FAULT))),
            ("silence", held),
        ] {
            upstream.once(path, behaviour);
            let status = self.keep(name, self.create(token)).await;
            assert!(matches!(status, 502 | 504), "{name}: {status}");
        }
        let (broken, stream) = Behaviour::sse();
        let id = self.created(token).await;
        upstream.on(&format!("{path}/{id}/stream"), broken);
        let answer = self.chat(Method::GET, &format!("{path}/{id}/stream"), token).send().await.expect("an answer");
        stream.abort();
        self.answers.insert("a broken stream".to_owned(), whole(answer).await);
    }

    async fn created(&self, token: &str) -> String {
        let answer: Value = self.create(token).send().await.expect("an answer").json().await.expect("JSON");
        answer["data"]["id"].as_str().expect("an id").to_owned()
    }

    async fn good_requests(&mut self, upstream: &Upstream, token: &str) {
        assert_eq!(self.keep("a created task", self.create(token)).await, 200);
        let seen = upstream.take().pop().expect("a request");
        assert_eq!((seen.header("x-env"), seen.header("x-secret")), (ENV, SECRET));
        assert_eq!(seen.header("authorization"), format!("Bearer {SERVICE_KEY}"));
        assert_eq!(seen.json()["mcp"]["key"], SECRET);
        assert!(!seen.headers.contains_key("cookie") && !seen.headers.contains_key("x-api-key"));
        let reply =
            Reply::json(200, &json!({ "success": true, "data": { "id": "t1" } })).header("set-cookie", UPSTREAM_COOKIE);
        upstream.once("/api/v1/tasks", Behaviour::answer(reply));
        assert_eq!(self.keep("a cookie from upstream", self.create(token)).await, 200);
        assert_eq!(self.keep("a list", self.chat(Method::GET, "/api/v1/tasks", token)).await, 200);
    }

    /// Fails if a canary, or a part of one of the tokens, is in an answer, a metric or the output.
    async fn search(&mut self, tokens: &[&str]) {
        for path in ["/metrics", "/readyz", "/livez"] {
            let request = self.gate.ops(path).header("cookie", COOKIE);
            self.keep(path, request).await;
        }
        self.gate.signal("TERM");
        self.gate.wait_for_line("\"stopped\"").await;
        self.answers.insert("the output".to_owned(), self.gate.output());
        let signatures = tokens.iter().map(|token| token.rsplit('.').next().expect("a signature"));
        let needles: Vec<_> = CANARIES.into_iter().chain(signatures).collect();
        for (name, text) in &self.answers {
            for needle in &needles {
                assert!(!text.contains(needle), "{needle} in {name}:\n{text}");
            }
        }
    }
}

#[tokio::test]
async fn no_canary_leaves_the_gate() {
    let upstream = Upstream::start().await;
    let mut watched = start(&upstream).await;
    let (token, other) = (watched.mint().await, watched.mint().await);
    watched.good_requests(&upstream, &token).await;
    watched.refused_exchanges().await;
    watched.refused_chats(&token).await;
    watched.failing_upstream(&upstream, &other).await;
    watched.search(&[&token, &other]).await;
    let output = &watched.answers["the output"];
    // The search has looked at a log that says something.
    for said in ["INVALID_CREDENTIALS", "\"access\"", "/api/v1/tasks/{id}/stream", "http_response_timeout"] {
        assert!(output.contains(said), "no {said} in {output}");
    }
}

#[tokio::test]
async fn the_exchange_answers_with_the_token_and_no_other_canary() {
    let upstream = Upstream::start().await;
    let mut watched = start(&upstream).await;
    let request = watched.gate.private(Method::POST, "/api/v1/auth/token").json(&exchange_body());
    assert_eq!(watched.keep("an exchange", request).await, 200);
    let text = &watched.answers["an exchange"];
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}

#[tokio::test]
async fn the_token_itself_says_nothing_of_its_context() {
    let upstream = Upstream::start().await;
    let watched = start(&upstream).await;
    let claims = jwt::claims(&watched.mint().await, SIGNING_KEY).to_string();
    assert!(claims.contains(END_USER));
    for canary in [ENV, SECRET, APP_SECRET, SERVICE_KEY] {
        assert!(!claims.contains(canary), "{canary} in {claims}");
    }
}
