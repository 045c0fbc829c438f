//! Identity tokens of Chat9.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sidegate_core::clock::Timestamp;
use sidegate_core::dialect::chat9::{Identity, IdentityKeys, NotIdentified, mint, parse_mint, verify};
use sidegate_core::entropy::hex;

use super::edits::edited;
use super::keys;
use super::text::{assert_plain, object};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// The fields beside `user_id`, with the most characters of each (docs/dialects.md, "Chat9").
const FIELDS: [(&str, usize); 6] =
    [("email", 320), ("name", 200), ("plan_tier", 64), ("audience_tag", 64), ("company", 200), ("locale", 35)];

/// The most characters of `user_id`.
const MAX_USER_ID: usize = 200;

/// Later than any moment that a [`Timestamp`] can tell from others.
const FAR: i64 = 1_000_000_000_000_000;

static KEYS: LazyLock<IdentityKeys> = LazyLock::new(|| IdentityKeys::new(&keys::SECRET.into(), None).expect("a key"));

/// See `fuzz_targets/identity_token.rs`.
pub fn identity_token(data: &[u8]) {
    let good = signed(br#"{"user_id":"ada","exp":1700000300}"#);
    for text in [&*String::from_utf8_lossy(data), &edited(&good, data)] {
        assert_eq!(read(text, NOW).is_ok(), text == good, "{text}");
    }
    signed_payload(data);
    asked_for(data);
}

fn read(text: &str, now: Timestamp) -> Result<Identity, NotIdentified> {
    verify(text, Some(&KEYS), now)
}

fn signed(payload: &[u8]) -> String {
    let input = URL_SAFE_NO_PAD.encode(payload);
    let signature = hex(keys::hmac(&input).as_ref());
    [input, signature].join(".")
}

/// What any payload with the right signature says.
fn signed_payload(payload: &[u8]) {
    let token = signed(payload);
    let Ok(identity) = read(&token, NOW) else { return };
    let said = object(payload);
    assert_eq!(said["user_id"], identity.user_id.as_str());
    assert_plain(identity.user_id.as_str(), MAX_USER_ID);
    for (name, value) in &identity.fields {
        let (_, most) = FIELDS.iter().find(|(known, _)| known == name).expect("a known field");
        assert_plain(value, *most);
        assert!(said[*name].is_string(), "{name}");
    }
    let expires_at = said["exp"].as_i64().expect("an integer");
    if let Some(end) = u64::try_from(expires_at).ok().filter(|_| expires_at < FAR) {
        let end = Timestamp::from_seconds(end);
        assert!(NOW < end && read(&token, Timestamp::from_millis(end.millis() - 1)).is_ok());
        assert_eq!(read(&token, end).err(), Some(NotIdentified::Expired));
    }
}

/// A token that is made says what was asked for.
fn asked_for(body: &[u8]) {
    let Ok(asked) = parse_mint(body) else { return };
    let (token, expires_at) = mint(&asked, &KEYS, NOW).expect("a token");
    let identity = read(&token, NOW).expect("identified");
    let body = object(body);
    assert_eq!(body["user_id"], identity.user_id.as_str());
    for (name, _) in FIELDS {
        let asked = body.get(name).and_then(Value::as_str);
        assert_eq!(identity.fields.get(name).map(String::as_str), asked, "{name}");
    }
    assert_eq!(read(&token, expires_at).err(), Some(NotIdentified::Expired));
}
