//! The keys of a workspace, as the vendor's settings have them (seeds/000, "Configure Workspace").

use std::fmt;

use crate::secret::SecretDigest;
use crate::token::jwe::{DecryptionKeys, EncryptionKey};
use crate::token::{Algorithm, KeyRing, VerifyingKeys};

/// Why keys do not make a workspace's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidWorkspaceKeys {
    /// Signing keys of another algorithm than RS256.
    NotRs256,
    /// Nothing to check signatures with.
    NoSigningKey,
    /// One key pair signs and encrypts; then what one side must never do with it, the other does.
    OneKeyForBoth,
}

impl fmt::Display for InvalidWorkspaceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRs256 => "signing keys must be for RS256",
            Self::NoSigningKey => "there must be a signing key",
            Self::OneKeyForBoth => "signing and encryption need a key pair each",
        })
    }
}

impl std::error::Error for InvalidWorkspaceKeys {}

/// What opens and checks the identity tokens of a workspace.
#[derive(Clone, Debug)]
pub struct WorkspaceKeys {
    decryption: DecryptionKeys,
    verifying: VerifyingKeys,
}

/// What makes identity tokens, for the gate itself or for the vendor's cloud.
#[derive(Clone, Debug)]
pub struct MintingKeys {
    signing: KeyRing,
    encryption: EncryptionKey,
}

impl MintingKeys {
    /// The website's private signing key and the platform's public encryption key.
    ///
    /// # Errors
    /// [`InvalidWorkspaceKeys`].
    pub fn new(signing: KeyRing, encryption: EncryptionKey) -> Result<Self, InvalidWorkspaceKeys> {
        let keys = Self { signing, encryption };
        if keys.signing.algorithm() != Algorithm::Rs256 {
            return Err(InvalidWorkspaceKeys::NotRs256);
        }
        apart(keys.signing_fingerprints(), keys.encryption_fingerprints()).map(|()| keys)
    }

    pub(super) const fn signing(&self) -> &KeyRing {
        &self.signing
    }

    pub(super) const fn encryption(&self) -> &EncryptionKey {
        &self.encryption
    }

    /// Digests of the signing keys.
    pub fn signing_fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.signing.fingerprints()
    }

    /// The digest of the encryption key.
    pub fn encryption_fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        std::iter::once(self.encryption.fingerprint())
    }
}

impl WorkspaceKeys {
    /// The platform's private encryption keys and the website's public signing keys: one of each, or two while they
    /// are rotated.
    ///
    /// # Errors
    /// [`InvalidWorkspaceKeys`].
    pub fn new(decryption: DecryptionKeys, verifying: VerifyingKeys) -> Result<Self, InvalidWorkspaceKeys> {
        if verifying.algorithm() != Algorithm::Rs256 {
            return Err(InvalidWorkspaceKeys::NotRs256);
        }
        verifying.fingerprints().next().ok_or(InvalidWorkspaceKeys::NoSigningKey)?;
        apart(verifying.fingerprints(), decryption.fingerprints())?;
        Ok(Self { decryption, verifying })
    }

    /// Checks that no key of `minting` has here the other purpose.
    ///
    /// # Errors
    /// [`InvalidWorkspaceKeys::OneKeyForBoth`].
    pub fn check_apart(&self, minting: &MintingKeys) -> Result<(), InvalidWorkspaceKeys> {
        apart(self.signing_fingerprints(), minting.encryption_fingerprints())?;
        apart(minting.signing_fingerprints(), self.encryption_fingerprints())
    }

    pub(super) const fn decryption(&self) -> &DecryptionKeys {
        &self.decryption
    }

    pub(super) const fn verifying(&self) -> &VerifyingKeys {
        &self.verifying
    }

    /// Digests of the signing keys; those of private and public halves are the same.
    pub fn signing_fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.verifying.fingerprints()
    }

    /// Digests of the encryption keys, likewise.
    pub fn encryption_fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.decryption.fingerprints()
    }
}

fn apart<'a>(
    signing: impl Iterator<Item = &'a SecretDigest>,
    encryption: impl Iterator<Item = &'a SecretDigest>,
) -> Result<(), InvalidWorkspaceKeys> {
    let encryption: Vec<_> = encryption.collect();
    let mut both = signing.filter(|key| encryption.contains(key));
    both.next().map_or(Ok(()), |_| Err(InvalidWorkspaceKeys::OneKeyForBoth))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::token::jwe::KeyManagement;
    use crate::token::pairs::{Pair, RSA};

    /// The pair that signs in tests, the one that encrypts, and one that has no part in it.
    pub(in super::super) fn pairs() -> [&'static Pair; 3] {
        RSA.each_ref()
    }

    pub(in super::super) fn decryption(keys: &[&Pair]) -> DecryptionKeys {
        let keys: Vec<_> = keys.iter().map(|pair| pair.private.as_str().into()).collect();
        DecryptionKeys::new(KeyManagement::RsaOaep, &keys[0], keys.get(1)).expect("keys")
    }

    pub(in super::super) fn verifying(keys: &[&Pair]) -> VerifyingKeys {
        let mut ring = VerifyingKeys::new(Algorithm::Rs256);
        keys.iter().for_each(|pair| ring.add(&pair.public.as_str().into()).expect("a key"));
        ring
    }

    pub(in super::super) fn minting(signing: &Pair, encryption: &Pair) -> Result<MintingKeys, InvalidWorkspaceKeys> {
        let ring = KeyRing::new(Algorithm::Rs256, &signing.private.as_str().into()).expect("a key");
        let key = EncryptionKey::new(KeyManagement::RsaOaep, &encryption.public.as_str().into()).expect("a key");
        MintingKeys::new(ring, key)
    }

    /// A workspace of one key each.
    pub(in super::super) fn workspace() -> WorkspaceKeys {
        let [signing, encryption, _] = pairs();
        WorkspaceKeys::new(decryption(&[encryption]), verifying(&[signing])).expect("keys")
    }

    /// What makes its tokens.
    pub(in super::super) fn maker() -> MintingKeys {
        let [signing, encryption, _] = pairs();
        minting(signing, encryption).expect("keys")
    }

    #[test]
    fn one_pair_never_does_both() {
        let [signing, encryption, other] = pairs();
        let both = Some(InvalidWorkspaceKeys::OneKeyForBoth);
        let keys = |opens: &[&Pair], checks: &[&Pair]| WorkspaceKeys::new(decryption(opens), verifying(checks));
        assert_eq!(keys(&[signing], &[signing]).err(), both);
        assert_eq!(keys(&[encryption, signing], &[signing]).err(), both);
        assert_eq!(keys(&[encryption], &[signing, encryption]).err(), both);
        assert_eq!(minting(signing, signing).err(), both);
        let good = || keys(&[encryption], &[signing]).expect("keys");
        assert_eq!(good().check_apart(&minting(encryption, other).expect("keys")).err(), both);
        assert_eq!(good().check_apart(&minting(other, signing).expect("keys")).err(), both);
        assert!(good().check_apart(&maker()).is_ok());
    }

    #[test]
    fn signing_keys_are_for_rs256() {
        let [_, encryption, _] = pairs();
        let of = |verifying| WorkspaceKeys::new(decryption(&[encryption]), verifying).err();
        assert_eq!(of(VerifyingKeys::new(Algorithm::Rs256)), Some(InvalidWorkspaceKeys::NoSigningKey));
        let mut hmac = VerifyingKeys::new(Algorithm::Hs256);
        hmac.add(&"0123456789abcdef0123456789abcdef".into()).expect("a key");
        assert_eq!(of(hmac), Some(InvalidWorkspaceKeys::NotRs256));
        let ring = KeyRing::new(Algorithm::Hs256, &"0123456789abcdef0123456789abcdef".into()).expect("a key");
        let key = EncryptionKey::new(KeyManagement::RsaOaep, &encryption.public.as_str().into()).expect("a key");
        assert_eq!(MintingKeys::new(ring, key).err(), Some(InvalidWorkspaceKeys::NotRs256));
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = "WorkspaceKeys { decryption: DecryptionKeys(1 RSA-OAEP), verifying: 1 RS256 keys }";
        assert_eq!(format!("{:?}", workspace()), shown);
        let shown = "MintingKeys { signing: KeyRing(1 RS256 keys), encryption: EncryptionKey(RSA-OAEP) }";
        assert_eq!(format!("{:?}", maker()), shown);
    }
}
