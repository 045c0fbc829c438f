//! App secrets: random texts of 256 bits, stored as digests, compared in constant time.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use secrecy::{ExposeSecret, SecretString};

use crate::entropy::{self, Entropy, EntropyUnavailable, hex};

/// The SHA-256 of an app secret. 256 random bits need no slow hash; argon2 would only hand an
/// attacker a lever on our CPU.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of a secret.
    #[must_use]
    pub fn of(secret: &SecretString) -> Self {
        Self::of_bytes(secret.expose_secret().as_bytes())
    }

    /// The digest of a signed token, by which it is revoked: of what is signed, without the signature, for which anybody can
    /// write another one where it is of ECDSA (`s` and `n - s` both verify).
    #[must_use]
    pub fn of_token(text: &str) -> Self {
        Self::of_text(text.rsplit_once('.').map_or(text, |(signed, _)| signed))
    }

    /// The digest of a text.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    /// Its 64 hexadecimal digits alone, as part of a key.
    #[must_use]
    pub fn digits(&self) -> String {
        hex(&self.0)
    }

    pub(crate) fn of_bytes(material: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, material).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.digits())
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

impl serde::Serialize for SecretDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SecretDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for SecretDigest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be `sha256:` and 64 hexadecimal digits, as `sidegate app new-secret` prints";
        let digits = text.strip_prefix("sha256:").ok_or(RULE)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(RULE);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| RULE)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| RULE)?;
        }
        Ok(Self(bytes))
    }
}

/// The digests that an app accepts: one, or two while its secret is rotated.
#[derive(Clone, Debug)]
pub struct SecretDigests([SecretDigest; 2]);

impl SecretDigests {
    /// The digests of an app with a current and, during a rotation, a previous secret.
    #[must_use]
    pub fn new(current: SecretDigest, previous: Option<SecretDigest>) -> Self {
        let previous = previous.unwrap_or_else(|| current.clone());
        Self([current, previous])
    }

    /// Without the previous secret: a rotation has ended.
    #[must_use]
    pub fn without_previous(&self) -> Self {
        Self::new(self.0[0].clone(), None)
    }

    /// Whether `presented` is one of the secrets. `None` stands for an app that does not exist or
    /// takes no secret, and costs the same work: one SHA-256 and two comparisons in constant time.
    #[must_use]
    pub fn verify(known: Option<&Self>, presented: &SecretString) -> bool {
        const NOBODY: SecretDigests = SecretDigests([SecretDigest([0; 32]), SecretDigest([0; 32])]);
        let presented = SecretDigest::of(presented);
        let [current, previous] = &known.unwrap_or(&NOBODY).0;
        let current = verify_slices_are_equal(&current.0, &presented.0).is_ok();
        let previous = verify_slices_are_equal(&previous.0, &presented.0).is_ok();
        (current | previous) & known.is_some()
    }
}

/// A new app secret: `wsec_` and 64 hexadecimal digits (256 random bits).
///
/// # Errors
/// [`EntropyUnavailable`].
pub fn new_app_secret(entropy: &dyn Entropy) -> Result<SecretString, EntropyUnavailable> {
    let random = zeroize::Zeroizing::new(entropy::bytes::<32>(entropy)?);
    Ok(format!("wsec_{}", hex(random.as_slice())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(text: &str) -> SecretDigest {
        SecretDigest::of(&text.into())
    }

    #[test]
    fn both_secrets_of_a_rotation_verify_and_no_other() {
        let known = SecretDigests::new(digest_of("wsec_new"), Some(digest_of("wsec_old")));
        assert!(SecretDigests::verify(Some(&known), &"wsec_new".into()));
        assert!(SecretDigests::verify(Some(&known), &"wsec_old".into()));
        assert!(!SecretDigests::verify(Some(&known), &"wsec_ne".into()));
        assert!(!SecretDigests::verify(None, &"wsec_new".into()));
        let ended = known.without_previous();
        assert!(SecretDigests::verify(Some(&ended), &"wsec_new".into()));
        assert!(!SecretDigests::verify(Some(&ended), &"wsec_old".into()));
    }

    #[test]
    fn a_digest_reads_what_it_prints_and_debug_shows_nothing() {
        // `printf wsec_x | sha256sum`
        let printed = "sha256:6d3d08c248141f3d64c7c2869c976f232eeb59dddd476f2e095b8f33cb6a6947";
        let parsed: SecretDigest = printed.parse().expect("a digest");
        assert_eq!(parsed.to_string(), printed);
        assert_eq!(format!("{parsed:?}"), "SecretDigest(…)");
        for bad in ["", "sha256:", "sha256:zz", "md5:00", &format!("{printed}0")] {
            assert!(bad.parse::<SecretDigest>().is_err(), "{bad}");
        }
    }
}
