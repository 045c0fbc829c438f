//! A token as it arrived: cut into parts, read, believed in nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Algorithm, VerifyingKeys};
use crate::denial::{Code, Denial};
use crate::json;

/// The longest token that is read. A widget token has some 400 bytes; a list of origins may make
/// it longer.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;

/// A compact JWS whose signature is not yet checked.
pub struct UnverifiedToken<'a, C> {
    /// Good for one thing: to look up the app whose keys will check the signature.
    pub unverified_claims: C,
    unverified_algorithm: Algorithm,
    signing_input: &'a str,
    signature: &'a str,
}

impl<'a, C: DeserializeOwned> UnverifiedToken<'a, C> {
    /// Cuts and reads a token: three parts in canonical, unpadded base64url, a header that names
    /// an [`Algorithm`], and claims of the dialect's shape (names stand once, numbers are integers).
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn parse(token: &'a str) -> Result<Self, Denial> {
        // A claim that is not looked at stands once, too: the upstream, which gets some tokens, may look at it.
        let claims = |payload: &[u8]| serde_json::from_str(json::check_object(payload).ok()?).ok();
        Self::read(token, claims).ok_or_else(|| Code::InvalidToken.into())
    }

    /// The same, whose claims are not looked at: [`json::read_object`] reads them when the signature is checked.
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn parse_closed(token: &'a str) -> Result<Self, Denial> {
        Self::read(token, |payload| serde_json::from_slice(payload).ok()).ok_or_else(|| Code::InvalidToken.into())
    }

    fn read(token: &'a str, claims: impl FnOnce(&[u8]) -> Option<C>) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, payload) = signing_input.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let unverified_algorithm = Algorithm::unverified(header)?;
        let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
        let unverified_claims = claims(&payload)?;
        Some(Self { unverified_claims, unverified_algorithm, signing_input, signature })
    }

    /// Checks that the token has the algorithm of these keys and a signature of theirs; only
    /// then are the claims handed over.
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn verify(self, keys: &VerifyingKeys) -> Result<C, Denial> {
        if keys.verify(self.unverified_algorithm, self.signing_input, self.signature) {
            Ok(self.unverified_claims)
        } else {
            Err(Code::InvalidToken.into())
        }
    }
}
