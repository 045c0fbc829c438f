//! The algorithms of widget tokens (RFC 7518 section 3.1, RFC 8037): a closed set, and the headers
//! that name them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::json;

/// How tokens are signed. An app's config says which one its tokens have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: one key signs and verifies.
    Hs256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// A JOSE header, as far as it can matter. `alg` is compared with what the keys are for, `kid`,
/// `jku`, `jwk` and `x5u` choose nothing, and `crit` is refused: we implement no extension.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

/// Whatever it is, `null` too.
fn is_there<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(value).map(|_| true)
}

impl Algorithm {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its registered name, as `alg` and the config have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The header that our tokens have, `{"alg":"…","typ":"JWT"}`, in base64url.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Hs256 => "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            Self::Rs256 => "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9",
            Self::Es256 => "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9",
            Self::EdDsa => "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9",
        }
    }

    /// What a token's header claims to be signed with; `None` for another algorithm, `crit`, or what
    /// is no header. Headers as we write them are compared and not parsed.
    pub(super) fn unverified(header: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.header() == header).or_else(|| Self::named_by(header))
    }

    fn named_by(header: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: Header<'_> = serde_json::from_str(json::check_object(&json).ok()?).ok()?;
        Self::ALL.into_iter().find(|known| !header.crit && known.name() == header.alg)
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_headers_name_their_algorithm_parsed_or_not() {
        for algorithm in Algorithm::ALL {
            let json = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
            assert_eq!(algorithm.header(), URL_SAFE_NO_PAD.encode(json));
            assert_eq!(Algorithm::named_by(algorithm.header()), Some(algorithm));
            assert_eq!(Algorithm::unverified(algorithm.header()), Some(algorithm));
        }
    }
}
