//! The secret that customers' servers sign identity tokens with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};

use crate::entropy::{self, Entropy, EntropyUnavailable};
use crate::secret::SecretDigest;

/// Bytes of the shortest secret. The vendor's own have 64 hexadecimal digits.
const MIN_SECRET: usize = 32;

/// Characters at a secret's end that its owner may be shown, to tell it from another.
const HINT: usize = 4;

/// For how long a secret verifies beside the one that has replaced it (contracts 3.2).
pub const PREVIOUS_SECRET: Duration = Duration::from_secs(3_600);

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidIdentitySecret;

impl fmt::Display for InvalidIdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must have 32 bytes or more; the vendor's have 64 hexadecimal digits")
    }
}

impl std::error::Error for InvalidIdentitySecret {}

/// A secret, ready for use.
#[derive(Clone)]
struct Key {
    key: Arc<hmac::Key>,
    fingerprint: SecretDigest,
    hint: String,
}

impl Key {
    /// The key is the text's UTF-8, not what its digits stand for (contracts 3.1).
    fn new(text: &SecretString) -> Self {
        let text = text.expose_secret();
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()));
        let last = text.char_indices().rev().nth(HINT - 1).map_or(0, |(place, _)| place);
        Self { key, fingerprint: SecretDigest::of_bytes(text.as_bytes()), hint: text[last..].to_owned() }
    }
}

/// An app's secrets: the first signs, both verify.
#[derive(Clone)]
pub struct IdentityKeys {
    current: Key,
    previous: Option<Key>,
}

impl fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKeys({})", 1 + usize::from(self.previous.is_some()))
    }
}

impl IdentityKeys {
    /// The current secret and, during a rotation, the previous one.
    ///
    /// # Errors
    /// [`InvalidIdentitySecret`].
    pub fn new(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, InvalidIdentitySecret> {
        let long = |text: &SecretString| text.expose_secret().len() >= MIN_SECRET;
        if !long(current) || !previous.is_none_or(long) {
            return Err(InvalidIdentitySecret);
        }
        Ok(Self { current: Key::new(current), previous: previous.map(Key::new) })
    }

    /// Secrets of any length, for the vendor's own test vectors.
    #[cfg(test)]
    pub(super) fn of_any_length(current: &str) -> Self {
        Self { current: Key::new(&current.into()), previous: None }
    }

    /// Without the previous secret: a rotation has ended.
    #[must_use]
    pub fn without_previous(&self) -> Self {
        Self { current: self.current.clone(), previous: None }
    }

    /// Digests of the secrets, to find one under two apps or purposes.
    pub fn fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.keys().map(|key| &key.fingerprint)
    }

    /// The last four characters of the current secret.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.current.hint
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Whether one of the secrets made this signature. Each is compared in constant time.
    pub(super) fn verify(&self, input: &str, signature: &[u8]) -> bool {
        let made = |key: &Key| hmac::verify(&key.key, input.as_bytes(), signature).is_ok();
        self.keys().fold(false, |found, key| found | made(key))
    }

    /// The signature of the current secret in lower-case hexadecimal.
    pub(super) fn sign(&self, input: &str) -> String {
        entropy::hex(hmac::sign(&self.current.key, input.as_bytes()).as_ref())
    }
}

/// A new secret: 64 hexadecimal digits, as the vendor's are.
///
/// # Errors
/// [`EntropyUnavailable`].
pub fn new_identity_secret(entropy: &dyn Entropy) -> Result<SecretString, EntropyUnavailable> {
    let random = zeroize::Zeroizing::new(entropy::bytes::<32>(entropy)?);
    Ok(entropy::hex(random.as_slice()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_secrets_of_a_rotation_verify_and_the_new_one_signs() {
        let (new, old): (SecretString, SecretString) = ("n".repeat(32).into(), "o".repeat(32).into());
        let keys = IdentityKeys::new(&new, Some(&old)).expect("keys");
        let before = IdentityKeys::new(&old, None).expect("keys");
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
        };
        assert!(keys.verify("x", &bytes(&before.sign("x"))) && keys.verify("x", &bytes(&keys.sign("x"))));
        assert!(!keys.without_previous().verify("x", &bytes(&before.sign("x"))));
        assert_eq!((keys.hint(), keys.fingerprints().count()), ("nnnn", 2));
        assert!(!format!("{keys:?}").contains("nnnn"));
    }

    #[test]
    fn a_short_secret_is_none() {
        let (short, long): (SecretString, SecretString) = ("s".repeat(31).into(), "l".repeat(32).into());
        assert_eq!(IdentityKeys::new(&short, None).expect_err("short"), InvalidIdentitySecret);
        assert_eq!(IdentityKeys::new(&long, Some(&short)).expect_err("short"), InvalidIdentitySecret);
    }
}
