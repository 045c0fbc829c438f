//! What the widget of Chat9 sends.

use serde_json::{Map, Value};
use sidegate_core::dialect::chat9::{Escalation, MAX_MESSAGE, Message, Query, Trigger, bound_query, parse_init};
use sidegate_core::id::AppId;

use super::text::{folded, is_tag, object};

/// See `fuzz_targets/widget.rs`.
pub fn widget(data: &[u8]) {
    init(data);
    message(data);
    escalation(data);
    query(&String::from_utf8_lossy(data));
}

fn init(body: &[u8]) {
    let Ok(init) = parse_init(body) else { return };
    let said = object(body);
    assert_eq!(said["bot_id"], init.unverified_bot);
    if let Some(token) = init.identity_token {
        assert!(!token.is_empty() && said["identity_token"] == token);
    }
    if let Some(locale) = init.locale {
        assert!(is_tag(&locale) && said["locale"] == locale);
    }
}

fn message(body: &[u8]) {
    let [fresh, started] = [false, true].map(|started| Message::parse(body, started));
    let Ok(message) = fresh else { return assert!(started.is_err()) };
    let said = upstream(body, &message.body);
    let text = said.get("message").and_then(Value::as_str).unwrap_or_default();
    assert!(text.chars().count() <= MAX_MESSAGE);
    assert_eq!(message.says_something, !text.trim().is_empty());
    assert_eq!(started.ok(), Some(message).filter(|message| message.says_something));
}

fn escalation(body: &[u8]) {
    let Ok(escalation) = Escalation::parse(body) else { return };
    let said = upstream(body, &escalation.body);
    let text = |name| said.get(name).and_then(Value::as_str);
    assert!(text("user_note").is_none_or(|note| note.chars().count() <= 2_000));
    let named = match text("trigger") {
        None | Some("user_request") => Trigger::UserRequest,
        Some("answer_rejected") => Trigger::AnswerRejected,
        Some(other) => panic!("{other:?} is no trigger"),
    };
    assert_eq!(escalation.trigger, named);
}

/// Checks that a body goes upstream as it came, but for a language that is none.
fn upstream(came: &[u8], goes: &[u8]) -> Map<String, Value> {
    let goes = object(goes);
    let mut came = object(if came.is_empty() { b"{}" } else { came });
    match goes.get("locale") {
        Some(locale) => assert!(locale.as_str().is_some_and(is_tag), "{locale}"),
        None => came.retain(|name, _| folded(name) != "locale"),
    }
    assert_eq!(came, goes);
    goes
}

fn query(text: &str) {
    let Ok(query) = Query::parse(Some(text)) else { return };
    let bot: AppId = query.unverified_bot.as_deref().unwrap_or_default().parse().unwrap_or_else(|_| a_bot());
    let session = query.session().ok();
    let session = session.as_ref().map(|session| session.as_str());
    let locale = query.locale();
    let bound = bound_query(&bot, session, locale.as_deref());
    let named = [("bot_id", true), ("session_id", session.is_some()), ("locale", locale.is_some())];
    let expected: Vec<_> = named.iter().filter(|(_, stands)| *stands).map(|(name, _)| *name).collect();
    let found: Vec<_> = bound.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
    assert_eq!(found, expected, "{bound}");
    assert!(bound.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{bound}");
    let read = Query::parse(Some(&bound)).expect("a query");
    assert_eq!(read.unverified_bot.as_deref(), Some(bot.as_str()));
    assert_eq!(read.session().ok().as_ref().map(|session| session.as_str()), session);
    assert_eq!(read.locale(), locale);
}

fn a_bot() -> AppId {
    AppId::parse("ch_1").expect("an id")
}
