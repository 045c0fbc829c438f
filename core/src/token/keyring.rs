//! An app's keys: one signs, all verify.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::unverified::OUR_HEADER;
use crate::denial::{Code, Denial};
use crate::secret::SecretDigest;

/// The shortest HS256 key, in bytes: RFC 7518 section 3.2 asks for the hash's size.
pub const MIN_HS256_KEY: usize = 32;

/// Keys for HS256, pinned: a ring never verifies another algorithm.
#[derive(Clone)]
pub struct KeyRing {
    signing: EncodingKey,
    verifying: Vec<DecodingKey>,
    fingerprints: Vec<SecretDigest>,
}

/// Why a key is not taken; never the key.
pub type InvalidKey = &'static str;

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({} HS256 keys)", self.verifying.len())
    }
}

impl KeyRing {
    /// A ring that signs and verifies with `active`, and verifies with `retired` as well, so that
    /// tokens outlive a rotation. Keys are the UTF-8 bytes of the text, as other JWT libraries
    /// take them.
    ///
    /// # Errors
    /// A key of fewer than [`MIN_HS256_KEY`] bytes.
    pub fn hs256(active: &SecretString, retired: &[SecretString]) -> Result<Self, InvalidKey> {
        let all = || std::iter::once(active).chain(retired);
        if all().any(|key| key.expose_secret().len() < MIN_HS256_KEY) {
            return Err("must be at least 32 bytes long (RFC 7518 section 3.2); `sidegate keys generate` makes one");
        }
        Ok(Self {
            signing: EncodingKey::from_secret(active.expose_secret().as_bytes()),
            verifying: all().map(|key| DecodingKey::from_secret(key.expose_secret().as_bytes())).collect(),
            fingerprints: all().map(SecretDigest::of).collect(),
        })
    }

    /// Digests of the key material, to find one key under two apps or purposes.
    #[must_use]
    pub fn fingerprints(&self) -> &[SecretDigest] {
        &self.fingerprints
    }

    /// Signs `claims`: a compact JWS with the header `{"alg":"HS256","typ":"JWT"}`.
    ///
    /// # Errors
    /// [`Code::Internal`] if the claims cannot be written.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Denial> {
        let fault = |_| Denial::from(Code::Internal);
        let payload = serde_json::to_vec(claims).map_err(|_| Denial::from(Code::Internal))?;
        let mut token = String::with_capacity(OUR_HEADER.len() + payload.len() * 4 / 3 + 64);
        token.push_str(OUR_HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = crypto::sign(token.as_bytes(), &self.signing, Algorithm::HS256).map_err(fault)?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }

    /// Whether one of the keys made `signature` over `signing_input`. The comparison takes constant
    /// time (HMAC verification of aws-lc).
    pub(super) fn verifies(&self, signing_input: &str, signature: &str) -> bool {
        self.verifying
            .iter()
            .any(|key| crypto::verify(signature, signing_input.as_bytes(), key, Algorithm::HS256).unwrap_or(false))
    }
}
