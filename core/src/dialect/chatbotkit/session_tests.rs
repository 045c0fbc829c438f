//! Sessions: bodies, lengths, what is kept and what is answered.

use super::*;
use crate::clock::Timestamp;

#[derive(Deserialize)]
struct Row {
    name: String,
    body: String,
    says: Option<String>,
    seconds: Option<u64>,
    contact: Option<Value>,
    #[serde(default)]
    messages: usize,
    conversation: Option<String>,
}

#[test]
fn bodies_are_taken_or_refused_by_member_and_rule() {
    let rows = include_str!("../../../../tests/fixtures/chatbotkit/sessions.json");
    for row in serde_json::from_str::<Vec<Row>>(rows).expect("rows") {
        let parsed = parse_session(row.body.as_bytes());
        let refused = parsed.as_ref().err();
        assert_eq!(refused.map(|denial| &*denial.message), row.says.as_deref(), "{}", row.name);
        assert!(refused.is_none_or(|denial| denial.code == Code::InvalidRequest), "{}", row.name);
        let Ok(asked) = parsed else { continue };
        assert_eq!(asked.duration.map(|duration| duration.as_secs()), row.seconds, "{}", row.name);
        assert_eq!(asked.contact.map(|contact| json!(contact)), row.contact, "{}", row.name);
        assert_eq!(asked.messages.len(), row.messages, "{}", row.name);
        assert_eq!(asked.conversation.map(|id| id.as_str().to_owned()), row.conversation, "{}", row.name);
    }
}

fn said(lengths: &[usize]) -> Result<Asked, Denial> {
    let messages: Vec<_> =
        lengths.iter().map(|length| json!({ "type": "user", "text": "x".repeat(*length) })).collect();
    parse_session(json!({ "messages": messages }).to_string().as_bytes())
}

#[test]
fn messages_have_bounds_one_by_one_and_together() {
    assert!(said(&[16_384; 4]).is_ok());
    let message = said(&[1, 16_385]).expect_err("too long").message;
    assert_eq!(message, "messages [1] must have a text of 1 to 16384 bytes");
    let message = said(&[16_384, 16_384, 16_384, 16_384, 1]).expect_err("too long").message;
    assert_eq!(message, "messages must have at most 65536 bytes of text together");
}

#[test]
fn a_session_lasts_as_asked_but_no_longer_than_its_cap() {
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
    for (asked, cap, lasts) in [
        (None, day, 86_400),
        (Some(7_200), day, 7_200),
        (Some(7_200), hour, 3_600),
        (Some(1_800), hour, 1_800),
        // The cap may be below what can be asked for.
        (Some(1_800), Duration::from_secs(600), 600),
        (None, Duration::from_secs(600), 600),
    ] {
        let asked = Asked { duration: asked.map(Duration::from_secs), ..Asked::default() };
        assert_eq!(asked.length(cap).as_secs(), lasts, "{asked:?} {cap:?}");
    }
    assert_eq!(Asked::default().length_of_api(), hour);
    assert_eq!(Asked { duration: Some(day), ..Asked::default() }.length_of_api(), day);
}

#[test]
fn a_server_asks_for_other_things_than_a_page() {
    let bot = br#"{"durationInSeconds":1800,"messages":[{"type":"bot","text":"Hi"}],"meta":{"a":1}}"#;
    assert_eq!(parse_bot_session(bot).expect("read").messages[0].author, Author::Bot);
    let says = |parsed: Result<Asked, Denial>| parsed.expect_err("refused").message;
    assert_eq!(says(parse_bot_session(br#"{"contact":{}}"#)), "contact is not allowed");
    assert!(parse_conversation_session(br#"{"durationInSeconds":1800}"#).is_ok());
    assert_eq!(says(parse_conversation_session(br#"{"meta":{}}"#)), "meta is not allowed");
}

#[test]
fn a_contact_is_kept_who_can_be_reached() {
    let contact = |body: &str| parse_session(body.as_bytes()).expect("read").contact.expect("a contact");
    assert!(!contact(r#"{"contact":{"name":"Ada"}}"#).is_reachable());
    assert!(contact(r#"{"contact":{"email":" ada@example.com "}}"#).is_reachable());
    assert!(contact(r#"{"contact":{"phone":"4155552671"}}"#).is_reachable());
    let asked = parse_session(br#"{"contact":{"name":"canary"},"messages":[{"type":"user","text":"canary"}]}"#);
    assert!(!format!("{asked:?}").contains("canary"));
}

#[test]
fn a_page_cannot_say_where_its_conversation_is_from() {
    let caller = json!({ "page": "/pricing", "app": "mine", "widget": { "integrationId": "other" },
        "widgetIntegrationId": "other" });
    let Value::Object(caller) = caller else { panic!("an object") };
    let widget = "cw1".parse().expect("an id");
    let ours = json!({ "app": "widget", "widget": { "integrationId": "cw1" }, "widgetIntegrationId": "cw1" });
    assert_eq!(json!(stored_meta(None, &widget)), ours);
    let mut both = ours;
    both["page"] = json!("/pricing");
    assert_eq!(json!(stored_meta(Some(caller), &widget)), both);
}

fn issued() -> Issued {
    Issued { token: "eyJ".into(), expires_at: Timestamp::from_millis(1_769_860_800_000) }
}

fn body(reply: &Reply) -> Value {
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.headers["cache-control"], "no-store");
    serde_json::from_slice(&reply.body).expect("JSON")
}

#[test]
fn a_session_is_answered_with_its_messages_and_why_there_are_no_more() {
    let conversation: ConversationId = "cv1".parse().expect("an id");
    let messages =
        [(Author::Bot, "Hi"), (Author::User, "Hello")].map(|(author, text)| Message { author, text: text.to_owned() });
    let answer = Answer { id: "cw1", conversation_id: &conversation, messages: &messages, error: None };
    let mut told = json!({ "id": "cw1", "conversationId": "cv1", "token": "eyJ", "expiresAt": 1_769_860_800_000_u64,
        "messages": [{ "type": "bot", "text": "Hi" }, { "type": "user", "text": "Hello" }] });
    assert_eq!(body(&answer.reply(&issued())), told);
    let denial = Denial::from(Code::UpstreamTimeout);
    let answer = Answer { error: Some(super::super::failure(&denial)), ..answer };
    told["error"] = json!({ "message": "The chat service did not answer in time", "code": "GATEWAY_TIMEOUT" });
    assert_eq!(body(&answer.reply(&issued())), told);
}

#[test]
fn a_server_is_answered_as_documented() {
    let conversation: ConversationId = "cv1".parse().expect("an id");
    let message = [Message { author: Author::Bot, text: "Hi".to_owned() }];
    let mut told = json!({ "id": "b1", "conversationId": "cv1", "token": "eyJ", "expiresAt": 1_769_860_800_000_u64 });
    assert_eq!(body(&bot_answer("b1", &conversation, (&[], None), &issued())), told);
    told["messages"] = json!([{ "type": "bot", "text": "Hi" }]);
    assert_eq!(body(&bot_answer("b1", &conversation, (&message, None), &issued())), told);
    let told = json!({ "id": "cv1", "token": "eyJ", "expiresAt": 1_769_860_800_000_u64 });
    assert_eq!(body(&conversation_answer(&conversation, &issued())), told);
}
