//! Widget tokens: JWS compact tokens (RFC 7515, RFC 7519), signed and verified with keys whose
//! algorithm is fixed in the config. Nothing in a token chooses a key or an algorithm. [`jwe`] is the
//! envelope around those that only their recipient may read.

mod algorithm;
mod claims;
pub mod jwe;
mod keyring;
#[cfg(test)]
pub(crate) mod pairs;
mod pem;
mod unverified;

pub use algorithm::Algorithm;
pub use claims::{CLOCK_LEEWAY, Claims};
pub use keyring::{InvalidKey, KeyRing, MIN_HS256_KEY, VerifyingKeys};
pub(crate) use unverified::MAX_TOKEN;
pub use unverified::UnverifiedToken;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
