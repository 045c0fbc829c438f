//! The operating system's clock, randomness and limits: the one place that touches them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::SecretString;
use sidegate_core::clock::{Clock, Timestamp};
use sidegate_core::context::seal;
use sidegate_core::entropy::{Entropy, EntropyUnavailable};
use sidegate_core::token::Algorithm;
use zeroize::Zeroizing;

/// The real clock and the real randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is where Timestamps come from")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Entropy for System {
    #[expect(clippy::disallowed_methods, reason = "this is where randomness comes from")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| EntropyUnavailable)
    }
}

/// Raises this process's own limit of open descriptors as far as the system lets it, which is usually much further than what
/// it begins with (1,024); what may be open then. `None` if there is no limit.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Where that is not allowed after all, it stays as it was.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if raised.is_ok() { limit.maximum } else { limit.current }
}

/// A new key that signs tokens: 32 random bytes in base64url for HS256, else a private key in PEM
/// (PKCS#8), RSA with 2048 bits. aws-lc asks the system for the randomness of key pairs by itself, so
/// this stands here and not in core.
///
/// # Errors
/// [`EntropyUnavailable`].
pub fn new_signing_key(algorithm: Algorithm) -> Result<SecretString, EntropyUnavailable> {
    let pem = match algorithm {
        Algorithm::Hs256 => return seal::new_key(&System),
        Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)
            .and_then(|pair| pair.as_der())
            .map(|der: Pkcs8V1Der<'_>| pem("PRIVATE KEY", der.as_ref())),
        Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map(|der| pem("PRIVATE KEY", der.as_ref())),
        Algorithm::EdDsa => {
            Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()).map(|der| pem("PRIVATE KEY", der.as_ref()))
        }
    };
    pem.map_err(|_| EntropyUnavailable)
}

/// An RSA key and the public half of it, both in PEM.
pub struct RsaPair {
    /// PKCS#8.
    pub private: SecretString,
    /// SPKI. No secret, and of one type with the other.
    pub public: SecretString,
}

/// A new RSA pair with 2048 bits.
///
/// # Errors
/// [`EntropyUnavailable`].
pub fn new_rsa_pair() -> Result<RsaPair, EntropyUnavailable> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| EntropyUnavailable)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| EntropyUnavailable)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| EntropyUnavailable)?;
    Ok(RsaPair { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) })
}

/// RFC 7468, without a line end behind the last line.
fn pem(label: &str, der: &[u8]) -> SecretString {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = String::with_capacity(text.len() * 65 / 64 + 64);
    pem.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.extend(["-----END ", label, "-----"]);
    pem.into()
}
