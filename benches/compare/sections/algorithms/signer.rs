//! Keys of one algorithm, generated for this run, and the tokens that they sign.

use crate::Result;
use crate::lab::Lab;
use crate::token::{self, Tokens};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::Value;
use sidegate_core::token::{Algorithm, KeyRing};
use std::fs;
use std::path::PathBuf;

/// Signs for every row of its algorithm.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) key: Key,
}

/// As texts, for the configurations.
pub(super) struct Key {
    /// PEM, or any text where one key signs and verifies.
    pub(super) private: String,
    /// PEM; empty where there is no such half.
    public: String,
}

impl Signer {
    pub(super) fn new(algorithm: Algorithm) -> Result<Self> {
        Ok(Self { algorithm, key: Key::generate(algorithm)? })
    }

    /// Where `write` puts the tokens, one in a line.
    pub(super) fn tokens_path(&self, lab: &Lab) -> PathBuf {
        lab.path(&format!("{}.tokens", self.algorithm))
    }

    /// Where `write` puts the public half.
    pub(super) fn public_path(&self, lab: &Lab) -> PathBuf {
        lab.path(&format!("{}.pem", self.algorithm))
    }

    /// Files for those that verify: so many tokens of one end user, which differ in when they were issued.
    pub(super) fn write(&self, lab: &Lab, tokens: usize) -> Result<()> {
        let ring = self.key.ring(self.algorithm)?;
        let mut claims = token::good_claims()?;
        let newest = claims["iat"].as_u64().unwrap_or_default();
        let mut lines = String::new();
        for age in 0..tokens as u64 {
            claims["iat"] = (newest - age).into();
            lines += &sign(&ring, &claims)?;
            lines.push('\n');
        }
        fs::write(self.tokens_path(lab), lines)?;
        Ok(fs::write(self.public_path(lab), &self.key.public)?)
    }

    /// Beside the usual ones, a gate must refuse a token whose HMAC has the public half, which everyone knows, as its key.
    pub(super) fn proof(&self) -> Result<Tokens> {
        let ring = self.key.ring(self.algorithm)?;
        let forger = Key::generate(self.algorithm)?.ring(self.algorithm)?;
        let good = token::good_claims()?;
        let expired = sign(&ring, &token::expired_claims()?)?;
        let confused = token::hs256(&good, &self.key.public)?;
        Ok(Tokens { valid: sign(&ring, &good)?, refused: vec![sign(&forger, &good)?, expired, confused] })
    }
}

impl Key {
    fn generate(algorithm: Algorithm) -> Result<Self> {
        let pair = match algorithm {
            Algorithm::Hs256 => return Self::secret(),
            Algorithm::Rs256 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Algorithm::Es256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Algorithm::EdDsa => KeyPair::generate_for(&PKCS_ED25519),
        }?;
        Ok(Self { private: pair.serialize_pem(), public: pair.public_key_pem() })
    }

    fn secret() -> Result<Self> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)?;
        Ok(Self { private: URL_SAFE_NO_PAD.encode(bytes), public: String::new() })
    }

    /// The gate's own signer: it reads the key once, where other libraries read it for each token.
    fn ring(&self, algorithm: Algorithm) -> Result<KeyRing> {
        let ring = KeyRing::new(algorithm, &self.private.as_str().into());
        ring.map_err(|error| format!("{algorithm}: {error}").into())
    }
}

fn sign(ring: &KeyRing, claims: &Value) -> Result<String> {
    ring.sign(claims).map_err(|denial| format!("cannot sign: {}", denial.message).into())
}
