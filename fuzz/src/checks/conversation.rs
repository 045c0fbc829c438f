//! Sessions of ChatBotKit's, previews of links, and who translates.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use sidegate_core::address::is_public;
use sidegate_core::dialect::chatbotkit::{
    Asked, Author, Contact, Fields, LanguageMap, Opened, Patch, Place, Texts, TranslationList, TranslationService,
    default_texts, from_document, languages_answer, parse_bot_session, parse_conversation_session, parse_session,
    preview_of, stored_meta, to_document,
};
use sidegate_core::id::ObjectId;

use super::text::{is_email, is_tag, object};

/// See `fuzz_targets/conversation.rs`.
pub fn conversation(data: &[u8]) {
    let of_all = [parse_session(data), parse_bot_session(data), parse_conversation_session(data)];
    for asked in of_all.iter().filter_map(|asked| asked.as_ref().ok()) {
        session(data, asked);
    }
    if let Ok(asked) = &of_all[0] {
        assert!(asked.messages.iter().all(|message| message.author == Author::User), "a page speaks for the bot");
    }
    preview(data);
    translated(data);
    listed(&String::from_utf8_lossy(data));
    let _ = Opened::read(data, None);
}

/// What is asked for is what stands there, and within its bounds.
fn session(body: &[u8], asked: &Asked) {
    let said = object(if body.is_empty() { b"{}" } else { body });
    let value = |name: &str| said.get(name).filter(|value| !value.is_null());
    let seconds = asked.duration.map(|duration| duration.as_secs());
    assert_eq!(value("durationInSeconds").and_then(Value::as_f64), seconds.map(|seconds| seconds as f64));
    assert!(seconds.is_none_or(|seconds| (1_800..=86_400).contains(&seconds)));
    for cap in [Duration::from_millis(1_500), Duration::from_secs(3_600)] {
        let length = asked.length(cap);
        assert!(length <= Duration::from_secs(cap.as_secs() + 1) && length.subsec_nanos() == 0);
    }
    let texts: usize = asked.messages.iter().map(|message| message.text.len()).sum();
    assert!(asked.messages.len() <= 5 && texts <= 64 * 1_024);
    let messages = value("messages").cloned().unwrap_or_else(|| Value::from(Vec::<Value>::new()));
    assert_eq!(serde_json::json!(asked.messages), messages);
    assert_eq!(value("conversationId").and_then(Value::as_str), asked.conversation.as_ref().map(|id| id.as_str()));
    assert_eq!(value("meta"), asked.meta.clone().map(Value::from).as_ref());
    let known = ["durationInSeconds", "contact", "messages", "meta", "conversationId"];
    assert!(said.keys().all(|name| known.contains(&name.as_str())));
    let kept = stored_meta(asked.meta.clone(), &ObjectId::parse("cw1").expect("an id"));
    assert!(kept["app"] == "widget" && kept["widgetIntegrationId"] == "cw1");
    if let (Some(contact), Some(said)) = (&asked.contact, value("contact")) {
        self::contact(contact, said);
    }
    assert!(!format!("{asked:?}").contains("messages"));
}

/// Somebody can be written to and called, by one address of each kind.
fn contact(contact: &Contact, said: &Value) {
    let trimmed = |name: &str| said[name].as_str().map(str::trim);
    assert_eq!(contact.name.as_deref(), trimmed("name"));
    assert_eq!(contact.email.as_deref(), trimmed("email"));
    assert!(contact.email.as_deref().is_none_or(is_email), "{:?}", contact.email);
    let Some(phone) = &contact.phone else { return assert!(said["phone"].is_null()) };
    let digits = phone.strip_prefix('+').expect("a plus");
    assert!((7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()), "{phone}");
    assert!(!digits.starts_with('0') && (!digits.starts_with('1') || digits.len() == 11), "{phone}");
    let written: String = said["phone"].as_str().expect("a text").chars().filter(char::is_ascii_digit).collect();
    let has_zero_for_home = said["phone"].as_str().is_some_and(|text| text.contains("(0)"));
    assert!(has_zero_for_home || written.ends_with(&digits[digits.len() - 6..]), "{phone} of {written}");
    let again = serde_json::json!({ "contact": { "phone": phone } }).to_string();
    let again = parse_session(again.as_bytes()).expect("a session").contact.expect("a contact");
    assert_eq!(again.phone.as_ref(), Some(phone), "a number in the form of E.164 stays as it is");
}

/// Nobody looks at a page that is not of the public web.
fn preview(body: &[u8]) {
    let Ok(place) = preview_of(body) else { return };
    let said = object(body);
    let text = said["url"].as_str().expect("a text");
    assert!(text.len() <= 2_048);
    let url = url::Url::parse(text).expect("a URL");
    assert!(["http", "https"].contains(&url.scheme()) && url.username().is_empty() && url.password().is_none());
    match place {
        Place::Address(address) => assert!(is_public(address) && !is_special(address), "{address}"),
        Place::Name(name, port) => {
            assert_eq!((url.host_str(), url.port_or_known_default()), (Some(&*name), Some(port)));
            assert!(name.parse::<IpAddr>().is_err() && name.trim_end_matches('.').contains('.'), "{name}");
        }
    }
}

/// Whether the standard library knows an address as one that is not for everybody.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || address.is_unspecified()
        }
        IpAddr::V6(address) => {
            let inner = address.to_ipv4().is_some_and(|inner| is_special(inner.into()));
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || inner
        }
    }
}

fn fields() -> Fields {
    let patch = Patch::parse(br#"{"title":"Shop [a](https://b.example)","intro":"Hello","language":"de, pt-BR"}"#);
    Fields::default().apply(&patch.expect("a change")).expect("settings")
}

/// What a translator says is of elements that there are, and no more than a text.
fn translated(answer: &[u8]) {
    let texts = default_texts(&fields());
    let content = serde_json::json!({ "choices": [{ "message": { "content": String::from_utf8_lossy(answer) } }] });
    for answer in [answer, content.to_string().as_bytes()] {
        let Some(found) = TranslationService::read(answer, &texts) else { continue };
        for (key, translation) in &found {
            let text = &texts[key];
            assert!(!translation.trim().is_empty() && translation.len() <= 4 * text.len() + 256, "{key}");
            assert!(translation.chars().all(|letter| !letter.is_control() || "\n\r\t".contains(letter)), "{key}");
            assert!(text.contains('<') || !translation.contains('<'), "{key}");
            assert!(translation.matches("://").count() <= text.matches("://").count(), "{key}");
        }
        kept(&texts, &found);
    }
}

/// What pages get has every text in each language, translated or not, and the same bytes the same tag.
fn kept(texts: &Texts, found: &Texts) {
    let fields = fields();
    let map =
        LanguageMap::default().to_be_made().with(1, texts, vec![("de".to_owned(), found.clone())]).expect("a map");
    let document = to_document(&map).expect("a document");
    assert_eq!(from_document::<LanguageMap>(&document).as_ref(), Some(&map));
    assert!(!map.is_stale());
    let answer = languages_answer(&fields, Some(&map)).expect("an answer");
    assert_eq!(languages_answer(&fields, Some(&map)).as_ref(), Ok(&answer));
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let expected: BTreeMap<_, _> = texts.iter().map(|(key, text)| (key, found.get(key).unwrap_or(text))).collect();
    assert_eq!(body["languages"]["de"], serde_json::json!(expected));
    assert_eq!(body["default"], serde_json::json!(texts));
}

/// A list has its translations by language, those of a variant in what it is a variant of.
fn listed(text: &str) {
    let Ok(list) = TranslationList::parse(text) else { return };
    for (language, texts) in object(text.as_bytes()) {
        assert!(is_tag(&language), "{language}");
        for (text, translation) in texts.as_object().expect("an object") {
            let asked = Texts::from([("title".to_owned(), text.clone())]);
            let found = list.translations(&asked, &language.to_ascii_uppercase());
            assert_eq!(found.get("title").map(String::as_str), translation.as_str(), "{language}");
        }
    }
}
