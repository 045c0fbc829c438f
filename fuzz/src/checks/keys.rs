//! Keys of the checks. They stand here so that an input that fails once fails again; they protect nothing.

use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sidegate_core::token::jwe::{DecryptionKeys, KeyManagement};
use sidegate_core::token::{Algorithm, KeyRing};

/// Signs with HMAC.
pub(super) const SECRET: &str = "a-secret-of-the-checks-that-protects-nothing";

/// The private key of this algorithm.
const fn private(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hs256 => SECRET,
        Algorithm::Rs256 => include_str!("../../keys/rs256.pem"),
        Algorithm::Es256 => include_str!("../../keys/es256.pem"),
        Algorithm::EdDsa => include_str!("../../keys/eddsa.pem"),
    }
}

/// What signs with this algorithm.
pub(super) fn ring(algorithm: Algorithm) -> KeyRing {
    KeyRing::new(algorithm, &private(algorithm).into()).expect("a key")
}

/// The HMAC-SHA256 of a text with [`SECRET`].
pub(super) fn hmac(text: &str) -> hmac::Tag {
    static KEY: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()));
    hmac::sign(&KEY, text.as_bytes())
}

/// What opens tokens that [`sealed`] makes, if `management` is RSA-OAEP.
pub(super) fn decryption(management: KeyManagement) -> DecryptionKeys {
    DecryptionKeys::new(management, &include_str!("../../keys/sealing.pem").into(), None).expect("a key")
}

/// A header as our tokens have it.
pub(super) const SEALED_HEADER: &[u8] = br#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#;

/// A sealed token with any header and any text. Its content key is always the same one, wrapped with RSA-OAEP once: what
/// depends on nothing but the input can be told from what does not.
pub(super) fn sealed(header: &[u8], text: &[u8]) -> String {
    const CONTENT_KEY: [u8; 32] = [9; 32];
    const IV: [u8; NONCE_LEN] = [3; NONCE_LEN];
    let header = URL_SAFE_NO_PAD.encode(header);
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &CONTENT_KEY).expect("a key"));
    let (nonce, covered) = (Nonce::assume_unique_for_key(IV), Aad::from(header.as_bytes()));
    let mut sealed = text.to_vec();
    let tag = cipher.seal_in_place_separate_tag(nonce, covered, &mut sealed).expect("sealed");
    let [iv, sealed, tag] = [&IV[..], &sealed, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
    [&header, include_str!("../../keys/wrapped.txt").trim(), &iv, &sealed, &tag].join(".")
}
