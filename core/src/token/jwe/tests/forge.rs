//! Tokens put together by hand.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OaepAlgorithm, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{HEADER, TEXT};
use crate::token::pairs::{Pair, RSA, der};

/// A token of which anything may be wrong, put together for the first pair.
pub(super) struct Forgery<'a> {
    pub(super) header: &'a str,
    pub(super) oaep: Option<&'static OaepAlgorithm>,
    pub(super) cipher: &'static Algorithm,
    pub(super) content_key: &'a [u8],
    pub(super) to: &'a Pair,
    pub(super) text: &'a [u8],
}

impl Default for Forgery<'_> {
    fn default() -> Self {
        let (oaep, cipher) = (Some(&OAEP_SHA1_MGF1SHA1), &AES_256_GCM);
        Self { header: HEADER, oaep, cipher, content_key: &[9; 32], to: &RSA[0], text: TEXT }
    }
}

impl Forgery<'_> {
    /// Header, encrypted key, IV, ciphertext and tag.
    pub(super) fn parts(&self) -> [Vec<u8>; 5] {
        let iv = [3; 12];
        let cipher = LessSafeKey::new(UnboundKey::new(self.cipher, self.content_key).expect("a key"));
        let header = URL_SAFE_NO_PAD.encode(self.header);
        let mut sealed = self.text.to_vec();
        let (nonce, aad) = (Nonce::assume_unique_for_key(iv), Aad::from(header.as_bytes()));
        let tag = cipher.seal_in_place_separate_tag(nonce, aad, &mut sealed).expect("sealed");
        [self.header.into(), self.wrapped(), iv.into(), sealed, tag.as_ref().into()]
    }

    fn wrapped(&self) -> Vec<u8> {
        let key = PublicEncryptingKey::from_der(&der(&self.to.public)).expect("a key");
        let mut room = vec![0; key.key_size_bytes()];
        match self.oaep {
            Some(oaep) => {
                let key = OaepPublicEncryptingKey::new(key).expect("a key");
                key.encrypt(oaep, self.content_key, &mut room, None).expect("wrapped").to_vec()
            }
            None => {
                let key = Pkcs1PublicEncryptingKey::new(key).expect("a key");
                key.encrypt(self.content_key, &mut room).expect("wrapped").to_vec()
            }
        }
    }

    pub(super) fn token(&self) -> String {
        joined(&self.parts())
    }
}

pub(super) fn joined(parts: &[Vec<u8>]) -> String {
    parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect::<Vec<_>>().join(".")
}
