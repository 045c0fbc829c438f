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

/// What opens and checks the identity tokens of a workspace, and, where the gate makes them, too, what does that.
#[derive(Clone, Debug)]
pub struct WorkspaceKeys {
    decryption: DecryptionKeys,
    verifying: VerifyingKeys,
    minting: Option<MintingKeys>,
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
        Self { decryption, verifying, minting: None }.checked()
    }

    /// These and what makes tokens.
    ///
    /// # Errors
    /// [`InvalidWorkspaceKeys::OneKeyForBoth`].
    pub fn with_minting(self, minting: MintingKeys) -> Result<Self, InvalidWorkspaceKeys> {
        Self { minting: Some(minting), ..self }.checked()
    }

    fn checked(self) -> Result<Self, InvalidWorkspaceKeys> {
        apart(self.signing_fingerprints(), self.encryption_fingerprints()).map(|()| self)
    }

    pub(super) const fn decryption(&self) -> &DecryptionKeys {
        &self.decryption
    }

    pub(super) const fn verifying(&self) -> &VerifyingKeys {
        &self.verifying
    }

    /// What makes tokens, if the workspace has it.
    #[must_use]
    pub const fn minting(&self) -> Option<&MintingKeys> {
        self.minting.as_ref()
    }

    /// Digests of all signing keys, whichever half is here; one key may come twice.
    pub fn signing_fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.verifying.fingerprints().chain(self.minting.iter().flat_map(MintingKeys::signing_fingerprints))
    }

    /// Digests of all encryption keys, whichever half is here; one key may come twice.
    pub fn encryption_fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.decryption.fingerprints().chain(self.minting.iter().flat_map(MintingKeys::encryption_fingerprints))
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

    /// A workspace that makes the tokens it takes.
    pub(in super::super) fn workspace() -> WorkspaceKeys {
        let [signing, encryption, _] = pairs();
        let keys = WorkspaceKeys::new(decryption(&[encryption]), verifying(&[signing])).expect("keys");
        keys.with_minting(minting(signing, encryption).expect("keys")).expect("keys")
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
        assert_eq!(good().with_minting(minting(encryption, other).expect("keys")).err(), both);
        assert_eq!(good().with_minting(minting(other, signing).expect("keys")).err(), both);
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
        let shown = "WorkspaceKeys { decryption: DecryptionKeys(1 RSA-OAEP), verifying: 1 RS256 keys, minting: \
                     Some(MintingKeys { signing: KeyRing(1 RS256 keys), encryption: EncryptionKey(RSA-OAEP) }) }";
        assert_eq!(format!("{:?}", workspace()), shown);
    }
}
