//! Compact sealed tokens.

use std::sync::LazyLock;

use serde_json::Value;
use sidegate_core::json;
use sidegate_core::token::jwe::{DecryptionKeys, KeyManagement, MAX_TOKEN};

use super::edits::edited;
use super::keys::{self, SEALED_HEADER};

const TEXT: &[u8] = b"the text of a token";

static KEYS: LazyLock<DecryptionKeys> = LazyLock::new(|| keys::decryption(KeyManagement::RsaOaep));

/// The same key for another key management, which nothing was sealed with.
static OTHERS: LazyLock<DecryptionKeys> = LazyLock::new(|| keys::decryption(KeyManagement::RsaOaep256));

static SEALED: LazyLock<String> = LazyLock::new(|| keys::sealed(SEALED_HEADER, TEXT));

/// See `fuzz_targets/jwe.rs`.
pub fn jwe(data: &[u8]) {
    opens_if(&String::from_utf8_lossy(data), |text| text == *SEALED);
    opens_if(&edited(&SEALED, data), |text| text == *SEALED);
    opens_if(&keys::sealed(data, TEXT), |text| text.len() <= MAX_TOKEN && says_what_is_pinned(data));
}

fn opens_if(token: &str, opens: impl Fn(&str) -> bool) {
    let opened = KEYS.open(token);
    assert_eq!(opened.as_ref().map(|text| text.as_slice()), opens(token).then_some(TEXT), "{token}");
    assert!(OTHERS.open(token).is_none(), "{token}");
}

fn says_what_is_pinned(header: &[u8]) -> bool {
    let Ok(text) = json::check_object(header) else { return false };
    let Ok(Value::Object(header)) = serde_json::from_str(text) else { return false };
    let is_good = |(name, value): (&String, &Value)| match name.as_str() {
        "alg" => value == "RSA-OAEP",
        "enc" => value == "A256GCM",
        "cty" => value == "JWT",
        "typ" | "kid" => value.is_string(),
        _ => false,
    };
    header.contains_key("alg") && header.contains_key("enc") && header.iter().all(is_good)
}
