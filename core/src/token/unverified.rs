//! A token as it arrived: cut into parts, read, believed in nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, de::DeserializeOwned};

use super::KeyRing;
use crate::denial::{Code, Denial};

/// The longest token that is read. A widget token has some 400 bytes; a list of origins may make
/// it longer.
const MAX_TOKEN: usize = 8 * 1024;

/// The header that [`KeyRing::sign`] writes, in base64url: it needs no parsing when it comes back.
pub(super) const OUR_HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// A compact JWS whose signature is not yet checked.
pub struct UnverifiedToken<'a, C> {
    /// Good for one thing: to look up the app whose keys will check the signature.
    pub unverified_claims: C,
    signing_input: &'a str,
    signature: &'a str,
}

/// A JOSE header, as far as it can matter. `alg` is compared with what the key is for, `kid`,
/// `jku`, `jwk` and `x5u` choose nothing, and `crit` is refused: we implement no extension.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: std::borrow::Cow<'a, str>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl<'a, C: DeserializeOwned> UnverifiedToken<'a, C> {
    /// Cuts and reads a token: three parts in canonical, unpadded base64url, a header that names
    /// HS256, and claims of the dialect's shape (names stand once, numbers are integers).
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn parse(token: &'a str) -> Result<Self, Denial> {
        Self::read(token).ok_or_else(|| Code::InvalidToken.into())
    }

    fn read(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, payload) = signing_input.split_once('.')?;
        if payload.contains('.') || !(header == OUR_HEADER || is_plain_hs256(header)) {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        Some(Self { unverified_claims: serde_json::from_slice(&payload).ok()?, signing_input, signature })
    }

    /// Checks the signature with the app's keys; only then are the claims handed over.
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn verify(self, keys: &KeyRing) -> Result<C, Denial> {
        if keys.verifies(self.signing_input, self.signature) {
            Ok(self.unverified_claims)
        } else {
            Err(Code::InvalidToken.into())
        }
    }
}

fn is_plain_hs256(header: &str) -> bool {
    URL_SAFE_NO_PAD.decode(header).is_ok_and(|json| {
        serde_json::from_slice::<Header<'_>>(&json).is_ok_and(|header| header.alg == "HS256" && header.crit.is_none())
    })
}
