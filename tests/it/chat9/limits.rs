//! How often, as the vendor documents it (contracts 3.2).

use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

use super::{BOT, INIT, OTHER, of, page, sent, started_with};
use crate::support::gate::{Gate, json_of};

/// Asks until it is refused; how often it was not, and the refusal.
async fn until_refused(request: impl Fn() -> RequestBuilder) -> (usize, Response) {
    for count in 0..200 {
        let answer = sent(request()).await;
        if answer.status() == 429 {
            return (count, answer);
        }
        assert_eq!(answer.status(), 200);
    }
    panic!("no limit");
}

type Request<'a> = Box<dyn Fn() -> RequestBuilder + 'a>;

async fn session(gate: &Gate) -> String {
    super::anonymous(gate).await
}

#[tokio::test]
async fn the_limits_are_the_vendors() {
    let (_upstream, gate) = started_with("").await;
    let session = session(&gate).await;
    let message = json!({ "message": "hi" });
    let chat = || page(&gate, Method::POST, &of("chat", &session)).json(&message);
    let escalate = || page(&gate, Method::POST, &of("escalate", &session)).json(&json!({}));
    let config = format!("/widget/config?bot_id={BOT}");
    let rows: [(&str, usize, Request<'_>); 4] = [
        ("30", 30, Box::new(chat)),
        ("30", 30, Box::new(|| page(&gate, Method::GET, &of("history", &session)))),
        ("20", 20, Box::new(escalate)),
        ("30", 30, Box::new(|| page(&gate, Method::GET, &config))),
    ];
    for (rate, expected, request) in rows {
        let (count, answer) = until_refused(request).await;
        // One may have been given back meanwhile.
        assert!((expected..=expected + 2).contains(&count), "{count}");
        assert!(answer.headers().contains_key("retry-after"));
        assert!(answer.headers().contains_key("access-control-allow-origin"));
        let body = json_of(answer).await;
        assert_eq!(body, json!({ "error": format!("Rate limit exceeded: {rate} per 1 minute") }));
    }
    let (count, answer) = until_refused(|| page(&gate, Method::POST, INIT).json(&json!({ "bot_id": BOT }))).await;
    assert!((19..=21).contains(&count), "{count}");
    assert_eq!(json_of(answer).await["error"], "Rate limit exceeded: 20 per 1 minute");
    // Each bot has limits of its own.
    let others = page(&gate, Method::POST, INIT).json(&json!({ "bot_id": OTHER }));
    assert_eq!(sent(others).await.status(), 200);
}

#[tokio::test]
async fn an_app_may_set_others() {
    let lines = "limits = { exchange = [\"3/h per address\", \"5/h\"], chat = \"2/h per end_user\", history = [] }";
    let (upstream, gate) = started_with(lines).await;
    let (one, two) = (session(&gate).await, session(&gate).await);
    for session in [&one, &two] {
        let (count, _) =
            until_refused(|| page(&gate, Method::POST, &of("chat", session)).json(&json!({ "message": "hi" }))).await;
        assert_eq!(count, 2);
    }
    assert_eq!(upstream.take().len(), 4, "what is refused goes nowhere");
    for _ in 0..40 {
        assert_eq!(sent(page(&gate, Method::GET, &of("history", &one))).await.status(), 200);
    }
    session(&gate).await;
    let (count, _) = until_refused(|| page(&gate, Method::POST, INIT).json(&json!({ "bot_id": BOT }))).await;
    assert_eq!(count, 0);
}
