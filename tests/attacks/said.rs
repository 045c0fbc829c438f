//! What visitors say of themselves, and what customers' servers say of them, on its way into headers: whatever it says, it is a value
//! or refused, in every dialect.

use reqwest::Method;
use serde_json::{Value, json};

use crate::dialects::{BOT, IDENTITY, WORKFLOW, WORKSPACE, lay, widget};
use crate::siege::{Faults, Siege};
use crate::support::admin::BOOTSTRAP;
use crate::support::cases::cases;
use crate::support::forge::{identity_token, now};
use crate::support::gate::SHOP;

/// Where sessions of Chat9 begin.
const CHAT9: &str = "/widget/session/init";

/// Who says it: a way in for a value, and the request that shows what the upstream is told.
struct Speaker {
    /// The header that the value stands in.
    header: &'static str,
    /// Where to come in, and with what; the value stands at `at`.
    path: String,
    body: Value,
    at: &'static str,
}

fn speakers(widget: &str) -> Vec<Speaker> {
    let mitigate = format!("/api/v1/workspaces/{WORKSPACE}/session");
    let chatbotkit = format!("/api/v1/integration/widget/{widget}/session/create");
    let guest = json!({ "guest": { "name": "Ada", "email": "ada@example.com", "consent": true } });
    let contact =
        json!({ "contact": { "name": "Ada", "email": "ada@example.com", "phone": "+14155552671" }, "meta": {} });
    let of = |header, path: &str, body: &Value, at| Speaker { header, path: path.to_owned(), body: body.clone(), at };
    let signed = json!({ "bot_id": BOT, "signed": { "user_id": "ada", "exp": now() + 300 } });
    vec![
        of("x-user-email", CHAT9, &signed, "/signed/email"),
        of("x-user-name", CHAT9, &signed, "/signed/name"),
        of("x-user-plan-tier", CHAT9, &signed, "/signed/plan_tier"),
        of("x-user-company", CHAT9, &signed, "/signed/company"),
        of("x-user-locale", CHAT9, &signed, "/signed/locale"),
        of("x-unverified-locale", CHAT9, &json!({ "bot_id": BOT }), "/locale"),
        of("x-unverified-name", &mitigate, &guest, "/guest/name"),
        of("x-unverified-email", &mitigate, &guest, "/guest/email"),
        of("x-unverified-locale", &mitigate, &guest, "/locale"),
        of("x-unverified-name", &chatbotkit, &contact, "/contact/name"),
        of("x-unverified-email", &chatbotkit, &contact, "/contact/email"),
        of("x-unverified-phone", &chatbotkit, &contact, "/contact/phone"),
        of("x-user-meta", &chatbotkit, &contact, "/meta/page"),
    ]
}

impl Speaker {
    /// With this value; the request that follows, or `None` where nobody is let in so.
    async fn comes_in(&self, siege: &Siege, value: &str) -> Option<reqwest::RequestBuilder> {
        let (mut body, (above, member)) = (self.body.clone(), self.at.rsplit_once('/').expect("a pointer"));
        body.pointer_mut(above).expect("an object")[member] = json!(value);
        if let Some(claims) = body.as_object_mut().and_then(|body| body.remove("signed")) {
            body["identity_token"] = json!(identity_token(&claims, IDENTITY));
        }
        let page = |path: &str| siege.gate.public(Method::POST, path).header("origin", SHOP);
        let answer = page(&self.path).json(&body).send().await.expect("an answer");
        if answer.status() != 200 {
            assert!(answer.status().is_client_error(), "{value:?}: {}", answer.status());
            return None;
        }
        let opened: Value = answer.json().await.expect("JSON");
        let text = |name: &str| opened[name].as_str().expect("a text").to_owned();
        Some(if self.path == CHAT9 {
            let path = format!("/widget/chat?bot_id={BOT}&session_id={}", text("session_id"));
            page(&path).json(&json!({ "message": "hi" }))
        } else if opened["conversationId"].is_string() {
            let path = format!("/api/v1/conversation/{}/complete", text("conversationId"));
            page(&path).bearer_auth(text("token")).json(&json!({ "text": "hi" }))
        } else {
            page("/api/v1/chats").bearer_auth(text("token")).json(&json!({ "prompt": "hi" }))
        })
    }
}

/// Whether a header says nothing, or this and no more: as text, perhaps cut, without control characters, or as a member of JSON.
fn says(header: Option<&http::HeaderValue>, value: &str) -> bool {
    let Some(said) = header.map(|said| std::str::from_utf8(said.as_bytes()).expect("UTF-8")) else { return true };
    let kept: String = value.chars().filter(|letter| !letter.is_control()).collect();
    let is_member =
        |said: Value| said.is_object() && said.get("page").is_none_or(|page| page == value || *page == *kept);
    !said.is_empty() && kept.trim().starts_with(said) || serde_json::from_str(said).is_ok_and(is_member)
}

#[tokio::test]
async fn whatever_is_said_of_a_visitor_is_a_value_or_refused() {
    let siege = lay(|gate| gate).await;
    let widget = widget(&siege.gate, true).await;
    let (mut values, mut faults, mut heard) = (cases::<String>("attacks/values.json"), Faults::default(), 0);
    values.push("plain".into());
    for speaker in speakers(&widget) {
        for value in &values {
            let Some(request) = speaker.comes_in(&siege, value).await else { continue };
            let answer = request.send().await.expect("an answer");
            let seen = siege.upstream.take();
            siege.expect(seen.len());
            let Some(seen) = seen.first() else {
                faults.check(answer.status() == 403, || format!("{} {value:?}: {answer:?}", speaker.at));
                continue;
            };
            let header = seen.headers.get(speaker.header);
            heard += usize::from(header.is_some());
            let well = says(header, value) && !seen.headers.contains_key("x-evil");
            faults.check(well, || format!("{} {value:?}: {header:?}", speaker.at));
        }
    }
    println!("{heard} values were told to the upstream");
    assert!(heard > values.len(), "this test shows nothing");
    faults.none();
    siege.is_well().await;
}

/// End users as customers' servers name them.
#[tokio::test]
async fn an_end_user_is_a_value_or_refused() {
    let siege = lay(|gate| gate).await;
    let (mut faults, mut heard) = (Faults::default(), 0);
    for value in cases::<String>("attacks/values.json") {
        let session = siege.gate.private(Method::POST, "/api/chatkit/session").bearer_auth(BOOTSTRAP);
        let session = session.json(&json!({ "workflow_id": WORKFLOW, "user": { "id": value } }));
        let answer = session.send().await.expect("an answer");
        if answer.status() != 200 {
            assert!(answer.status().is_client_error(), "{value:?}: {}", answer.status());
            continue;
        }
        let token: Value = answer.json().await.expect("JSON");
        let list = json!({ "type": "threads.list", "params": {} });
        let request = siege.gate.chat(Method::POST, "/api/chatkit", token["client_secret"].as_str().expect("a token"));
        let status = request.json(&list).send().await.expect("an answer").status();
        let seen = siege.upstream.take();
        siege.expect(seen.len());
        let Some(seen) = seen.first() else {
            faults.check(status.is_client_error(), || format!("{value:?}: {status}"));
            continue;
        };
        heard += 1;
        let well = says(seen.headers.get("x-claims-sub"), &value) && !seen.headers.contains_key("x-evil");
        faults.check(well, || format!("{value:?}: {:?}", seen.headers));
    }
    assert!(heard > 10, "this test shows nothing: {heard}");
    faults.none();
    siege.is_well().await;
}
