//! JWE compact tokens (RFC 7516): RSA-OAEP around a key of one token, AES-256-GCM around the text.
//!
//! How the key is wrapped is configured, never chosen by a token; everything else is fixed. There is no compression,
//! no direct encryption and no other cipher to be reached. All that can be wrong with a token gives one answer, and
//! from the RSA operation on also the same work.

mod keys;
mod parts;
#[cfg(test)]
mod tests;

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm};

pub use self::keys::{DecryptionKeys, EncryptionKey, InvalidJweKey};
pub use self::parts::MAX_TOKEN;

/// How a token's own key is wrapped (`alg`, RFC 7518 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyManagement {
    /// OAEP with SHA-1 and MGF1 with SHA-1, RFC 8017's defaults. No attack on SHA-1's collisions touches OAEP.
    RsaOaep,
    /// OAEP with SHA-256 and MGF1 with SHA-256.
    RsaOaep256,
}

impl KeyManagement {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::RsaOaep, Self::RsaOaep256];

    /// Its registered name, as `alg` and the config have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaOaep => "RSA-OAEP",
            Self::RsaOaep256 => "RSA-OAEP-256",
        }
    }

    /// The header that our tokens have, `{"alg":"…","enc":"A256GCM"}`, in base64url.
    const fn header(self) -> &'static str {
        match self {
            Self::RsaOaep => "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ",
            Self::RsaOaep256 => "eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2R0NNIn0",
        }
    }

    const fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::RsaOaep => &OAEP_SHA1_MGF1SHA1,
            Self::RsaOaep256 => &OAEP_SHA256_MGF1SHA256,
        }
    }
}

impl std::fmt::Display for KeyManagement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
