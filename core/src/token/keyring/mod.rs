//! An app's keys: one signs, all verify, all for one algorithm.

mod fault;
mod key;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroizing;

pub use self::fault::InvalidKey;
pub use self::key::MIN_HS256_KEY;
pub(super) use self::key::RSA_BITS;
use self::key::{Keys, SigningKey, VerifyingKey};
use super::Algorithm;
use crate::denial::{Code, Denial};
use crate::secret::SecretDigest;

/// Keys of one algorithm, pinned: they never verify another, and each key is parsed for this algorithm
/// alone, so that a public key cannot serve as an HMAC secret.
#[derive(Clone)]
pub struct VerifyingKeys {
    algorithm: Algorithm,
    keys: Vec<VerifyingKey>,
}

/// An app's own keys: one signs, too.
#[derive(Clone)]
pub struct KeyRing {
    signing: Arc<SigningKey>,
    verifying: VerifyingKeys,
}

impl std::fmt::Debug for VerifyingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} keys", self.keys.len(), self.algorithm)
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({:?})", self.verifying)
    }
}

impl VerifyingKeys {
    /// No key yet.
    #[must_use]
    pub const fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, keys: Vec::new() }
    }

    /// Verifies with this key as well. An HS256 key is the UTF-8 bytes of the text; of key pairs the public
    /// half is enough (PEM).
    ///
    /// # Errors
    /// A key that is not fit for the algorithm.
    pub fn add(&mut self, key: &SecretString) -> Result<(), InvalidKey> {
        self.keys.push(Keys::read(self.algorithm, key)?.verifying);
        Ok(())
    }

    /// The algorithm of all of them.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Digests of the key material, to find one key under two apps or purposes. A private key and its
    /// public half have the same one, however they are written.
    pub fn fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.keys.iter().map(|key| &key.fingerprint)
    }

    /// Whether the token claims this algorithm and one of the keys made `signature` over `signing_input`.
    pub(super) fn verify(&self, unverified: Algorithm, signing_input: &str, signature: &str) -> bool {
        unverified == self.algorithm
            && URL_SAFE_NO_PAD
                .decode(signature)
                .is_ok_and(|signature| self.keys.iter().any(|key| key.verifies(signing_input.as_bytes(), &signature)))
    }
}

impl KeyRing {
    /// A ring that signs and verifies with `active`. An HS256 key is the UTF-8 bytes of the text, as
    /// other JWT libraries take it; the others are private keys in PEM (PKCS#8, and PKCS#1 for
    /// RSA).
    ///
    /// # Errors
    /// A key that is not fit for `algorithm`.
    pub fn new(algorithm: Algorithm, active: &SecretString) -> Result<Self, InvalidKey> {
        let Keys { signing, verifying } = Keys::read(algorithm, active)?;
        let signing = Arc::new(signing.ok_or(InvalidKey::Public)?);
        Ok(Self { signing, verifying: VerifyingKeys { algorithm, keys: vec![verifying] } })
    }

    /// Verifies with `retired` as well, so that tokens outlive a rotation. The public half of a key
    /// pair is enough.
    ///
    /// # Errors
    /// As [`KeyRing::new`].
    pub fn retire(&mut self, retired: &SecretString) -> Result<(), InvalidKey> {
        self.verifying.add(retired)
    }

    /// What verifies.
    #[must_use]
    pub const fn verifying(&self) -> &VerifyingKeys {
        &self.verifying
    }

    /// The algorithm of all its keys.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.verifying.algorithm
    }

    /// As [`VerifyingKeys::fingerprints`].
    pub fn fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.verifying.fingerprints()
    }

    /// Signs `claims`: a compact JWS with the header `{"alg":"…","typ":"JWT"}`.
    ///
    /// # Errors
    /// [`Code::Internal`] if the claims cannot be written or the key fails.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Denial> {
        self.sign_under(self.algorithm().header(), claims)
    }

    /// As [`Self::sign`], with the members of the header in the other order, `{"typ":"JWT","alg":"…"}`, as Ruby's
    /// json-jwt writes it.
    pub(crate) fn sign_typ_first(&self, claims: &impl Serialize) -> Result<String, Denial> {
        let header = format!(r#"{{"typ":"JWT","alg":"{}"}}"#, self.algorithm());
        self.sign_under(&URL_SAFE_NO_PAD.encode(header), claims)
    }

    /// As [`Self::sign`], with the algorithm alone in the header, `{"alg":"…"}`, as the JavaScript library jose writes it
    /// unless it is told more.
    pub(crate) fn sign_without_typ(&self, claims: &impl Serialize) -> Result<String, Denial> {
        let header = format!(r#"{{"alg":"{}"}}"#, self.algorithm());
        self.sign_under(&URL_SAFE_NO_PAD.encode(header), claims)
    }

    fn sign_under(&self, header: &str, claims: &impl Serialize) -> Result<String, Denial> {
        let payload = serde_json::to_vec(claims).map(Zeroizing::new).map_err(|_| Denial::from(Code::Internal))?;
        let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + 64);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = self.signing.sign(token.as_bytes()).map_err(|_| Denial::from(Code::Internal))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }
}
