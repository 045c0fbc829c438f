//! Identity tokens of Mitigate.

use std::sync::LazyLock;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::value::RawValue;
use sidegate_core::clock::Timestamp;
use sidegate_core::dialect::mitigate::{LIFETIME, Reason, Verified, WorkspaceKeys, verify};
use sidegate_core::token::jwe::KeyManagement;
use sidegate_core::token::{Algorithm, CLOCK_LEEWAY, KeyRing};

use super::edits::edited;
use super::keys::{self, SEALED_HEADER};
use super::text::object;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

static RING: LazyLock<KeyRing> = LazyLock::new(|| keys::ring(Algorithm::Rs256));

static KEYS: LazyLock<WorkspaceKeys> = LazyLock::new(|| {
    WorkspaceKeys::new(keys::decryption(KeyManagement::RsaOaep), RING.verifying().clone()).expect("keys")
});

/// A good token without its envelope.
static INNER: LazyLock<String> = LazyLock::new(|| {
    let claims = serde_json::json!({ "user_id": "ada", "iat": 1_700_000_000, "exp": 1_700_000_600, "jti": "j1" });
    RING.sign(&claims).expect("signed")
});

/// See `fuzz_targets/mitigate_identity.rs`.
pub fn mitigate_identity(data: &[u8]) {
    assert!(read(&String::from_utf8_lossy(data), NOW).is_err());
    let inner = edited(&INNER, data);
    assert_eq!(read(&sealed(&inner), NOW).is_ok(), inner == *INNER, "{inner}");
    let claims = std::str::from_utf8(data).ok().and_then(|text| RawValue::from_string(text.to_owned()).ok());
    match claims {
        Some(claims) => signed_claims(data, &sealed(&RING.sign(&claims).expect("signed"))),
        None => assert!(read(&keys::sealed(SEALED_HEADER, data), NOW).is_err()),
    }
}

fn read(text: &str, now: Timestamp) -> Result<Verified, Reason> {
    verify(text, &KEYS, now)
}

fn sealed(inner: &str) -> String {
    keys::sealed(SEALED_HEADER, inner.as_bytes())
}

/// What any claims say that are signed and sealed as they should be.
fn signed_claims(claims: &[u8], token: &str) {
    let Ok(verified) = read(token, NOW) else { return };
    let said = object(claims);
    assert_eq!(said["user_id"], verified.user_id.as_str());
    assert_bounded(verified.user_id.as_str(), 256);
    assert_eq!(said["jti"], verified.jti.as_str());
    assert!((1..=64).contains(&verified.jti.as_str().len()));
    assert!(verified.jti.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    if let Some(access_token) = &verified.access_token {
        assert_eq!(said["access_token"], access_token.expose_secret());
        assert_bounded(access_token.expose_secret(), 4096);
        assert!(!format!("{verified:?}").contains(&format!("{:?}", access_token.expose_secret())));
    }
    let [issued_at, expires_at] = ["iat", "exp"].map(|name| said[name].as_u64().map(Timestamp::from_seconds));
    let (issued_at, expires_at) = (issued_at.expect("an integer"), expires_at.expect("an integer"));
    assert!(issued_at < expires_at && issued_at <= NOW.plus(CLOCK_LEEWAY));
    assert!(expires_at.since(issued_at) <= LIFETIME + Duration::from_secs(1));
    let end = verified.refused_from;
    assert_eq!(end, expires_at.min(issued_at.plus(LIFETIME)).plus(CLOCK_LEEWAY));
    assert!(NOW < end && read(token, Timestamp::from_millis(end.millis() - 1)).is_ok());
    assert_eq!(read(token, end).err(), Some(Reason::Expired));
}

fn assert_bounded(text: &str, most: usize) {
    assert!((1..=most).contains(&text.len()), "{text:?}");
    assert!(!text.chars().any(char::is_control), "a control character: {text:?}");
}
