//! Whatever is refused, in the vendor's words (contracts 3.2), and before anything goes upstream.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{anonymous, of, page, say, sent, started};
use crate::support::cases::cases;
use crate::support::gate::{SHOP, json_of};
use crate::support::upstream::{Behaviour, Reply};

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    path: String,
    body: Option<Value>,
    raw: Option<String>,
    media: Option<String>,
    status: u16,
    answer: Value,
}

#[tokio::test]
async fn every_row_is_answered_as_the_vendor_does() {
    let (upstream, gate) = started().await;
    let (open, closed) = (anonymous(&gate).await, anonymous(&gate).await);
    assert_eq!(say(&gate, &open, "hi").await.status(), 200);
    let ended = Reply::json(200, &json!({ "text": "bye", "chat_ended": true }));
    upstream.once("/widget/chat", Behaviour::answer(ended));
    assert_eq!(say(&gate, &closed, "bye").await.status(), 200);
    upstream.take();
    for case in cases::<Case>("chat9/refused.json") {
        println!("{}", case.name);
        let path = case.path.replace("$SESSION", &open).replace("$CLOSED", &closed);
        let mut request = page(&gate, case.method.parse().expect("a method"), &path);
        if let Some(body) = &case.body {
            request = request.json(body);
        }
        if let Some(raw) = case.raw {
            let media = case.media.unwrap_or_else(|| "application/json".to_owned());
            request = request.header("content-type", media).body(raw);
        }
        let answer = sent(request).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP, "{}", case.name);
        assert_eq!(answer.headers()["cache-control"], "no-store", "{}", case.name);
        assert_eq!((answer.status().as_u16(), json_of(answer).await), (case.status, case.answer), "{}", case.name);
    }
    assert_eq!(upstream.take().len(), 0, "nothing of it went upstream");
}

#[tokio::test]
async fn bodies_are_bounded() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let large = "x".repeat(2 << 20);
    for path in [super::INIT.to_owned(), of("chat", &session), of("escalate", &session)] {
        let answer = sent(page(&gate, Method::POST, &path).json(&json!({ "bot_id": large, "x": large }))).await;
        super::refused(answer, 413, "sidegate.payload_too_large").await;
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_get_takes_no_body() {
    let (upstream, gate) = started().await;
    let session = anonymous(&gate).await;
    let answer = sent(page(&gate, Method::GET, &of("history", &session)).body("x")).await;
    assert_eq!(answer.status(), 422);
    assert_eq!(upstream.count(), 0);
}
