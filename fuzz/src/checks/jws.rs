//! Compact signed tokens.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sidegate_core::json;
use sidegate_core::token::{Algorithm, KeyRing, UnverifiedToken};

use super::edits::edited;
use super::keys;

/// The longest token that is read, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// A ring, and the one token that it has signed.
struct Signer {
    ring: KeyRing,
    token: String,
}

static SIGNERS: LazyLock<[Signer; 4]> = LazyLock::new(|| {
    Algorithm::ALL.map(|algorithm| {
        let ring = keys::ring(algorithm);
        let token = ring.sign(&serde_json::json!({ "sub": "ada", "exp": 1 })).expect("signed");
        Signer { ring, token }
    })
});

/// See `fuzz_targets/jws.rs`.
pub fn jws(data: &[u8]) {
    verifies_if_signed(&String::from_utf8_lossy(data));
    for signer in SIGNERS.iter() {
        verifies_if_signed(&edited(&signer.token, data));
    }
    let mut parts = data.splitn(2, |byte| *byte == 0);
    header_chooses_nothing(parts.next().unwrap_or_default(), parts.next().unwrap_or(b"{}"));
}

fn verified(text: &str, ring: &KeyRing) -> Option<Value> {
    UnverifiedToken::<Value>::parse(text).ok()?.verify(ring.verifying()).ok()
}

fn verifies_if_signed(text: &str) {
    for Signer { ring, token } in SIGNERS.iter() {
        assert_eq!(verified(text, ring).is_some(), text == token, "{ring:?}: {text}");
    }
}

/// A token with any header and any claims and the right signature for HS256 is taken if its header says so, and says
/// nothing that it must not.
fn header_chooses_nothing(header: &[u8], claims: &[u8]) {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(keys::hmac(&input)));
    let claims = json::check_object(claims).ok().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let good = says_hs256(header) && token.len() <= MAX_TOKEN;
    for Signer { ring, .. } in SIGNERS.iter() {
        let taken = good && ring.algorithm() == Algorithm::Hs256;
        assert_eq!(verified(&token, ring), claims.clone().filter(|_| taken), "{ring:?}: {token}");
    }
}

fn says_hs256(header: &[u8]) -> bool {
    let Ok(text) = json::check_object(header) else { return false };
    let header: Value = serde_json::from_str(text).expect("strict JSON");
    header["alg"] == "HS256" && header.get("crit").is_none()
}
