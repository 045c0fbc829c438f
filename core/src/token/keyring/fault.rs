//! What is wrong with a key that is not taken.

use std::fmt;

use crate::token::Algorithm;
use crate::token::pem::Unread;

/// Why a key is not taken; never the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidKey {
    /// Too short for HS256.
    Short,
    /// PEM, although the algorithm is HS256: a public key would then be a secret that everyone knows.
    PemForHs256,
    /// Not one key in PEM.
    NotPem(Algorithm),
    /// A private EC key in an older form than PKCS#8.
    NotPkcs8,
    /// A public key where one must sign.
    Public,
    /// A key of another kind or size.
    Kind(Algorithm),
}

impl InvalidKey {
    /// What it is for a key of this algorithm that cannot be read.
    pub(super) const fn unread(algorithm: Algorithm, fault: Unread) -> Self {
        match fault {
            Unread::NotPem => Self::NotPem(algorithm),
            Unread::NotPkcs8 => Self::NotPkcs8,
            Unread::Damaged => Self::Kind(algorithm),
        }
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => {
                f.write_str("must be at least 32 bytes long (RFC 7518 section 3.2); `sidegate keys generate` makes one")
            }
            Self::PemForHs256 => f.write_str("is a key in PEM, but `algorithm` is \"HS256\"; name the key's own"),
            Self::NotPem(algorithm) => write!(
                f,
                "must be one key in PEM without a passphrase; `sidegate keys generate --algorithm {algorithm}` makes one"
            ),
            Self::NotPkcs8 => f.write_str(
                "must be PKCS#8, which begins with BEGIN PRIVATE KEY; `openssl pkcs8 -topk8 -nocrypt` converts it",
            ),
            Self::Public => f.write_str("is a public key; signing takes the private one"),
            Self::Kind(algorithm) => write!(f, "must be {} for {algorithm}", kind(*algorithm)),
        }
    }
}

const fn kind(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hs256 => "a text",
        Algorithm::Rs256 => "an RSA key of 2048 to 4096 bits",
        Algorithm::Es256 => "an EC key on the curve P-256",
        Algorithm::EdDsa => "an Ed25519 key",
    }
}
