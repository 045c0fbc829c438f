//! Identity tokens (seeds/000, "Token Generation"): who a visitor is, said by the customer's website for ten minutes,
//! signed with RS256 and sealed for the platform.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::keys::{MintingKeys, WorkspaceKeys};
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::entropy::Entropy;
use crate::id::{EndUserId, TokenId};
use crate::json;
use crate::token::{CLOCK_LEEWAY, MAX_TOKEN, UnverifiedToken};

/// How long an identity token lives, at most and when we make it.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// By how much `exp` may lie beyond the ten minutes. The documented Ruby reads the clock once for `iat` and once more
/// for `exp`; where the second turns between the two, they are 601 seconds apart. The token ends after 600 all the
/// same.
const TURN_OF_SECOND: Duration = Duration::from_secs(1);

/// The longest access token, in bytes.
const MAX_ACCESS_TOKEN: usize = 4096;

/// What a good identity token says.
#[derive(Debug)]
pub struct Verified {
    /// The end user.
    pub user_id: EndUserId,
    /// What the customer's own API knows the user by. For the upstream; never for the browser.
    pub access_token: Option<SecretString>,
    /// Names the token: it is good once.
    pub jti: TokenId,
    /// When the token was made.
    pub issued_at: Timestamp,
    /// From when on the token is refused for its age, [`CLOCK_LEEWAY`] counted in: until then its `jti` must be
    /// remembered.
    pub refused_from: Timestamp,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// Why an identity token is refused: for logs and metrics alone. All of them get one and the same answer,
        /// [`Code::IdentityInvalid`], so that nobody learns how far a forgery came.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// No JWE, or none of a JWS of an algorithm that is known here.
    Malformed = "malformed";
    /// Not sealed for this workspace, or another key management or cipher.
    NotOpened = "not_opened";
    /// Not signed with one of the workspace's keys.
    BadSignature = "bad_signature";
    /// A claim is missing, stands twice, or is not as it must be.
    BadClaims = "bad_claims";
    /// Its time is over.
    Expired = "expired";
    /// Its time has not come.
    NotYetValid = "not_yet_valid";
    /// Made for more than ten minutes.
    TooLongLived = "too_long_lived";
}

/// The claims as they stand in the token, in the documented order. Others are ignored.
#[derive(Deserialize, Serialize)]
struct WireClaims<Id, Secret> {
    user_id: Id,
    access_token: Option<Secret>,
    iat: u64,
    exp: u64,
    jti: Id,
}

/// Claims as text, read when the signature is known to be good.
#[derive(Deserialize)]
#[serde(from = "Box<RawValue>")]
struct ClaimsText(SecretString);

impl From<Box<RawValue>> for ClaimsText {
    fn from(text: Box<RawValue>) -> Self {
        let text: Box<str> = text.into();
        Self(SecretString::new(text))
    }
}

/// Opens and checks an identity token. That its `jti` is new, only a store can say.
///
/// Takes a private RSA operation, so where many ask it belongs off the threads that serve them.
///
/// # Errors
/// [`Reason`].
pub fn verify(text: &str, keys: &WorkspaceKeys, now: Timestamp) -> Result<Verified, Reason> {
    if text.split('.').count() != 5 {
        return Err(Reason::Malformed);
    }
    let inner = keys.decryption().open(text).ok_or(Reason::NotOpened)?;
    let inner = std::str::from_utf8(&inner).map_err(|_| Reason::Malformed)?;
    let inner = UnverifiedToken::<ClaimsText>::parse_closed(inner).map_err(|_| Reason::Malformed)?;
    let ClaimsText(claims) = inner.verify(keys.verifying()).map_err(|_| Reason::BadSignature)?;
    let claims: WireClaims<String, SecretString> =
        json::read_object(claims.expose_secret().as_bytes()).map_err(|_| Reason::BadClaims)?;
    let refused_from = refused_from(claims.iat, claims.exp, now)?;
    let access_token = claims.access_token.filter(|token| !token.expose_secret().is_empty());
    if access_token.as_ref().is_some_and(|token| !is_access_token(token)) {
        return Err(Reason::BadClaims);
    }
    let user_id = claims.user_id.parse().map_err(|_| Reason::BadClaims)?;
    let jti = claims.jti.parse().map_err(|_| Reason::BadClaims)?;
    Ok(Verified { user_id, access_token, jti, issued_at: Timestamp::from_seconds(claims.iat), refused_from })
}

/// Checks the times of a token.
fn refused_from(iat: u64, exp: u64, now: Timestamp) -> Result<Timestamp, Reason> {
    let lifetime = exp.checked_sub(iat).filter(|lifetime| *lifetime > 0).ok_or(Reason::BadClaims)?;
    if Duration::from_secs(lifetime) > LIFETIME + TURN_OF_SECOND {
        return Err(Reason::TooLongLived);
    }
    let (issued_at, expires_at) = (Timestamp::from_seconds(iat), Timestamp::from_seconds(exp));
    let refused_from = expires_at.min(issued_at.plus(LIFETIME)).plus(CLOCK_LEEWAY);
    if now >= refused_from {
        return Err(Reason::Expired);
    }
    if now.plus(CLOCK_LEEWAY) < issued_at {
        return Err(Reason::NotYetValid);
    }
    Ok(refused_from)
}

/// It may come to stand in a header.
fn is_access_token(token: &SecretString) -> bool {
    let text = token.expose_secret();
    text.len() <= MAX_ACCESS_TOKEN && !text.chars().any(char::is_control)
}

/// Makes an identity token as the documented Ruby does, byte for byte up to what is random, and says when it ends.
///
/// # Errors
/// [`Code::InvalidRequest`] for an access token that [`verify`] would refuse; [`Code::Internal`] without randomness or
/// if a key fails.
pub fn mint(
    keys: &MintingKeys,
    user_id: &EndUserId,
    access_token: Option<&SecretString>,
    jti: &TokenId,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(String, Timestamp), Denial> {
    let invalid = || {
        Denial::because(Code::InvalidRequest, "access_token must have at most 4096 bytes, and no control characters")
    };
    if access_token.is_some_and(|token| !is_access_token(token)) {
        return Err(invalid());
    }
    let iat = now.seconds();
    let exp = iat.saturating_add(LIFETIME.as_secs());
    let access_token = access_token.map(ExposeSecret::expose_secret);
    let claims = WireClaims { user_id: user_id.as_str(), access_token, iat, exp, jti: jti.as_str() };
    let inner = Zeroizing::new(keys.signing().sign_typ_first(&claims)?);
    if inner.len() > MAX_TOKEN {
        // Escapes make it longer.
        return Err(invalid());
    }
    let token = keys.encryption().seal(inner.as_bytes(), entropy)?;
    Ok((token, Timestamp::from_seconds(exp)))
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
