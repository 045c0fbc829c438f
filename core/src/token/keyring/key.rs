//! Keys, parsed once at load, each bound to its algorithm by its type.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, VerificationAlgorithm,
};
use secrecy::{ExposeSecret, SecretString};

use super::InvalidKey;
use crate::secret::SecretDigest;
use crate::token::Algorithm;
use crate::token::pem::{self, Section};

/// The shortest HS256 key, in bytes: RFC 7518 section 3.2 asks for the hash's size.
pub const MIN_HS256_KEY: usize = 32;

/// RSA keys, in bits. RFC 7518 section 3.3 sets the lower bound. One signature with 4096 bits takes
/// its thread 2 ms, with 8192 bits 45 ms, in which no other request of that thread moves.
pub(in crate::token) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// What one configured key is good for.
pub(super) struct Keys {
    /// Absent from a public key.
    pub(super) signing: Option<SigningKey>,
    pub(super) verifying: VerifyingKey,
}

/// A key that signs.
pub(super) enum SigningKey {
    Hs256(Arc<hmac::Key>),
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// A key that verifies.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    check: Check,
    pub(super) fingerprint: SecretDigest,
}

#[derive(Clone)]
enum Check {
    Hmac(Arc<hmac::Key>),
    /// Knows its algorithm.
    Public(ParsedPublicKey),
}

impl Keys {
    pub(super) fn read(algorithm: Algorithm, text: &SecretString) -> Result<Self, InvalidKey> {
        match algorithm {
            Algorithm::Hs256 => Self::hs256(text),
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => Self::asymmetric(algorithm, text),
        }
    }

    fn hs256(text: &SecretString) -> Result<Self, InvalidKey> {
        let bytes = text.expose_secret().as_bytes();
        if pem::is_pem(text) {
            return Err(InvalidKey::PemForHs256);
        }
        if bytes.len() < MIN_HS256_KEY {
            return Err(InvalidKey::Short);
        }
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes));
        let verifying = VerifyingKey { check: Check::Hmac(Arc::clone(&key)), fingerprint: SecretDigest::of(text) };
        Ok(Self { signing: Some(SigningKey::Hs256(key)), verifying })
    }

    fn asymmetric(algorithm: Algorithm, text: &SecretString) -> Result<Self, InvalidKey> {
        let wrong = InvalidKey::Kind(algorithm);
        let (signing, public) = match pem::read(text).map_err(|fault| InvalidKey::unread(algorithm, fault))? {
            Section::Private(der) => {
                let signing = SigningKey::from_pkcs8(algorithm, &der).ok_or(wrong)?;
                let public = signing.public().ok_or(wrong)?;
                (Some(signing), public.as_ref().to_vec())
            }
            Section::Public(der) => (None, der),
        };
        Ok(Self { signing, verifying: VerifyingKey::from_public(algorithm, &public).ok_or(wrong)? })
    }
}

impl SigningKey {
    fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Hs256 => None,
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(der).ok().map(Self::Rs256),
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok().map(Self::Es256),
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(der).ok().map(Self::EdDsa),
        }
    }

    /// The public half, as `SubjectPublicKeyInfo`.
    fn public(&self) -> Option<PublicKeyX509Der<'static>> {
        match self {
            Self::Hs256(_) => None,
            Self::Rs256(pair) => pair.public_key().as_der().ok(),
            Self::Es256(pair) => pair.public_key().as_der().ok(),
            Self::EdDsa(pair) => pair.public_key().as_der().ok(),
        }
    }

    pub(super) fn sign(&self, input: &[u8]) -> Result<Vec<u8>, Unspecified> {
        // aws-lc draws what it needs by itself; the argument is there for ring's sake.
        let random = SystemRandom::new();
        match self {
            Self::Hs256(key) => Ok(hmac::sign(key, input).as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature)?;
                Ok(signature)
            }
            Self::Es256(pair) => Ok(pair.sign(&random, input)?.as_ref().to_vec()),
            Self::EdDsa(pair) => Ok(pair.try_sign(input)?.as_ref().to_vec()),
        }
    }
}

impl VerifyingKey {
    fn from_public(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        let rule: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::Hs256 => return None,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::EdDsa => &ED25519,
        };
        let key = ParsedPublicKey::new(rule, der).ok()?;
        // Written anew, one key is the same bytes whatever it was read from.
        let canonical = key.as_der().ok()?;
        if algorithm == Algorithm::Rs256 {
            let size = PublicEncryptingKey::from_der(canonical.as_ref()).ok()?.key_size_bits();
            RSA_BITS.contains(&size).then_some(())?;
        }
        Some(Self { check: Check::Public(key), fingerprint: SecretDigest::of_bytes(canonical.as_ref()) })
    }

    /// The comparison of an HMAC takes constant time; public keys have nothing to hide.
    pub(super) fn verifies(&self, input: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            Check::Hmac(key) => hmac::verify(key, input, signature).is_ok(),
            Check::Public(key) => key.verify_sig(input, signature).is_ok(),
        }
    }
}
