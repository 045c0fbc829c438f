//! RSA keys that wrap and unwrap the keys of tokens.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::KeyManagement;
use super::parts::{self, CONTENT_KEY_LEN, ContentKey, Parts};
use crate::denial::{Code, Denial};
use crate::entropy::{self, Entropy};
use crate::secret::SecretDigest;
use crate::token::keyring::RSA_BITS;
use crate::token::pem::{self, Section, Unread};

/// Why a key is not taken; never the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidJweKey {
    /// Not one key in PEM.
    NotPem,
    /// A public key where one must decrypt.
    Public,
    /// A key of another kind or size.
    Kind,
}

impl fmt::Display for InvalidJweKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPem => "must be one RSA key in PEM without a passphrase; `openssl genrsa 2048` makes one",
            Self::Public => "is a public key; decrypting takes the private one",
            Self::Kind => "must be an RSA key of 2048 to 4096 bits",
        })
    }
}

impl std::error::Error for InvalidJweKey {}

impl From<Unread> for InvalidJweKey {
    fn from(fault: Unread) -> Self {
        match fault {
            Unread::NotPem => Self::NotPem,
            Unread::NotPkcs8 | Unread::Damaged => Self::Kind,
        }
    }
}

/// The private keys of a recipient: one, or two while they are rotated.
#[derive(Clone)]
pub struct DecryptionKeys {
    management: KeyManagement,
    keys: Arc<[DecryptionKey]>,
}

struct DecryptionKey {
    key: OaepPrivateDecryptingKey,
    /// Makes what stands in for content keys that cannot be unwrapped.
    substitutes: hmac::Key,
    fingerprint: SecretDigest,
}

impl fmt::Debug for DecryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecryptionKeys({} {})", self.keys.len(), self.management)
    }
}

impl DecryptionKeys {
    /// Reads the current and, during a rotation, the previous private key: PEM, PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// [`InvalidJweKey`].
    pub fn new(
        management: KeyManagement,
        current: &SecretString,
        previous: Option<&SecretString>,
    ) -> Result<Self, InvalidJweKey> {
        let keys = std::iter::once(current).chain(previous).map(DecryptionKey::read).collect::<Result<_, _>>()?;
        Ok(Self { management, keys })
    }

    /// How content keys are wrapped.
    #[must_use]
    pub const fn management(&self) -> KeyManagement {
        self.management
    }

    /// Digests of the public halves; those of signing keys are made the same way, so that one key under two purposes
    /// is found.
    pub fn fingerprints(&self) -> impl Iterator<Item = &SecretDigest> {
        self.keys.iter().map(|key| &key.fingerprint)
    }

    /// The text of a token that was sealed for one of these keys; `None` for anything else, and never why.
    ///
    /// Takes a private RSA operation for each key: 0.2 ms with 2048 bits, 1.3 with 4096.
    #[must_use]
    pub fn open(&self, token: &str) -> Option<Zeroizing<Vec<u8>>> {
        let parts = Parts::read(token, self.management)?;
        let mut fitting = self.keys.iter().filter(|key| key.key.key_size_bytes() == parts.encrypted_key.len());
        fitting.find_map(|key| parts.open(&key.unwrap(self.management, &parts.encrypted_key)))
    }
}

impl DecryptionKey {
    fn read(text: &SecretString) -> Result<Self, InvalidJweKey> {
        let Section::Private(der) = pem::read(text)? else { return Err(InvalidJweKey::Public) };
        let key = PrivateDecryptingKey::from_pkcs8(&der).map_err(|_| InvalidJweKey::Kind)?;
        let fingerprint = fingerprint(&key.public_key())?;
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| InvalidJweKey::Kind)?;
        Ok(Self { key, substitutes: hmac::Key::new(hmac::HMAC_SHA256, &der), fingerprint })
    }

    /// The content key of a token. Where it cannot be unwrapped or is no key of the cipher, another one stands in
    /// (RFC 7516 section 11.5): the token is then refused at its tag, with the same work, and nobody learns which
    /// texts unwrap. The other one is a function of what was sent that only the holder of the private key can
    /// compute, so it is as good as random, and the same text has the same fate each time.
    fn unwrap(&self, management: KeyManagement, encrypted: &[u8]) -> ContentKey {
        let mut content_key = Zeroizing::new([0; CONTENT_KEY_LEN]);
        content_key.copy_from_slice(hmac::sign(&self.substitutes, encrypted).as_ref());
        let mut room = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let unwrapped = self.key.decrypt(management.oaep(), encrypted, &mut room, None);
        if let Some(unwrapped) = unwrapped.ok().filter(|key| key.len() == CONTENT_KEY_LEN) {
            content_key.copy_from_slice(unwrapped);
        }
        content_key
    }
}

/// The public key of a recipient.
#[derive(Clone)]
pub struct EncryptionKey {
    management: KeyManagement,
    key: Arc<OaepPublicEncryptingKey>,
    fingerprint: SecretDigest,
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({})", self.management)
    }
}

impl EncryptionKey {
    /// Reads a public key in PEM, or a private one, of which it takes the public half.
    ///
    /// # Errors
    /// [`InvalidJweKey`].
    pub fn new(management: KeyManagement, text: &SecretString) -> Result<Self, InvalidJweKey> {
        let key = match pem::read(text)? {
            Section::Private(der) => PrivateDecryptingKey::from_pkcs8(&der).map(|key| key.public_key()),
            Section::Public(der) => PublicEncryptingKey::from_der(&der),
        };
        let key = key.map_err(|_| InvalidJweKey::Kind)?;
        let fingerprint = fingerprint(&key)?;
        let key = Arc::new(OaepPublicEncryptingKey::new(key).map_err(|_| InvalidJweKey::Kind)?);
        Ok(Self { management, key, fingerprint })
    }

    /// As one of [`DecryptionKeys::fingerprints`].
    #[must_use]
    pub const fn fingerprint(&self) -> &SecretDigest {
        &self.fingerprint
    }

    /// Seals `plaintext` for the recipient: a compact token with the header `{"alg":"…","enc":"A256GCM"}`.
    ///
    /// # Errors
    /// [`Code::Internal`] without randomness or if the key fails.
    pub fn seal(&self, plaintext: &[u8], entropy: &dyn Entropy) -> Result<String, Denial> {
        let fault = || Denial::from(Code::Internal);
        let content_key = Zeroizing::new(entropy::bytes(entropy).map_err(|_| fault())?);
        let iv = entropy::bytes(entropy).map_err(|_| fault())?;
        let mut encrypted = vec![0; self.key.ciphertext_size()];
        // aws-lc draws OAEP's seed by itself.
        self.key
            .encrypt(self.management.oaep(), content_key.as_slice(), &mut encrypted, None)
            .and_then(|encrypted| parts::write(self.management.header(), encrypted, &content_key, iv, plaintext))
            .map_err(|_| fault())
    }
}

/// The digest of a public key of a size that is taken, in `SubjectPublicKeyInfo`.
fn fingerprint(key: &PublicEncryptingKey) -> Result<SecretDigest, InvalidJweKey> {
    let der = key.as_der().ok().filter(|_| RSA_BITS.contains(&key.key_size_bits()));
    der.map(|der| SecretDigest::of_bytes(der.as_ref())).ok_or(InvalidJweKey::Kind)
}
